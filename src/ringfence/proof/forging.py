"""A loss by trading, replayed: fills at the edge of the price band on a scratch book.

A bucket buys from an accomplice at the highest price its instrument allows, as much as its daily loss lets
it, on every day that the time touches; what that costs against the index is lost. The ledger decides each
fill as it would any other.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.kernel.money import PPM, divide_up
from ringfence.planes.ledger.settlement import fill_value
from ringfence.policy.families import match
from ringfence.policy.model import Instrument, Policy
from ringfence.policy.phrases import show_price
from ringfence.proof.scratch import START, Scratch
from ringfence.proof.world import Place

TICKS = PPM
"""Ticks of the index price: then every band of whole ppm ends on a tick."""

CONTRACTS_MAX = 10**24


@dataclass(frozen=True, slots=True)
class Forged:
    """One bucket's fills. units: lost against the index; words: what happens; stop: what was refused."""

    units: int
    words: str
    stop: str = ""


@dataclass(frozen=True, slots=True)
class Forgery:
    """Losing more than `units` of one member's asset by trading, as far as the ledger lets it.

    is_index_false: whoever prints the fills also says what the index is, so that no daily loss is seen.
    """

    scratch: Scratch
    policy: Policy
    asset: str
    units: int
    horizon_ns: int
    is_index_false: bool

    def replay(self) -> tuple[Forged, ...]:
        """Trade for every bucket of the first member, day by day, until enough is lost."""
        number = self.scratch.world.assets.index(self.asset)
        places = self.scratch.world.places
        buckets = [place for place in places if place.trade and number in place.trade.settles]
        own = [place for place in buckets if place.member == buckets[0].member]
        other = next((place for place in buckets if place.member != buckets[0].member), None)
        if other is None:
            return ()
        found: dict[str, Forged] = {}
        for at, place, most in sorted(self._chances(own), key=lambda chance: chance[0]):
            needed = self.units + 1 - sum(one.units for one in found.values())
            name = self._instrument_of(place)
            if needed > 0 and name is not None:
                done = self._trade(place, other, name, min(most, needed), at, exactly=most < needed)
                earlier = found.get(place.name, Forged(0, ""))
                found[place.name] = Forged(earlier.units + done.units, done.words, earlier.stop or done.stop)
        return tuple(found.values())

    def _instrument_of(self, place: Place) -> str | None:
        """Choose an instrument that the bucket trades and that settles in the asset."""
        for name in _trades(self.policy, place):
            known = self.policy.instruments[name]
            if known.quote == self.asset and known.payoff == "linear" and known.kind != "option":
                return name
        return None

    def _trade(
        self, place: Place, other: Place, name: str, wanted: int, at: Instant, *, exactly: bool
    ) -> Forged:
        """Fill once, losing what is wanted: no more where `exactly` that may be lost, else no less."""
        instrument = self.policy.instruments[name]
        index_e10 = instrument.tick_e10 * TICKS
        price_e10 = instrument.tick_e10 * (TICKS + instrument.price_band_ppm)
        each = max(1, self._lost(instrument, 1, price_e10, index_e10))
        contracts = wanted // each if exactly else divide_up(wanted, each)
        if not 0 < contracts <= CONTRACTS_MAX:
            return Forged(0, "")
        refused = self.scratch.fill(place, other, name, contracts, price_e10, index_e10, at)
        if refused is not None:
            return Forged(0, "", f"a fill of {place.name}: {refused.reason.name}: {refused.words}")
        prices = f"at {show_price(price_e10)}, while the index is {show_price(index_e10)}"
        words = f"{place.name} buys {name} from {other.name} {prices}"
        return Forged(self._lost(instrument, contracts, price_e10, index_e10), words)

    def _chances(self, buckets: Iterable[Place]) -> Iterator[tuple[Instant, Place, int]]:
        """List for each bucket the days that the time touches, with the most that may be lost on each."""
        number = self.scratch.world.assets.index(self.asset)
        for place in buckets:
            daily = place.trade.daily_loss.get(number) if place.trade else None
            if daily is None or self.is_index_false:
                yield START, place, self.units + 1
                continue
            yield START, place, daily
            later = range(START + 1, START + self.horizon_ns, DAY_NS)
            yield from ((Instant(at), place, daily) for at in later)

    def _lost(self, instrument: Instrument, contracts: int, price_e10: int, index_e10: int) -> int:
        """Return what buying at a price costs against the index, in units of the quote asset."""
        decimals = self.policy.assets[instrument.quote].decimals
        paid = fill_value(instrument, contracts, price_e10, decimals)
        return paid - fill_value(instrument, contracts, index_e10, decimals)


def _trades(policy: Policy, place: Place) -> tuple[str, ...]:
    """List the instruments that a bucket trades."""
    for pattern, compartment in policy.compartments.items():
        if compartment.trade is not None and match(pattern, place.name) is not None:
            names = compartment.trade.instruments
            return tuple(name for name in (names or policy.instruments) if name in policy.instruments)
    return ()
