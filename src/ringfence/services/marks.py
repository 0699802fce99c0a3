"""Marks: collects what the policy's price sources say and tells the ledger what they agree on.

Which quotes count and what they agree on is the ledger's rule (`planes.ledger.prices`), so a price that is
handed on here is one the ledger will believe. A price has one of four states, and each says what is still
allowed; without an entry here a price is halted:

    fresh      every source agrees                          everything
    degraded   enough sources agree, not all of them        everything, and somebody is told
    stale      too few agree now, the last agreed price     only what reduces risk; nobody is liquidated
               is at most `HALT_AFTER` times `stale` old
    halted     there is no price to go by                   nothing that needs a price
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ringfence.kernel.decision import Refused
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.operations import PriceFact, Quote
from ringfence.planes.ledger.prices import AgreedPrice, agree
from ringfence.policy.model import PriceAuthority

HALT_AFTER = 10
"""A stale price is halted after this many times its `stale` length."""


class PriceState(Enum):
    """How far a price can be trusted; see the table above."""

    FRESH = "fresh"
    DEGRADED = "degraded"
    STALE = "stale"
    HALTED = "halted"

    @property
    def allows_new_risk(self) -> bool:
        """Say whether orders that open or enlarge a position may be taken."""
        return self in (PriceState.FRESH, PriceState.DEGRADED)

    @property
    def allows_liquidation(self) -> bool:
        """Say whether somebody may be closed by force at this price."""
        return self in (PriceState.FRESH, PriceState.DEGRADED)

    @property
    def allows_reducing(self) -> bool:
        """Say whether orders that only reduce a position may be taken."""
        return self is not PriceState.HALTED


@dataclass(frozen=True, slots=True)
class Transition:
    """One price went from one state to another; told once."""

    name: str
    was: PriceState
    now: PriceState
    words: str


class Marks:
    """The newest quote of every source for every price of a policy."""

    def __init__(self, authorities: Mapping[str, PriceAuthority]) -> None:
        self._authorities = authorities
        self._quotes: dict[str, dict[str, Quote]] = {name: {} for name in authorities}
        self._agreed: dict[str, AgreedPrice] = {}
        self._states = dict.fromkeys(authorities, PriceState.HALTED)

    def take(self, name: str, quote: Quote) -> bool:
        """Keep a quote; False where it is not of a declared source, not above zero, or not newer."""
        authority = self._authorities.get(name)
        if authority is None or quote.source not in authority.sources or quote.price_e10 < 1:
            return False
        kept = self._quotes[name].get(quote.source)
        if kept is not None and kept.at >= quote.at:
            return False
        self._quotes[name][quote.source] = quote
        return True

    def fact(self, name: str, now: Instant) -> PriceFact | None:
        """Return the quotes to hand to the ledger; None where they agree on nothing now."""
        quotes = tuple(self._quotes[name].values())
        agreed = agree(name, self._authorities[name], quotes, now)
        if isinstance(agreed, Refused):
            return None
        self._agreed[name] = agreed
        return PriceFact(name, tuple(sorted(quotes, key=lambda quote: quote.source)))

    def state(self, name: str, now: Instant) -> PriceState:
        """Judge one price as things stand now."""
        authority = self._authorities[name]
        quotes = tuple(self._quotes[name].values())
        if not isinstance(agree(name, authority, quotes, now), Refused):
            everyone = _asking_all(authority)
            unanimous = not isinstance(agree(name, everyone, quotes, now), Refused)
            return PriceState.FRESH if unanimous else PriceState.DEGRADED
        last = self._agreed.get(name)
        if last is not None and now - last.at <= HALT_AFTER * authority.stale_ns:
            return PriceState.STALE
        return PriceState.HALTED

    def transitions(self, now: Instant) -> tuple[Transition, ...]:
        """Return every change of state since this was last asked."""
        found = []
        for name, was in self._states.items():
            state = self.state(name, now)
            if state is not was:
                found.append(Transition(name, was, state, self._words(name, now)))
                self._states[name] = state
        return tuple(found)

    def _words(self, name: str, now: Instant) -> str:
        judged = agree(name, self._authorities[name], tuple(self._quotes[name].values()), now)
        if isinstance(judged, Refused):
            return judged.words
        return f"{len(self._quotes[name])} of {len(self._authorities[name].sources)} sources were heard"


def _asking_all(authority: PriceAuthority) -> PriceAuthority:
    return authority.model_copy(update={"agree_count": len(authority.sources)})
