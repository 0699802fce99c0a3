"""Rights granted against rights used: gates, keys, and how far each cap was ever filled."""

import pytest
from platforms import harbour, platform

from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.ledger.operations import Fill, Move, Order, Request, Signature
from ringfence.proof.rights import Dated, moved_by_gate, rights_used

MIDNIGHT = 20_000 * DAY_NS


def asked(at, *moves, keys=(), other=()):
    signatures = tuple(Signature(key, b"") for key in keys)
    return Dated(Instant(at), Request(1, (*moves, *other), b"", 1, signatures=signatures))


def out(units):
    return Move("g1", "client_hot", "outside", "USDT", units)


def most(found, gate, scope="all", asset="USDT"):
    return next(
        one.most_units for one in found.caps if (one.gate, one.scope, one.asset) == (gate, scope, asset)
    )


def test_rights_that_nobody_used():
    other = Move("g7", "client_hot", "margin", "USDT", 1)
    found = rights_used(platform(), [asked(1, out(1), other, keys=("hot", "liq"))])
    assert found.unused_gates == ("g2", "g3", "g4", "g5", "g6")
    assert found.unused_keys == ("api", "settle", "lw", "tk", "cold1", "cold2", "cold3")


@pytest.mark.parametrize(
    ("apart_ns", "used"), [(1, 100), (HOUR_NS - 1, 100), (HOUR_NS, 60), (2 * HOUR_NS, 60)]
)
def test_a_rolling_cap_counts_what_lies_within_its_window(apart_ns, used):
    found = rights_used(platform(), [asked(MIDNIGHT, out(40)), asked(MIDNIGHT + apart_ns, out(60))])
    assert most(found, "g1") == used
    assert most(found, "g7") == 0
    assert next(one.cap.units for one in found.caps if one.gate == "g1") == 250


def pay(member, units):
    return Move("withdraw", f"client/{member}/cash", f"outside/{member}", "USDC", units)


def test_caps_for_each_count_the_member_that_used_most_and_those_for_all_everybody():
    requests = [asked(MIDNIGHT + n, pay(*one)) for n, one in enumerate([("a", 3), ("b", 5), ("a", 4)])]
    found = rights_used(harbour(), requests)
    assert most(found, "withdraw", "each", "USDC") == 7
    assert most(found, "withdraw", "all", "USDC") == 12
    assert most(found, "withdraw", "each", "BTC") == 0


def test_a_fixed_window_begins_again_at_midnight():
    found = rights_used(harbour(), [asked(MIDNIGHT - 1, pay("a", 3)), asked(MIDNIGHT, pay("a", 4))])
    assert most(found, "withdraw", "each", "USDC") == 4


def test_a_block_counts_for_whom_its_leg_leaves():
    legs = [Move("block", f"client/{a}/cash", f"client/{b}/cash", "USDC", 9) for a, b in ("ab", "ba")]
    assert most(rights_used(harbour(), [asked(1, *legs)]), "block", "each", "USDC") == 9


def test_who_signs_an_order_used_the_key():
    order = Order(
        1, "client/a/hedge", "BTC-PERP", "buy", 1, 1, 1, b"", signatures=(Signature("client_key/a", b""),)
    )
    found = rights_used(harbour(), [asked(1, other=(Fill("BTC-PERP", 1, 1, order, order),))])
    assert "client_key" not in found.unused_keys
    assert "risk_key" in found.unused_keys


def test_what_each_gate_moved_adds_up():
    requests = [asked(1, out(2), pay("a", 3)).request, asked(1, out(5)).request]
    assert moved_by_gate(requests) == {"g1": {"USDT": 7}, "withdraw": {"USDC": 3}}
