"""A book written for others: as lines of CSV, and as a Beancount file that adds itself up.

Every booked leg is one line, in the order of the journal. Amounts are decimals of their asset; nothing is
rounded. Refused operations moved nothing and are left out here: the full journal is `book export`.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator

from ringfence.kernel.ids import show_id
from ringfence.kernel.instant import DAY_NS, Instant, show_instant
from ringfence.kernel.money import show_decimal
from ringfence.planes.ledger.operations import Request
from ringfence.planes.ledger.rules import Rules
from ringfence.services.history import Dated
from ringfence.services.ledger import Book

COLUMNS = ("record", "place", "leg", "at", "request", "debit", "credit", "asset", "units", "amount")
"""Columns of the CSV and Parquet exports; `units` is the whole number, `amount` the decimal."""

Leg = tuple[int, int, int, str, str, str, str, str, str, str]


def legs(book: Book) -> Iterator[Leg]:
    """Go through every leg that was booked; the values are those of `COLUMNS`."""
    for dated in book.lines():
        request = _request_id(dated)
        for number, entry in enumerate(dated.line.entries):
            amount = _amount(book.rules, entry.asset, entry.units)
            place = (dated.sequence, dated.place, number, show_instant(dated.at), request)
            yield (*place, entry.debit, entry.credit, entry.asset, str(entry.units), amount)


def csv_lines(book: Book) -> Iterator[str]:
    """Write every leg as a line of CSV, after a line of names."""
    yield _csv_line(COLUMNS)
    for leg in legs(book):
        yield _csv_line(leg)


def _csv_line(values: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _request_id(dated: Dated) -> str:
    operation = dated.line.operation
    if isinstance(operation, Request):
        return show_id(operation.id)
    named = getattr(operation, "request", 0)
    return show_id(named) if isinstance(named, int) and named else ""


def _amount(rules: Rules, asset: str, units: int) -> str:
    rule = rules.assets.get(asset)
    return show_decimal(units, rule.decimals if rule else 0)


# --- Beancount ---------------------------------------------------------------------------------


class _Names:
    """Gives each name of ours one of Beancount's, no two the same and none that is taken already."""

    def __init__(self, spell: Callable[[str], str], taken: Iterable[str] = ()) -> None:
        self._spell = spell
        self._given: dict[str, str] = {}
        self._taken = set(taken)

    def of(self, name: str) -> str:
        """Return the name for a name, the same each time."""
        if name not in self._given:
            wanted = spelled = self._spell(name)
            number = 1
            while spelled in self._taken:
                number += 1
                spelled = f"{wanted}-{number}"
            self._given[name] = spelled
            self._taken.add(spelled)
        return self._given[name]


def beancount_lines(book: Book) -> Iterator[str]:
    """Write the book in the Beancount language, with every final balance asserted at the end.

    Compartments are accounts below `Assets:`, places outside below `Equity:`; contracts and debts are
    commodities. A day is a UTC day, and assertions are of the day after the last record. An assertion of
    Beancount counts the accounts below too, so what has others below it ends in `:Self`.
    """
    rules = book.rules
    above = _parents(book)
    accounts, commodities = _Names(lambda path: _account(rules, path, above), above), _Names(_commodity)
    opened: set[str] = set()
    last = Instant(0)
    yield f'option "title" "{rules.name}"\n'
    yield f'option "operating_currency" "{commodities.of(rules.numeraire)}"\n'
    for dated in book.lines():
        if not dated.line.entries:
            continue
        last = dated.at
        day = _day(last)
        for entry in dated.line.entries:
            for path in (entry.debit, entry.credit):
                if path not in opened:
                    opened.add(path)
                    yield f"\n{day} open {accounts.of(path)}\n"
        yield f'\n{day} * "record {dated.sequence}.{dated.place}" "{_request_id(dated)}"\n'
        for entry in dated.line.entries:
            amount = _amount(rules, entry.asset, entry.units)
            commodity = commodities.of(entry.asset)
            yield f"  {accounts.of(entry.debit)}  -{amount} {commodity}\n"
            yield f"  {accounts.of(entry.credit)}  {amount} {commodity}\n"
    yield "\n"
    for path, asset, units in sorted(book.state.balances()):
        if path in opened:
            amount = _amount(rules, asset, units)
            held = f"{accounts.of(path)}  {amount} {commodities.of(asset)}"
            yield f"{_day(Instant(last + DAY_NS))} balance {held}\n"


def _day(at: Instant) -> str:
    return show_instant(at)[:10]


def _parents(book: Book) -> set[str]:
    """Find, as they will be spelled, all accounts that have others below them."""
    spelled = {_spelled(book.rules, path) for path, _, _ in book.state.balances()}
    return {account[: end.start()] for account in spelled for end in re.finditer(":", account)}


def _account(rules: Rules, path: str, parents: set[str]) -> str:
    account = _spelled(rules, path)
    while account in parents:
        account += ":Self"
    return account


def _spelled(rules: Rules, path: str) -> str:
    place = rules.place(path)
    root = "Equity" if place is not None and place.rule.two_sided else "Assets"
    return ":".join((root, *(_part(part) for part in path.split("/"))))


def _part(text: str) -> str:
    """Spell one part of an account: a capital or digit first, then letters, digits and dashes."""
    cleaned = re.sub(r"[^A-Za-z0-9-]", "-", text)
    return cleaned[0].upper() + cleaned[1:] if cleaned[0].isalnum() else f"X{cleaned}"


def _commodity(name: str) -> str:
    """Spell a commodity: capitals, digits and dashes, beginning with a letter, at most 24 signs."""
    cleaned = re.sub(r"[^A-Z0-9-]", "-", name.upper()).rstrip("-")
    return (cleaned if cleaned[:1].isalpha() else f"X{cleaned}")[:20]
