"""Signed bytes say what a record says, whatever way it came into being."""

import copy
import pickle

import msgspec
import pytest

from ringfence.planes.ledger.operations import Fill, Order, Signed, signing_bytes


def order(**words: object) -> Order:
    fields = {
        "id": 1,
        "bucket": "client/alice/hedge",
        "instrument": "BTC-PERP",
        "side": "buy",
        "contracts": 2,
    }
    fields |= {"limit_e10": 10**15, "expires": 2**62, "policy": bytes(32)}
    return Order(**(fields | words))  # type: ignore[arg-type]


def fill(**words: object) -> Fill:
    return Fill("BTC-PERP", 2, 10**15, order(), order(id=2, side="sell"), **words)  # type: ignore[arg-type]


def typed(word: str) -> str:
    """Return a text that equals the word and is another object, as read from a shell or a file."""
    return "".join(list(word))


WAYS = {
    "decoded": lambda one: msgspec.json.decode(msgspec.json.encode(one), type=type(one)),
    "unpickled": lambda one: pickle.loads(pickle.dumps(one)),
    "copied deep": copy.deepcopy,
    "from builtins": lambda one: msgspec.convert(msgspec.to_builtins(one), type(one)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "record",
    [order(), order(time_in_force=typed("gtc")), order(time_in_force=typed("ioc"), post_only=False)],
    ids=["defaults left out", "a default typed in", "not the default"],
)
def test_an_order_has_the_same_signed_bytes_however_it_came(record: Signed, way: str) -> None:
    assert signing_bytes(WAYS[way](record)) == signing_bytes(record)


def test_a_default_that_is_typed_in_is_signed_as_the_default() -> None:
    assert signing_bytes(order(time_in_force=typed("gtc"))) == signing_bytes(order())
    assert signing_bytes(order(time_in_force="ioc")) != signing_bytes(order())
    assert msgspec.json.encode(fill(taker=typed("buy"))) == msgspec.json.encode(fill())
    assert msgspec.json.encode(fill(taker="sell")) != msgspec.json.encode(fill())


def test_signing_bytes_that_were_found_once_are_of_that_record_alone() -> None:
    one = order()
    first = signing_bytes(one)
    assert signing_bytes(one) is first
    changed = msgspec.structs.replace(one, contracts=3)
    assert vars(changed) == vars(copy.copy(one)) == {}
    assert signing_bytes(changed) == signing_bytes(order(contracts=3)) != first
    assert one == order()
    assert msgspec.json.encode(one) == msgspec.json.encode(order())
