"""Keys change while a book lives: who may rotate and revoke, and what the old signatures are worth then."""

from typing import Any

import msgspec
import pytest
from harbour import NOON, TEXT, USDC, Harbour, allow, e10, public_of, seed, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.signatures_ed25519 import sign
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.ledger.key_changes import NEXT
from ringfence.planes.ledger.operations import (
    CarryOut,
    Fill,
    Move,
    RevokeKey,
    RotateKey,
    Signature,
    signing_bytes,
)

CLIENT = "client_key/alice"
FUND = Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", USDC)
WITHDRAW = Move("withdraw", "client/alice/cash", "outside/alice", "USDC", USDC)
HALTS = 'halts:\n  freeze: {needs: "1 of [officer_a, risk_key]", lift: [officer_a, officer_b]}\nzones:'


@pytest.fixture
def harbour() -> Harbour:
    book = Harbour(TEXT)
    book.deposit("alice", 100 * USDC)
    return book


def rotation(key: str, new: str, old_until: int, *, old: str | None = None, **words: Any) -> RotateKey:
    """Rotate `key` to the key made from the seed `new`; old: the seed that signs for it now."""
    bare = RotateKey(key, public_of(new), old_until, words.get("expires", NOON + DAY_NS))
    content = signing_bytes(bare)
    both = ((key, old or key), (NEXT, new))
    signatures = (Signature(name, sign(seed(secret), content)) for name, secret in both)
    return msgspec.structs.replace(bare, signatures=tuple(signatures))


def by(request: Any, key: str, secret: str) -> Any:
    """Sign a record for a key with another secret than its name suggests."""
    content = signing_bytes(request)
    return msgspec.structs.replace(request, signatures=(Signature(key, sign(seed(secret), content)),))


def reason_of(harbour: Harbour, operation: Any, **words: Any) -> Reason | None:
    decision = harbour.do(operation, **words).decision
    return decision.reason if isinstance(decision, Refused) else None


# --- rotating ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("late_ns", "reason"), [(-1, None), (0, None), (1, Reason.SIGNATURE_INVALID)])
def test_the_old_key_counts_until_its_instant_and_the_new_one_at_once(harbour, late_ns, reason):
    until = harbour.at + HOUR_NS
    harbour.must(rotation(CLIENT, "fresh", until))
    assert reason_of(harbour, by(harbour.request(FUND), CLIENT, "fresh")) is None
    harbour.at = Instant(until + late_ns)
    assert reason_of(harbour, by(harbour.request(FUND), CLIENT, CLIENT)) == reason
    assert reason_of(harbour, by(harbour.request(FUND), CLIENT, "fresh")) is None


def test_an_instant_that_has_passed_ends_the_old_key_at_once(harbour):
    harbour.must(rotation(CLIENT, "fresh", 0))
    assert reason_of(harbour, by(harbour.request(FUND), CLIENT, CLIENT)) == Reason.SIGNATURE_INVALID


def test_a_rotation_is_signed_by_the_key_as_it_stands_and_by_the_new_one(harbour):
    whole = rotation(CLIENT, "fresh", 0)
    old, new = whole.signatures
    for kept in ((), (old,), (new,)):
        assert reason_of(harbour, msgspec.structs.replace(whole, signatures=kept)) == Reason.NEEDS_NOT_MET
    officers = tuple(
        Signature(key, sign(seed(key), signing_bytes(whole))) for key in ("officer_a", "officer_b")
    )
    assert (
        reason_of(harbour, msgspec.structs.replace(whole, signatures=(*officers, new))) == Reason.KEY_UNKNOWN
    )
    assert reason_of(harbour, rotation(CLIENT, "fresh", 0, old="client_key/bob")) == Reason.SIGNATURE_INVALID
    longer = msgspec.structs.replace(whole, old_until=NOON + DAY_NS)
    assert reason_of(harbour, longer) == Reason.SIGNATURE_INVALID
    assert harbour.must(whole).decision == Accepted()
    assert harbour.must(whole).decision == Accepted(repeated=True)


def test_the_former_key_rotates_nothing_while_it_still_counts(harbour):
    harbour.must(rotation(CLIENT, "fresh", harbour.at + DAY_NS))
    assert reason_of(harbour, rotation(CLIENT, "thief", 0, old=CLIENT)) == Reason.SIGNATURE_INVALID
    harbour.must(rotation(CLIENT, "fresher", 0, old="fresh"))
    # The one before the last counts no longer, whatever was promised to it.
    assert reason_of(harbour, by(harbour.request(FUND), CLIENT, CLIENT)) == Reason.SIGNATURE_INVALID


def test_a_public_key_never_comes_back_and_is_nobody_elses(harbour):
    harbour.must(rotation(CLIENT, "fresh", 0))
    assert reason_of(harbour, rotation(CLIENT, CLIENT, 0, old="fresh")) == Reason.KEY_ALREADY_KNOWN
    assert reason_of(harbour, rotation(CLIENT, "officer_b", 0, old="fresh")) == Reason.KEY_ALREADY_KNOWN


def test_a_rotation_made_beforehand_saves_a_lost_key_while_it_is_good(harbour):
    letter = rotation(CLIENT, "spare", 0, expires=NOON + DAY_NS)
    harbour.at = Instant(NOON + DAY_NS + 1)
    assert reason_of(harbour, letter) == Reason.REQUEST_EXPIRED
    harbour = Harbour(TEXT)
    harbour.at = Instant(NOON + DAY_NS)
    harbour.must(letter)
    assert harbour.state.public_keys()[CLIENT] == public_of("spare")


def test_an_unknown_or_revoked_key_is_not_rotated(harbour):
    assert reason_of(harbour, rotation("client_key/zoe", "fresh", 0)) == Reason.KEY_UNKNOWN
    harbour.must(RevokeKey(CLIENT, "stolen"))
    assert reason_of(harbour, rotation(CLIENT, "fresh", 0)) == Reason.KEY_REVOKED


@pytest.mark.parametrize(("late_ns", "reason"), [(0, None), (1, Reason.NEEDS_NOT_MET)])
def test_what_is_pending_counts_as_long_as_the_old_key_does(harbour, late_ns, reason):
    request = harbour.request(WITHDRAW, CLIENT, "wallet_key", "officer_a")
    harbour.must(request)
    until = harbour.at + 2 * HOUR_NS
    harbour.must(rotation("officer_a", "fresh", until))
    harbour.at = Instant(until + late_ns)
    assert reason_of(harbour, CarryOut(request.id)) == reason


# --- revoking ----------------------------------------------------------------------------------


def test_a_revoked_key_counts_nowhere_and_stays_so(harbour):
    harbour.must(RevokeKey(CLIENT, "stolen"))
    assert harbour.must(RevokeKey(CLIENT, "again")).decision == Accepted(repeated=True)
    assert reason_of(harbour, harbour.request(FUND, CLIENT)) == Reason.KEY_REVOKED
    assert harbour.state.revoked_keys() == {CLIENT: "stolen"}
    assert reason_of(harbour, RevokeKey("client_key/zoe", "who?")) == Reason.KEY_UNKNOWN


def test_both_sides_of_a_rotation_are_revoked_together(harbour):
    harbour.must(rotation(CLIENT, "fresh", harbour.at + DAY_NS))
    harbour.must(RevokeKey(CLIENT, "both machines stolen"))
    for secret in (CLIENT, "fresh"):
        assert reason_of(harbour, by(harbour.request(FUND), CLIENT, secret)) == Reason.KEY_REVOKED


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ((CLIENT,), None),
        (("officer_a",), None),
        (("risk_key",), None),
        (("officer_b",), Reason.NEEDS_NOT_MET),
        (("client_key/bob",), Reason.NEEDS_NOT_MET),
        ((), Reason.NEEDS_NOT_MET),
        ((CLIENT, "client_key/zoe"), Reason.KEY_UNKNOWN),
    ],
)
def test_the_key_itself_or_those_who_may_freeze_revoke(keys, reason):
    harbour = Harbour(TEXT.replace("zones:", HALTS))
    assert reason_of(harbour, signed(RevokeKey(CLIENT, "lost"), *keys)) == reason
    assert (CLIENT in harbour.state.revoked_keys()) == (reason is None)


def test_the_key_before_revokes_its_successor_while_it_counts_and_no_longer(harbour):
    harbour = Harbour(TEXT.replace("zones:", HALTS))
    harbour.must(rotation(CLIENT, "fresh", NOON + HOUR_NS))
    harbour.at = Instant(NOON + HOUR_NS + 1)
    assert reason_of(harbour, by(RevokeKey(CLIENT, "lost"), CLIENT, CLIENT)) == Reason.SIGNATURE_INVALID
    harbour.at = Instant(NOON + 2 * HOUR_NS)
    harbour.must(by(RevokeKey(CLIENT, "lost"), CLIENT, "fresh"))


def test_a_signature_to_revoke_is_for_one_key_and_one_reason():
    harbour = Harbour(TEXT.replace("zones:", HALTS))
    right = signed(RevokeKey(CLIENT, "lost"), "officer_a")
    for wrong in ({"key": "client_key/bob"}, {"reason": "gone"}):
        assert reason_of(harbour, msgspec.structs.replace(right, **wrong)) == Reason.SIGNATURE_INVALID


# --- orders that were filled before ------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (RevokeKey(CLIENT, "stolen"), Reason.KEY_REVOKED),
        (rotation(CLIENT, "fresh", NOON - 1), Reason.SIGNATURE_INVALID),
        (rotation(CLIENT, "fresh", NOON), None),
        (RevokeKey("client_key/carol", "stolen"), None),
    ],
)
@pytest.mark.parametrize("keeps", [True, False])
def test_an_order_filled_in_part_goes_no_further_than_its_key(change, reason, keeps):
    """Whoever fills it cannot pass it by leaving its signature out either."""
    harbour = Harbour(TEXT)
    harbour.price("BTC", 100_000)
    buyer, seller = "client/alice/hedge", "client/bob/hedge"
    for member in ("alice", "bob"):
        harbour.fund(member, "hedge", 1_000 * USDC)
    order = harbour.order(buyer, "buy", 2, 100_000)

    def fill(side: Any) -> Fill:
        return Fill("BTC-PERP", 1, e10(100_000), side, harbour.order(seller, "sell", 1, 100_000))

    harbour.move(fill(order), conditions=allow(buyer, seller))
    harbour.must(change)
    shown = order if keeps else msgspec.structs.replace(order, signatures=())
    found = reason_of(harbour, harbour.request(fill(shown)), conditions=allow(buyer, seller))
    if not keeps and (reason is not None or change.key == CLIENT):
        reason = Reason.NEEDS_NOT_MET
    assert found == reason


# --- laws --------------------------------------------------------------------------------------

SECRETS = (CLIENT, "first", "second", "third")
STEP = st.one_of(
    st.tuples(
        st.just("rotate"), st.sampled_from(SECRETS), st.sampled_from(SECRETS), st.sampled_from([0, 1, 2])
    ),
    st.tuples(st.just("revoke"), st.just(""), st.just(""), st.just(0)),
    st.tuples(st.just("wait"), st.just(""), st.just(""), st.just(1)),
)


@settings(max_examples=60)
@given(st.lists(STEP, max_size=8))
def test_only_the_key_as_it_stands_and_its_former_self_in_time_ever_authorise(steps):
    harbour = Harbour(TEXT, members=("alice",))
    harbour.deposit("alice", 100 * USDC)
    current, former, used, revoked = CLIENT, ("", 0), {CLIENT}, False
    for word, old, new, hours in steps:
        if word == "wait":
            harbour.at = Instant(harbour.at + HOUR_NS)
        elif word == "revoke":
            harbour.must(RevokeKey(CLIENT, "drill"))
            revoked = True
        else:
            until = harbour.at + hours * HOUR_NS - 1
            accepted = harbour.do(rotation(CLIENT, new, until, old=old)).decision
            is_repeated = new == current
            right = not revoked and old == current and new not in used
            assert isinstance(accepted, Accepted) == (right or is_repeated)
            if right:
                current, former = new, (old, until)
                used.add(new)
        for secret in SECRETS:
            counts = secret == current or (secret == former[0] and harbour.at <= former[1])
            found = reason_of(harbour, by(harbour.request(FUND), CLIENT, secret))
            assert (found is None) == (counts and not revoked)
