"""`ringfence book correct` and `ringfence book position`: what operators and owners put right, or move on."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ringfence.cli.book_desk import (
    Announced,
    Beside,
    Expires,
    Keys,
    OwnId,
    Source,
    Target,
    open_desk,
    parse_typed,
)
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, console, print_json
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.planes.ledger.operations import Entry, Move
    from ringfence.planes.ledger.rules import Rules
    from ringfence.services.ledger import Book

position_app = typer.Typer(
    no_args_is_help=True, help="Positions: list them, move one to another bucket at the mark."
)


def correct(
    original: Annotated[str, typer.Argument(help="Id of the request that was a mistake, in hexadecimal.")],
    why: Annotated[str, typer.Argument(help="The reason, in words; it is journalled.")],
    at: At,
    amount: Annotated[str, typer.Option("--amount", help="Only a part of it, e.g. 40.5.")] = "",
    announce: Announced = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Move back what a request moved by mistake, through the gate for that, linked to the original."""
    from ringfence.kernel.ids import parse_id
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        identifier, rules = parse_typed(parse_id, original), desk.book.rules
        entries = _entries_of(desk.book, identifier)
        moves = [_back(rules, entry) for entry in entries]
        if amount and len(moves) != 1:
            raise UsageError(f"{original} moved {len(moves)} things; only one can be corrected in part here")
        if amount:
            units = instructions.parse_amount(rules, amount, moves[0].asset)
            moves = [desk.resized(moves[0], units)]
        desk.ask(moves, moves, Beside(reason=why, reverses=original, announce=announce))


@position_app.command("move")
def move_position(
    source: Source,
    target: Target,
    contracts: Annotated[int, typer.Argument(help="How many contracts, long or short as they are held.")],
    instrument: Annotated[str, typer.Argument(help="An instrument of the policy, e.g. BTC-PERP.")],
    at: At,
    gate: Annotated[str, typer.Option("--gate", help="The exchange, where several do that.")] = "",
    identifier: OwnId = "",
    expires: Expires = "",
    announce: Announced = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Move a position, or a part of it, to another bucket at the mark, signed with every key at hand."""
    with open_desk(at, keys, as_json) as desk:
        moves = desk.legs([f"{source} {target} {contracts} {instrument}"], gate)
        beside = Beside(identifier, expires, exchange=moves[0].gate, announce=announce)
        desk.ask(moves, moves, beside)


@position_app.command("list")
def list_positions(at: At, as_json: Json = False) -> None:
    """List every position: its bucket, its contracts (short ones below zero), and its session value."""
    from ringfence import wiring
    from ringfence.cli.book_words import show_units

    with opened(at, wiring.read_book) as book:
        found = [
            {
                "bucket": bucket,
                "instrument": name,
                "contracts": one.contracts,
                "session_value": show_units(book.rules, instrument.quote, one.session_value),
                "quote": instrument.quote,
            }
            for name, instrument in book.rules.instruments.items()
            for bucket, one in sorted(book.state.positions(name).items())
        ]
    if as_json:
        print_json(found)
        return
    table = Table("bucket", "instrument")
    for column in ("contracts", "taken on at"):
        table.add_column(column, justify="right")
    for line in found:
        value = f"{line['session_value']} {line['quote']}"
        table.add_row(escape(str(line["bucket"])), str(line["instrument"]), str(line["contracts"]), value)
    console.print(table if found else "nobody holds a position")


def _entries_of(book: "Book", identifier: int) -> "tuple[Entry, ...]":
    """Return what a request moved, as the journal tells it; UsageError where it moved nothing."""
    from ringfence.planes.ledger.operations import CarryOut, Request

    for dated in book.lines():
        operation = dated.line.operation
        is_it = isinstance(operation, Request) and operation.id == identifier
        is_it = is_it or (isinstance(operation, CarryOut) and operation.request == identifier)
        if is_it and dated.line.entries:
            return dated.line.entries
    raise UsageError(f"no request {identifier:032x} ever moved anything in this book")


def _back(rules: "Rules", entry: "Entry") -> "Move":
    """Turn an entry around through the gate that makes corrections there; "" as gate where none does."""
    from ringfence.planes.ledger.operations import Move

    start, end = rules.place(entry.credit), rules.place(entry.debit)
    ways = rules.gates_between(start, end) if start is not None and end is not None else ()
    gates = [way.gate.name for way in ways if way.gate.reverses is not None]
    return Move(gates[0] if gates else "", entry.credit, entry.debit, entry.asset, entry.units)
