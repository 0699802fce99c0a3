"""The forms of ringfence's own values: amounts, caps, haircuts, brackets, bounds of claims."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.kernel.money import show_decimal
from ringfence.policy.forms import Phrase
from ringfence.policy.grammar import Block, Decimals, Form, Path, Plain, Reader
from ringfence.policy.model import AtMost, Cap, TradingLoss
from ringfence.policy.phrases import (
    parse_amount,
    parse_cap,
    parse_share,
    parse_units,
    show_cap,
    show_share,
    show_window,
    split_cap,
)
from ringfence.policy.source import Listing, Node, Scalar, Table

SHARE = Phrase("a share such as `15 %`", parse_share, show_share, "bad-share")


@dataclass(frozen=True)
class ByAsset:
    """A mapping from assets to amounts or caps: `{USDC: "1000 per 1 d"}`."""

    words: str
    parse: Callable[[str, str, int], Any]
    write: Callable[[Any, str, int], str]

    def read(self, reader: Reader, node: Node, path: Path) -> dict[str, Any] | None:
        """Read every entry in the decimals of its asset."""
        if not isinstance(node, Table):
            reader.fail("wrong-type", node.where, "no asset is named here", f"write {self.words}")
            return None
        if not node.entries:
            reader.fail("wrong-type", node.where, "nothing stands between the braces", f"write {self.words}")
        values = {}
        for key, content in node.entries:
            reader.lines[(*path, key.text)] = key.where
            value = self._read_one(reader, key, content)
            if value is not None:
                values[key.text] = value
        return values

    def _read_one(self, reader: Reader, key: Scalar, content: Node) -> Any:
        digits = reader.units_digits(key.text, key.where)
        text = reader.text(content, self.words)
        if digits is None or text is None:
            return None
        try:
            return self.parse(text, key.text, digits)
        except ValueError as error:
            reader.fail("bad-amount", content.where, str(error), f"write {self.words}")
            return None

    def show(self, value: Mapping[str, Any], decimals: Decimals, _path: Path) -> Plain | None:
        """Write every entry with its asset's decimals."""
        if not value:
            return None
        return {asset: self.write(one, asset, decimals.get(asset, 0)) for asset, one in value.items()}

    def schema(self) -> dict[str, Any]:
        """Describe texts by asset."""
        return {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}


CAPS = ByAsset('`{USDC: "1000 per 1 d"}`', parse_cap, lambda cap, _asset, digits: show_cap(cap, digits))
AMOUNTS = ByAsset(
    '`{USDC: "1000 USDC"}`',
    parse_units,
    lambda units, asset, digits: f"{show_decimal(units, digits)} {asset}",
)


def read_amount(reader: Reader, node: Node, words: str) -> tuple[str, int] | None:
    """Read `"5000 USDC"` into its asset and whole units."""
    text = reader.text(node, words)
    if text is None:
        return None
    try:
        amount = parse_amount(text)
        digits = reader.units_digits(amount.asset, node.where)
        return None if digits is None else (amount.asset, parse_units(amount.number, amount.asset, digits))
    except ValueError as error:
        reader.fail("bad-amount", node.where, str(error), f"write {words}")
        return None


def show_amount(units: int, asset: str, decimals: Decimals) -> str:
    """Write whole units with their asset."""
    return f"{show_decimal(units, decimals.get(asset, 0))} {asset}"


@dataclass(frozen=True)
class AmountOf:
    """One amount with its asset, `"5000 USDC"`: a value of (asset, units)."""

    words: str = "an amount such as `5000 USDC`"

    def read(self, reader: Reader, node: Node, _path: Path) -> tuple[str, int] | None:
        """Read the amount."""
        return read_amount(reader, node, self.words)

    def show(self, value: tuple[str, int], decimals: Decimals, _path: Path) -> Plain:
        """Write the amount."""
        return show_amount(value[1], value[0], decimals)

    def schema(self) -> dict[str, Any]:
        """Describe a text."""
        return {"type": "string"}


@dataclass(frozen=True)
class AmountsListed:
    """Amounts of several assets, `"5000 USDC"` or a list of such: a mapping from asset to units."""

    words: str = "an amount such as `5000 USDC`, or a list of amounts"

    def read(self, reader: Reader, node: Node, _path: Path) -> dict[str, int] | None:
        """Read the amounts, each asset once."""
        nodes = node.items if isinstance(node, Listing) else (node,)
        values: dict[str, int] = {}
        for item in nodes:
            amount = read_amount(reader, item, self.words)
            if amount is not None and amount[0] in values:
                reader.fail("repeated", item.where, f"`{amount[0]}` stands twice", "write each asset once")
            elif amount is not None:
                values[amount[0]] = amount[1]
        return values

    def show(self, value: Mapping[str, int], decimals: Decimals, _path: Path) -> Plain | None:
        """Write one amount alone, several as a list."""
        shown: list[Plain] = [show_amount(units, asset, decimals) for asset, units in value.items()]
        return shown[0] if len(shown) == 1 else shown or None

    def schema(self) -> dict[str, Any]:
        """Describe a text or a list of texts."""
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


# --- haircuts and brackets ---------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """A list of rows that each start at an amount; `alone` reads what may stand in their place."""

    words: str
    row: Block
    alone: Form

    def read(self, reader: Reader, node: Node, path: Path) -> Any:
        """Read every row, or what stands alone."""
        if isinstance(node, Scalar):
            return self.alone.read(reader, node, path)
        if not isinstance(node, Listing) or not node.items:
            reader.fail("wrong-type", node.where, "rows should stand here", f"write {self.words}")
            return None
        rows = (self.row.read(reader, item, (*path, str(index))) for index, item in enumerate(node.items))
        return tuple(row for row in rows if row is not None)

    def show(self, value: tuple[Any, ...], decimals: Decimals, path: Path) -> Plain | None:
        """Write every row."""
        return [shown for row in value if (shown := self.row.show(row, decimals, path)) is not None]

    def schema(self) -> dict[str, Any]:
        """Describe the rows and what may stand alone."""
        rows = {"type": "array", "items": self.row.schema(), "minItems": 1}
        return {"anyOf": [self.alone.schema(), rows]}


# --- bounds of claims --------------------------------------------------------------------------


@dataclass(frozen=True)
class Bound:
    """`"0 per 1 d"` for every asset, or a cap for each: the bound of a `moves` claim."""

    words: str = '`0 per 1 d`, or a cap for each asset such as `{USDC: "1000 per 1 d"}`'

    def read(self, reader: Reader, node: Node, path: Path) -> AtMost | None:
        """Read the bound; without an asset only nothing at all can be claimed."""
        if not isinstance(node, Scalar):
            caps = CAPS.read(reader, node, path)
            return None if caps is None else AtMost(caps=caps)
        text = reader.text(node, self.words)
        if text is None:
            return None
        try:
            number, window = split_cap(text)
        except ValueError as error:
            reader.fail("bad-amount", node.where, str(error), f"write {self.words}")
            return None
        if number != "0":
            found = f"`{number}` names no asset"
            reader.fail("bad-amount", node.where, found, f"write {self.words}; only 0 needs no asset")
            return None
        return AtMost(zero_window=window)

    def show(self, value: AtMost, decimals: Decimals, path: Path) -> Plain | None:
        """Write the bound."""
        if value.zero_window is not None:
            return f"0 {show_window(value.zero_window)}"
        return CAPS.show(value.caps, decimals, path)

    def schema(self) -> dict[str, Any]:
        """Describe both spellings."""
        return {"anyOf": [{"type": "string"}, CAPS.schema()]}


@dataclass(frozen=True)
class LossBound:
    """`{each: {USDC: "20000 per 1 d"}}` or `{all: …}`: the bound of a claim about trading losses."""

    words: str = '`{each: {USDC: "20000 per 1 d"}}` or `{all: …}`'

    def read(self, reader: Reader, node: Node, path: Path) -> TradingLoss | None:
        """Read the scope and its caps."""
        if (
            not isinstance(node, Table)
            or len(node.entries) != 1
            or node.entries[0][0].text not in ("each", "all")
        ):
            found = "neither `each` nor `all` stands alone here"
            reader.fail("wrong-type", node.where, found, f"write {self.words}")
            return None
        key, content = node.entries[0]
        caps: dict[str, Cap] | None = CAPS.read(reader, content, path)
        return None if caps is None else TradingLoss.model_validate({"scope": key.text, "caps": caps})

    def show(self, value: TradingLoss, decimals: Decimals, path: Path) -> Plain | None:
        """Write the scope and its caps."""
        caps = CAPS.show(value.caps, decimals, path)
        return None if caps is None else {value.scope: caps}

    def schema(self) -> dict[str, Any]:
        """Describe both scopes."""
        scopes = {scope: CAPS.schema() for scope in ("each", "all")}
        return {
            "type": "object",
            "properties": scopes,
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }


@dataclass(frozen=True)
class AllOr:
    """`all`, or what `other` reads. The value is `everything` where `all` is written."""

    other: Form
    everything: Any

    @property
    def words(self) -> str:
        """Describe both."""
        return f"`all`, or {self.other.words}"

    def read(self, reader: Reader, node: Node, path: Path) -> Any:
        """Read `all`, or the other form."""
        if isinstance(node, Scalar) and node.text == "all":
            return self.everything
        return self.other.read(reader, node, path)

    def show(self, value: Any, decimals: Decimals, path: Path) -> Plain | None:
        """Write `all`, or the other form."""
        return "all" if value == self.everything else self.other.show(value, decimals, path)

    def schema(self) -> dict[str, Any]:
        """Describe both."""
        return {"anyOf": [{"const": "all"}, self.other.schema()]}
