"""Settlements and funding at their edges: who may, through which ways, and what is booked at an expiry."""

import pytest
from harbour import EVIDENCE, NOON, TEXT, USDC, Harbour, e10

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import HOUR_NS, Instant
from ringfence.planes.ledger.operations import Fund
from ringfence.planes.ledger.payments import settlement_links

ALICE, BOB, CAROL = (f"client/{name}/directional" for name in ("alice", "bob", "carol"))


@pytest.fixture
def harbour():
    harbour = Harbour()
    for member in ("alice", "bob"):
        harbour.fund(member, "directional", 100 * USDC)
    harbour.price("BTC", 100_000)
    harbour.trade(ALICE, BOB, 10, 100_000)
    return harbour


def refused(harbour, link, *keys):
    decision = harbour.do(harbour.request(link, *keys)).decision
    assert isinstance(decision, Refused), decision
    return decision.reason, decision.words


def without(ways, accrual):
    """Leave out the ways of an accrual from the compartments of traders."""
    return {key: way for key, way in ways.items() if key[0] != accrual}


@pytest.mark.parametrize("missing", [("pays",), ("is_paid",), ("pays", "is_paid")])
def test_an_instrument_whose_traders_cannot_pay_or_be_paid_is_not_settled(harbour, missing):
    rules = harbour.state.rules
    harbour.obey(**{name: without(getattr(rules, name), "variation") for name in missing})
    for link in (harbour.settle(100_000), Fund("BTC-PERP", 1, e10(100_000))):
        assert refused(harbour, link, *EVIDENCE) == (
            Reason.NO_GATE_BETWEEN_COMPARTMENTS,
            f"no gate moves USDC as variation between {ALICE} and clearing",
        )
    # Whatever else is wrong, the first reason in their order is told.
    assert refused(harbour, harbour.settle(100_000.05))[0] == Reason.NO_GATE_BETWEEN_COMPARTMENTS
    assert refused(harbour, Fund("BTC-PERP", 10**9, e10(1)))[0] == Reason.NO_GATE_BETWEEN_COMPARTMENTS
    assert settlement_links(harbour.state, [harbour.settle(101_000)], harbour.at)[0] == harbour.settle(
        101_000
    )


def test_without_clearing_nothing_is_settled(harbour):
    harbour.obey(clearing=None)
    for link in (harbour.settle(100_000), Fund("BTC-PERP", 1, e10(100_000))):
        assert refused(harbour, link, *EVIDENCE) == (
            Reason.NO_GATE_BETWEEN_COMPARTMENTS,
            "the policy declares no clearing to settle through",
        )


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ("asset/BTC-PERP", Reason.ASSET_FROZEN),
        ("stop asset/BTC-PERP", Reason.ASSET_FROZEN),
        ("stop compartment/clearing", Reason.COMPARTMENT_FROZEN),
        ("asset/ETH-PERP", None),
        ("gate/trade", None),
    ],
)
def test_a_halt_of_an_instrument_or_of_clearing_stops_its_settlement(harbour, scope, reason):
    harbour.state.ledger.tables.frozen[scope] = "drill"
    links = settlement_links(harbour.state, [harbour.settle(100_000)], harbour.at)
    found = harbour.do(harbour.request(links, *EVIDENCE)).decision
    assert (found.reason if isinstance(found, Refused) else None) == reason


EXPIRING = TEXT.replace(
    "ETH-PERP: {kind: perpetual,", "ETH-PERP: {kind: future, expires: 2025-10-10T13:00:00Z,"
)


def test_one_contract_is_delivered_at_an_expiry_and_what_is_flat_only_paid():
    harbour = Harbour(EXPIRING)
    for member in ("alice", "bob", "carol"):
        harbour.fund(member, "directional", 100 * USDC)
    harbour.price("ETH", 4_000)
    harbour.trade(ALICE, BOB, 1, 4_000, instrument="ETH-PERP")
    harbour.price("ETH", 4_050)
    harbour.trade(CAROL, ALICE, 1, 4_050, instrument="ETH-PERP")
    harbour.at = Instant(NOON + HOUR_NS)
    harbour.price("ETH", 4_100)
    links = settlement_links(harbour.state, [harbour.settle(4_100, "ETH-PERP")], harbour.at)
    entries = harbour.move(links, *EVIDENCE).entries
    assert [(one.debit, one.credit, one.units) for one in entries if one.asset == "ETH-PERP"] == [
        ("clearing", BOB, 1),
        (CAROL, "clearing", 1),
    ]
    profits = [harbour.state.balance(path, "USDC") - 100 * USDC for path in (ALICE, BOB, CAROL)]
    assert profits == [500_000, -1_000_000, 500_000]
