# ruff: noqa: E501 (one row, one line: a table is read by its columns)
"""Another policy for a live book: what narrows at once, what waits, what is never dropped."""

from dataclasses import replace

import pytest
from harbour import BTC, NOON, TEXT, USDC, Harbour, policy_of, rotated, rules_of, seed, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.signatures_ed25519 import public_key
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.ids import ID_MAX
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.ledger import adoption as module
from ringfence.planes.ledger.adoption import carried, carry, compare_rules, plan_adoption, unkept
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.limits import room_units, spend, used_units
from ringfence.planes.ledger.operations import (
    AdoptPolicy,
    CancelAdoption,
    CompleteAdoption,
    Move,
    OpenMember,
    PolicyLine,
)
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.tables import Waiting
from ringfence.policy.diff import Change
from ringfence.policy.digest import digest
from ringfence.policy.model import Cap, Window
from ringfence.policy.narrowing import narrowed
from ringfence.policy.show import show

WORDS = 'adoption: {needs: "2 of [officer_a, officer_b]", delay: 24 h, cancel: [officer_a, officer_b]}\n'
ADOPTING = TEXT + WORDS
FUND = 'limit: {each: {USDC: "1000000 per 1 d", BTC: "20 per 1 d", ETH: "400 per 1 d"}}}\n  release'
LESS = FUND.replace("1000000 per", "1000 per")
MORE = FUND.replace("1000000 per", "2000000 per")
RELEASE = 'on: [ledger, vault],\n    limit: {each: {USDC: "1000000 per 1 d", BTC: "20 per 1 d", ETH: "400 per 1 d"}}}\n  top_up'
RELEASE_MORE = RELEASE.replace("1000000 per", "3000000 per")
OFFICERS = ("officer_a", "officer_b")
FUNDING = Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", 500 * USDC)


def changed(*changes: tuple[str, str], text: str = ADOPTING) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def adoption(harbour: Harbour, text: str, *keys: str, **fields) -> AdoptPolicy:
    policy = policy_of(text)
    lines = tuple(PolicyLine(path, line.file, line.line) for path, line in policy.lines.items())
    named = {"id": 0, "replaces": harbour.state.rules.digest, "expires": harbour.at + HOUR_NS} | fields
    named["id"] = named["id"] or harbour.new_id()
    notes = tuple(str(note) for note in rules_of(text).notes)
    fields = {"policy": show(policy), "lines": lines, "not_enforced": notes} | named
    return signed(AdoptPolicy(**fields), *keys)


def adopt(harbour: Harbour, text: str, *keys: str) -> int:
    asked = adoption(harbour, text, *keys)
    harbour.must(asked)
    return asked.id


def cancelling(harbour: Harbour, number: int, *keys: str, **fields) -> CancelAdoption:
    named = {"id": 0} | fields
    return signed(CancelAdoption(number, "second thoughts", named["id"] or harbour.new_id()), *keys)


def refused(harbour: Harbour, operation) -> tuple[Reason, str, str]:
    decision = harbour.do(operation).decision
    assert isinstance(decision, Refused), decision
    return decision.reason, decision.words, decision.rule


# --- at once, and later -------------------------------------------------------------------------


def test_what_narrows_is_in_force_at_once():
    harbour = Harbour(ADOPTING)
    adopt(harbour, changed((FUND, LESS)), *OFFICERS)
    assert harbour.state.rules.digest == digest(policy_of(changed((FUND, LESS))))
    assert not harbour.state.waiting()
    assert harbour.state.rules.gates["fund"].each["USDC"].units == 1_000 * USDC


def test_what_widens_waits_for_its_delay():
    harbour = Harbour(ADOPTING)
    before = harbour.state.rules.digest
    number = adopt(harbour, changed((FUND, MORE)), *OFFICERS)
    assert harbour.state.rules.digest == before
    due = harbour.at + DAY_NS
    assert [one.due for one in harbour.state.waiting()] == [due]
    harbour.at = Instant(due - 1)
    assert harbour.refuses(CompleteAdoption(number)) == Reason.ADOPTION_NOT_DUE
    harbour.at = Instant(due)
    harbour.must(CompleteAdoption(number))
    assert harbour.state.rules.gates["fund"].each["USDC"].units == 2_000_000 * USDC
    assert not harbour.state.waiting()


def test_a_mixed_change_narrows_now_and_widens_later():
    harbour = Harbour(ADOPTING)
    text = changed((FUND, LESS), (RELEASE, RELEASE_MORE))
    number = adopt(harbour, text, *OFFICERS)
    gates = harbour.state.rules.gates
    assert gates["fund"].each["USDC"].units == 1_000 * USDC
    assert gates["release"].each["USDC"].units == 1_000_000 * USDC
    harbour.at = Instant(harbour.at + DAY_NS)
    harbour.must(CompleteAdoption(number))
    assert harbour.state.rules.digest == digest(policy_of(text))


def test_without_a_delay_everything_is_at_once():
    text = ADOPTING.replace(", delay: 24 h, cancel: [officer_a, officer_b]", "")
    harbour = Harbour(text)
    adopt(harbour, changed((FUND, MORE), text=text), *OFFICERS)
    assert harbour.state.rules.gates["fund"].each["USDC"].units == 2_000_000 * USDC


def test_a_gate_that_goes_is_shut_at_once_and_one_that_comes_waits():
    harbour = Harbour(ADOPTING)
    start = ADOPTING.index("  sweep:")
    end = ADOPTING.index("  fill_pool:")
    harbour_text = ADOPTING[:start] + ADOPTING[end:]
    adopt(harbour, harbour_text, *OFFICERS)
    assert "sweep" not in harbour.state.rules.gates
    number = adopt(harbour, ADOPTING, *OFFICERS)
    assert "sweep" not in harbour.state.rules.gates
    harbour.at = Instant(harbour.at + DAY_NS)
    harbour.must(CompleteAdoption(number))
    assert harbour.state.rules.digest == rules_of(ADOPTING).digest


# --- compared rule by rule ----------------------------------------------------------------------

SWEEP = ADOPTING[ADOPTING.index("  sweep:") : ADOPTING.index("  fill_pool:")]
SWAP = """  swap: {legs: ["outside/{a} -> outside/{b}", "outside/{b} -> outside/{a}"], needs: risk_key,
    price: "within 1 % of index", on: ledger, limit: {each: {USDC: "1 per 1 d"}}}
"""
SPARE = "  house/spare: {owner: house, role: house_money, accepts: [USDC], vault: own}\n"
PENALTY = "on: [ledger], accrual: liquidation_surplus, computed_by: [risk, ledger]}\n  penalty_hedge"
BETS = "client/{client}/directional → insurance/directional for USDC"

# What is written instead, what then differs, where that stands in the new text, and the same turned round.
COMPARED = [
    (SWEEP, "", "sweep: house/fees → house/treasury for USDC closes", "  sweep:", "narrows"),
    ("exchanges:\n", "exchanges:\n" + SWAP, "swap: outside/{client} → outside/{client} for anything opens", "  swap:", "widens"),
    ("when: releasable", "when: operator_silent 30 d", "release: client/{client}/directional → client/{client}/cash for USDC closes", "  release:", "narrows"),
    (FUND, LESS, "fund: client/{client}/cash → client/{client}/directional for USDC: the limit of each", "  fund:", "narrows"),
    (PENALTY, PENALTY.replace("accrual:", 'limit: {all: {USDC: "9 per 1 d"}}, accrual:'), f"penalty_directional: {BETS}: the limit of all", "  penalty_directional:", "narrows"),
    (PENALTY, PENALTY.replace("liquidation_surplus", "[liquidation_surplus, fees]"), f"penalty_directional: {BETS}: accrual", "  penalty_directional:", "widens"),
    (PENALTY, PENALTY.replace("accrual: liquidation_surplus, computed_by: [risk, ledger]", 'limit: {all: {USDC: "9 per 1 d"}}'), f"penalty_directional: {BETS}: accrual", "  penalty_directional:", "widens"),
    ("delay: 1 h", "delay: 2 h", "withdraw: client/{client}/cash → outside/{client} for BTC: delay", "  withdraw:", "narrows"),
    ("  house/treasury: {", SPARE + "  house/treasury: {", "compartment house/spare begins", "  house/spare:", "widens"),
    ("instruments: [BTC-PERP, ETH-PERP]}}", "instruments: [BTC-PERP]}}", "compartment client/{client}/directional: trades", '  "client/{client}/directional":', "narrows"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words", "key", "direction"), COMPARED)
def test_each_change_of_a_rule_is_named_with_its_line(old, new, words, key, direction):
    before, after = ADOPTING, changed((old, new))
    turned = {"opens": "closes", "closes": "opens", "begins": "ends"}
    back = {"widens": "narrows", "narrows": "widens"}[direction]
    verb = words.split()[-1]
    words_back = words.removesuffix(verb) + turned.get(verb, verb)
    for was, is_now, way, said in ((before, after, direction, words), (after, before, back, words_back)):
        stands = is_now if key in is_now and not said.endswith("closes") else was
        line = 1 + stands[: stands.index(key)].count("\n")
        found = compare_rules(rules_of(was), rules_of(is_now))
        assert Change(way, said, f"harbour.yaml:{line}") in found, found
        assert {change.words.split(":")[0] for change in found} <= {said.split(":")[0], said}


def test_a_gate_that_was_shut_and_stays_shut_is_no_change():
    shut = changed(("when: releasable", "when: operator_silent 30 d"))
    assert compare_rules(rules_of(shut), rules_of(changed((SWEEP, ""), text=shut)))[1:] == ()
    assert compare_rules(rules_of(shut), rules_of(shut)) == ()


def test_a_plan_is_for_the_planes_of_the_book_and_lists_the_ways_that_change():
    harbour = Harbour()
    old = compile_policy(policy_of(), ("ledger", "vault"))
    plan = plan_adoption(harbour.state.ledger.tables, old, policy_of(changed((FUND, LESS), text=TEXT)))
    assert plan.narrowed.planes == plan.target.planes == ("ledger", "vault")
    assert plan.ways == compare_rules(old, plan.target) != ()
    assert (plan.delay_ns, plan.may_widen, plan.needs, plan.waits) == (0, False, (), False)


def test_where_the_rules_do_not_narrow_with_the_words_nothing_is_hurried(monkeypatch):
    doubtful = (Change("changes", "something", ""),)
    monkeypatch.setattr(module, "compare_rules", lambda old, new: doubtful)
    harbour, old = Harbour(ADOPTING), rules_of(ADOPTING)
    plan = plan_adoption(harbour.state.ledger.tables, old, policy_of(changed((FUND, LESS))))
    assert plan.narrowed is old
    assert plan.at_once == ()
    assert plan.later
    assert plan.waits


# --- who may ------------------------------------------------------------------------------------


def test_a_policy_that_names_nobody_is_only_narrowed():
    harbour = Harbour()
    more, less = changed((FUND, MORE), text=TEXT), changed((FUND, LESS), text=TEXT)
    assert harbour.refuses(adoption(harbour, more)) == Reason.ADOPTION_NOT_DECLARED
    harbour.must(adoption(harbour, less))
    assert harbour.state.rules.digest == digest(policy_of(less))


@pytest.mark.parametrize("text", [changed((FUND, MORE)), changed((FUND, LESS))])
def test_the_quorum_of_the_policy_in_force_signs(text):
    harbour = Harbour(ADOPTING)
    assert harbour.refuses(adoption(harbour, text, "officer_a")) == Reason.NEEDS_NOT_MET
    assert harbour.refuses(adoption(harbour, text, "officer_a", "risk_key")) == Reason.NEEDS_NOT_MET
    easier = changed((WORDS, "adoption: {needs: officer_a}\n"), text=text)
    assert harbour.refuses(adoption(harbour, easier, "officer_a")) == Reason.NEEDS_NOT_MET
    harbour.must(adoption(harbour, text, *OFFICERS))


def test_a_proposal_is_good_for_the_policy_it_was_made_for_and_in_time():
    harbour = Harbour(ADOPTING)
    text = changed((FUND, LESS))
    other = adoption(harbour, text, *OFFICERS, replaces=b"\0" * 32)
    assert harbour.refuses(other) == Reason.POLICY_DIGEST_DIFFERS
    late = adoption(harbour, text, *OFFICERS, expires=harbour.at - 1)
    assert harbour.refuses(late) == Reason.REQUEST_EXPIRED
    harbour.must(adoption(harbour, text, *OFFICERS, expires=harbour.at))


def test_the_policy_in_force_and_one_with_errors_are_not_adoptable():
    harbour = Harbour(ADOPTING)
    assert harbour.refuses(adoption(harbour, ADOPTING, *OFFICERS)) == Reason.POLICY_NOT_ADOPTABLE
    unread = adoption(harbour, changed((FUND, LESS)), *OFFICERS, not_enforced=("everything",))
    assert harbour.refuses(unread) == Reason.POLICY_NOT_ADOPTABLE
    broken = signed(
        AdoptPolicy(harbour.new_id(), harbour.state.rules.digest, "ringfence: 1\n", (), (), harbour.at),
        *OFFICERS,
    )
    assert harbour.refuses(broken) == Reason.POLICY_NOT_ADOPTABLE


def test_a_proposal_is_taken_once():
    harbour = Harbour(ADOPTING)
    asked = adoption(harbour, changed((FUND, LESS)), *OFFICERS)
    harbour.must(asked)
    before = harbour.state.digest()
    assert harbour.do(asked).decision == Accepted(repeated=True)
    assert harbour.state.digest() == before
    other = adoption(harbour, ADOPTING, *OFFICERS, id=asked.id)
    assert harbour.refuses(other) == Reason.ID_USED_WITH_OTHER_CONTENT
    assert harbour.refuses(adoption(harbour, ADOPTING, *OFFICERS, id=-1)) == Reason.ID_NOT_POSSIBLE


def test_one_adoption_waits_at_a_time_and_any_of_those_named_cancels_it():
    harbour = Harbour(ADOPTING)
    number = adopt(harbour, changed((FUND, MORE)), *OFFICERS)
    second = adoption(harbour, changed((FUND, LESS)), *OFFICERS)
    assert harbour.refuses(second) == Reason.ADOPTION_ALREADY_WAITS
    assert harbour.refuses(cancelling(harbour, number, "risk_key")) == Reason.NEEDS_NOT_MET
    assert harbour.refuses(cancelling(harbour, number + 5, "officer_b")) == Reason.ADOPTION_NOT_WAITING
    stop = cancelling(harbour, number, "officer_b")
    harbour.must(stop)
    assert harbour.do(stop).decision == Accepted(repeated=True)
    harbour.at = Instant(harbour.at + 2 * DAY_NS)
    assert harbour.refuses(CompleteAdoption(number)) == Reason.ADOPTION_NOT_WAITING
    harbour.must(adoption(harbour, changed((FUND, LESS)), *OFFICERS))


@pytest.mark.parametrize("write", [adoption, cancelling])
@pytest.mark.parametrize(("number", "reason"), [(ID_MAX, None), (ID_MAX + 1, Reason.ID_NOT_POSSIBLE)])
def test_ids_end_where_those_of_requests_end(write, number, reason):
    harbour = Harbour(ADOPTING)
    what = changed((FUND, MORE)) if write is adoption else adopt(harbour, changed((FUND, MORE)), *OFFICERS)
    found = harbour.do(write(harbour, what, *OFFICERS, id=number)).decision
    assert (found.reason if isinstance(found, Refused) else None) == reason
    bare = AdoptPolicy(0, b"", "", (), (), 0) if write is adoption else CancelAdoption(what, "why", 0)
    assert harbour.refuses(signed(bare, *OFFICERS)) == Reason.ID_NOT_POSSIBLE


@pytest.mark.parametrize(("late_ns", "counts"), [(0, True), (1, False)])
def test_who_adopts_and_cancels_signs_with_keys_that_count_now(late_ns, counts):
    """An officer's former key counts as long as its rotation said, here as everywhere."""
    harbour = Harbour(ADOPTING)
    harbour.must(rotated("officer_a", harbour.at, harbour.at + HOUR_NS))
    harbour.at = Instant(harbour.at + HOUR_NS + late_ns)
    asked = adoption(harbour, changed((FUND, MORE)), *OFFICERS)
    if not counts:
        assert harbour.refuses(asked) == Reason.SIGNATURE_INVALID
        harbour.state.ledger.tables.adopting[asked.id] = Waiting(asked, b"", harbour.at)
        assert harbour.refuses(cancelling(harbour, asked.id, "officer_a")) == Reason.SIGNATURE_INVALID
    else:
        harbour.must(asked)
        harbour.must(cancelling(harbour, asked.id, "officer_a"))


def test_refused_adoptions_say_whom_they_need_what_waits_and_which_line_speaks():
    harbour = Harbour(ADOPTING)
    assert refused(harbour, CompleteAdoption(7)) == (
        Reason.ADOPTION_NOT_WAITING,
        f"no adoption {7:032x} waits",
        "",
    )
    number = adopt(harbour, changed((FUND, MORE)), *OFFICERS)
    assert refused(harbour, adoption(harbour, changed((FUND, LESS)), *OFFICERS)) == (
        Reason.ADOPTION_ALREADY_WAITS,
        f"adoption {number:032x} is due at 2025-10-11T12:00:00Z; complete or cancel it first",
        "",
    )
    assert refused(harbour, cancelling(harbour, number, "risk_key")) == (
        Reason.NEEDS_NOT_MET,
        "one of [officer_a, officer_b] may cancel an adoption, and none signed",
        "",
    )
    nobody = Harbour()
    more = changed((FUND, MORE), text=TEXT)
    reason, words, rule = refused(nobody, adoption(nobody, more))
    assert reason == Reason.ADOPTION_NOT_DECLARED
    assert words.startswith("the policy in force names nobody under `adoption`, and this is no narrowing: ")
    assert rule == f"harbour.yaml:{1 + more[: more.index('2000000 per')].count(chr(10))}"
    nobody.state.ledger.tables.adopting[7] = Waiting(adoption(nobody, TEXT), b"", NOON)
    assert refused(nobody, cancelling(nobody, 7, *OFFICERS))[:2] == (
        Reason.NEEDS_NOT_MET,
        "one of [nobody] may cancel an adoption, and none signed",
    )


def test_a_policy_that_waits_and_cannot_be_read_any_more_is_not_put_in_force():
    """A later ringfence may find an error where the one that took the adoption found none."""
    harbour = Harbour(ADOPTING)
    unread = AdoptPolicy(7, harbour.state.rules.digest, "ringfence: 1\n", (), (), NOON)
    harbour.state.ledger.tables.adopting[7] = Waiting(unread, b"", NOON)
    assert refused(harbour, CompleteAdoption(7)) == (Reason.POLICY_NOT_ADOPTABLE, "its text has errors", "")


def test_adoptions_keep_the_planes_that_a_book_enforces():
    harbour = Harbour(ADOPTING)
    planes = ("ledger", "vault")
    harbour.state.ledger.follow(compile_policy(policy_of(ADOPTING), planes))
    text = changed((FUND, LESS), (RELEASE, RELEASE_MORE))
    plan = plan_adoption(harbour.state.ledger.tables, harbour.state.rules, policy_of(text))
    assert plan.target.planes == plan.narrowed.planes == planes
    asked = adoption(harbour, text, *OFFICERS, not_enforced=tuple(str(note) for note in plan.target.notes))
    harbour.must(asked)
    assert harbour.state.rules.planes == planes
    harbour.at = Instant(harbour.at + DAY_NS)
    harbour.must(CompleteAdoption(asked.id))
    assert harbour.state.rules.planes == planes


def test_a_policy_that_is_in_force_again_is_none_that_was_replaced():
    harbour = Harbour(ADOPTING)
    first, text = harbour.state.rules.digest, changed((FUND, LESS))
    adopt(harbour, text, *OFFICERS)
    second = harbour.state.rules.digest
    number = adopt(harbour, ADOPTING, *OFFICERS)
    harbour.at = Instant(harbour.at + DAY_NS)
    harbour.must(CompleteAdoption(number))
    assert harbour.state.rules.digest == first
    assert harbour.state.ledger.tables.replaced == {second.hex(): ("harbour", harbour.at)}


def test_requests_signed_for_the_old_policy_are_refused_by_its_name():
    harbour = Harbour(ADOPTING)
    harbour.deposit("alice", 5_000 * USDC)
    early = harbour.request(FUNDING, "client_key/alice")
    adopt(harbour, changed((FUND, LESS)), *OFFICERS)
    decision = harbour.do(early).decision
    assert isinstance(decision, Refused)
    assert decision.reason == Reason.POLICY_DIGEST_DIFFERS
    assert "(harbour), which was replaced at 2025-10-10" in decision.words
    harbour.must(harbour.request(FUNDING, "client_key/alice"))


# --- nothing is dropped -------------------------------------------------------------------------


def without_hedges(text: str = ADOPTING) -> str:
    """Leave out the insurance pool `insurance/hedge` and every mention of it."""
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("  insurance/hedge")]
    gone = "".join(lines).replace("insurance/directional, insurance/hedge", "insurance/directional")
    gone = gone.replace("insurance/hedge,\n    insurance/directional", "insurance/directional")
    start = gone.index("  penalty_hedge:")
    gone = gone[:start] + gone[gone.index("  cover:") :]
    return gone.replace(
        '{for: ["client/{client}/hedge"], steps: [own, {cover: insurance/hedge}]',
        '{for: ["client/{client}/hedge"], steps: [own]',
    )


def test_a_compartment_that_holds_something_is_never_dropped():
    harbour = Harbour(ADOPTING)
    harbour.endow("insurance/hedge", 1)
    asked = adoption(harbour, without_hedges(), *OFFICERS)
    outcome = harbour.do(asked)
    assert isinstance(outcome.decision, Refused)
    assert outcome.decision.reason == Reason.ADOPTION_DROPS_WHAT_IS_HELD
    assert "insurance/hedge holds 1 units of USDC" in outcome.decision.words


def test_an_empty_compartment_may_go():
    harbour = Harbour(ADOPTING)
    number = adopt(harbour, without_hedges(), *OFFICERS)
    harbour.at = Instant(harbour.at + DAY_NS)
    harbour.must(CompleteAdoption(number))
    assert harbour.state.rules.place("insurance/hedge") is None


def test_what_came_in_while_an_adoption_waited_is_kept_too():
    harbour = Harbour(ADOPTING)
    number = adopt(harbour, changed((FUND, MORE), text=without_hedges()), *OFFICERS)
    assert harbour.state.rules.place("insurance/hedge") is not None
    harbour.endow("insurance/hedge", 7)
    harbour.at = Instant(harbour.at + DAY_NS)
    assert harbour.refuses(CompleteAdoption(number)) == Reason.ADOPTION_DROPS_WHAT_IS_HELD


@pytest.mark.parametrize(("count", "end"), [(1, ""), (4, ""), (5, "; and 1 more"), (6, "; and 2 more")])
def test_a_refusal_names_four_things_without_a_place_and_counts_the_others(count, end):
    harbour = Harbour(ADOPTING)
    text = changed((FUND, LESS))
    for number in range(count):
        harbour.state.ledger.tables.balances[f"attic/{number}", "USDC"] = (0, 1)
    named = "; ".join(
        f"attic/{number} holds 1 units of USDC, and the new policy has no such compartment"
        for number in range(min(count, 4))
    )
    asked = adoption(harbour, text, *OFFICERS)
    assert refused(harbour, asked) == (Reason.ADOPTION_DROPS_WHAT_IS_HELD, named + end, "")


MEANINGS = [
    (("BTC:  {decimals: 8,", "BTC:  {decimals: 6,"), "BTC is booked with decimals 8"),
    (("contract: 0.001 BTC", "contract: 0.01 BTC"), "BTC-PERP has open positions with contract_size_e10"),
    (("accepts: [USDC, BTC, ETH, USDC-debt], vault: own}\nthresholds", "accepts: [USDC, BTC, USDC-debt], vault: own}\nthresholds"), "house/treasury holds 5 units of ETH, which it would not accept"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), MEANINGS)
def test_what_is_booked_keeps_its_meaning(change, words):
    harbour = Harbour(ADOPTING)
    harbour.deposit("alice", 3 * BTC, "BTC")
    harbour.endow("house/treasury", 5, "ETH")
    for member in ("alice", "bob"):
        harbour.fund(member, "hedge", 50_000 * USDC)
    harbour.price("BTC", 60_000)
    harbour.trade("client/alice/hedge", "client/bob/hedge", 10, 60_000)
    plan = plan_adoption(harbour.state.ledger.tables, harbour.state.rules, policy_of(changed(change)))
    assert any(words in found for found in plan.unkept), plan.unkept


@pytest.fixture(scope="module")
def in_use() -> Harbour:
    """A book that holds a balance of every kind, a position, members and something owed."""
    harbour = Harbour()
    harbour.endow("house/treasury", 5, "ETH")
    harbour.endow("client/alice/hedge", 1)
    tables = harbour.state.ledger.tables
    tables.move("house/treasury", "client/bob/hedge", "USDC-debt", 3)
    tables.move("clearing", "client/alice/hedge", "BTC-PERP", 2)
    tables.move("client/bob/hedge", "clearing", "BTC-PERP", 2)
    tables.set_session("client/alice/hedge", "BTC-PERP", 120)
    tables.owe(("fees", "client/alice/hedge", "house/fees", "USDC"), 4)
    tables.commit()
    return harbour


def without(rules: Rules, pattern: str, **words) -> Rules:
    """The same rules with other words for one family of compartments, or without it where none are given."""
    kept = [
        replace(rule, **words) if rule.pattern == pattern else rule
        for rule in rules.compartments
        if words or rule.pattern != pattern
    ]
    return replace(rules, compartments=tuple(kept), _exact={}, _patterns={}, _joined=set())


def less(mapping, *names: str):
    return {name: value for name, value in mapping.items() if name not in names}


R = rules_of()
PERP = R.instruments["BTC-PERP"]
HEDGES = "client/{client}/hedge"
UNKEPT = [
    (R, []),
    (replace(R, numeraire="BTC"), ["everything is measured in USDC, and the new policy measures in BTC"]),
    (without(R, "house/treasury"), ["house/treasury holds 5 units of ETH, and the new policy has no such compartment", "house/treasury holds -3 units of USDC-debt, and the new policy has no such compartment"]),
    (without(R, "outside", two_sided=False), ["outside is short of 5 units of ETH, which only a place outside may be", "outside is short of 1 units of USDC, which only a place outside may be"]),
    (without(R, "house/treasury", accepts=frozenset({"USDC"})), ["house/treasury holds 5 units of ETH, which it would not accept any more"]),
    (without(R, HEDGES, accepts=frozenset({"USDC-debt"})), ["client/alice/hedge holds 1 units of USDC, which it would not accept any more"]),
    (without(R, HEDGES, accepts=None), []),
    (replace(R, assets=less(R.assets, "ETH")), ["house/treasury holds 5 units of ETH, which the new policy does not declare", "outside holds -5 units of ETH, which the new policy does not declare"]),
    (replace(R, instruments=less(R.instruments, "BTC-PERP")), ["client/alice/hedge holds 2 units of BTC-PERP, which the new policy does not declare", "client/bob/hedge holds -2 units of BTC-PERP, which the new policy does not declare"]),
    (without(R, HEDGES, margined=False), ["client/alice/hedge has a position in BTC-PERP, and would be no bucket any more"]),
    (without(R, HEDGES, margined=False, takes_over=frozenset({"BTC-PERP"})), []),
    *((replace(R, assets={**R.assets, "ETH": replace(R.assets["ETH"], **{word: value})}), [f"ETH is booked with {word} {was}, and the new policy says {value}"]) for word, was, value in (("decimals", 18, 8), ("worth_as", "ETH", "BTC"))),
    (replace(R, assets={**R.assets, "USDC-debt": replace(R.assets["USDC-debt"], debt_in="BTC")}), ["USDC-debt is booked with debt_in USDC, and the new policy says BTC"]),
    (replace(R, assets={**R.assets, "BTC": replace(R.assets["BTC"], decimals=3)}), []),
    *((replace(R, instruments={**R.instruments, "BTC-PERP": PERP.model_copy(update={word: value})}), [f"BTC-PERP has open positions with {word} {getattr(PERP, word)}, and the new policy says {value}"]) for word, value in (("kind", "option"), ("payoff", "inverse"), ("underlying", "ETH"), ("quote", "ETH"), ("contract_size_e10", 5), ("strike_e10", 6), ("option", "call"))),
    (replace(R, instruments={**R.instruments, "ETH-PERP": PERP}), []),
    (replace(R, families=frozenset()), ["3 members of client are open, and the new policy has no such family"]),
    (replace(R, gates=less(R.gates, "fee")), ["client/alice/hedge owes house/fees 4 units of USDC (fees), and no gate would pay it"]),
    (compile_policy(policy_of().model_copy(update={"gates": {**policy_of().gates, "fee": policy_of().gates["fee"].model_copy(update={"accrual": ("maker_rebate",)})}})), ["client/alice/hedge owes house/fees 4 units of USDC (fees), and no gate would pay it"]),
    (without(R, "house/fees"), ["client/alice/hedge owes house/fees 4 units of USDC (fees), and no gate would pay it"]),
]  # fmt: skip


@pytest.mark.parametrize(("new", "words"), UNKEPT)
def test_what_would_lose_its_place_or_its_meaning_is_said(in_use, new, words):
    assert list(unkept(in_use.state.ledger.tables, R, new)) == words


def test_only_instruments_with_open_positions_keep_their_meaning():
    tables = Harbour().state.ledger.tables
    for name in ("BTC-PERP", "ETH-PERP"):
        for bucket, contracts in (("client/alice/hedge", 2), ("client/bob/hedge", -2)):
            source, target = (bucket, "clearing") if contracts < 0 else ("clearing", bucket)
            tables.move(source, target, name, 2)
            tables.set_session(bucket, name, contracts)
    inverse = {"ETH-PERP": R.instruments["ETH-PERP"].model_copy(update={"payoff": "inverse"})}
    words = "ETH-PERP has open positions with payoff linear, and the new policy says inverse"
    assert words in list(unkept(tables, R, replace(R, instruments=inverse)))
    for bucket in ("client/alice/hedge", "client/bob/hedge"):
        source, target = (bucket, "clearing") if "alice" in bucket else ("clearing", bucket)
        tables.move(source, target, "ETH-PERP", 2)
        tables.set_session(bucket, "ETH-PERP", 0)
    assert words not in list(unkept(tables, R, replace(R, instruments=inverse)))


def test_a_word_that_no_judge_knows_merely_changes():
    found = compare_rules(R, without(R, HEDGES, waterfall=None))
    (rule,) = [rule for rule in R.compartments if rule.pattern == HEDGES]
    assert found == (Change("changes", f"compartment {HEDGES}: waterfall", rule.line),)


def test_what_had_no_place_before_is_not_asked_for(in_use):
    """What the old policy did not accept, or could not pay, keeps no new one out."""
    tables = in_use.state.ledger.tables
    narrow = without(R, "house/treasury", accepts=frozenset({"USDC"}))
    assert list(unkept(tables, narrow, narrow)) == []
    shut = replace(R, gates=less(R.gates, "fee"))
    assert list(unkept(tables, shut, shut)) == []


@pytest.mark.parametrize("instruments", [("BTC-PERP", "ETH-PERP"), ("ETH-PERP",)])
@pytest.mark.parametrize("contracts", [0, 5])
def test_what_a_flat_position_is_still_owed_keeps_its_compartment_and_its_instrument(instruments, contracts):
    harbour = Harbour(ADOPTING)
    ledger, bucket = harbour.state.ledger, "client/alice/hedge"
    ledger.tables.balances[bucket, "BTC-PERP"] = (5, 5 + contracts)
    ledger.tables.set_session(bucket, "BTC-PERP", 7)
    old = harbour.state.rules
    new = replace(
        old,
        instruments={name: old.instruments[name] for name in instruments},
        compartments=old.compartments if len(instruments) == 1 else (),
        **{"_exact": {}, "_patterns": {}, "_joined": set()},
    )
    words = "which would have no place" if not contracts else "and the new policy has no such compartment"
    if contracts and len(instruments) == 1:
        words = "which the new policy does not declare"
    found = [one for one in unkept(ledger.tables, old, new) if bucket in one]
    assert len(found) == 1
    assert found[0].endswith(words)


def test_members_keep_their_family_and_keys_their_names():
    harbour = Harbour(ADOPTING)
    adopt(harbour, changed((FUND, LESS)), *OFFICERS)
    harbour.must(OpenMember("client", "dora", {"client_key": public_key(seed("client_key/dora"))}))
    harbour.deposit("dora", 100 * USDC)
    assert harbour.state.balance("client/dora/cash", "USDC") == 100 * USDC


# --- counters -----------------------------------------------------------------------------------


def test_a_counter_goes_on_under_a_lower_cap():
    harbour = Harbour(ADOPTING)
    harbour.deposit("alice", 5_000 * USDC)
    harbour.move(FUNDING, "client_key/alice")
    adopt(harbour, changed((FUND, LESS)), *OFFICERS)
    room = harbour.state.room("fund", "client/alice/cash", "client/alice/hedge", "USDC")
    assert room == 500 * USDC


def test_what_no_gate_counts_any_more_is_forgotten_and_the_rest_is_carried():
    harbour = Harbour()
    tables = harbour.state.ledger.tables
    kept, lower, gone, uncapped = (
        (gate, scope, ("alice",), "USDC")
        for gate, scope in (("block", "each"), ("fund", "each"), ("sweep", "all"), ("cover", "all"))
    )
    for key in (kept, lower, gone, uncapped):
        tables.put(tables.windows, key, (5, 40))
    fund = R.gates["fund"]
    hourly = Cap(units=9, window=Window(kind="fixed", length_ns=HOUR_NS))
    gates = {**less(R.gates, "sweep"), "fund": replace(fund, each={**fund.each, "USDC": hourly})}
    gates["cover"] = replace(R.gates["cover"], all={})
    was = fund.each["USDC"]
    found = carried(tables, R, replace(R, gates=gates), NOON)
    assert found == {lower: carry(was, hourly, (5, 40), NOON), gone: None, uncapped: None}


def cap(kind: str, hours: int = 24, units: int = 100) -> Cap:
    return Cap(units=units, window=Window(kind=kind, length_ns=hours * HOUR_NS))


DAY_INDEX = NOON // DAY_NS
CARRIED = [
    (cap("fixed"), cap("fixed", units=5), (DAY_INDEX, 7), (DAY_INDEX, 7)),
    (cap("fixed"), cap("fixed", 1), (DAY_INDEX, 7), (NOON // HOUR_NS, 7)),
    (cap("fixed"), cap("fixed", 1), (DAY_INDEX - 1, 7), (NOON // HOUR_NS, 0)),
    (cap("rolling"), cap("rolling", 1), (NOON - HOUR_NS, 7), (NOON - HOUR_NS, 7)),
    (cap("rolling"), cap("fixed"), (NOON - HOUR_NS, 7), (DAY_INDEX, 7)),
    (cap("fixed"), cap("rolling"), (DAY_INDEX, 7), (NOON, 7)),
    (cap("fixed"), cap("refill"), (DAY_INDEX, 7), (NOON, 7 * DAY_NS)),
    (cap("refill"), cap("refill", units=50), (NOON, 7 * DAY_NS), (NOON, 7 * DAY_NS)),
    (cap("refill"), cap("refill", units=50), (NOON - HOUR_NS, 12 * DAY_NS), (NOON, 8 * DAY_NS)),
    (cap("fixed"), cap("rolling"), (), ()),
]


@pytest.mark.parametrize(("was", "is_now", "counter", "after"), CARRIED)
def test_a_counter_is_carried_to_another_window_as_if_all_had_just_passed(was, is_now, counter, after):
    assert carry(was, is_now, counter, NOON) == after


def test_counters_follow_a_cap_into_another_window_and_end_with_their_gate():
    harbour = Harbour(ADOPTING)
    harbour.deposit("alice", 5_000 * USDC)
    harbour.endow("house/fees", USDC)
    harbour.move(FUNDING, "client_key/alice")
    harbour.move(Move("sweep", "house/fees", "house/treasury", "USDC", USDC), *OFFICERS)
    start, end = ADOPTING.index("  sweep:"), ADOPTING.index("  fill_pool:")
    number = adopt(
        harbour,
        changed((FUND, FUND.replace("per 1 d", "per 12 h")), text=ADOPTING[:start] + ADOPTING[end:]),
        *OFFICERS,
    )
    assert {key[0] for key in harbour.state.windows()} == {"fund"}
    harbour.at = Instant(harbour.at + DAY_NS)
    harbour.move(FUNDING, "client_key/alice")
    harbour.must(CompleteAdoption(number))
    room = harbour.state.room("fund", "client/alice/cash", "client/alice/hedge", "USDC")
    assert room == 999_500 * USDC


def test_what_time_made_owed_is_owed_at_the_rates_of_before():
    rate = 'interest: "8 % per year"'
    gate = (
        '\n  interest_charged: {from: "client/{client}/hedge", to: house/treasury, assets: USDC, on: ledger,\n'
        "    needs: [risk_key, ledger_key], accrual: interest, computed_by: [risk, ledger]}\nexchanges:"
    )
    text = changed(
        ("{debt_in: USDC, decimals: 6", f"{{debt_in: USDC, decimals: 6, {rate}"),
        ("\nexchanges:", gate),
        (", delay: 24 h, cancel: [officer_a, officer_b]", ""),
    )
    harbour = Harbour(text)
    tables, bucket = harbour.state.ledger.tables, "client/alice/hedge"
    tables.move("house/treasury", bucket, "USDC-debt", 1_000 * USDC)
    tables.put(tables.accruing, (bucket, "USDC-debt"), (NOON, 0))
    tables.commit()
    harbour.at = Instant(NOON + 365 * DAY_NS)
    adopt(harbour, changed((rate, 'interest: "4 % per year"'), text=text), *OFFICERS)
    assert harbour.state.owed("interest", bucket, "house/treasury", "USDC") == 80 * USDC


WINDOWS = st.builds(
    Window,
    kind=st.sampled_from(("fixed", "refill", "rolling")),
    length_ns=st.sampled_from((HOUR_NS, 3 * HOUR_NS, DAY_NS)),
)
CAPS = st.builds(Cap, units=st.integers(1, 10_000), window=WINDOWS)


@settings(max_examples=200)
@given(CAPS, CAPS, st.lists(st.tuples(st.integers(0, 2 * DAY_NS), st.integers(1, 500)), max_size=6))
def test_carrying_a_counter_never_gives_room(was, is_now, spent):
    """Property: after the step, no more may pass than the old counter knew of leaves of the new cap."""
    counter, at = (), NOON
    for wait, units in sorted(spent):
        at = Instant(NOON + wait)
        counter = spend(was, counter, units, at)
    carried = carry(was, is_now, counter, at)
    used = used_units(was, counter, at)
    within = is_now.window.kind == was.window.kind == "rolling"
    if not within or is_now.window.length_ns >= was.window.length_ns:
        assert used_units(is_now, carried, at) == used
        assert room_units(is_now, carried, at) == max(0, is_now.units - used)
    later = Instant(at + is_now.window.length_ns * 2 + DAY_NS * 2)
    assert used_units(is_now, carried, later) <= used


# --- the part that is hurried -------------------------------------------------------------------

EDITS = [
    (FUND, LESS),
    (FUND, MORE),
    (RELEASE, RELEASE_MORE),
    ("needs: [client_key], when: releasable", "needs: [client_key]"),
    ("needs: [client_key], when: releasable", "needs: [client_key, officer_a], when: releasable"),
    ('limit: {all: {USDC: "250000 per 1 h"}}', 'limit: {all: {USDC: "250 per 1 h"}}'),
    ("reason: required, reverses: optional", "reverses: optional"),
    ("leverage: 50}]\n  coin", "leverage: 25}]\n  coin"),
    ('maintenance: "1 %", leverage: 50}]\ninstruments', 'maintenance: "0.5 %", leverage: 50}]\ninstruments'),
    ('liquidate: "100 %"', 'liquidate: "103 %"'),
    ("instruments: [BTC-PERP, ETH-PERP, BTC-USD]}", "instruments: [BTC-PERP]}"),
    ("instruments: [BTC-PERP, ETH-PERP]}}\n  insurance", "instruments: [BTC-PERP]}}\n  insurance"),
    ('price: "within 2 % of index"', 'price: "within 1 % of index"'),
]  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(st.sets(st.sampled_from(range(len(EDITS))), min_size=1, max_size=5))
def test_what_is_hurried_only_narrows(numbers):
    """Property: between the old and the new policy, and of the compiled rules nothing is wider than before."""
    text = ADOPTING
    for number in sorted(numbers):
        if EDITS[number][0] in text:
            text = text.replace(*EDITS[number], 1)
    old, new = policy_of(ADOPTING), policy_of(text)
    between = narrowed(old, new)
    assert all(
        one.direction == "narrows" for one in compare_rules(rules_of(ADOPTING), rules_of(show(between)))
    )
    assert digest(narrowed(between, new)) == digest(between)
    harbour = Harbour(ADOPTING)
    plan = plan_adoption(harbour.state.ledger.tables, harbour.state.rules, new)
    assert plan.narrowed.digest == digest(between)
    assert bool(plan.later) == (digest(between) != digest(new))


def test_a_change_that_is_neither_more_nor_less_waits():
    """Another key in the place of one is no narrowing, and is never hurried."""
    needs = "needs: [watcher_key, ledger_key], on: [ledger], accrual: receipts"
    text = changed((needs, needs.replace("ledger_key", "risk_key")))
    assert digest(narrowed(policy_of(ADOPTING), policy_of(text))) == digest(policy_of(ADOPTING))


def test_the_same_policy_is_no_change():
    old = policy_of(ADOPTING)
    assert digest(narrowed(old, old)) == digest(old)
    assert compare_rules(rules_of(ADOPTING), rules_of(ADOPTING)) == ()
