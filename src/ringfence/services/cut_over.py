"""From what another book ended with, as a file, to one opening of this book, and the report of it.

A file is a table of three columns: `compartment`, `asset`, `amount`. The amount of a coin or a debt is a
decimal; that of an instrument its signed contracts, long ones positive. CSV has a line of names first; JSON
is a list of objects with those names. Everything that is wrong is found at once, each with its line; one
wrong line and nothing is taken over.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ringfence.kernel.errors import BadInput, UsageError
from ringfence.kernel.ids import RequestId
from ringfence.kernel.money import PRICE_DIGITS, parse_decimal
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.opening import net_contracts, opening_faults
from ringfence.planes.ledger.operations import Opening, OpeningBalance, OpeningPosition

COLUMNS = ("compartment", "asset", "amount")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, as it stands there; where: `file:line`."""

    where: str
    compartment: str
    asset: str
    amount: str


@dataclass(frozen=True, slots=True)
class CutOver:
    """What was read, and what would be booked.

    faults: (where, what is wrong), of a line or of the whole file; totals: units by asset, debts apart from
    their coin, and net contracts by instrument; differences: (asset, expected, found) in units where a
    control total was given.
    """

    lines: int
    opening: Opening
    faults: tuple[tuple[str, str], ...]
    totals: Mapping[str, int]
    differences: tuple[tuple[str, int, int], ...]

    @property
    def is_good(self) -> bool:
        """Say whether it may be taken over."""
        return not self.faults and not self.differences


def read_lines(content: bytes, name: str) -> tuple[Line, ...]:
    """Read the lines of a file; BadInput where it is no such table."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{name} is no UTF-8 text") from None
    lines = tuple(_json_lines(text, name) if name.endswith(".json") else _csv_lines(text, name))
    if not lines:
        raise BadInput(f"{name} has no lines; write {','.join(COLUMNS)} and a line for each holding")
    return lines


def _csv_lines(text: str, name: str) -> Iterator[Line]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = next(reader, [])
        if [word.strip() for word in header] != list(COLUMNS):
            raise BadInput(f"{name}:1: the columns were {header}; they are {list(COLUMNS)}")
        for row in reader:
            if row and len(row) != len(COLUMNS):
                raise BadInput(f"{name}:{reader.line_num}: there were {len(row)} values; there are three")
            if row:
                yield Line(f"{name}:{reader.line_num}", *(value.strip() for value in row))
    except csv.Error as error:
        raise BadInput(f"{name}:{reader.line_num}: this is no CSV: {error}") from None


def _json_lines(text: str, name: str) -> Iterator[Line]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} is no JSON: {error}") from None
    if not isinstance(rows, list):
        raise BadInput(f"{name} is no list of holdings")
    for number, row in enumerate(rows, start=1):
        is_line = isinstance(row, dict) and set(row) == set(COLUMNS)
        if not is_line or not all(isinstance(value, str) for value in row.values()):
            raise BadInput(f"{name}, entry {number}: it has the texts {', '.join(COLUMNS)} and nothing else")
        yield Line(f"{name}, entry {number}", *(row[column] for column in COLUMNS))


def cut_over(
    ledger: Ledger,
    lines: Sequence[Line],
    prices: Iterable[str],
    expected: Iterable[str],
    *,
    identifier: RequestId,
    source: str,
) -> CutOver:
    """Make one opening of the lines, and say everything that is wrong.

    prices: INSTRUMENT=PRICE, expected: ASSET=AMOUNT, as they were typed; UsageError where one is none.
    """
    rules = ledger.rules
    balances: list[OpeningBalance] = []
    positions: list[OpeningPosition] = []
    where: dict[int, str] = {}
    faults: list[tuple[str, str]] = []
    placed: list[tuple[str, bool]] = []
    for line in lines:
        is_position = line.asset in rules.instruments
        try:
            if is_position:
                positions.append(OpeningPosition(line.compartment, line.asset, _whole(line.amount)))
            else:
                rule = rules.assets.get(line.asset)
                units = parse_decimal(line.amount, rule.decimals if rule else 0)
                balances.append(OpeningBalance(line.compartment, line.asset, units))
            placed.append((line.where, is_position))
        except ValueError as error:
            faults.append((line.where, str(error)))
    in_order = [*(at for at, is_one in placed if not is_one), *(at for at, is_one in placed if is_one)]
    where.update(enumerate(in_order))
    opening = Opening(
        id=identifier,
        balances=tuple(balances),
        positions=tuple(positions),
        prices=_typed(prices, PRICE_DIGITS, "BTC-PERP=60000.5"),
        source=source,
        policy=rules.digest,
    )
    faults += [(where.get(number, ""), refused.words) for number, refused in opening_faults(ledger, opening)]
    totals = _totals(opening)
    return CutOver(len(lines), opening, tuple(faults), totals, tuple(_differences(ledger, expected, totals)))


def source_of(name: str, content: bytes) -> str:
    """Name a file and what was in it."""
    return f"{name}, SHA-256 {hashlib.sha256(content).hexdigest()}"


def _whole(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 39:
        raise ValueError(f"{text[:60]!r} is no whole number of contracts")
    return int(text)


def _typed(texts: Iterable[str], digits: int, example: str) -> dict[str, int]:
    found = {}
    for text in texts:
        name, _, amount = text.partition("=")
        try:
            found[name] = parse_decimal(amount, digits)
        except ValueError as error:
            raise UsageError(f"{text!r} is not written as {example}: {error}") from None
    return found


def _totals(opening: Opening) -> dict[str, int]:
    totals: dict[str, int] = {}
    for balance in opening.balances:
        totals[balance.asset] = totals.get(balance.asset, 0) + balance.units
    return totals | net_contracts(opening)


def _differences(
    ledger: Ledger, expected: Iterable[str], totals: Mapping[str, int]
) -> Iterator[tuple[str, int, int]]:
    for text in expected:
        asset = text.partition("=")[0]
        rule = ledger.rules.assets.get(asset)
        if rule is None:
            raise UsageError(f"{text!r}: {asset} is no asset of this policy")
        units = _typed([text], rule.decimals, "USDC=1000.50")[asset]
        if totals.get(asset, 0) != units:
            yield asset, units, totals.get(asset, 0)
