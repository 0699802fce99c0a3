"""Standing mandates: a top-up opens without the client's signature as far as the client said beforehand."""

from typing import Any

import msgspec
import pytest
from harbour import EVIDENCE, NOON, TEXT, USDC, Harbour, rotated, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
from ringfence.planes.ledger.mandates import key_of
from ringfence.planes.ledger.operations import EndMandate, Mandate, Move, RevokeKey
from ringfence.planes.ledger.tables import Given
from ringfence.services.margin_facts import MarginFacts

CLIENT, CASH, HEDGE = "client_key/alice", "client/alice/cash", "client/alice/hedge"
MANDATE_ID = 9_000


@pytest.fixture
def harbour() -> Harbour:
    book = Harbour(TEXT)
    book.deposit("alice", 100 * USDC)
    return book


def mandate(harbour: Harbour, *keys: str, **words: Any) -> Mandate:
    fields: dict[str, Any] = {"id": MANDATE_ID, "gate": "top_up", "source": CASH, "target": HEDGE}
    fields |= {"asset": "USDC", "units": 50 * USDC, "expires": NOON + DAY_NS}
    fields |= {"policy": harbour.state.rules.digest} | words
    return signed(Mandate(**fields), *keys)


def top_up(units: int, target: str = HEDGE) -> Move:
    return Move("top_up", target.replace("hedge", "cash"), target, "USDC", units)


def lacks(units: int) -> Conditions:
    return Conditions(lacking={HEDGE: {"USDC": units}})


def reason_of(harbour: Harbour, operation: Any) -> Reason | None:
    decision = harbour.do(operation).decision
    return decision.reason if isinstance(decision, Refused) else None


def test_without_a_mandate_the_gate_stays_shut(harbour):
    assert harbour.reason(top_up(1), *EVIDENCE, conditions=lacks(1)) == Reason.MANDATE_MISSING
    # Her signature on the request itself is no mandate, and needs not be one: she can fund.
    assert harbour.reason(top_up(1), *EVIDENCE, CLIENT, conditions=lacks(1)) == Reason.MANDATE_MISSING


def test_under_a_mandate_what_is_lacking_moves_and_no_more(harbour):
    harbour.must(mandate(harbour, CLIENT))
    seven = lacks(7 * USDC)
    assert harbour.reason(top_up(8 * USDC), *EVIDENCE, conditions=seven) == Reason.ENTITLEMENT_EXCEEDED
    assert harbour.reason(top_up(1), *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED
    harbour.move(top_up(7 * USDC), *EVIDENCE, conditions=seven)
    assert harbour.state.balance(HEDGE, "USDC") == 7 * USDC
    assert harbour.reason(top_up(1), "risk_key", conditions=lacks(1)) == Reason.NEEDS_NOT_MET
    twice = [top_up(2 * USDC), top_up(2 * USDC)]
    assert harbour.reason(twice, *EVIDENCE, conditions=lacks(3 * USDC)) == Reason.ENTITLEMENT_EXCEEDED


@pytest.mark.parametrize(("units", "reason"), [(50 * USDC, None), (50 * USDC + 1, Reason.MANDATE_EXCEEDED)])
def test_a_mandate_is_capped_in_all(harbour, units, reason):
    harbour.must(mandate(harbour, CLIENT))
    harbour.move(top_up(20 * USDC), *EVIDENCE, conditions=lacks(20 * USDC))
    request = harbour.request(top_up(units - 20 * USDC), *EVIDENCE)
    decision = harbour.do(request, lacks(units)).decision
    assert (decision.reason if isinstance(decision, Refused) else None) == reason


def test_the_gates_own_limit_holds_beside_it(harbour):
    harbour.deposit("alice", 30_000 * USDC)
    harbour.must(mandate(harbour, CLIENT, units=10**15))
    found = harbour.reason(top_up(20_000 * USDC + 1), *EVIDENCE, conditions=lacks(10**15))
    assert found == Reason.GATE_LIMIT_EXCEEDED


@pytest.mark.parametrize(("late_ns", "reason"), [(0, None), (1, Reason.MANDATE_MISSING)])
def test_a_mandate_runs_out(harbour, late_ns, reason):
    harbour.must(mandate(harbour, CLIENT, expires=NOON + HOUR_NS))
    harbour.at = Instant(NOON + HOUR_NS + late_ns)
    decision = harbour.do(harbour.request(top_up(1), *EVIDENCE), lacks(1)).decision
    assert (decision.reason if isinstance(decision, Refused) else None) == reason


def test_a_mandate_is_for_its_own_ends(harbour):
    harbour.deposit("bob", USDC)
    harbour.must(mandate(harbour, CLIENT))
    bob = "client/bob/hedge"
    facts = Conditions(lacking={bob: {"USDC": USDC}})
    assert harbour.reason(top_up(1, bob), *EVIDENCE, conditions=facts) == Reason.MANDATE_MISSING


def test_it_is_taken_back_by_its_key(harbour):
    harbour.must(mandate(harbour, CLIENT))
    end = EndMandate(MANDATE_ID, "enough")
    assert reason_of(harbour, signed(end, "client_key/bob")) == Reason.NEEDS_NOT_MET
    assert reason_of(harbour, signed(end, *EVIDENCE)) == Reason.NEEDS_NOT_MET
    assert reason_of(harbour, signed(end, "client_key/zoe")) == Reason.KEY_UNKNOWN
    harbour.must(signed(end, CLIENT))
    assert harbour.reason(top_up(1), *EVIDENCE, conditions=lacks(1)) == Reason.MANDATE_MISSING
    assert reason_of(harbour, signed(end, CLIENT)) == Reason.MANDATE_MISSING
    # Given again as it was, it is known and stays ended.
    assert harbour.must(mandate(harbour, CLIENT)).decision == Accepted(repeated=True)
    assert harbour.reason(top_up(1), *EVIDENCE, conditions=lacks(1)) == Reason.MANDATE_MISSING


def test_a_revoked_key_has_given_no_mandate(harbour):
    harbour.must(mandate(harbour, CLIENT))
    harbour.must(RevokeKey(CLIENT, "stolen"))
    assert harbour.reason(top_up(1), *EVIDENCE, conditions=lacks(1)) == Reason.MANDATE_MISSING


def test_a_new_mandate_takes_the_place_of_the_one_before(harbour):
    harbour.must(mandate(harbour, CLIENT))
    harbour.move(top_up(5 * USDC), *EVIDENCE, conditions=lacks(5 * USDC))
    harbour.must(mandate(harbour, CLIENT, id=MANDATE_ID + 1, units=USDC))
    found = harbour.reason(top_up(USDC + 1), *EVIDENCE, conditions=lacks(9 * USDC))
    assert found == Reason.MANDATE_EXCEEDED
    harbour.move(top_up(USDC), *EVIDENCE, conditions=lacks(9 * USDC))


@pytest.mark.parametrize(
    ("words", "keys", "reason"),
    [
        ({}, ("client_key/bob",), Reason.NEEDS_NOT_MET),
        ({}, (), Reason.NEEDS_NOT_MET),
        ({}, (CLIENT, "client_key/zoe"), Reason.KEY_UNKNOWN),
        ({"id": 0}, (CLIENT,), Reason.ID_NOT_POSSIBLE),
        ({"id": 2**128}, (CLIENT,), Reason.ID_NOT_POSSIBLE),
        ({"id": 2**128 - 1}, (CLIENT,), None),
        ({"policy": b"x" * 32}, (CLIENT,), Reason.POLICY_DIGEST_DIFFERS),
        ({"expires": NOON - 1}, (CLIENT,), Reason.REQUEST_EXPIRED),
        ({"units": 0}, (CLIENT,), Reason.AMOUNT_NOT_POSITIVE),
        ({"units": 2**127}, (CLIENT,), Reason.AMOUNT_TOO_LARGE),
        ({"gate": "nothing"}, (CLIENT,), Reason.NO_GATE_BETWEEN_COMPARTMENTS),
        ({"asset": "BTC"}, (CLIENT,), Reason.NO_GATE_BETWEEN_COMPARTMENTS),
        ({"target": "client/bob/hedge"}, (CLIENT,), Reason.NO_GATE_BETWEEN_COMPARTMENTS),
        (
            {"source": "client/zoe/cash", "target": "client/zoe/hedge"},
            (CLIENT,),
            Reason.NO_GATE_BETWEEN_COMPARTMENTS,
        ),
        ({"gate": "fund"}, (CLIENT,), Reason.NOT_ASKED_TO_SIGN),
    ],
)
def test_what_is_no_mandate_is_refused(harbour, words, keys, reason):
    assert reason_of(harbour, mandate(harbour, *keys, **words)) == reason


def test_an_id_is_good_for_one_mandate(harbour):
    harbour.must(mandate(harbour, CLIENT))
    assert reason_of(harbour, mandate(harbour, CLIENT, units=1)) == Reason.ID_USED_WITH_OTHER_CONTENT
    longer = msgspec.structs.replace(mandate(harbour, CLIENT, id=1 << 90), units=99 * USDC)
    assert reason_of(harbour, longer) == Reason.SIGNATURE_INVALID


def test_margin_says_what_is_lacking(harbour):
    """10 contracts at 91,000, a fee owed: equity 100 - 90 - 0.50, needed 1 % of 910, at 120 % 10.92."""
    harbour.price("BTC", 100_000)
    harbour.fund("alice", "hedge", 100 * USDC)
    harbour.fund("carol", "hedge", 500 * USDC)
    harbour.trade(HEDGE, "client/carol/hedge", 10, 100_000)
    harbour.price("BTC", 91_000)
    harbour.must(mandate(harbour, CLIENT))
    facts = MarginFacts(harbour.state.rules)
    for units, reason in (
        (1_420_001, Reason.ENTITLEMENT_EXCEEDED),
        (1_420_000, None),
        (1, Reason.ENTITLEMENT_EXCEEDED),
    ):
        request = harbour.request(top_up(units), *EVIDENCE)
        outcome = harbour.do(request, facts.before(harbour.state, request, harbour.at))
        facts.after(outcome)
        found = outcome.decision.reason if isinstance(outcome.decision, Refused) else None
        assert found == reason


def words_of(harbour: Harbour, operation: Any, conditions: Conditions = NO_CONDITIONS) -> tuple[str, str]:
    decision = harbour.do(operation, conditions).decision
    assert isinstance(decision, Refused), decision
    return decision.words, decision.rule


def test_why_no_mandate_opens_a_gate_is_said_with_the_line_of_the_gate(harbour):
    line = harbour.state.rules.gates["top_up"].line

    def asked():
        return words_of(harbour, harbour.request(top_up(1), *EVIDENCE), lacks(1))

    words = "top_up needs a standing mandate of client_key for these ends and USDC"
    assert asked() == (words, line)
    harbour.must(mandate(harbour, CLIENT))
    kept, tables = mandate(harbour, CLIENT), harbour.state.ledger.tables
    other = mandate(harbour, CLIENT, policy=b"x" * 32)
    tables.mandates[key_of(other)] = Given(other)
    assert asked() == ("the mandate was signed for another policy", line)
    late = mandate(harbour, CLIENT, expires=NOON - 1)
    tables.mandates[key_of(late)] = Given(late)
    assert asked() == ("the mandate was good until 2025-10-10T11:59:59.999999999Z", line)
    tables.mandates[key_of(kept)] = Given(kept)
    harbour.must(RevokeKey(CLIENT, "stolen"))
    assert asked() == ("client_key/alice signed the mandate and no longer counts", line)


def test_what_is_no_mandate_is_told_why(harbour):
    late = mandate(harbour, CLIENT, expires=NOON - 1)
    assert words_of(harbour, late)[0] == "the mandate was good until 2025-10-10T11:59:59.999999999Z"
    unsigned = words_of(harbour, mandate(harbour))[0]
    assert unsigned == "the mandate needs client_key/alice, which did not sign"


def test_a_mandate_whose_gate_asks_for_none_any_more_is_taken_back_by_nobody(harbour):
    given = mandate(harbour, CLIENT, gate="fund", units=1)
    harbour.state.ledger.tables.mandates[key_of(given)] = Given(given)
    harbour.move(Move("fund", CASH, HEDGE, "USDC", 2), CLIENT)  # It bounds nothing either.
    words = words_of(harbour, signed(EndMandate(MANDATE_ID, "enough"), CLIENT))[0]
    assert words == "the mandate needs a gate with `standing`, which did not sign"


def test_the_former_self_of_a_key_gives_a_mandate_and_takes_it_back_in_time(harbour):
    harbour.must(rotated(CLIENT, harbour.at, harbour.at + HOUR_NS))
    harbour.must(mandate(harbour, CLIENT))
    harbour.move(top_up(1), *EVIDENCE, conditions=lacks(1))
    harbour.must(signed(EndMandate(MANDATE_ID, "enough"), CLIENT))


STEP = st.one_of(
    st.tuples(st.just("give"), st.integers(1, 30)),
    st.tuples(st.just("end"), st.just(0)),
    st.tuples(st.just("top up"), st.integers(1, 20)),
)


@settings(max_examples=50)
@given(st.lists(STEP, max_size=12))
def test_no_more_moves_than_was_mandated(steps):
    harbour = Harbour(TEXT, members=("alice",))
    harbour.deposit("alice", 1_000 * USDC)
    number, left, moved = MANDATE_ID, None, 0
    for word, units in steps:
        if word == "give":
            number, left = number + 1, units
            harbour.must(mandate(harbour, CLIENT, id=number, units=units))
        elif word == "end":
            accepted = isinstance(harbour.do(signed(EndMandate(number, "enough"), CLIENT)).decision, Accepted)
            assert accepted == (left is not None)
            left = None
        else:
            request = harbour.request(top_up(units), *EVIDENCE)
            accepted = isinstance(harbour.do(request, lacks(units)).decision, Accepted)
            assert accepted == (left is not None and units <= left)
            if accepted:
                left, moved = left - units, moved + units
    assert harbour.state.balance(HEDGE, "USDC") == moved


@pytest.mark.parametrize("words", [{"id": 1}, {"units": UNITS_MAX}, {"units": 1}])
def test_the_least_and_the_most_of_a_mandate_are_possible(harbour, words):
    harbour.must(mandate(harbour, CLIENT, **words))


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_mandate_for_nowhere_is_refused_for_that(harbour, end):
    refused = harbour.do(mandate(harbour, CLIENT, **{end: "nowhere"})).decision
    assert refused.reason == Reason.NO_GATE_BETWEEN_COMPARTMENTS


def test_a_mandate_that_no_gate_asks_for_is_refused_with_the_line_of_the_gate(harbour):
    refused = harbour.do(mandate(harbour, CLIENT, gate="fund")).decision
    assert (refused.reason, refused.rule) == (
        Reason.NOT_ASKED_TO_SIGN,
        harbour.state.rules.gates["fund"].line,
    )


def test_a_mandate_is_given_by_the_member_that_its_gate_names():
    harbour = Harbour(TEXT.replace("standing: client_key", 'standing: "client_key/{client}"', 1))
    assert reason_of(harbour, mandate(harbour, "client_key/bob")) == Reason.NEEDS_NOT_MET
    harbour.must(mandate(harbour, CLIENT))
