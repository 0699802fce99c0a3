import pytest
from flow_policies import venue_rules

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.planes.network.identity import SpiffeId, compile_authorisation, identity_of, parse_identity


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://harbour/gateway",
        "spiffe://harbour.example.org/a/b/c",
        "spiffe://h-1_2.3/A.b-C_9",
        "spiffe://" + "d" * 255 + "/x",
        "spiffe://h/" + "p" * (2048 - len("spiffe://h/")),
        "spiffe://h/...",
    ],
)
def test_a_well_formed_id_is_read_and_written_alike(text: str) -> None:
    parsed = parse_identity(text)

    assert isinstance(parsed, SpiffeId)
    assert str(parsed) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "harbour/gateway",
        "http://harbour/gateway",
        "SPIFFE://harbour/gateway",
        "spiffe:/harbour/gateway",
        "spiffe:///gateway",
        "spiffe://Harbour/gateway",
        "spiffe://harbour",
        "spiffe://harbour/",
        "spiffe://harbour/gateway/",
        "spiffe://harbour//gateway",
        "spiffe://harbour/./gateway",
        "spiffe://harbour/../gateway",
        "spiffe://harbour/gate%77ay",
        "spiffe://harbour/gate way",
        "spiffe://harbour/gateway\n",
        "spiffe://harbour/gateway\x00",
        "spiffe://harbour/gatewäy",
        "spiffe://harböur/gateway",
        "spiffe://user@harbour/gateway",
        "spiffe://harbour:8080/gateway",
        "spiffe://harbour/gateway?x=1",
        "spiffe://harbour/gateway#x",
        "spiffe://" + "d" * 256 + "/x",
        "spiffe://h/" + "p" * (2049 - len("spiffe://h/")),
        "spiffe://harbour/\ud800",
        " spiffe://harbour/gateway",
    ],
)
def test_what_another_reader_might_bend_is_refused(text: str) -> None:
    refused = parse_identity(text)

    assert isinstance(refused, Refused)
    assert refused.reason is Reason.IDENTITY_INVALID


@pytest.mark.parametrize("uris", [[], ["spiffe://h/a", "spiffe://h/b"], ["spiffe://h/a", "https://h"]])
def test_a_certificate_names_exactly_one_identity(uris: list[str]) -> None:
    refused = identity_of(uris)

    assert isinstance(refused, Refused)
    assert refused.words.startswith(f"the certificate holds {len(uris)} URI names")


METHODS = {"check_order": 7001, "pull_transfers": 7002, "push_price": 7008, "debug": 9999}


@pytest.mark.parametrize(
    ("uris", "method", "reason"),
    [
        (["spiffe://test/matching"], "check_order", None),
        (["spiffe://test/matching"], "pull_transfers", Reason.METHOD_NOT_PERMITTED),
        (["spiffe://test/ledger"], "pull_transfers", None),
        (["spiffe://test/gateway"], "check_order", Reason.METHOD_NOT_PERMITTED),
        (["spiffe://other/matching"], "check_order", Reason.METHOD_NOT_PERMITTED),
        (["spiffe://Test/matching"], "check_order", Reason.IDENTITY_INVALID),
        (["spiffe://test/matching", "spiffe://test/ledger"], "check_order", Reason.IDENTITY_INVALID),
        (["spiffe://test/matching"], "debug", Reason.METHOD_NOT_PERMITTED),
        (["spiffe://test/matching"], "no_such_method", Reason.METHOD_NOT_PERMITTED),
    ],
)
def test_a_method_is_open_to_the_sources_of_its_flow(
    uris: list[str], method: str, reason: Reason | None
) -> None:
    decision = compile_authorisation(venue_rules(), "risk", METHODS).decide(uris, method)

    assert (decision.reason if isinstance(decision, Refused) else None) == reason
    assert (decision == Accepted()) == (reason is None)


def test_a_refused_call_names_who_may_call_and_each_caller_has_its_line() -> None:
    table = compile_authorisation(venue_rules(), "risk", METHODS)
    refused = table.decide(["spiffe://test/wallet"], "check_order")

    assert isinstance(refused, Refused)
    assert refused.words == (
        "spiffe://test/wallet may not call check_order of risk; "
        "the policy lets spiffe://test/matching (p.yaml:103) call it"
    )
    assert table.callers["check_order"] == {"spiffe://test/matching": "p.yaml:103"}
    assert table.allows("spiffe://test/marks", "push_price")
