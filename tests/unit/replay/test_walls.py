"""Take a wall out of the policy, and the replay shows what crosses and through what."""

from collections.abc import Callable

import pytest

from ringfence.policy.check import check
from ringfence.policy.model import Gate, KeyNeed, Limits, Policy
from ringfence.replay.contagion import Figures, figures_of
from ringfence.replay.engine import replay
from ringfence.replay.feeds import feeds_of
from ringfence.replay.layouts import LAYOUTS, lay_out
from ringfence.replay.market import Market
from ringfence.replay.paths import price_path
from ringfence.replay.study import set_scene

HEDGE, BETS, CASH = (f"client/{{client}}/{name}" for name in ("hedge", "directional", "cash"))
PLATFORM = (KeyNeed(key="risk_key"), KeyNeed(key="ledger_key"))


def _with_gate(policy: Policy, **terms: object) -> Policy:
    gate = Gate(assets=("USDC",), on=("ledger",), **{"needs": PLATFORM, **terms})  # type: ignore[arg-type]
    return policy.model_copy(update={"gates": {**policy.gates, "wall_removed": gate}, "claims": {}})


def _merged(policy: Policy) -> Policy:
    """Hedge and bets in one bucket."""
    cross = lay_out(policy, "cross")
    bucket = cross.compartments["client/{client}/account"]
    cash = policy.compartments[CASH]
    gates = {"deposit": policy.gates["deposit"], "fund": policy.gates["fund"]}
    fund = gates["fund"].model_copy(update={"targets": ("client/{client}/account",)})
    return cross.model_copy(
        update={
            "compartments": {**cross.compartments, CASH: cash, "client/{client}/account": bucket},
            "gates": {**cross.gates, **gates, "fund": fund},
        }
    )


WALLS: dict[str, tuple[Callable[[Policy], Policy], str]] = {
    "a gate that tops bets up from the hedge": (
        lambda policy: _with_gate(
            policy,
            sources=(HEDGE,),
            targets=(BETS,),
            accrual=("margin_shortfall",),
            computed_by=("risk", "ledger"),
        ),
        "gate wall_removed, client/{client}/hedge → client/{client}/directional",
    ),
    "a plain gate that services can open": (
        lambda policy: _with_gate(
            policy, sources=(CASH,), targets=(BETS,), limit=Limits(each_transfer={"USDC": 10**12})
        ),
        "gate wall_removed, client/{client}/cash → client/{client}/directional",
    ),
    "a gate from one client to another": (
        lambda policy: _with_gate(policy, sources=("client/{a}/cash",), targets=("client/{b}/directional",)),
        "gate wall_removed, client/{client}/cash → client/{client}/directional",
    ),
    "a gate from clients into the pool": (
        lambda policy: _with_gate(policy, sources=(CASH,), targets=("insurance/directional",)),
        "gate wall_removed, client/{client}/cash → insurance/directional",
    ),
    "one bucket for hedge and bets": (_merged, "shared compartment client/{client}/account"),
}


def _figures(policy: Policy, market: Market, order: str = "low first") -> Figures:
    scene = set_scene(policy, market, 40, 3)
    return figures_of(
        replay(scene.grounds["segregated"], scene.population, price_path(market, order), 10_000)
    )


@pytest.mark.parametrize("wall", WALLS)
def test_a_removed_wall_lets_a_loss_cross_and_is_named(
    venue: Policy, small_market: Market, wall: str
) -> None:
    change, conduit = WALLS[wall]
    found = _figures(change(venue), small_market)
    assert found.foreign_loss > 0
    assert [one.name for one in found.conduits] == [conduit]
    assert sum(one.units for one in found.conduits) == found.foreign_loss


def test_with_all_walls_standing_nothing_crosses(venue: Policy, small_market: Market) -> None:
    found = _figures(venue, small_market)
    assert found.bankruptcies > 0
    assert (found.foreign_loss, found.conduits) == (0, ())


@pytest.mark.parametrize(
    "terms",
    [
        {"needs": (KeyNeed(key="client_key"),)},
        {"standing": KeyNeed(key="client_key"), "accrual": ("margin_shortfall",)},
        {"needs": (KeyNeed(key="officer_a"),)},
        {"delay_ns": 3_600 * 10**9},
        {"accrual": ("variation",)},
    ],
    ids=["a client's key", "a mandate", "a person's key", "a delay", "owed for another reason"],
)
def test_a_gate_that_the_platform_cannot_use_alone_is_no_feed(
    venue: Policy, terms: dict[str, object]
) -> None:
    policy = _with_gate(venue, sources=(HEDGE,), targets=(BETS,), **terms)
    assert feeds_of(policy, (BETS,)) == ()


def test_a_limit_holds_back_what_crosses(venue: Policy, small_market: Market) -> None:
    def crossed(limit: Limits) -> int:
        return _figures(
            _with_gate(venue, sources=(CASH,), targets=(BETS,), limit=limit), small_market
        ).foreign_loss

    assert 0 < crossed(Limits(each_transfer={}, each={"USDC": _cap(50)})) < crossed(Limits())


def _cap(units: int) -> object:
    from ringfence.policy.model import Cap, Window

    return Cap(units=units * 10**6, window=Window(kind="fixed", length_ns=86_400 * 10**9))


def test_feeds_of_feeds_are_found(venue: Policy) -> None:
    gates = {
        "one": Gate(sources=(CASH,), targets=(HEDGE,), assets=("USDC",), needs=PLATFORM, on=("ledger",)),
        "two": Gate(sources=(HEDGE,), targets=(BETS,), assets=("USDC",), needs=PLATFORM, on=("ledger",)),
    }
    policy = venue.model_copy(update={"gates": {**venue.gates, **gates}})
    assert [(one.source, one.target) for one in feeds_of(policy, (BETS,))] == [(HEDGE, BETS), (CASH, HEDGE)]


# --- the derived layouts -----------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_a_policy_without_errors(venue: Policy, layout: str) -> None:
    derived = lay_out(venue, layout)  # type: ignore[arg-type]
    assert [str(finding) for finding in check(derived) if finding.level == "error"] == []


def test_the_segregated_layout_is_the_policy_itself(venue: Policy) -> None:
    assert lay_out(venue, "segregated") is venue


def test_in_the_cross_layout_a_client_has_one_account(venue: Policy) -> None:
    cross = lay_out(venue, "cross")
    owned = [name for name, one in cross.compartments.items() if one.owner == "client"]
    assert owned == ["client/{client}/account"]
    assert cross.compartments["client/{client}/account"].margin == "cross"
    assert cross.waterfalls["account"].last == "house/treasury"
    assert "fund" not in cross.gates


def test_in_the_commingled_layout_no_client_key_guards_anything(venue: Policy) -> None:
    pooled = lay_out(venue, "commingled")
    assert [name for name, one in pooled.compartments.items() if one.margin] == ["pool/clients"]
    assert pooled.compartments["pool/clients"].trade is not None
    assert pooled.compartments["pool/clients"].trade.needs == PLATFORM
    assert "withdraw" not in pooled.gates
