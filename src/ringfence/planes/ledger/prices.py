"""Prices with authority: what several sources must agree on before the book believes it."""

from collections.abc import Sequence

import msgspec

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant, show_duration
from ringfence.kernel.money import PPM
from ringfence.planes.ledger.operations import Quote
from ringfence.policy.model import PriceAuthority


class AgreedPrice(msgspec.Struct, frozen=True, gc=False):
    """A price the book believes, and the time of the oldest quote behind it."""

    price_e10: int
    at: Instant

    def is_stale(self, authority: PriceAuthority, now: Instant) -> bool:
        """Say whether the price is too old to be used now."""
        return now - self.at > authority.stale_ns


def agree(
    name: str, authority: PriceAuthority, quotes: Sequence[Quote], now: Instant
) -> AgreedPrice | Refused:
    """Take the median of the largest group of fresh quotes that agree.

    A group agrees where its highest price is at most `agree_ppm` over its lowest. Of groups of one size the
    narrowest counts, then the lowest. An even group has the lower of its two middle prices, so that the
    answer is always a price that somebody quoted. One quote counts per source: its newest.
    """
    strangers = sorted({quote.source for quote in quotes} - set(authority.sources))
    if strangers:
        words = f"{strangers[0]} is no source of {name}; {', '.join(sorted(authority.sources))} are"
        return Refused(Reason.PRICE_SOURCE_UNKNOWN, words)
    newest: dict[str, Quote] = {}
    for quote in quotes:
        fresh = quote.price_e10 > 0 and 0 <= now - quote.at <= authority.stale_ns
        if fresh and (quote.source not in newest or newest[quote.source].at < quote.at):
            newest[quote.source] = quote
    group = _largest_group(sorted(newest.values(), key=lambda quote: quote.price_e10), authority.agree_ppm)
    if len(group) < authority.agree_count:
        return Refused(
            Reason.PRICE_SOURCES_DISAGREE,
            f"{len(group)} sources agree on {name}; {authority.agree_count} must, "
            f"none older than {show_duration(authority.stale_ns)}",
        )
    median = group[(len(group) - 1) // 2].price_e10
    return AgreedPrice(median, Instant(min(quote.at for quote in group)))


def is_within(price_e10: int, index_e10: int, band_ppm: int) -> bool:
    """Say whether a price lies within a band around the index, its edges included."""
    return abs(price_e10 - index_e10) * PPM <= band_ppm * index_e10


def _largest_group(ordered: Sequence[Quote], agree_ppm: int) -> Sequence[Quote]:
    best: Sequence[Quote] = ()
    for first, lowest in enumerate(ordered):
        last = first
        while last < len(ordered) and ordered[last].price_e10 * PPM <= lowest.price_e10 * (PPM + agree_ppm):
            last += 1
        group = ordered[first:last]
        if len(group) > len(best) or (len(group) == len(best) and _is_narrower(group, best)):
            best = group
    return best


def _is_narrower(group: Sequence[Quote], other: Sequence[Quote]) -> bool:
    """Compare highest over lowest without dividing."""
    return group[-1].price_e10 * other[0].price_e10 < other[-1].price_e10 * group[0].price_e10
