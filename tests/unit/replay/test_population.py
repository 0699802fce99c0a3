"""A population is seeded, nets to zero, and fits the limits of its policy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.errors import BadInput, UsageError
from ringfence.policy.model import Policy
from ringfence.replay.market import Market
from ringfence.replay.placement import place_sleeves
from ringfence.replay.population import build_population
from ringfence.replay.terms import compile_terms, contract_values


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), clients=st.integers(10, 200))
def test_open_interest_nets_to_zero(venue: Policy, small_market: Market, seed: int, clients: int) -> None:
    positions = build_population(venue, small_market, clients, seed).positions()
    net = np.zeros(len(small_market.instruments), dtype=np.int64)
    np.add.at(net, positions.instrument, positions.contracts)
    assert (net == 0).all()
    assert (positions.contracts != 0).all()


def test_the_same_seed_gives_the_same_population(venue: Policy, small_market: Market) -> None:
    one, two, other = (build_population(venue, small_market, 50, seed) for seed in (7, 7, 8))
    assert np.array_equal(one.deposits, two.deposits)
    assert np.array_equal(one.opening.contracts, two.opening.contracts)
    assert not np.array_equal(one.deposits, other.deposits)


def test_a_hedge_holds_as_much_of_its_coin_as_it_sold(venue: Policy, small_market: Market) -> None:
    population = build_population(venue, small_market, 200, 3)
    terms, _ = compile_terms(venue, small_market)
    hedge = population.placement.with_style("hedge")[0]
    rows = population.opening.sleeve == hedge
    opening = population.opening
    assert rows.any()
    assert (opening.contracts[rows] < 0).all()
    sold = terms.instruments[opening.instrument[rows]]
    held = population.deposits[opening.client[rows], hedge, sold["coin"]]
    assert (held == -opening.contracts[rows] * sold["contract_quanta"]).all()


def test_bets_stay_under_the_leverage_limit(venue: Policy, small_market: Market) -> None:
    population = build_population(venue, small_market, 500, 11)
    terms, _ = compile_terms(venue, small_market)
    values = contract_values(terms, small_market.start_e10)
    positions = population.positions()
    bets = population.placement.with_style("bets")[0]
    rows = positions.sleeve == bets
    notional = np.zeros(len(population.names))
    np.add.at(
        notional,
        positions.client[rows],
        np.abs(positions.contracts[rows]) * values[positions.instrument[rows]],
    )
    capital = population.deposits[:, bets, 0]
    assert (notional <= 10 * capital).all()
    assert notional[: population.makers_from].max() > 7 * capital[notional[: population.makers_from].argmax()]


def test_an_isolated_bucket_holds_one_instrument(venue: Policy, small_market: Market) -> None:
    population = build_population(venue, small_market, 300, 5)
    positions = population.positions()
    bets = population.placement.with_style("bets")[0]
    clients = positions.client[positions.sleeve == bets]
    assert len(np.unique(clients)) == len(clients)


def test_a_cross_bucket_holds_several(venue: Policy, small_market: Market) -> None:
    home = venue.compartments["client/{client}/directional"].model_copy(update={"margin": "cross"})
    policy = venue.model_copy(
        update={"compartments": {**venue.compartments, "client/{client}/directional": home}}
    )
    positions = build_population(policy, small_market, 300, 5).positions()
    clients = positions.client[positions.sleeve == 2]
    assert len(np.unique(clients)) < len(clients)


@pytest.mark.parametrize(("clients", "works"), [(9, False), (10, True), (100_000, True), (100_001, False)])
def test_the_number_of_clients_has_limits(
    venue: Policy, small_market: Market, clients: int, works: bool
) -> None:
    if works:
        assert build_population(venue, small_market, clients, 1).makers_from == clients
    else:
        with pytest.raises(UsageError, match="it is 10 to 100000"):
            build_population(venue, small_market, clients, 1)


def test_a_negative_seed_is_refused(venue: Policy, small_market: Market) -> None:
    with pytest.raises(UsageError, match="--seed was -1"):
        build_population(venue, small_market, 10, -1)


# --- placement ---------------------------------------------------------------------------------


def test_sleeves_live_where_the_words_of_the_policy_say(venue: Policy) -> None:
    assert [(one.name, one.style, one.pattern) for one in place_sleeves(venue).sleeves] == [
        ("cash", "holding", "client/{client}/cash"),
        ("hedge", "hedge", "client/{client}/hedge"),
        ("directional", "bets", "client/{client}/directional"),
    ]


def test_with_one_bucket_every_strategy_lives_in_it(venue: Policy) -> None:
    kept = {
        name: one
        for name, one in venue.compartments.items()
        if name not in ("client/{client}/hedge", "client/{client}/cash")
    }
    sleeves = place_sleeves(venue.model_copy(update={"compartments": kept})).sleeves
    assert {sleeve.pattern for sleeve in sleeves} == {"client/{client}/directional"}
    assert [sleeve.style for sleeve in sleeves] == ["holding", "hedge", "bets"]


def test_a_policy_without_margined_buckets_cannot_be_replayed(venue: Policy) -> None:
    kept = {name: one for name, one in venue.compartments.items() if one.margin is None}
    with pytest.raises(BadInput, match="no family of clients owns a margined bucket"):
        place_sleeves(venue.model_copy(update={"compartments": kept}))
