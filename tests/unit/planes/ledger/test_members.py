"""Members: opened, frozen, closed when nothing is left, named by the policy; and legal persons above them."""

import pytest
from harbour import TEXT, USDC, Harbour, public_of, seed

from ringfence.adapters.signatures_ed25519 import public_key
from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import HOUR_NS
from ringfence.planes.ledger.operations import CloseMember, Freeze, Move, OpenMember, Resume, Void
from ringfence.policy.parse import parse

CASH, HEDGE, ALICE = "client/alice/cash", "client/alice/hedge", "client_key/alice"
CLOSE = CloseMember("client", "alice", "left us")
OPEN = TEXT.replace(
    "  sweep:",
    """  pay_out: {from: "client/{client}/cash", to: "outside/{client}", assets: USDC, needs: client_key,
    on: ledger, limit: {each: {USDC: "1000 per 1 d"}}}
  sweep:""",
    1,
)


@pytest.fixture
def harbour():
    return Harbour(OPEN)


def refused_words(harbour, operation):
    outcome = harbour.do(operation)
    assert outcome.decision.reason == Reason.MEMBER_NOT_EMPTY
    return outcome.decision.words


def pay_out(harbour, units):
    harbour.move(Move("pay_out", CASH, "outside/alice", "USDC", units), ALICE)


def test_a_member_closes_when_nothing_is_left(harbour):
    harbour.deposit("alice", 6 * USDC)
    pay_out(harbour, USDC)
    assert refused_words(harbour, CLOSE).endswith(f"still has 5 USDC in {CASH}")
    pay_out(harbour, 5 * USDC)
    harbour.must(CLOSE)
    assert harbour.must(CLOSE).decision.repeated
    assert not harbour.state.is_open("client", "alice")


def test_a_closed_member_does_nothing_any_more_and_never_comes_back(harbour):
    harbour.must(CLOSE)
    move = Move("fund", CASH, HEDGE, "USDC", 1)
    assert harbour.reason(move, ALICE) == Reason.MEMBER_NOT_OPEN
    keys = {"client_key": public_of("client_key/alice")}
    assert harbour.refuses(OpenMember("client", "alice", keys)) == Reason.MEMBER_ALREADY_OPEN
    harbour.deposit("bob", USDC)  # others go on
    block = Move("fund", "client/bob/cash", "client/bob/hedge", "USDC", 1)
    assert harbour.reason(block, ALICE, "client_key/bob") == Reason.KEY_REVOKED


def test_every_thing_that_remains_is_named(harbour):
    harbour.fund("alice", "hedge", 100 * USDC)
    harbour.fund("bob", "hedge", 100 * USDC)
    harbour.price("BTC", 100_000)
    harbour.trade(HEDGE, "client/bob/hedge", 2, 100_000)
    words = refused_words(harbour, CLOSE)
    left = words.removeprefix("client alice still has ").split(", ")
    assert left == [
        "2 BTC-PERP in client/alice/hedge",
        "100 USDC in client/alice/hedge",
        "an unsettled session value of 200000000 in BTC-PERP in client/alice/hedge",
        "0.1 USDC owed by client/alice/hedge to house/fees (fees)",
    ]


def test_a_hold_keeps_a_member_open(harbour):
    harbour.deposit("alice", USDC)
    held = harbour.request(Move("fund", CASH, HEDGE, "USDC", USDC), ALICE, hold_until=harbour.at + HOUR_NS)
    harbour.must(held)
    assert "a hold (" in refused_words(harbour, CLOSE)
    harbour.move(Void(held.id), ALICE)
    pay_out(harbour, USDC)
    harbour.must(CLOSE)


def test_what_lies_outside_does_not_keep_a_member_open(harbour):
    harbour.deposit("alice", USDC)
    pay_out(harbour, USDC)
    assert harbour.state.balance("outside/alice", "USDC") == USDC
    harbour.must(CLOSE)


def test_a_key_that_was_never_registered_is_not_revoked_with_its_member(harbour):
    tables = harbour.state.ledger.tables
    tables.keys.pop("client_key/alice")
    harbour.must(CLOSE)
    assert harbour.state.revoked_keys() == {}
    harbour.must(CloseMember("client", "bob", "too"))
    assert harbour.state.revoked_keys() == {"client_key/bob": "client bob was closed"}


def test_only_an_open_member_is_closed(harbour):
    assert harbour.refuses(CloseMember("client", "zoe", "who")) == Reason.MEMBER_NOT_OPEN
    assert harbour.refuses(CloseMember("staff", "alice", "who")) == Reason.MEMBER_NOT_OPEN


def test_a_frozen_member_is_stopped_everywhere_and_nobody_else_is(harbour):
    for member in ("alice", "bob"):
        harbour.deposit(member, 10 * USDC)
    harbour.must(Freeze("member/client/alice", "court order"))
    for gate, target in (("fund", HEDGE), ("pay_out", "outside/alice")):
        assert harbour.reason(Move(gate, CASH, target, "USDC", 1), ALICE) == Reason.COMPARTMENT_FROZEN
    harbour.move(Move("fund", "client/bob/cash", "client/bob/hedge", "USDC", 1), "client_key/bob")
    harbour.must(Resume("member/client/alice", "lifted by the court"))
    harbour.move(Move("fund", CASH, HEDGE, "USDC", 1), ALICE)


# --- named members -----------------------------------------------------------------------------

NAMED = TEXT.replace(
    "client: {kind: client, family: true}", "client: {kind: client, family: true, members: [acme]}", 1
)
NAMED = NAMED.replace(
    "  clearing:",
    "  institution/acme: {owner: client, member: acme, role: custody, accepts: [USDC]}\n  clearing:",
    1,
).replace(
    "  sweep:",
    """  deposit_acme: {from: outside, to: institution/acme, assets: USDC, needs: [watcher_key, ledger_key],
    on: ledger, accrual: receipts, computed_by: [watcher, ledger]}
  spend_acme: {from: institution/acme, to: house/treasury, assets: USDC, needs: client_key/acme, on: ledger,
    limit: {each: {USDC: "10 per 1 d"}}}
  sweep:""",
    1,
)


def test_a_named_member_has_a_compartment_of_its_own_once_it_is_open():
    harbour = Harbour(NAMED)
    spend = Move("spend_acme", "institution/acme", "house/treasury", "USDC", 1)
    assert harbour.reason(spend, "client_key/alice") == Reason.MEMBER_NOT_OPEN
    harbour.must(OpenMember("client", "acme", {"client_key": public_key(seed("client_key/acme"))}))
    harbour.endow("institution/acme", 20 * USDC)
    assert harbour.reason(spend, "client_key/alice") == Reason.NEEDS_NOT_MET
    harbour.move(spend, "client_key/acme")
    much = Move("spend_acme", "institution/acme", "house/treasury", "USDC", 10 * USDC)
    assert harbour.reason(much, "client_key/acme") == Reason.GATE_LIMIT_EXCEEDED
    assert "institution/acme" in harbour.do(CloseMember("client", "acme", "leaves")).decision.words


# --- legal persons -----------------------------------------------------------------------------

GROUP = TEXT.replace(
    "keys:\n",
    "entities:\n  group: {lei: 999900NRTHLGHTGRP063}\n  broker: {part_of: group, parties: [house]}\n"
    "  clients_trust: {part_of: group, parties: [client]}\nkeys:\n",
    1,
)


def test_no_gate_crosses_two_legal_persons_unless_it_says_so():
    findings = parse(GROUP, "group.yaml").errors
    crossing = {str(finding).split("`")[1] for finding in findings if finding.rule == "entities"}
    assert {"fee", "penalty_hedge", "adjust"} <= crossing
    assert "fund" not in crossing


def test_what_was_declared_to_cross_moves_value_between_legal_persons():
    text = GROUP
    for name in sorted({str(f).split("`")[1] for f in parse(GROUP, "g").errors if f.rule == "entities"}):
        text = text.replace(f"  {name}: {{", f"  {name}: {{crosses_entities: true, ", 1)
    harbour = Harbour(text)
    harbour.deposit("alice", 10 * USDC)
    move = Move("adjust", CASH, "house/treasury", "USDC", USDC)
    harbour.move(move, "officer_a", "officer_b", reason="a fee by hand")
    assert harbour.state.balance("house/treasury", "USDC") == USDC
