"""The small questions that every rule asks of the policy and the tables together."""

from dataclasses import replace

import pytest
from harbour import BTC, NOON, OFFICERS, TEXT, USDC, Harbour

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import MINUTE_NS, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.ledger import limited_members
from ringfence.planes.ledger.limits import spend
from ringfence.planes.ledger.operations import Move

CASH, HEDGE = "client/alice/cash", "client/alice/hedge"


@pytest.fixture
def harbour():
    return Harbour()


def test_a_compartment_of_one_named_member_waits_for_that_member(harbour):
    named = tuple(
        replace(rule, named=("client", "zoe")) if rule.pattern == "house/fees" else rule
        for rule in harbour.state.rules.compartments
    )
    harbour.obey(compartments=named)
    assert harbour.state.ledger.closed_member(harbour.state.rules.place("house/fees")) == "client zoe"
    assert harbour.state.ledger.place("house/fees") is None
    harbour.obey(
        compartments=tuple(
            replace(rule, named=("client", "alice")) if rule.named else rule
            for rule in harbour.state.rules.compartments
        )
    )
    assert harbour.state.ledger.closed_member(harbour.state.rules.place("house/fees")) == ""


@pytest.mark.parametrize(
    ("halts", "ends", "named"),
    [
        (("asset/BTC",), (CASH, HEDGE), ""),
        (("asset/BTC",), ("nowhere", HEDGE), ""),
        (("stop asset/BTC",), (CASH, "nowhere"), ""),
        (("stop asset/USDC",), ("nowhere", HEDGE), ""),
        (("asset/USDC", "gate/fund"), (CASH, HEDGE), "gate/fund"),
        (("asset/USDC", f"compartment/{HEDGE}"), (CASH, HEDGE), f"compartment/{HEDGE}"),
        (("asset/USDC", "gate/fund"), ("nowhere", "nowhere"), "gate/fund"),
        (("stop asset/USDC", "stop gate/fund"), (CASH, HEDGE), "stop asset/USDC"),
        (("stop gate/fund",), (CASH, HEDGE), "stop gate/fund"),
        ((f"stop compartment/{HEDGE}",), (CASH, HEDGE), f"stop compartment/{HEDGE}"),
        (("pool/hedge",), (CASH, HEDGE), "pool/hedge"),
        (("pool/directional",), (CASH, HEDGE), ""),
    ],
)
def test_the_first_halt_of_a_move_is_named(harbour, halts, ends, named):
    harbour.state.ledger.tables.frozen.update(dict.fromkeys(halts, "drill"))
    assert harbour.state.ledger.frozen("fund", *ends, "USDC") == named


def test_keys_of_services_are_known_as_such(harbour):
    known = harbour.state.ledger.known_keys(NOON)
    assert known.services == harbour.state.rules.service_keys
    assert known.at == NOON


def test_one_asset_is_worth_another_at_fresh_prices_of_both(harbour):
    ledger, line = harbour.state.ledger, "desk.yaml:7"
    harbour.price("BTC", 100_000)
    assert ledger.rate("USDC", "BTC", NOON, line) == (PRICE_SCALE * BTC, 100_000 * PRICE_SCALE * USDC)
    missing = Refused(Reason.PRICE_MISSING, "the book holds no price index/ETH", line)
    assert ledger.rate("ETH", "BTC", NOON, line) == ledger.rate("BTC", "ETH", NOON, line) == missing
    late = Instant(NOON + MINUTE_NS)
    stale = Refused(Reason.PRICE_STALE, "index/BTC is too old; a fresh price must come first", line)
    assert ledger.rate("BTC", "USDC", late, line) == ledger.rate("USDC", "BTC", late, line) == stale
    assert ledger.worth("DOGE", NOON, line) == Refused(Reason.PRICE_MISSING, "DOGE has no price", line)


@pytest.mark.parametrize(
    ("transfer", "used", "room"),
    [
        ("20", 0, (10, "each")),
        ("10", 0, (10, "each_transfer")),
        ("5", 0, (5, "each_transfer")),
        ("5", 7, (3, "each")),
        ("5", 5, (5, "each_transfer")),
    ],
)
def test_the_narrowest_limit_is_named_and_of_equal_ones_the_first(transfer, used, room):
    limit = 'limit: {each: {USDC: "1000 per 1 d"}, all: {USDC: "10000 per 1 d"}}'
    limits = limit.replace("10000 per", "10 per").replace("1000 per", "10 per")
    limits = limits.replace("{each", f"{{each_transfer: {{USDC: {transfer} USDC}}, each", 1)
    harbour = Harbour(TEXT.replace(limit, limits, 1))
    ledger, gate = harbour.state.ledger, harbour.state.rules.gates["adjust"]
    counter = spend(gate.each["USDC"], (), used * USDC, NOON)
    ledger.tables.windows["adjust", "each", ("alice",), "USDC"] = counter
    assert ledger.room(gate, ("alice",), "USDC", NOON) == (room[0] * USDC, room[1])


def test_a_move_counts_for_the_member_of_its_source_or_else_of_its_target(harbour):
    rules = harbour.state.rules
    cash, other, house = (rules.place(path) for path in (CASH, "client/bob/cash", "house/treasury"))
    assert limited_members(cash, house) == limited_members(house, cash) == ("alice",)
    assert limited_members(other, cash) == ("bob",)
    assert limited_members(house, house) == ()
    harbour.endow("house/treasury", USDC)
    harbour.move(Move("adjust", "house/treasury", CASH, "USDC", 1), *OFFICERS, reason="goodwill")
    assert ("adjust", "each", ("alice",), "USDC") in harbour.state.windows()
