"""What a person types becomes the request they mean, or an error that says what to type."""

import pytest
from books import START, TEXT, policy, seed

from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.errors import UsageError
from ringfence.kernel.ids import RequestId
from ringfence.kernel.instant import HOUR_NS
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.operations import (
    Freeze,
    Move,
    Quote,
    Receipt,
    Request,
    Resume,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.pending import Pending
from ringfence.planes.ledger.rules import Rules
from ringfence.policy.parse import parse
from ringfence.services import instructions

CASH, BET = "client/alice/cash", "client/alice/bet"
MORE_GATES = """\
  fund:
    from: "client/{client}/cash"
    to: "client/{client}/bet"
    assets: USDC
    needs: ["1 of [client_key, officer_key]", watcher_key]
    on: ledger
    limit: {each: {USDC: 1000 per 1 d}}
  late_fund:
    from: "client/{client}/cash"
    to: "client/{client}/bet"
    assets: USDC
    needs: client_key
    delay: 1 h
    cancel: client_key
    on: ledger
    limit: {each: {USDC: 1000 per 1 d}}
"""


def rules_of(text: str = TEXT) -> Rules:
    return compile_policy(policy(text))


RULES = rules_of()


def with_gates(gates: str) -> Rules:
    before, _, after = TEXT.partition("  fund:\n")
    zones = after[after.index("zones:") :]
    officer = "  officer_key: {person: olga, host: desk, signs: by_hand}\n"
    text = before.replace("  ledger_key:", f"{officer}  ledger_key:") + gates + zones
    assert parse(text, "pier.yaml").policy, parse(text, "pier.yaml").errors
    return rules_of(text)


def everybody(name: str, message: bytes) -> Signature:
    return Signature(name, sign(seed(name), message))


def signers(record: Request | Receipt | Freeze | Resume) -> set[str]:
    return {signature.key for signature in record.signatures}


def test_an_amount_is_read_in_the_decimals_of_its_asset() -> None:
    assert instructions.parse_amount(RULES, "100.25", "USDC") == 100_250_000
    assert instructions.parse_amount(RULES, "0.000001", "USDC") == 1


@pytest.mark.parametrize(
    ("text", "asset", "words"),
    [
        ("1", "DOGE", "DOGE is no asset of this policy; USDC are"),
        ("0.0000001", "USDC", "7 digits after the point; at most 6"),
        ("1e5", "USDC", "no.* plain decimal.*write e.g. 100.25 USDC"),
        ("-1", "USDC", "no.* plain decimal"),
        ("", "USDC", "no.* plain decimal"),
    ],
)
def test_an_amount_that_is_none_is_explained(text: str, asset: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        instructions.parse_amount(RULES, text, asset)


@pytest.mark.parametrize(
    ("source", "target", "asset", "gate"),
    [
        (CASH, BET, "USDC", "fund"),
        ("outside", CASH, "USDC", "deposit"),
        (BET, CASH, "USDC", ""),
        (CASH, "client/bob/bet", "USDC", ""),
        (CASH, BET, "DOGE", ""),
        ("nowhere", BET, "USDC", ""),
        (CASH, "nowhere", "USDC", ""),
    ],
)
def test_the_gate_is_found_or_there_is_a_wall(source: str, target: str, asset: str, gate: str) -> None:
    assert instructions.find_gate(RULES, source, target, asset) == gate


def test_a_gate_that_stays_shut_is_passed_over() -> None:
    shut = MORE_GATES.replace("    delay: 1 h\n    cancel: client_key\n", "    when: operator_silent 30 d\n")
    assert instructions.find_gate(with_gates(shut), CASH, BET, "USDC") == "fund"


def test_a_gate_that_stays_shut_is_named_where_it_is_the_only_one() -> None:
    gates = MORE_GATES[MORE_GATES.index("  late_fund") :]
    assert instructions.find_gate(with_gates(gates), CASH, BET, "USDC") == "late_fund"


def test_several_gates_are_named_and_one_is_to_be_chosen() -> None:
    gates = MORE_GATES.replace("    delay: 1 h\n    cancel: client_key\n", "")
    with pytest.raises(UsageError, match="several gates lead there: fund, late_fund; choose one with --gate"):
        instructions.find_gate(with_gates(gates), CASH, BET, "USDC")


def test_a_request_is_signed_by_every_key_its_gate_speaks_of() -> None:
    rules = with_gates(MORE_GATES)
    move = Move("fund", CASH, BET, "USDC", 5)
    request = instructions.transfer(
        rules, move, everybody, identifier=RequestId(7), expires=START, reason="why", reverses=3
    )
    assert signers(request) == {"client_key/alice", "officer_key", "watcher_key"}
    assert len(request.signatures) == 3
    assert (request.id, request.expires, request.reason, request.reverses) == (7, START, "why", 3)
    assert request.policy == rules.digest
    for signature in request.signatures:
        assert verify(public_key(seed(signature.key)), signing_bytes(request), signature.value)


def test_keys_that_are_not_at_hand_do_not_sign() -> None:
    move = Move("fund", CASH, BET, "USDC", 5)
    request = instructions.transfer(
        RULES, move, lambda name, message: None, identifier=RequestId(7), expires=START
    )
    assert request.signatures == ()


def test_where_there_is_a_wall_nobody_signs() -> None:
    move = Move("", BET, CASH, "USDC", 5)
    request = instructions.transfer(RULES, move, everybody, identifier=RequestId(7), expires=START)
    assert request.signatures == ()


def test_a_receipt_is_signed_by_those_who_watch() -> None:
    receipt = instructions.receipt(RULES, Move("deposit", "outside", CASH, "USDC", 5), "tx1", everybody)
    assert signers(receipt) == {"watcher_key", "ledger_key"}
    assert (receipt.reference, receipt.target, receipt.units) == ("tx1", CASH, 5)


def test_quotes_are_read_with_ten_digits() -> None:
    fact = instructions.price_fact("index/BTC", ["v1=65000.5", "v2=0.0000000001"], START)
    assert fact.quotes == (
        Quote("v1", 65_000 * PRICE_SCALE + PRICE_SCALE // 2, START),
        Quote("v2", 1, START),
    )


@pytest.mark.parametrize("text", ["65000", "v1=", "v1=1e5", "=x"])
def test_a_quote_that_is_none_is_explained(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no quote such as v1=65000.5"):
        instructions.price_fact("index/BTC", [text], START)


HALTS = """\
halts:
  freeze: {needs: watcher_key, lift: "1 of [watcher_key, ledger_key]"}
"""


def test_a_freeze_is_signed_by_those_who_may() -> None:
    rules = rules_of(TEXT.replace("zones:", f"{HALTS}zones:"))
    stop = instructions.freeze(rules, "gate/fund", "drill", RequestId(1), everybody)
    lift = instructions.resume(rules, "gate/fund", "over", RequestId(2), everybody)
    assert signers(stop) == {"watcher_key"}
    assert signers(lift) == {"watcher_key", "ledger_key"}
    assert instructions.freeze(RULES, "book", "drill", RequestId(1), everybody).signatures == ()


# --- requests that wait, keys that change ------------------------------------------------------


def test_a_request_that_waits_counts_longer() -> None:
    assert instructions.default_expiry(START) == START + instructions.EXPIRY_NS
    assert instructions.default_expiry(START, HOUR_NS) == START + HOUR_NS + instructions.PATIENCE_NS
    assert instructions.default_expiry(START, waits=True) == START + instructions.PATIENCE_NS


def test_a_pending_request_is_signed_with_what_it_asks_for_and_cancelled_by_whom_it_names() -> None:
    request = Request(RequestId(7), (), b"p" * 32, START)
    pending = Pending(request, b"c" * 32, START, HOUR_NS, ("client_key/alice", "officer_key"))
    approval = instructions.approval(pending, START, everybody)
    assert (approval.request, approval.content, approval.expires) == (7, b"c" * 32, START)
    assert [one.key for one in approval.signatures] == ["client_key/alice", "officer_key"]
    stop = instructions.cancelling(pending, {"officer_key"}, "why", everybody)
    assert (stop.request, stop.content, stop.reason) == (7, b"c" * 32, "why")
    assert [one.key for one in stop.signatures] == ["officer_key"]


def test_a_rotation_is_signed_by_both_and_a_revocation_by_the_key() -> None:
    rotation = instructions.rotation("officer_key", b"n" * 32, START, START, everybody)
    assert [one.key for one in rotation.signatures] == ["officer_key", "next"]
    assert (rotation.public, rotation.old_until) == (b"n" * 32, START)
    revocation = instructions.revocation(RULES, "client_key/alice", "lost", everybody)
    assert [one.key for one in revocation.signatures] == ["client_key/alice"]
    assert instructions.rotation("a", b"n" * 32, START, START, lambda *_: None).signatures == ()
