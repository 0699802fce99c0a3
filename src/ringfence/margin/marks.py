"""The prices a bucket is valued at, brought by the caller as facts.

Both maps hold whole numbers at `PRICE_SCALE` (1e10). `assets` is the index price of one whole coin in the
numeraire; `marks` the mark price of an instrument in its price currency. The numeraire itself needs no price.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ringfence.kernel.errors import BadInput


@dataclass(frozen=True, slots=True)
class Prices:
    """Index prices of coins and mark prices of instruments; each above zero, else BadInput."""

    assets: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, price_e10 in (*self.assets.items(), *self.marks.items()):
            if price_e10 <= 0:
                raise BadInput(f"the price of {name} was {price_e10}; a price is above zero")

    def asset(self, name: str) -> int:
        """Return the index price of a coin; BadInput where there is none."""
        try:
            return self.assets[name]
        except KeyError:
            raise BadInput(f"there is no price for {name}; give its index price") from None

    def mark(self, instrument: str) -> int:
        """Return the mark price of an instrument; BadInput where there is none."""
        try:
            return self.marks[instrument]
        except KeyError:
            raise BadInput(f"there is no mark price for {instrument}; give one") from None

    def replaced(self, marks: Iterable[tuple[str, int]], assets: Iterable[tuple[str, int]] = ()) -> "Prices":
        """Return the same prices with some of them changed."""
        return Prices({**self.assets, **dict(assets)}, {**self.marks, **dict(marks)})
