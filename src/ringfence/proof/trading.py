"""What can be lost by trading: the channel that is no gate.

Whoever can place orders for a bucket, or print its fills, can lose it money to somebody else at prices inside
the band. The ledger bounds that before each fill: what a bucket loses against the index in one UTC day is at
most its `daily_loss`. So over a time H a bucket loses at most (⌈H/1 d⌉ + 1) times that, and never more than
its equity. Where no daily loss is declared, or where the attacker also says what the index is, equity alone
is the bound. Closing fills are exempt from the daily loss; they are forced by risk and ledger together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ringfence.kernel.instant import DAY_NS
from ringfence.kernel.money import divide_up
from ringfence.proof.reach import Grip, Index, met_needs
from ringfence.proof.world import NOBODY, Place, Trade, World

Channel = Literal["orders", "fills", "prices", "closing"]


@dataclass(frozen=True, slots=True)
class Loss:
    """What one bucket can lose of one asset: None where only its equity bounds it. channels: how."""

    place: int
    asset: int
    units: int | None
    channels: tuple[Channel, ...]


def losses(index: Index, grip: Grip, horizon_ns: int) -> tuple[Loss, ...]:
    """Return what each bucket can lose by trading within a length of time, by asset it settles in."""
    world = index.world
    met = met_needs(index, grip.had)
    found = []
    for number, place in enumerate(world.places):
        if place.trade is not None:
            channels = _channels(world, grip, met, place.trade)
            found += [
                Loss(number, asset, _bound(place, place.trade, asset, channels, horizon_ns), channels)
                for asset in place.trade.settles
                if channels
            ]
    return tuple(found)


def worst(world: World, found: Iterable[Loss], asset: int, scope: Literal["each", "all"]) -> int | None:
    """Add up losses of one asset: of the member that loses most, or of all; None where nothing bounds it."""
    by_member: dict[int, int | None] = {}
    for loss in found:
        if loss.asset == asset:
            member = world.places[loss.place].member
            so_far = by_member.get(member, 0)
            by_member[member] = None if so_far is None or loss.units is None else so_far + loss.units
    if scope == "each":
        return (
            None if None in by_member.values() else max((one or 0 for one in by_member.values()), default=0)
        )
    total = 0
    for member, units in by_member.items():
        many = member != NOBODY and world.members[member].others
        if units is None or (many and units):
            return None
        total += units
    return total


def _channels(world: World, grip: Grip, met: set[int], trade: Trade) -> tuple[Channel, ...]:
    ledger = world.verifiers.get("ledger", NOBODY)
    channels: list[Channel] = []
    if trade.needs in met:
        channels.append("orders")
    if any(service in grip.owned for service in world.printers):
        channels.append("fills")
    if any(service in grip.owned for service in world.pricers):
        channels.append("prices")
    if ledger in grip.owned:
        channels.append("closing")
    return tuple(channels)


def _bound(
    place: Place, trade: Trade, asset: int, channels: tuple[Channel, ...], horizon_ns: int
) -> int | None:
    equity = None if place.supply is None else place.supply.get(asset, 0)
    daily = trade.daily_loss.get(asset)
    # A loss is counted against the index; who says what the index is can hide it.
    if daily is None or "prices" in channels or "closing" in channels:
        return equity
    bound = (divide_up(horizon_ns, DAY_NS) + 1) * daily
    return bound if equity is None else min(bound, equity)
