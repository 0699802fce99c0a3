"""Taking over another book: what is booked, and each reason for which nothing is."""

import msgspec
import pytest
from harbour import NOON, TEXT, USDC, Harbour, e10, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.decision import Accepted, Reason
from ringfence.planes.ledger.operations import Opening, OpeningBalance, OpeningPosition

ALICE, BOB = "client/alice/hedge", "client/bob/hedge"
BALANCES = (OpeningBalance(ALICE, "USDC", 1_000 * USDC), OpeningBalance(BOB, "USDC-debt", 5))
POSITIONS = (OpeningPosition(ALICE, "BTC-PERP", 7), OpeningPosition(BOB, "BTC-PERP", -7))


def opening(harbour: Harbour, **fields) -> Opening:
    words = {"balances": BALANCES, "positions": POSITIONS, "prices": {"BTC-PERP": e10(60_000)}} | fields
    words = {"id": 77, "source": "a file", "policy": harbour.state.rules.digest} | words
    return Opening(**words)


def test_an_opening_is_booked_once_and_conserves():
    harbour = Harbour()
    outcome = harbour.must(opening(harbour))
    assert len(outcome.entries) == 4
    state = harbour.state
    assert state.balance(ALICE, "USDC") == -state.balance("outside", "USDC") == 1_000 * USDC
    assert state.balance("house/treasury", "USDC-debt") == -5
    assert state.position(ALICE, "BTC-PERP").session_value == 7 * 60 * USDC
    assert state.position(BOB, "BTC-PERP").session_value == -7 * 60 * USDC
    assert harbour.do(opening(harbour)).decision == Accepted(repeated=True)
    assert state.balance(ALICE, "USDC") == 1_000 * USDC


REASONS = [
    ({"id": 0}, Reason.ID_USED_WITH_OTHER_CONTENT),
    ({"policy": b"\0" * 32}, Reason.POLICY_DIGEST_DIFFERS),
    ({"balances": (), "positions": ()}, Reason.CHAIN_IS_EMPTY),
    ({"positions": POSITIONS[:1]}, Reason.OPENING_DOES_NOT_BALANCE),
    ({"balances": (BALANCES[0], BALANCES[0])}, Reason.OPENING_DOES_NOT_BALANCE),
    ({"prices": {}}, Reason.PRICE_OFF_TICK),
    ({"prices": {"BTC-PERP": e10(60_000) + 1}}, Reason.PRICE_OFF_TICK),
    ({"balances": (OpeningBalance(ALICE, "USDC", 0),)}, Reason.AMOUNT_NOT_POSITIVE),
    ({"balances": (OpeningBalance("clearing", "USDC", 1),)}, Reason.CLEARING_NOT_ZERO),
    ({"balances": (OpeningBalance("client/zoe/cash", "USDC", 1),)}, Reason.MEMBER_NOT_OPEN),
]


@pytest.mark.parametrize(("fields", "reason"), REASONS)
def test_what_is_wrong_takes_nothing_over(fields, reason):
    harbour = Harbour()
    assert harbour.refuses(opening(harbour, **fields)) == reason
    harbour.must(opening(harbour))


def test_only_an_empty_book_takes_an_opening():
    harbour = Harbour()
    harbour.deposit("alice", 1)
    assert harbour.refuses(opening(harbour)) == Reason.BOOK_NOT_EMPTY


def test_the_quorum_of_the_policy_signs():
    harbour = Harbour(TEXT + 'adoption: {needs: "2 of [officer_a, officer_b]"}\n')
    assert harbour.refuses(signed(opening(harbour), "officer_a")) == Reason.NEEDS_NOT_MET
    forged = msgspec.structs.replace(signed(opening(harbour), "officer_a", "officer_b"), source="another")
    assert harbour.refuses(forged) == Reason.SIGNATURE_INVALID
    harbour.must(signed(opening(harbour), "officer_a", "officer_b"))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-50, 50).filter(bool), min_size=1, max_size=2), st.integers(1, 10**6))
def test_any_opening_conserves_or_changes_nothing(contracts, tick):
    """Property: conservation holds after every opening, and a refused one leaves the book as it was."""
    harbour = Harbour()
    held = [*contracts, -sum(contracts)][:3]
    buckets = ("client/alice/hedge", "client/bob/hedge", "client/carol/hedge")
    positions = tuple(
        OpeningPosition(bucket, "BTC-USD", count) for bucket, count in zip(buckets, held, strict=False)
    )
    asked = opening(harbour, positions=positions, prices={"BTC-USD": tick * 5 * 10**9})
    before = harbour.state.snapshot()
    outcome = harbour.do(asked)
    harbour.state.check_conservation()
    if outcome.decision != Accepted():
        assert harbour.state.snapshot() == before | {"at": NOON}
    else:
        assert sum(one.session_value for one in harbour.state.positions("BTC-USD").values()) == 0
