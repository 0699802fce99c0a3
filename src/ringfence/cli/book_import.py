"""`ringfence book import`: take over what another book ended with, all of it or nothing, with a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ringfence.cli.book_desk import Desk, Keys, ring_at
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, console, print_json
from ringfence.kernel.errors import BadInput

if TYPE_CHECKING:
    from ringfence.planes.ledger.rules import Rules
    from ringfence.services.cut_over import CutOver


def import_opening(
    file: Annotated[Path, typer.Argument(help="A .csv or .json of compartment, asset, amount.")],
    at: At,
    prices: Annotated[
        list[str] | None, typer.Option("--price", help="INSTRUMENT=PRICE its positions were settled at last.")
    ] = None,
    totals: Annotated[
        list[str] | None, typer.Option("--total", help="ASSET=AMOUNT that all lines must add up to.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only report; take nothing over.")] = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Take over balances and positions in a new book, and report what was read, totals, differences, faults.

    One wrong line or one difference, and nothing is taken over.
    """
    from ringfence import wiring
    from ringfence.services.cut_over import cut_over, read_lines, source_of
    from ringfence.services.instructions import signed_opening

    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None
    lines = read_lines(content, str(file))
    with opened(at, wiring.embedded) as book:
        desk = Desk(book, ring_at(at, keys), wiring.clock().now())
        found = cut_over(
            desk.book.state.ledger,
            lines,
            prices or (),
            totals or (),
            identifier=desk.new_id(),
            source=source_of(file.name, content),
        )
        report = _plain(desk.book.rules, found)
        if found.is_good and not check:
            desk.submit(signed_opening(desk.book.rules, found.opening, desk.sign))
            report |= {"answer": desk.answers[-1], "taken_over": desk.answers[-1]["accepted"]}
    if as_json:
        print_json(report)
    else:
        _print(report)
    if not found.is_good or not (check or report["taken_over"]):
        raise typer.Exit(1)


def _plain(rules: "Rules", found: "CutOver") -> dict[str, Any]:
    from ringfence.cli.book_words import show_units

    return {
        "lines": found.lines,
        "balances": len(found.opening.balances),
        "positions": len(found.opening.positions),
        "totals": {asset: show_units(rules, asset, units) for asset, units in sorted(found.totals.items())},
        "differences": [
            {
                "asset": asset,
                "expected": show_units(rules, asset, was),
                "found": show_units(rules, asset, now),
            }
            for asset, was, now in found.differences
        ],
        "refused": [{"where": where, "words": words} for where, words in found.faults],
        "unpriced": sorted({one.instrument for one in found.opening.positions} - found.opening.prices.keys()),
        "source": found.opening.source,
        "taken_over": False,
    }


def _print(report: dict[str, Any]) -> None:
    console.print(
        f"{report['lines']} lines: {report['balances']} balances, {report['positions']} positions",
        highlight=False,
    )
    table = Table("asset", "total")
    for asset, amount in report["totals"].items():
        table.add_row(asset, amount)
    console.print(table)
    for one in report["differences"]:
        words = f"{one['asset']} adds up to {one['found']}, and {one['expected']} was expected"
        console.print(f"[red]difference:[/] {escape(words)}", highlight=False)
    for one in report["refused"]:
        place = f"{one['where']}: " if one["where"] else ""
        console.print(f"[red]refused:[/] {escape(place + one['words'])}", highlight=False, soft_wrap=True)
    for name in report["unpriced"]:
        console.print(f"say what {name} was settled at last: --price {name}=PRICE", highlight=False)
    answer = report.get("answer")
    if report["taken_over"]:
        console.print("[green]taken over[/]")
    elif answer is not None:
        console.print(f"[red]refused:[/] {answer['reason']}: {escape(answer['words'])}", highlight=False)
    else:
        console.print("nothing was taken over")
