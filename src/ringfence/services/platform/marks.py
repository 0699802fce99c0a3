"""The service `marks`: asks the price sources, and tells the others what they agree on.

The ledger pulls the quotes and judges them by itself; matching and risk get them pushed.
"""

from collections.abc import Mapping

from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import SECOND_NS, Clock, Instant
from ringfence.planes.ledger.rules import Rules
from ringfence.services.marks import Marks, PriceState
from ringfence.services.platform.messages import Empty, Priced, Prices, Quotes
from ringfence.services.platform.service import Duty, Method, Peers, ask, serve

PUSHED_TO = ("matching", "risk")


class MarksService:
    """The newest quotes, and what follows from them."""

    def __init__(self, rules: Rules, clock: Clock, peers: Peers) -> None:
        self._clock = clock
        self._peers = peers
        self._names = tuple(rules.prices)
        self._marks = Marks(rules.prices)
        self._pushed: dict[str, Prices] = {}

    @property
    def methods(self) -> Mapping[str, Method]:
        """The ledger pulls prices."""
        return {"pull": Method("ledger", serve(Empty, self.pull))}

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Sources are asked, then everybody who follows prices is told."""
        return (Duty("ask", SECOND_NS // 5, self._ask),)

    def figures(self) -> Mapping[str, int | str]:
        """Say how many prices there are that others are told of."""
        return {
            "prices": len(self._names),
            "told": max((len(p.prices) for p in self._pushed.values()), default=0),
        }

    def close(self) -> None:
        """Hold nothing."""

    def take(self, quotes: Quotes) -> None:
        """Keep what sources said."""
        for named in quotes.quotes:
            self._marks.take(named.name, named.quote)

    def pull(self, _: Empty, now: Instant) -> Prices:
        """Return every price that enough sources agree on now."""
        found = []
        for name in self._names:
            fact = self._marks.fact(name, now)
            if fact is not None:
                found.append(Priced(fact, self._marks.state(name, now).value))
        return Prices(tuple(found))

    def halted(self, now: Instant) -> tuple[str, ...]:
        """Name the prices that nothing may go by."""
        return tuple(name for name in self._names if self._marks.state(name, now) is PriceState.HALTED)

    async def _ask(self, _: Instant) -> None:
        self.take(await ask(self._peers, "price_sources", "quotes", Empty(), Quotes))
        prices = self.pull(Empty(), self._clock.now())
        for target in PUSHED_TO:
            try:
                await ask(self._peers, target, "prices", prices, Empty)
            except UnreachableError:
                continue  # it is told again with the next price; that one of them is away stops nobody else
            self._pushed[target] = prices
