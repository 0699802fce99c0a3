"""`ringfence book settle`, `funding`, `collect` and `owed`: what became owed is paid, exactly that much."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column

from ringfence.cli.book_desk import Desk, Keys, open_desk, parse_typed
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, console, print_rows
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.planes.ledger.operations import Fund, Settle

FIGURES_OF_PERCENT = 8
"""Digits after the point of a funding rate in percent: with them it is a whole number at PRICE_SCALE."""


def settle(
    prices: Annotated[list[str], typer.Argument(help="INSTRUMENT=PRICE for each, e.g. BTC-PERP=65000.5.")],
    at: At,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Settle every position of instruments at one price each: debits, pools, debts, then credits, or nothing.

    Signed with the risk and the ledger key; the book computes itself what each bucket owes and is owed.
    """
    from ringfence.planes.ledger.operations import Settle

    links = []
    for text in prices:
        name, _, price = text.partition("=")
        if not price:
            raise UsageError(f"{text!r} is no price of an instrument; write e.g. BTC-PERP=65000.5")
        links.append(Settle(name, parse_typed(_parse_payoff, price)))
    with open_desk(at, keys, as_json) as desk:
        _pay(desk, links)


def funding(
    instrument: Annotated[str, typer.Argument(help="A perpetual of the policy, e.g. BTC-PERP.")],
    rate: Annotated[str, typer.Argument(help='Of the notional, in percent: "0.01 %"; longs pay shorts.')],
    price: Annotated[str, typer.Argument(help="The price that the notional is taken at, e.g. 65000.5.")],
    at: At,
    shorts_pay: Annotated[
        bool, typer.Option("--shorts-pay", help="A rate below zero: shorts pay longs.")
    ] = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Let longs pay shorts the funding of one interval, all of them or none."""
    from ringfence.planes.ledger.operations import Fund
    from ringfence.services.instructions import parse_price

    rate_e10 = parse_typed(_parse_percent, rate)
    link = Fund(instrument, -rate_e10 if shorts_pay else rate_e10, parse_price(price))
    with open_desk(at, keys, as_json) as desk:
        _pay(desk, [link])


def collect(
    at: At,
    accruals: Annotated[
        list[str] | None,
        typer.Option("--accrual", help="Only of this kind, e.g. fees or interest; may be repeated."),
    ] = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Move fees, liquidation surplus, maker rebates and interest that are owed, as far as money reaches."""
    from ringfence.planes.ledger.operations import Move
    from ringfence.planes.ledger.payments import CHARGES, collection_links

    unknown = [name for name in accruals or [] if name not in CHARGES]
    if unknown:
        raise UsageError(f"{unknown[0]} is not collected by itself; {', '.join(CHARGES)} are")
    with open_desk(at, keys, as_json) as desk:
        moves: list[Move] = [*collection_links(desk.book.state, desk.now, accruals or CHARGES)]
        if moves:
            desk.ask(moves, moves)
        elif not as_json:
            console.print("nothing is owed that can be collected now")


def owed(at: At, as_json: Json = False) -> None:
    """Show everything that is owed and not moved yet: by whom, to whom, why, and how much."""
    from ringfence import wiring
    from ringfence.cli.book_words import show_units

    with opened(at, wiring.read_book) as book:
        found = [
            {
                "accrual": accrual,
                "source": source,
                "target": target,
                "asset": asset,
                "amount": show_units(book.rules, asset, units),
            }
            for (accrual, source, target, asset), units in sorted(book.state.all_owed().items())
        ]
    headings = ("why", "who owes", "to whom", "asset", Column("amount", justify="right"))
    print_rows(found, as_json, headings, lambda one: [*one.values()], "nothing is owed")


def _pay(desk: Desk, links: "list[Settle] | list[Fund]") -> None:
    """Write the moves that pay what the links make due, and ask for all of it as one chain."""
    from ringfence.planes.ledger.operations import Move
    from ringfence.planes.ledger.payments import settlement_links

    rules = desk.book.rules
    for link in links:
        if link.instrument not in rules.instruments:
            known = ", ".join(rules.instruments) or "none"
            raise UsageError(f"{link.instrument} is no instrument of this policy; {known} are")
    paid = settlement_links(desk.book.state, links, desk.now)
    desk.ask(paid, [link for link in paid if isinstance(link, Move)])


def _parse_payoff(text: str) -> int:
    from ringfence.kernel.money import PRICE_DIGITS, parse_decimal

    return parse_decimal(text, PRICE_DIGITS)  # an option may be worth nothing, so 0 is a price here


def _parse_percent(text: str) -> int:
    from ringfence.kernel.money import parse_decimal

    number = text.removesuffix("%").strip()
    if number == text.strip():
        raise ValueError(f'{text!r} is no rate; write percent, e.g. "0.01 %"')
    return parse_decimal(number, FIGURES_OF_PERCENT)
