"""Whose signature counts, on both sides of the instant at which a rotated key ends."""

import msgspec
import pytest

from ringfence.adapters.line_file import LineFile
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.key_changes import NEXT
from ringfence.planes.ledger.operations import Move, Order, Request, RotateKey, Signature, signing_bytes
from ringfence.services.platform.messages import Approved, CancelOrder, KeyFact
from ringfence.services.platform.signers import Signers, cancel_bytes
from ringfence.services.platform.wallet import Wallet
from ringfence.wiring_files import load_policy, shipped_policy

RULES = compile_policy(load_policy(shipped_policy("venue")))
UNTIL = Instant(1_760_097_600 * 10**9)
KEY = "client_key/alice"
OLD, NEW, OTHER = (name.ljust(32, b".") for name in (b"old", b"new", b"other"))


def signed(record, seed, key=KEY):
    return msgspec.structs.replace(
        record, signatures=(*record.signatures, Signature(key, sign(seed, signing_bytes(record))))
    )


def rotation(old=OLD, new=NEW, key=KEY):
    bare = RotateKey(key, public_key(new), UNTIL, UNTIL)
    content = signing_bytes(bare)
    both = (Signature(key, sign(old, content)), Signature(NEXT, sign(new, content)))
    return msgspec.structs.replace(bare, signatures=both)


ORDER = Order(1, "client/alice/hedge", "BTC-PERP", "buy", 1, 10**10, UNTIL + DAY_NS, RULES.digest)


def told():
    """Signers that took the keys as they stand in a book after a rotation."""
    made = Signers(RULES, verify)
    made.follow([KeyFact(KEY, public_key(OLD))])
    made.follow([KeyFact(KEY, public_key(NEW), public_key(OLD), UNTIL)])
    return made


def convinced():
    """Signers that saw the rotation itself."""
    made = Signers(RULES, verify)
    made.learn({KEY: public_key(OLD)})
    assert made.rotate(rotation())
    return made


@pytest.mark.parametrize("made", [told, convinced])
@pytest.mark.parametrize(
    ("seed", "at", "counts"),
    [
        (OLD, UNTIL - 1, True),
        (OLD, UNTIL, True),
        (OLD, UNTIL + 1, False),
        (NEW, UNTIL - 1, True),
        (NEW, UNTIL + 1, True),
        (OTHER, UNTIL, False),
    ],
)
def test_a_former_key_counts_until_its_instant_and_the_new_one_at_once(made, seed, at, counts):
    order, bare = signed(ORDER, seed), CancelOrder("BTC-PERP", "client/alice/hedge", 1)
    cancel = msgspec.structs.replace(bare, signatures=(Signature(KEY, sign(seed, cancel_bytes(bare))),))
    assert made().may_trade(order, Instant(at)) is counts
    assert made().may_cancel(cancel, Instant(at)) is counts


@pytest.mark.parametrize("made", [told, convinced])
def test_a_revoked_key_counts_no_more_old_or_new(made):
    signers = made()
    signers.learn({}, (KEY,))
    for seed in (OLD, NEW):
        assert not signers.may_trade(signed(ORDER, seed), Instant(UNTIL - 1))


@pytest.mark.parametrize(
    "false",
    [
        rotation(old=OTHER),
        msgspec.structs.replace(rotation(), signatures=rotation().signatures[:1]),
        msgspec.structs.replace(rotation(), public=public_key(OTHER)),
        msgspec.structs.replace(rotation(), old_until=UNTIL + DAY_NS),
        rotation(key="client_key/bob"),
    ],
)
def test_a_rotation_that_both_did_not_sign_replaces_nothing(false):
    signers = Signers(RULES, verify)
    signers.learn({KEY: public_key(OLD)})
    assert not signers.rotate(false)
    assert signers.may_trade(signed(ORDER, OLD), Instant(UNTIL + 1))
    assert not signers.may_trade(signed(ORDER, NEW), Instant(UNTIL + 1))


def test_a_revoked_key_is_not_rotated_away():
    signers = Signers(RULES, verify)
    signers.learn({KEY: public_key(OLD)}, (KEY,))
    assert not signers.rotate(rotation())


# --- the wallet, which believes no ledger


OFFICER, WALLET = (name.ljust(32, b".") for name in (b"officer", b"wallet"))


def wallet(folder):
    public_keys = {"officer_a": public_key(OFFICER), "wallet_key": public_key(WALLET)}

    def sign_as(key, message):
        return Signature(key, sign(WALLET, message)) if key == "wallet_key" else None

    return Wallet(RULES, verify, sign_as, public_keys, LineFile(folder / "signed.lines"), None)


def withdrawal(number, seed):
    move = Move("withdraw", "client/alice/cash", "outside/alice", "USDC", 1)
    bare = Request(number, (move,), RULES.digest, UNTIL + DAY_NS)
    return signed(signed(bare, seed), OFFICER, "officer_a")


def asked(made, number, seed, at, **words):
    approved = Approved((withdrawal(number, seed),), **words)
    made.learn(approved, Instant(at))
    return len(made.sign_all(approved, Instant(at)).requests) == 1


def test_the_wallet_takes_a_new_key_only_by_its_rotation(tmp_path):
    made = wallet(tmp_path)
    old, new = {KEY: public_key(OLD)}, {KEY: public_key(NEW)}
    assert asked(made, 1, OLD, UNTIL, keys=old)
    assert not asked(made, 2, NEW, UNTIL, keys=new)
    assert not asked(made, 2, NEW, UNTIL, keys=new, rotations=(rotation(old=OTHER),))
    assert asked(made, 2, NEW, UNTIL, keys=new, rotations=(rotation(),))
    assert asked(made, 3, OLD, UNTIL, keys=new)
    assert not asked(made, 4, OLD, UNTIL + 1, keys=new)


def test_a_wallet_that_is_started_again_forgets_no_key(tmp_path):
    made = wallet(tmp_path)
    assert asked(made, 1, OLD, UNTIL, keys={KEY: public_key(OLD)})
    again = wallet(tmp_path)
    assert not asked(again, 2, OTHER, UNTIL, keys={KEY: public_key(OTHER)})
    assert asked(again, 3, NEW, UNTIL, rotations=(rotation(),))
    last = wallet(tmp_path)
    assert asked(last, 4, NEW, UNTIL + 1)
    assert not asked(last, 5, OLD, UNTIL + 1)
