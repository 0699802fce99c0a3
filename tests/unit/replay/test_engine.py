"""A replay as a whole: nothing is made or lost, a day worked by hand, and nothing outside a wall is felt."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringfence.kernel.errors import ViolationError
from ringfence.policy.model import Policy
from ringfence.replay.capital import bring_capital
from ringfence.replay.contagion import figures_of, sleeve_worth
from ringfence.replay.engine import Run, check_books, cycles, has_joint_units, replay
from ringfence.replay.layouts import LAYOUTS, Layout
from ringfence.replay.log import Cause, Row, Tally
from ringfence.replay.market import Market, Span, build_market
from ringfence.replay.paths import ORDERS, price_path
from ringfence.replay.population import Opening, Population
from ringfence.replay.study import Scene, set_scene
from ringfence.replay.terms import compile_terms
from ringfence.replay.world import compile_world

from .conftest import BAR, START, candles

USDC = 1_000_000


@settings(max_examples=8)
@given(
    seed=st.integers(0, 10_000), order=st.sampled_from(ORDERS), slippage=st.sampled_from((0, 10_000, 50_000))
)
def test_conservation(venue: Policy, small_market: Market, seed: int, order: str, slippage: int) -> None:
    scene = set_scene(venue, small_market, 30, seed)
    path = price_path(small_market, order)
    for layout, ground in scene.grounds.items():
        run = replay(ground, scene.population, path, slippage)
        placed = scene.population.deposits.sum(axis=(0, 1))
        placed[0] += sum(ground.house.values())
        # Money only ever moves: whatever was brought in is still there, in one compartment or another.
        assert (run.world.balance.sum(axis=0) == placed).all(), layout
        sessions = np.zeros(len(run.ticks), dtype=np.int64)
        np.add.at(sessions, run.world.slots["instrument"], run.world.slots["session"])
        assert (sessions == 0).all()
        assert run.world.tally[Tally.UNFILLED] == 0


@settings(max_examples=8)
@example(seed=4, order="low first", slippage=0)  # the house needs more than half of all that was put in
@given(
    seed=st.integers(0, 10_000), order=st.sampled_from(ORDERS), slippage=st.sampled_from((0, 10_000, 50_000))
)
def test_no_loss_crosses_a_wall(
    venue: Policy, small_market: Market, seed: int, order: str, slippage: int
) -> None:
    scene = set_scene(venue, small_market, 30, seed)
    run = replay(scene.grounds["segregated"], scene.population, price_path(small_market, order), slippage)
    assert figures_of(run).foreign_loss == 0
    assert (sleeve_worth(run) >= 0).all()


# --- a day worked by hand ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_bet(venue: Policy) -> tuple[Scene, dict[str, int]]:
    """One client long 10 contracts of 1 SUI at 3.0 with 5 USDC behind it; a maker on the other side.

    The price jumps to 2.0: the bet loses 10, five more than it has.
    """
    rows = [(3.0, 3.0, 3.0, 3.0), (2.0, 2.0, 2.0, 2.0), (2.0, 2.0, 2.0, 2.0)]
    market = build_market([candles("SUIUSDT", rows)], venue, Span("made", START, START + 3 * BAR))
    scene = set_scene(venue, market, 10, 1)
    placement = scene.population.placement
    deposits = np.zeros((2, 3, 1), dtype=np.int64)
    deposits[0, :, 0] = (100 * USDC, 0, 5 * USDC)
    deposits[1, 2, 0] = 1_000 * USDC
    one = np.ones(1, dtype=np.int64)
    opening = Opening(0 * one, 2 * one, one, 0 * one, 10 * one)
    population = Population(1, placement, ("client-1", "maker-1"), 1, 2, deposits, opening, ())
    house = {"insurance/directional": 3 * USDC, "house/treasury": 500 * USDC}
    return replace(scene, population=population), house


def _run(scene: Scene, house: dict[str, int], layout: Layout, slippage: int = 0) -> Run:
    terms, names = compile_terms(scene.capital.policy, scene.market)
    ground = compile_world(scene.capital.policy, layout, scene.population, terms, names, house)
    return replay(ground, scene.population, price_path(scene.market, "low first"), slippage, log_rows=200)


def _held(run: Run, pattern: str, client: int = 0) -> int:
    return int(run.world.balance[run.ground.comp(pattern, client), 0])


def _rows(run: Run, kind: Row) -> list[np.ndarray]:
    return [row for row in run.world.log[: run.world.logged[0]] if row[0] == kind]


def test_a_failed_bet_is_borne_by_its_bucket_its_pool_its_winners_and_the_house(
    one_bet: tuple[Scene, dict[str, int]],
) -> None:
    run = _run(*one_bet, "segregated")
    # 30 USDC of notional at 0.055 % taker fee; the bucket has 5 - 0.0165 = 4.9835 left of its own.
    assert _held(run, "client/{client}/cash") == 100 * USDC
    assert _held(run, "client/{client}/directional") == 0
    # Equity at 2.0 is 4.9835 - 10 = -5.0165; it is bankrupt at 2.5016, a tick of 0.0001 rounded down.
    (first, *others) = [row for row in _rows(run, Row.FILL) if row[2] == Cause.TAKEOVER]
    assert not others
    assert first[7] == 25_016
    # A contract costs the pool 0.5016 to sell on; 3 USDC bear 5 contracts and leave 0.492.
    assert first[6] == 5
    assert run.world.tally[Tally.POOL_PAID] == 5 * 501_600 + 500
    # The maker won 10 and may lose a tenth of its equity: all five contracts left close against it.
    winners = [row for row in _rows(run, Row.FILL) if row[2] == Cause.DELEVERAGING]
    assert [int(row[6]) for row in winners] == [5]
    assert run.world.tally[Tally.PROFIT_FORGONE] == 5 * 501_600
    # Ten contracts at 2.5016 lose 4.984, 0.0005 more than the bucket had: the pool pays that, too.
    assert run.world.tally[Tally.LAST_PAID] == 0
    assert figures_of(run).foreign_loss == 0


def test_with_one_account_the_cash_pays_for_the_bet(one_bet: tuple[Scene, dict[str, int]]) -> None:
    run = _run(*one_bet, "cross")
    assert run.world.units["was_forced"].sum() == 0
    # The account of 105 outlasts the fall; the bet is 5.0165 below zero, and only the cash can pay for that.
    assert figures_of(run).foreign_loss == 5_016_500
    assert figures_of(run).conduits[0].name == "shared compartment client/{client}/account"


def test_slippage_is_paid_by_the_closed_side(one_bet: tuple[Scene, dict[str, int]]) -> None:
    scene, house = one_bet
    without, with_it = (
        _run(scene, {**house, "insurance/directional": 0}, "segregated", one) for one in (0, 50_000)
    )
    assert with_it.world.tally[Tally.PROFIT_FORGONE] > without.world.tally[Tally.PROFIT_FORGONE]
    assert figures_of(with_it).foreign_loss == figures_of(without).foreign_loss == 0


def test_without_pool_and_winners_the_house_pays_against_a_debt(
    venue: Policy, one_bet: tuple[Scene, dict[str, int]]
) -> None:
    scene, house = one_bet
    falls = {
        name: one.model_copy(update={"steps": tuple(step for step in one.steps if step.step == "own")})
        for name, one in venue.waterfalls.items()
    }
    bare = replace(
        scene, capital=replace(scene.capital, policy=venue.model_copy(update={"waterfalls": falls}))
    )
    run = _run(bare, house, "segregated")
    # Sold at 2.0: 4.9835 of 10 is paid by the bucket, 5.0165 by the house.
    assert run.world.tally[Tally.LAST_PAID] == 5_016_500
    assert run.world.units["debt"].max() == 5_016_500
    assert _held(run, "house/treasury") == 500 * USDC - 5_016_500
    assert figures_of(run).foreign_loss == 0


def test_a_house_without_capital_is_named(venue: Policy, one_bet: tuple[Scene, dict[str, int]]) -> None:
    scene, _ = one_bet
    falls = {
        name: one.model_copy(update={"steps": tuple(step for step in one.steps if step.step == "own")})
        for name, one in venue.waterfalls.items()
    }
    bare = replace(
        scene, capital=replace(scene.capital, policy=venue.model_copy(update={"waterfalls": falls}))
    )
    with pytest.raises(ViolationError, match="house/treasury was overdrawn"):
        _run(bare, {"house/treasury": 5_016_499}, "segregated")


# --- isolation ---------------------------------------------------------------------------------


def test_isolation(scene: Scene) -> None:
    """Change what lies outside a bucket, its pool and its class: not one bit of its own figures changes."""
    ground = scene.grounds["segregated"]
    path = price_path(scene.market, "low first")
    before = replay(ground, scene.population, path, 10_000)
    deposits = scene.population.deposits.copy()
    deposits[: scene.population.makers_from, 0, 0] *= 7  # cash of every client
    deposits[: scene.population.makers_from, 1, 0] += 123_456_789  # the cushion of every hedge
    changed = replace(scene.population, deposits=deposits)
    terms, names = compile_terms(scene.capital.policy, scene.market)
    world = compile_world(scene.capital.policy, "segregated", changed, terms, names, ground.house)
    after = replay(world, changed, path, 10_000)
    bets = ground.sleeves.index("directional")
    rows = slice(bets, None, len(ground.sleeves))
    assert np.array_equal(before.world.purse[rows], after.world.purse[rows])
    assert np.array_equal(before.world.sleeves[rows], after.world.sleeves[rows])
    kind = ground.kinds.index("client/{client}/directional")
    of_bets = before.world.units["kind"] == kind
    assert np.array_equal(before.world.units[of_bets], after.world.units[of_bets])


# --- laws that are watched ---------------------------------------------------------------------


def test_money_out_of_nowhere_is_noticed(scene: Scene) -> None:
    run = replay(scene.grounds["cross"], scene.population, price_path(scene.market, "low first"), 0)
    run.world.purse[4, 0] += 1
    with pytest.raises(ViolationError, match="holds something else than its sleeves have in it"):
        check_books(run)


def test_contracts_out_of_nowhere_are_noticed(scene: Scene) -> None:
    run = replay(scene.grounds["cross"], scene.population, price_path(scene.market, "low first"), 0)
    run.world.slots["contracts"][0] += 1
    with pytest.raises(ViolationError, match="do not net to zero"):
        check_books(run)


def test_cycles_end_at_the_first_point_of_each_window(scene: Scene, small_market: Market) -> None:
    long = replace(small_market, bar_ns=8 * 2 * BAR, opened=small_market.opened[0] + 16 * BAR * np.arange(6))
    path = price_path(long, "low first")
    due = cycles(scene.grounds["segregated"], path)
    assert [int(path.at[point] - START) // (16 * BAR) for point in due] == [1, 2, 3, 4, 5]
    settles, funds = next(iter(due.values()))
    assert settles.all()
    assert funds.all()


def test_only_layouts_with_several_instruments_settle_them_together(scene: Scene) -> None:
    joint = {layout: has_joint_units(scene.grounds[layout].world) for layout in LAYOUTS}
    assert joint == {"segregated": False, "cross": True, "commingled": True}


def test_the_house_brings_its_capital_through_a_gate_it_may_have_to_add(scene: Scene) -> None:
    capital = bring_capital(scene.capital.policy, scene.population)
    assert not capital.is_gate_added  # it was added when the scene was set
    assert scene.capital.is_gate_added
    assert set(capital.units) == {"insurance/directional", "insurance/hedge", "house/treasury"}
