"""The waterfall: each step as far as it goes, parts that add up, nobody over a cap, nobody else."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.margin.waterfall import (
    NOBODY,
    Deficit,
    PoolFacts,
    Share,
    WinnerFacts,
    apportion_capped,
    plan_waterfall,
)
from ringfence.policy.model import CoverStep, DeleverageStep, OwnStep, Waterfall

POOL, LAST, CLASS = "insurance/directional", "house/treasury", "client/{client}/directional"


def fall(method: str = "pro_rata", cap_ppm: int = 100_000, last: str | None = LAST) -> Waterfall:
    return Waterfall(
        covers=(CLASS,),
        steps=(
            OwnStep(),
            CoverStep(compartment=POOL),
            DeleverageStep(method=method, classes=(CLASS,), cap_ppm=cap_ppm),  # type: ignore[arg-type]
        ),
        last=last,
        record="USDC-debt" if last else None,
    )


def winner(
    name: str, profit: int, equity: int, contracts: int = -1_000, net: int | None = None
) -> WinnerFacts:
    return WinnerFacts(
        bucket=f"client/{name}/directional",
        pattern=CLASS,
        contracts=contracts,
        profit=profit,
        equity=equity,
        notional=equity,
        entry=equity,
        net_contracts=contracts if net is None else net,
    )


def bears(plan: object) -> list[tuple[str, str, int]]:
    return [(share.step, share.bearer, share.units) for share in plan.shares]  # type: ignore[attr-defined]


LOSER = "client/zed/directional"


@pytest.mark.parametrize(
    ("units", "own", "pool", "room", "expected"),
    [
        (100, 100, 500, 500, [("own", LOSER, 100)]),
        (101, 100, 500, 500, [("own", LOSER, 100), ("cover", POOL, 1)]),
        (100, 0, 100, 500, [("cover", POOL, 100)]),
        (100, 0, 99, 500, [("cover", POOL, 99), ("last", LAST, 1)]),
        # The gate of the pool lets less through than it holds.
        (100, 0, 500, 60, [("cover", POOL, 60), ("last", LAST, 40)]),
        (100, 0, 0, 0, [("last", LAST, 100)]),
        (0, 50, 500, 500, []),
    ],
)
def test_each_step_goes_as_far_as_it_can(
    units: int, own: int, pool: int, room: int, expected: list[tuple[str, str, int]]
) -> None:
    plan = plan_waterfall(fall(), Deficit(LOSER, units, own), {POOL: PoolFacts(pool, room)})
    assert bears(plan) == expected
    assert plan.debt_units == plan.borne_by("last")


def test_a_pool_that_nobody_described_holds_nothing() -> None:
    assert bears(plan_waterfall(fall(), Deficit(LOSER, 5), {})) == [("last", LAST, 5)]


def test_without_a_last_owner_the_rest_is_shown_as_nobodys() -> None:
    plan = plan_waterfall(fall(last=None), Deficit(LOSER, 5), {})
    assert (plan.unowned_units, plan.debt_units) == (5, 0)
    assert plan.shares[-1].bearer == NOBODY


def test_the_debt_stops_at_its_cap() -> None:
    plan = plan_waterfall(fall(), Deficit(LOSER, 100), {}, debt_room_units=30)
    assert (plan.debt_units, plan.borne_by("last"), plan.record) == (30, 100, "USDC-debt")


# --- deleveraging ------------------------------------------------------------------------------


def test_pro_rata_by_profit_within_the_cap() -> None:
    # 900 over profits of 3,000, 1,000 and 500; ten per cent of equity caps the first at 400.
    winners = [winner("a", 3_000, 4_000), winner("b", 1_000, 50_000), winner("c", 500, 50_000)]
    plan = plan_waterfall(fall(), Deficit(LOSER, 900), {}, winners)
    assert [units for _, _, units in bears(plan)] == [400, 333, 167]
    assert plan.profit_forgone == 900
    assert plan.naked_contracts == 0


def test_the_queue_takes_the_highest_rank_first() -> None:
    # Profit over entry times leverage: 4/2, 1/1, 9/10.
    a, b, c = winner("a", 400, 1_000), winner("b", 1_000, 1_000), winner("c", 900, 1_000)
    a = WinnerFacts(a.bucket, CLASS, -1, 400, 1_000, 1_000, 200, 0)
    plan = plan_waterfall(fall("queue", 500_000), Deficit(LOSER, 1_200), {}, [c, b, a])
    assert bears(plan) == [
        ("deleverage", "client/a/directional", 400),
        ("deleverage", "client/b/directional", 500),
        ("deleverage", "client/c/directional", 300),
    ]


def test_only_winners_of_the_declared_class_are_asked() -> None:
    other = WinnerFacts("client/a/hedge", "client/{client}/hedge", -1, 10**6, 10**9, 1, 1, 0)
    loser = winner("b", 0, 10**9)
    assert bears(plan_waterfall(fall(), Deficit(LOSER, 5), {}, [other, loser])) == [("last", LAST, 5)]


def test_contracts_pass_whole_and_the_rest_goes_to_the_last_owner() -> None:
    # 10 contracts worth 7 of the deficit each; the pool can take 3 of them (21 of its 25).
    winners = [winner("a", 10_000, 400, -3, 0), winner("b", 10_000, 10**6, -50, -50)]
    deficit = Deficit(LOSER, 73, contracts=10, lot_units=7)
    plan = plan_waterfall(fall(), deficit, {POOL: PoolFacts(25)}, winners)
    assert plan.shares == (
        Share("cover", POOL, 25, 3),
        Share("deleverage", "client/a/directional", 21, 3, 3),
        Share("deleverage", "client/b/directional", 21, 3, 0),
        Share("last", LAST, 6, 1),
    )
    assert (plan.profit_forgone, plan.naked_contracts) == (42, 3)


def test_a_hedge_left_open_is_counted_by_how_far_it_is_out_of_balance() -> None:
    def naked(net: int) -> int:
        plan = plan_waterfall(
            fall(cap_ppm=10**6),
            Deficit(LOSER, 40, contracts=4, lot_units=10),
            {},
            [winner("a", 10**6, 10**6, -4, net)],
        )
        return plan.naked_contracts

    # Closing 4 short contracts: a bucket that was flat is 4 long, one that was 1 short is 3 long.
    assert [naked(net) for net in (0, -1, -2, -3, -4, 5)] == [4, 2, 0, 0, 0, 4]


# --- laws --------------------------------------------------------------------------------------

ROWS = st.lists(
    st.tuples(st.integers(0, 10**12), st.integers(-(10**6), 10**12), st.integers(-500, -1)), max_size=8
)


@given(
    ROWS,
    st.sampled_from(["pro_rata", "queue"]),
    st.integers(0, 10**6),
    st.integers(0, 10**13),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.sampled_from([(0, 1), (1, 10**9), (300, 10**8), (2_000, 7)]),
)
def test_the_parts_add_up_and_nobody_is_over_a_cap(
    rows: list[tuple[int, int, int]],
    method: str,
    cap_ppm: int,
    units: int,
    own: int,
    pool: int,
    room: int,
    lots: tuple[int, int],
) -> None:
    winners = [winner(f"w{n}", *row) for n, row in enumerate(rows)]
    deficit = Deficit(LOSER, units, own, *lots)
    plan = plan_waterfall(fall(method, cap_ppm), deficit, {POOL: PoolFacts(pool, room)}, winners)
    assert sum(share.units for share in plan.shares) == units
    assert all(share.units > 0 for share in plan.shares)
    assert sum(share.contracts for share in plan.shares) <= deficit.contracts
    assert plan.borne_by("own") <= own
    assert plan.borne_by("cover") <= min(pool, room)
    by_name = {one.bucket: one for one in winners}
    for share in plan.shares:
        if share.step == "deleverage":
            one = by_name[share.bearer]
            assert share.units <= min(one.profit, max(0, one.equity) * cap_ppm // 10**6)
            assert share.contracts <= abs(one.contracts)
    assert {share.bearer for share in plan.shares} <= {LOSER, POOL, LAST, *by_name}


@given(ROWS, st.integers(0, 10**12), st.randoms(use_true_random=False))
def test_pro_rata_does_not_depend_on_the_order_of_winners(
    rows: list[tuple[int, int, int]], units: int, random: object
) -> None:
    winners = [winner(f"w{n}", *row) for n, row in enumerate(rows)]
    shuffled = list(winners)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    deficit = Deficit(LOSER, units)
    assert plan_waterfall(fall(), deficit, {}, winners) == plan_waterfall(fall(), deficit, {}, shuffled)


@pytest.mark.parametrize(
    ("total", "weights", "caps", "parts"),
    [
        (10, [1, 1], [4, 100], [4, 6]),
        (10, [1, 1], [5, 100], [5, 5]),
        (10, [1, 1], [4, 5], [4, 5]),
        (10, [9, 1], [100, 0], [10, 0]),
        (7, [], [], []),
    ],
)
def test_apportion_capped_by_hand(total: int, weights: list[int], caps: list[int], parts: list[int]) -> None:
    assert apportion_capped(total, weights, caps) == parts


@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)), max_size=8))
def test_apportion_capped_gives_all_it_can_and_fairly(total: int, rows: list[tuple[int, int]]) -> None:
    weights, caps = [weight for weight, _ in rows], [cap for _, cap in rows]
    parts = apportion_capped(total, weights, caps)
    assert sum(parts) == min(total, sum(caps))
    assert all(0 <= part <= cap for part, cap in zip(parts, caps, strict=True))
    # Who is under its cap gets, per weight, what any other such gets, and no less than who is at it.
    for i, j in permutations(range(len(rows)), 2):
        if parts[i] < caps[i]:
            assert parts[i] * weights[j] >= parts[j] * weights[i] - (weights[i] + weights[j])
