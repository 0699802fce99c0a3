"""What stands beside the rules: modes, counters, quarantine, what was tried, what is proposed."""

import copy
from typing import Any

import pytest
from flow_policies import random_rules, venue_rules

from ringfence.kernel.errors import UsageError
from ringfence.planes.network.compile import Flow, digest
from ringfence.planes.network.loaded import Loaded, owner_of, read_guard, read_hub, restoring
from ringfence.planes.network.modes import mode_of, modes_of, passes_undeclared
from ringfence.planes.network.observe import drift
from ringfence.planes.network.observe_nftables import observe_guards, observe_hub
from ringfence.planes.network.proposals import propose
from ringfence.planes.network.render_nftables import Standing, render_guard, render_hub
from ringfence.planes.network.sites import plan_sites

RULES = venue_rules()
SITES = plan_sites(RULES)
MODES = modes_of(RULES, ["trading"], ["vaults"])
STANDING = Standing(7, MODES, ("wallet",))


def listed(document: dict[str, Any]) -> dict[str, Any]:
    """Turn a document as it is loaded into one as nft lists it: objects without `add`."""
    items = [item.get("add", item) for item in copy.deepcopy(document["nftables"])]
    return {"nftables": [item for item in items if "delete" not in item]}


@pytest.mark.parametrize(
    ("source", "target", "passes"),
    [
        ("matching", "risk", True),  # both are watched
        ("matching", "wallet", True),
        ("matching", "ledger", False),  # the ledger enforces
        ("ledger", "matching", False),
        ("internet", "matching", True),  # nobody who enforces has a part in it
        ("matching", "internet", True),
        ("internet", "ledger", False),
        ("internet", "chain", False),  # neither end is watched
    ],
)
def test_what_passes_undeclared(source: str, target: str, passes: bool) -> None:
    assert passes_undeclared(RULES, MODES, source, target) is passes
    assert not passes_undeclared(RULES, {}, source, target)


def test_a_zone_that_is_not_there_cannot_be_watched() -> None:
    assert [mode_of(RULES, MODES, name) for name in ("risk", "wallet", "ledger")] == [
        "observe",
        "warn",
        "enforce",
    ]
    with pytest.raises(UsageError, match="no zone 'tradng'; it has public"):
        modes_of(RULES, ["tradng"])


def test_the_hub_opens_exactly_what_is_declared_or_watched() -> None:
    for seed in range(40):
        rules = random_rules(seed)
        sites, modes = plan_sites(rules), dict.fromkeys(rules.zones[:2], "observe")
        found = drift(rules, observe_hub(render_hub(rules, sites, standing=Standing(1, modes)), sites))
        assert not found.missing
        opened = {(one.source, one.target) for one in found.excess}
        pairs = [(a, b) for a in rules.ends for b in rules.ends if a != b]
        assert opened == {pair for pair in pairs if passes_undeclared(rules, modes, *pair)}, seed


def test_a_watched_service_lets_everything_pass_and_the_others_still_hold() -> None:
    documents = {name: render_guard(RULES, SITES, name, standing=STANDING) for name in RULES.workloads}
    seen = observe_guards(documents, SITES)
    assert {
        (one.source, one.target) for one in drift(RULES, seen).excess
    } == {pair for pair in seen.possible if passes_undeclared(RULES, MODES, *pair)}  # fmt: skip


def test_a_place_says_what_stands() -> None:
    hub = read_hub(listed(render_hub(RULES, SITES, standing=STANDING)), RULES, SITES)
    assert (hub.generation, hub.digest) == (7, digest(RULES)[:16])
    assert (dict(hub.modes), hub.quarantined) == (dict(MODES), ("wallet",))
    assert hub.passed == dict.fromkeys(RULES.flows, 0)
    for service, mode in (("risk", "observe"), ("wallet", "warn"), ("ledger", "enforce")):
        document = listed(render_guard(RULES, SITES, service, standing=STANDING))
        guard = read_guard(document, RULES, SITES, service)
        assert mode_of(RULES, guard.modes, service) == mode
        assert set(guard.passed) == {flow for flow in RULES.flows if service in (flow.source, flow.target)}


@pytest.mark.parametrize("document", [None, [], {}, {"nftables": 7}, {"nftables": [7, {"rule": 7}]}])
def test_a_place_without_our_rules_says_nothing(document: object) -> None:
    assert read_hub(document, RULES, SITES) == Loaded()
    assert read_guard(document, RULES, SITES, "risk") == Loaded()


def test_what_was_tried_is_read_with_its_count() -> None:
    document = listed(render_hub(RULES, SITES))
    tried = next(item["set"] for item in document["nftables"] if item.get("set", {}).get("name") == "s_tried")
    ends = [SITES[end].interface for end in ("gateway", "wallet")]
    key = {"concat": [*ends, "tcp", 7005]}
    tried["elem"] = [
        {"elem": {"val": key, "expires": 9, "counter": {"packets": 3, "bytes": 180}}},
        {"elem": {"val": {"concat": ["eth9", "eth8", "tcp", 1]}, "counter": {"packets": 1, "bytes": 6}}},
    ]
    assert read_hub(document, RULES, SITES).tried == {Flow("gateway", "wallet", "tcp", 7005): 3}


def test_a_listing_becomes_the_document_that_brings_it_back() -> None:
    document = listed(render_hub(RULES, SITES, standing=STANDING))
    foreign = {"table": {"family": "inet", "name": "others"}}
    again = restoring({"nftables": [foreign, *document["nftables"]]})
    assert "others" not in str(again)
    for read in (read_hub(listed(again), RULES, SITES), read_hub(document, RULES, SITES)):
        assert (read.generation, read.quarantined) == (7, ("wallet",))
    assert observe_hub(again, SITES).possible == observe_hub(document, SITES).possible
    nothing = restoring({"nftables": [foreign]})["nftables"]
    assert [next(iter(item)) for item in nothing] == ["add", "delete"] * 2


def test_an_address_has_one_owner() -> None:
    sites = plan_sites(RULES, {"internet": ["0.0.0.0/0"]})
    assert owner_of(sites, sites["risk"].own_v4) == "risk"
    assert owner_of(sites, "203.0.113.9") == "internet"
    assert owner_of(sites, "2001:db8::1") is None


def test_proposals_are_lines_of_a_policy_and_nothing_that_is_declared_already() -> None:
    undeclared = Flow("gateway", "wallet", "udp", 53)
    stranger = Flow("nobody", "wallet", "tcp", 1)
    declared = next(iter(RULES.flows))
    found = propose(RULES, {undeclared: 4, declared: 9, stranger: 1}, [declared])
    assert [str(one) for one in found] == [
        "  - {from: gateway, to: wallet, protocol: udp, port: 53, "
        'purpose: "tried 4 times; say what it is for"}'
    ]
    assert propose(RULES, {}, [undeclared])[0].seen == "established now; say what it is for"
