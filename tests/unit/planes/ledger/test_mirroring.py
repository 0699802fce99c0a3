"""Mirrored credit: never more than lies in escrow, whatever the credit did since."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from harbour import NOON, public_of, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.signatures_ed25519 import verify
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.mirroring import issued_units, mirror_units
from ringfence.planes.ledger.operations import Move, OpenMember, RegisterKey, Request
from ringfence.wiring_files import load_policy, shipped_policy

RULES = compile_policy(load_policy(shipped_policy("custodian")))
VAULT, LOCKED, CREDIT, ISSUE = "client/acme/vault", "client/acme/locked", "venue/acme/credit", "venue/issue"
WITNESSES, LOCKERS = ("watcher_key", "ledger_key"), ("client_key/acme", "venue_key")


class Keep:
    """A custodian's book with acme, who has 100 USDC in its vault."""

    def __init__(self) -> None:
        self.state = BookState(RULES)
        self._number = 0
        for name, key in RULES.keys.items():
            if key.per is None:
                assert self.apply(RegisterKey(name, public_of(name))) is None
        for member in ("acme", "zenith"):
            keys = {"client_key": public_of(f"client_key/{member}")}
            assert self.apply(OpenMember("client", member, keys)) is None
        self.state.ledger.tables.move("outside", VAULT, "USDC", 100)
        self.state.ledger.tables.commit()

    def apply(self, operation: Any) -> Reason | None:
        decision = self.state.apply(operation, NOON, verify).decision
        assert isinstance(decision, Accepted | Refused)
        return decision.reason if isinstance(decision, Refused) else None

    def ask(self, *links: Move, by: tuple[str, ...]) -> Reason | None:
        self._number += 1
        return self.apply(signed(Request(self._number, links, RULES.digest, NOON + DAY_NS), *by))


def lock(units: int) -> Move:
    return Move("lock", VAULT, LOCKED, "USDC", units)


def unlock(units: int) -> Move:
    return Move("lock", LOCKED, VAULT, "USDC", units)


def issue(units: int, to: str = CREDIT) -> Move:
    return Move("mirror", ISSUE, to, "USDC-credit", units)


def give_back(units: int) -> Move:
    return Move("mirror", CREDIT, ISSUE, "USDC-credit", units)


def test_credit_is_issued_up_to_what_is_locked():
    keep = Keep()
    assert keep.ask(issue(1), by=WITNESSES) == Reason.ENTITLEMENT_EXCEEDED
    assert keep.ask(lock(40), by=LOCKERS) is None
    assert keep.ask(issue(41), by=WITNESSES) == Reason.ENTITLEMENT_EXCEEDED
    assert keep.ask(issue(40), by=("ledger_key",)) == Reason.NEEDS_NOT_MET
    assert keep.ask(issue(30), by=WITNESSES) is None
    assert keep.ask(issue(11), by=WITNESSES) == Reason.ENTITLEMENT_EXCEEDED
    assert keep.ask(issue(10), by=WITNESSES) is None
    assert keep.ask(issue(1, "venue/zenith/credit"), by=WITNESSES) == Reason.ENTITLEMENT_EXCEEDED


def test_what_credit_stands_on_leaves_only_together_with_the_credit():
    keep = Keep()
    keep.ask(lock(40), by=LOCKERS)
    keep.ask(issue(30), by=WITNESSES)
    assert keep.ask(unlock(11), by=LOCKERS) == Reason.OWED_NOT_PAID
    assert keep.ask(unlock(10), by=LOCKERS) is None
    assert keep.ask(give_back(1), by=WITNESSES) == Reason.ENTITLEMENT_EXCEEDED
    assert keep.ask(unlock(20), give_back(19), by=(*LOCKERS, *WITNESSES)) == Reason.OWED_NOT_PAID
    assert keep.ask(unlock(20), give_back(20), by=(*LOCKERS, *WITNESSES)) is None
    assert keep.state.balance(LOCKED, "USDC") == keep.state.balance(CREDIT, "USDC-credit") == 10


def test_credit_that_was_lost_is_not_issued_again():
    keep = Keep()
    keep.ask(lock(40), by=LOCKERS)
    keep.ask(issue(40), by=WITNESSES)
    keep.state.ledger.tables.move(CREDIT, "venue/zenith/credit", "USDC-credit", 15)  # lost in trading
    keep.state.ledger.tables.commit()
    assert keep.ask(issue(1), by=WITNESSES) == Reason.ENTITLEMENT_EXCEEDED
    assert keep.ask(unlock(15), by=LOCKERS) == Reason.OWED_NOT_PAID


def test_no_word_of_the_custodian_keeps_a_gate_of_the_ledger_shut():
    assert [name for name, gate in RULES.gates.items() if gate.unenforced] == []


@pytest.mark.parametrize("word", ["mirror", "margin_shortfall", "debt_draw"])
def test_what_is_worked_out_by_itself_stands_alone(word):
    policy = load_policy(shipped_policy("custodian"))
    gate = policy.gates["mirror"].model_copy(update={"accrual": (word, "fees")})
    rules = compile_policy(policy.model_copy(update={"gates": {**policy.gates, "mirror": gate}}))
    assert f"accrual: {word} beside another" in rules.gates["mirror"].unenforced


STEP = st.tuples(st.sampled_from([lock, unlock, issue, give_back]), st.integers(1, 60))


@settings(max_examples=40)
@given(st.lists(st.lists(STEP, min_size=1, max_size=3), max_size=10))
def test_credit_never_exceeds_what_is_locked(requests):
    keep = Keep()
    for request in requests:
        keep.ask(*(make(units) for make, units in request), by=(*LOCKERS, *WITNESSES))
        credit = keep.state.balance(CREDIT, "USDC-credit")
        assert 0 <= credit <= keep.state.balance(LOCKED, "USDC")
    keep.state.check_conservation()
    assert msgspec.json.encode(keep.state.snapshot())


def test_what_mirrors_nothing_is_never_issued():
    keep = Keep()
    source, target = RULES.place(ISSUE), RULES.place(CREDIT)
    assert mirror_units(keep.state.ledger, RULES.assets["USDC"], source, target) == 0


def test_credit_of_one_member_is_no_other_members():
    keep = Keep()
    for member in ("acme", "zenith"):
        keep.state.ledger.tables.move("outside", f"client/{member}/locked", "USDC", 40)
        keep.state.ledger.tables.commit()
        assert keep.ask(issue(40, f"venue/{member}/credit"), by=WITNESSES) is None
    acme = RULES.place(CREDIT)
    assert issued_units(keep.state.ledger, "USDC-credit", acme) == 40
    namesake = msgspec.structs.replace(acme, rule=replace(acme.rule, families=("broker",)))
    assert issued_units(keep.state.ledger, "USDC-credit", namesake) == 0


def test_what_would_stand_on_too_little_is_said_with_the_line_of_its_escrow():
    keep = Keep()
    keep.ask(lock(40), by=LOCKERS)
    keep.ask(issue(30), by=WITNESSES)
    request = signed(Request(99, (unlock(11),), RULES.digest, NOON + DAY_NS), *LOCKERS)
    units = RULES.assets["USDC"].show, RULES.assets["USDC-credit"].show
    assert keep.state.apply(request, NOON, verify).decision == Refused(
        Reason.OWED_NOT_PAID,
        f"{units[1](30)} would stand on {units[0](29)} in escrow",
        RULES.place(LOCKED).rule.line,
    )
