"""The fills that close a bucket by force: what winners bear of what no pool can, as the book takes it."""

import msgspec
import pytest
from harbour import EVIDENCE, USDC, Harbour, e10

from ringfence.kernel.decision import Reason, Refused
from ringfence.planes.ledger.operations import Closing, Fill
from ringfence.services.margin_facts import MarginFacts

ALICE, BOB, POOL = "client/alice/directional", "client/bob/directional", "insurance/directional"


def failed(price: int, pool: int = 0) -> Harbour:
    """alice has bought 10 contracts, 0.01 BTC, from bob at 60,000; each had 100; a fee of 0.30 is owed."""
    harbour = Harbour()
    for member in ("alice", "bob"):
        harbour.fund(member, "directional", 100 * USDC)
    if pool:
        harbour.endow(POOL, pool)
    harbour.price("BTC", 60_000)
    harbour.trade(ALICE, BOB, 10, 60_000)
    harbour.price("BTC", price)
    return harbour


def planned(harbour: Harbour) -> tuple[Fill, ...]:
    return MarginFacts(harbour.state.rules).deleveraging(harbour.state, ALICE, harbour.at)


def reason(harbour: Harbour, *fills: Fill) -> Reason | None:
    request = harbour.request(list(fills), *EVIDENCE)
    conditions = MarginFacts(harbour.state.rules).before(harbour.state, request, harbour.at)
    decision = harbour.do(request, conditions).decision
    return decision.reason if isinstance(decision, Refused) else None


def test_a_winner_gives_up_no_more_than_its_cap_and_the_book_takes_that() -> None:
    """6.03 a contract, and a tenth of bob's equity of 260 bears four."""
    harbour = failed(44_000)
    (fill,) = planned(harbour)
    assert (fill.contracts, fill.price_e10) == (4, e10(50_030))
    assert (fill.buy, fill.sell) == (Closing(BOB, "deleveraging"), Closing(ALICE, "deleveraging"))
    assert reason(harbour, msgspec.structs.replace(fill, contracts=5)) is Reason.ENTITLEMENT_EXCEEDED
    assert reason(harbour, fill) is None
    assert harbour.state.position(ALICE, "BTC-PERP").contracts == 6


@pytest.mark.parametrize(("pool", "contracts"), [(54 * USDC, 1), (60 * USDC, 0), (1_000 * USDC, 0)])
def test_a_pool_bears_first_what_it_can(pool: int, contracts: int) -> None:
    assert sum(fill.contracts for fill in planned(failed(44_000, pool))) == contracts


@pytest.mark.parametrize("price", [60_000, 51_000, 50_040])
def test_nobody_is_deleveraged_for_who_is_not_bankrupt(price: int) -> None:
    assert planned(failed(price)) == ()


def test_nobody_is_deleveraged_where_no_class_is_named() -> None:
    harbour = failed(44_000)
    facts = MarginFacts(harbour.state.rules)
    for path in (POOL, "client/bob/hedge", "client/bob/directional", "nowhere"):
        assert facts.deleveraging(harbour.state, path, harbour.at) == ()
