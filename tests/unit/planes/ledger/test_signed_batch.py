"""Many requests under one signature of a service: each is judged alone, and nothing can be added to them."""

import msgspec
import pytest
from books import START, USDC, begun, deposit, fund, recovered, seed
from hypothesis import given
from hypothesis import strategies as st

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.decision import Accepted, Reason
from ringfence.kernel.instant import Instant
from ringfence.kernel.merkle import Tree, leaf_hash
from ringfence.planes.ledger.operations import Request, Signature, signing_bytes
from ringfence.planes.ledger.signed_batch import BatchToSign, batch_message, signed_bytes
from ringfence.planes.ledger.signing import KnownKeys, signers_of

PUBLIC = public_key(seed("ledger_key"))
KNOWN = KnownKeys({"ledger_key": PUBLIC}, {}, {}, 0, frozenset({"ledger_key"}))
LATER = Instant(START + 10**9)


def content(number: int) -> bytes:
    return number.to_bytes(32, "big")


def batch_of(size: int) -> tuple[BatchToSign, bytes]:
    batch = BatchToSign([content(number) for number in range(size)])
    return batch, sign(seed("ledger_key"), batch.message)


def judged(value: bytes, signed: bytes, known: KnownKeys = KNOWN, key: str = "ledger_key"):
    return signers_of((Signature(key, value),), signed, known, verify)


@given(st.integers(1, 70), st.data())
def test_every_request_of_a_batch_is_signed_and_no_other(size: int, data: st.DataObject) -> None:
    batch, signature = batch_of(size)
    place = data.draw(st.integers(0, size - 1))
    value = batch.value(signature, place)
    assert judged(value, content(place)) == {"ledger_key"}
    other = data.draw(st.integers(0, size + 3).filter(lambda number: number != place))
    assert judged(value, content(other)).reason == Reason.SIGNATURE_INVALID


@given(st.integers(1, 70))
def test_the_tree_is_that_of_rfc_6962(size: int) -> None:
    tree = Tree(leaf_hash(content(number)) for number in range(size))
    batch, signature = batch_of(size)
    assert batch.message == batch_message(size, tree.root())
    for place in range(size):
        assert batch.value(signature, place)[72:] == b"".join(tree.inclusion_proof(place))


@given(st.integers(2, 40), st.data())
def test_a_value_that_was_changed_anywhere_counts_for_nothing(size: int, data: st.DataObject) -> None:
    batch, signature = batch_of(size)
    place = data.draw(st.integers(0, size - 1))
    value = bytearray(batch.value(signature, place))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    assert judged(bytes(value), content(place)).reason == Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("change", ["cut by a byte", "cut by a level", "a level more", "no numbers"])
def test_a_way_of_another_length_leads_nowhere(change: str) -> None:
    batch, signature = batch_of(5)
    value = batch.value(signature, 2)
    changed = {
        "cut by a byte": value[:-1],
        "cut by a level": value[:-32],
        "a level more": value + bytes(32),
        "no numbers": value[:70],
    }[change]
    assert signed_bytes(content(2), changed) is None
    assert judged(changed, content(2)).reason == Reason.SIGNATURE_INVALID


def test_a_place_outside_the_batch_leads_nowhere() -> None:
    batch, signature = batch_of(1)
    value = batch.value(signature, 0)
    assert judged(value, content(0)) == {"ledger_key"}
    assert signed_bytes(content(0), signature + (1).to_bytes(4, "big") + value[68:]) is None
    assert signed_bytes(content(0), value[:68] + bytes(4)) is None


def test_the_signature_of_a_root_is_of_no_request() -> None:
    batch, signature = batch_of(1)
    assert judged(signature, batch.message) == {"ledger_key"}
    assert judged(signature, content(0)).reason == Reason.SIGNATURE_INVALID
    # A leaf is never taken for a root: what is signed says how many there are, under a tag of its own.
    assert len({batch.message, content(0), leaf_hash(content(0))}) == 3


def test_who_is_no_service_signs_each_request() -> None:
    batch = BatchToSign([content(0), content(1)])
    value = batch.value(sign(seed("client_key/alice"), batch.message), 1)
    known = KnownKeys({"client_key/alice": public_key(seed("client_key/alice"))}, {}, {}, 0)
    refused = judged(value, content(1), known, "client_key/alice")
    assert refused.reason == Reason.SIGNATURE_INVALID
    assert "may sign" in refused.words


def test_a_revoked_key_signs_no_batch_either() -> None:
    batch, signature = batch_of(3)
    revoked = KNOWN._replace(revoked={"ledger_key": "stolen"})
    assert judged(batch.value(signature, 1), content(1), revoked).reason == Reason.KEY_REVOKED


# --- in a book ---------------------------------------------------------------------------------


def signed_together(requests: list[Request], *keys: str) -> list[Request]:
    batch = BatchToSign([signing_bytes(request) for request in requests])
    signatures = {key: sign(seed(key), batch.message) for key in keys}
    return [
        msgspec.structs.replace(
            request,
            signatures=tuple(Signature(key, batch.value(one, place)) for key, one in signatures.items()),
        )
        for place, request in enumerate(requests)
    ]


def test_a_book_takes_a_batch_and_its_replay_too() -> None:
    shelf = Shelf()
    book = begun(MemoryStore(shelf))
    pairs = [deposit(number, "alice", number * USDC) for number in range(2, 7)]
    asked = signed_together([pair[1] for pair in pairs], "watcher_key", "ledger_key")
    outcomes = book.submit([*(pair[0] for pair in pairs), *asked], LATER)
    assert {outcome.decision for outcome in outcomes} == {Accepted()}
    book.close()
    again = recovered(MemoryStore(shelf))
    assert again.state.balance("client/alice/cash", "USDC") == 1_020 * USDC


def test_requests_of_a_batch_stand_alone() -> None:
    """One that is left out, refused or changed takes no other with it."""
    book = begun(MemoryStore())
    pairs = [deposit(number, "alice", USDC) for number in (2, 3, 4)]
    asked = signed_together([pair[1] for pair in pairs], "watcher_key", "ledger_key")
    changed = msgspec.structs.replace(asked[1], expires=asked[1].expires + 1)
    receipts = [pair[0] for pair in pairs]
    found = [outcome.decision for outcome in book.submit([*receipts, changed, asked[2]], LATER)[3:]]
    assert found[0].reason == Reason.SIGNATURE_INVALID
    assert found[1] == Accepted()


def test_a_client_signs_no_batch_in_a_book() -> None:
    book = begun(MemoryStore())
    asked = signed_together([fund(9, "alice", USDC), fund(10, "alice", USDC)], "client_key/alice")
    for outcome in book.submit(asked, LATER):
        assert outcome.decision.reason == Reason.SIGNATURE_INVALID
    assert book.state.balance("client/alice/bet", "USDC") == 0


def test_the_messages_of_batches_differ_by_size_and_root() -> None:
    messages = [BatchToSign([content(0)] * size).message for size in range(1, 9)]
    assert len(set(messages)) == len(messages)
    assert batch_message(1, bytes(32)) != batch_message(2, bytes(32))
