"""`ringfence book watch`: prices in, and whoever must be called or closed is, the riskiest first."""

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ringfence.cli.book_desk import Keys, ring_at
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, console, print_json, report_error
from ringfence.kernel.errors import BadInput, UsageError

if TYPE_CHECKING:
    from ringfence.kernel.instant import Instant
    from ringfence.margin.liquidation import Closure
    from ringfence.planes.ledger.operations import Order
    from ringfence.planes.ledger.rules import Rules
    from ringfence.services.instructions import Sign
    from ringfence.services.ledger import Book
    from ringfence.services.risk_loop import Round, ToppedUp


def watch(
    at: At,
    ticks: Annotated[
        Path | None,
        typer.Option("--from", help="A file of lines as `index/BTC v1=65000`; else standard input."),
    ] = None,
    maker: Annotated[
        str, typer.Option("--maker", help="A bucket whose key is at hand, that takes the other side.")
    ] = "",
    most: Annotated[int, typer.Option("--most", min=1, help="How many buckets one round closes.")] = 500,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Feed prices to a book: value every bucket at each, call, and close the riskiest first.

    A line that is no price, or whose price the book refuses, is named and left out; the exit code is 1 then.

    Risk and ledger sign with the keys at hand. A takeover by the pool needs nobody else; closing in the
    market needs a --maker.
    """
    from ringfence import wiring
    from ringfence.kernel.ids import request_id
    from ringfence.kernel.instant import Instant
    from ringfence.services import instructions
    from ringfence.services.risk_loop import RiskLoop

    rounds: list[dict[str, Any]] = []
    tails, faults = count(1), 0
    with opened(at, wiring.embedded) as book:
        ring = ring_at(at, keys)
        market = _Maker(book, maker, ring.sign) if maker else None
        loop = RiskLoop(book, ring.sign, lambda now: request_id(now, next(tails)), market, most)
        for number, line in enumerate(_lines(ticks), start=1):
            name, *quotes = line.split()
            now = Instant(max(wiring.clock().now(), book.head.at + 1))
            try:
                loop.offer(instructions.price_fact(name, quotes, now))
            except UsageError as error:
                faults += _report(ticks, number, str(error))
                continue
            done = loop.round(now)
            for refused in done.refused:
                faults += _report(ticks, number, f"{refused.reason.name}: {refused.words}")
            while True:
                rounds.append(_plain(book.rules, done))
                if not as_json:
                    _print(rounds[-1])
                if not done.waiting:
                    break
                done = loop.round(Instant(book.head.at + 1))
    if as_json:
        print_json(rounds)
    if faults:
        raise typer.Exit(1)


def _report(ticks: Path | None, number: int, words: str) -> int:
    """Print what is wrong with a line, and count it: the prices after it must not wait for its mending."""
    report_error(BadInput(f"{ticks or 'standard input'}:{number}: {words}"))
    return 1


def _lines(ticks: Path | None) -> Iterator[str]:
    """Go through the lines that say something."""
    try:
        text = sys.stdin if ticks is None else ticks.open(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{ticks} cannot be read: {error.strerror}") from None
    with text as lines:
        yield from (line for line in map(str.strip, lines) if line and not line.startswith("#"))


class _Maker:
    """A bucket that takes the other side of every forced fill, for trying things on one machine."""

    def __init__(self, book: "Book", bucket: str, sign: "Sign") -> None:
        place = book.rules.place(bucket)
        if place is None or not place.rule.trades:
            raise UsageError(f"{bucket} is no bucket that trades")
        self._book, self._place, self._sign, self._numbers = book, place, sign, count(1)

    def offer(self, closure: "Closure", at: "Instant") -> "Order | None":
        """Sign an order at the price of the forced fill."""
        import msgspec

        from ringfence.kernel.ids import request_id
        from ringfence.kernel.instant import MINUTE_NS
        from ringfence.planes.ledger.needs import keys_named, names_for
        from ringfence.planes.ledger.operations import Order, signing_bytes

        rules = self._book.rules
        bare = Order(
            id=request_id(at, next(self._numbers)),
            bucket=self._place.path,
            instrument=closure.instrument,
            side="sell" if closure.contracts > 0 else "buy",
            contracts=abs(closure.contracts),
            limit_e10=closure.price_e10,
            expires=at + MINUTE_NS,
            policy=rules.digest,
        )
        name_of = names_for(rules.keys, self._place, None)
        wanted = keys_named(self._place.rule.trade_needs, name_of)
        signatures = (self._sign(key, signing_bytes(bare)) for key in wanted)
        return msgspec.structs.replace(bare, signatures=tuple(one for one in signatures if one is not None))


def _plain(rules: "Rules", done: "Round") -> dict[str, Any]:
    from ringfence.kernel.instant import show_instant

    return {
        "at": show_instant(done.at),
        "valued": done.valued,
        "called": list(done.called),
        "cured": list(done.cured),
        "topped_up": [_plain_top_up(rules, one) for one in done.topped_up],
        "closed": [
            {
                "bucket": one.bucket,
                "fills": [
                    {"instrument": fill.instrument, "contracts": fill.contracts, "price_e10": fill.price_e10}
                    for fill in one.fills
                ],
                "refused": None if one.refused is None else one.refused.reason.name,
                "words": "" if one.refused is None else one.refused.words,
            }
            for one in done.closed
        ],
        "waiting": done.waiting,
    }


def _plain_top_up(rules: "Rules", one: "ToppedUp") -> dict[str, Any]:
    from ringfence.cli.book_words import show_units

    return {
        "bucket": one.move.target,
        "amount": show_units(rules, one.move.asset, one.move.units),
        "asset": one.move.asset,
        "source": one.move.source,
        "refused": None if one.refused is None else one.refused.reason.name,
    }


def _print(plain: dict[str, Any]) -> None:
    counts = f"{len(plain['called'])} called, {len(plain['cured'])} cured, {len(plain['closed'])} closed"
    console.print(f"{plain['at']}  {plain['valued']} buckets: {counts}", highlight=False)
    for one in plain["topped_up"]:
        verb = f"[red]{one['refused']}[/]" if one["refused"] else "[green]topped up[/]"
        words = f"{one['bucket']} with {one['amount']} {one['asset']} from {one['source']}"
        console.print(f"  {verb} {escape(words)}", highlight=False, soft_wrap=True)
    for word, colour in (("called", "yellow"), ("cured", "green")):
        for bucket in plain[word]:
            console.print(f"  [{colour}]{word}[/] {escape(bucket)}", highlight=False)
    for one in plain["closed"]:
        fills = ", ".join(f"{fill['contracts']} {fill['instrument']}" for fill in one["fills"])
        verb = "[red]refused[/]" if one["refused"] else "[bold]closed[/]"
        why = f": {one['refused']}, {one['words']}" if one["refused"] else ""
        console.print(
            f"  {verb} {escape(one['bucket'])} {fills}{escape(why)}", highlight=False, soft_wrap=True
        )
