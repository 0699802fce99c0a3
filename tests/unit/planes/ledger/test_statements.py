"""`attested` and `reconciled`: a gate that waits for somebody's word about the whole book."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from harbour import NOON, OFFICERS, TEXT, USDC, Harbour, public_of, rotated, rules_of, signed

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.planes.ledger.operations import Move, RegisterKey, RevokeKey, Statement
from ringfence.planes.ledger.statements import witnesses

SWEEP = Move("sweep", "house/fees", "house/treasury", "USDC", 1)


def text_of(condition: str, attestor: bool = True) -> str:
    text = TEXT.replace(
        'needs: ["2 of [officer_a, officer_b]"],\n    on: [ledger], limit: {all: {USDC: "1000000 per 1 d"}}}',
        f'needs: ["2 of [officer_a, officer_b]"],\n    when: {condition}, on: [ledger], '
        'limit: {all: {USDC: "1000000 per 1 d"}}}',
        1,
    )
    if attestor:
        text = text.replace(
            "  house:  {kind: house}\n", "  house:  {kind: house}\n  auditor: {kind: attestor}\n"
        )
        text = text.replace("keys:\n", "keys:\n  auditor_key: {held_by: auditor, signs: by_hand}\n", 1)
    return text


def harbour_of(condition: str) -> Harbour:
    harbour = Harbour(text_of(condition))
    harbour.must(RegisterKey("auditor_key", public_of("auditor_key")))
    harbour.endow("house/fees", 10 * USDC)
    return harbour


def statement(*keys: str, word: str = "attested", as_of: int = NOON, **words: Any) -> Statement:
    fields = {"holds": True, "reference": "report 7"} | words
    return signed(Statement(word, as_of, **fields), *keys)


def reason_of(harbour: Harbour, operation: Any) -> Reason | None:
    decision = harbour.do(operation).decision
    return decision.reason if isinstance(decision, Refused) else None


@pytest.mark.parametrize("word", ["attested", "reconciled"])
@pytest.mark.parametrize(("late_ns", "reason"), [(0, None), (1, Reason.CONDITION_NOT_MET)])
def test_a_gate_opens_as_long_as_the_word_is_fresh(word, late_ns, reason):
    harbour = harbour_of(f"{word} 30 d")
    assert harbour.reason(SWEEP, *OFFICERS) == Reason.CONDITION_NOT_MET
    harbour.must(statement("auditor_key", word=word))
    harbour.move(SWEEP, *OFFICERS)
    harbour.at = Instant(NOON + 30 * DAY_NS + late_ns)
    assert reason_of(harbour, harbour.request(SWEEP, *OFFICERS)) == reason


def test_the_other_word_does_not_open_it():
    harbour = harbour_of("attested 30 d")
    harbour.must(statement("auditor_key", word="reconciled"))
    assert harbour.reason(SWEEP, *OFFICERS) == Reason.CONDITION_NOT_MET


def test_a_bad_finding_shuts_the_gate_at_once_and_a_later_good_one_opens_it():
    harbour = harbour_of("attested 30 d")
    harbour.must(statement("auditor_key"))
    harbour.at = Instant(NOON + 2)
    harbour.must(statement("auditor_key", as_of=NOON + 1, holds=False, reference="3 BTC are missing"))
    outcome = harbour.do(harbour.request(SWEEP, *OFFICERS))
    assert outcome.decision.reason == Reason.CONDITION_NOT_MET
    assert "3 BTC are missing" in outcome.decision.words
    harbour.must(statement("auditor_key", as_of=NOON + 2))
    harbour.move(SWEEP, *OFFICERS)


@pytest.mark.parametrize(
    ("word", "keys", "reason"),
    [
        ("attested", ("auditor_key",), None),
        ("attested", ("watcher_key",), Reason.NOT_ASKED_TO_SIGN),
        ("attested", OFFICERS, Reason.NOT_ASKED_TO_SIGN),
        ("attested", (), Reason.NOT_ASKED_TO_SIGN),
        ("attested", ("auditor_key", "client_key/zoe"), Reason.KEY_UNKNOWN),
        ("reconciled", ("auditor_key",), None),
        ("reconciled", ("watcher_key",), None),
        ("reconciled", ("ledger_key",), Reason.NOT_ASKED_TO_SIGN),
    ],
)
def test_who_may_say_so(word, keys, reason):
    assert reason_of(harbour_of(f"{word} 30 d"), statement(*keys, word=word)) == reason


def test_without_an_attestor_nobody_attests():
    rules = rules_of(text_of("attested 30 d", attestor=False))
    assert witnesses(rules, "attested") == frozenset()
    assert witnesses(rules, "reconciled") == {"watcher_key"}


def test_a_statement_goes_forward_in_time():
    harbour = harbour_of("attested 30 d")
    first = statement("auditor_key")
    harbour.must(first)
    assert harbour.must(first).decision == Accepted(repeated=True)
    for as_of in (NOON - 1, NOON):
        other = statement("auditor_key", as_of=as_of, holds=False)
        assert reason_of(harbour, other) == Reason.CLOCK_WENT_BACK
    assert reason_of(harbour, statement("auditor_key", as_of=NOON + 1)) == Reason.CLOCK_WENT_BACK
    harbour.at = Instant(NOON + 1)
    moved = msgspec.structs.replace(first, as_of=NOON + 1)
    assert reason_of(harbour, moved) == Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(("late_ns", "reason"), [(0, None), (1, Reason.CONDITION_NOT_MET)])
def test_a_rotated_attestor_is_believed_as_long_as_its_old_key_counts(late_ns, reason):
    harbour = harbour_of("attested 30 d")
    harbour.must(statement("auditor_key"))
    harbour.must(rotated("auditor_key", harbour.at, NOON + DAY_NS))
    harbour.at = Instant(NOON + DAY_NS + late_ns)
    assert reason_of(harbour, harbour.request(SWEEP, *OFFICERS)) == reason
    later = statement("auditor_key", as_of=NOON + 1)
    assert reason_of(harbour, later) == (reason and Reason.SIGNATURE_INVALID)


@pytest.mark.parametrize(
    ("said", "late_ns", "words"),
    [
        (None, 0, "nobody ever said so"),
        (False, 0, "the last word is that it does not hold: report 7"),
        (True, 1, "it was last said as of 2025-10-10T12:00:00Z, over 30 d ago"),
    ],
)
def test_what_is_wrong_with_the_word_is_said_with_the_line_of_the_gate(said, late_ns, words):
    harbour = harbour_of("attested 30 d")
    if said is not None:
        harbour.must(statement("auditor_key", holds=said))
    harbour.at = Instant(NOON + 30 * DAY_NS + late_ns)
    refused = harbour.do(harbour.request(SWEEP, *OFFICERS)).decision
    line = harbour.state.rules.gates["sweep"].line
    assert (refused.words, refused.rule) == (f"sweep opens when attested, and {words}", line)


def test_who_may_say_one_word_does_not_count_for_the_other():
    """A service that sees arrivals may reconcile; what it says counts for no attestation."""
    harbour = harbour_of("attested 30 d")
    tables = harbour.state.ledger.tables
    tables.put(tables.statements, "attested", statement("watcher_key"))
    tables.commit()
    assert harbour.reason(SWEEP, *OFFICERS) == Reason.CONDITION_NOT_MET
    harbour = harbour_of("reconciled 30 d")
    harbour.must(statement("watcher_key", word="reconciled"))
    harbour.move(SWEEP, *OFFICERS)


def test_without_who_sees_arrivals_only_an_attestor_reconciles():
    rules = rules_of(text_of("attested 30 d"))
    unseen = replace(rules, computed_by={})
    assert witnesses(unseen, "reconciled") == {"auditor_key"}
    assert witnesses(replace(rules, holders={}), "reconciled") == {"auditor_key"}


def test_a_revoked_attestor_is_not_believed():
    harbour = harbour_of("attested 30 d")
    harbour.must(statement("auditor_key"))
    harbour.must(RevokeKey("auditor_key", "lost"))
    assert harbour.reason(SWEEP, *OFFICERS) == Reason.CONDITION_NOT_MET


def test_a_silent_operator_cannot_be_checked_by_the_operators_own_book():
    rules = rules_of(text_of("operator_silent 30 d"))
    assert rules.gates["sweep"].unenforced == ("when: operator_silent",)
