"""`ringfence margin`: what a bucket is worth and needs, term by term, when it is closed and who bears a loss.

A bucket is read from a book (`--at BOOK COMPARTMENT`) or from a JSON file with its prices (`--policy POLICY
--bucket FILE`). Prices of a book are those that are fresh at its last record; `--mark` and `--price` put
others in their place, to ask what would be.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from ringfence.cli.arguments import PolicyFile
from ringfence.cli.output import Json, console, print_json
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from fractions import Fraction

    from ringfence.cli.margin_words import Subject
    from ringfence.policy.model import Policy

app = typer.Typer(
    no_args_is_help=True, help="See what a bucket is worth, what it needs, and when it is closed."
)

Where = Annotated[str, typer.Argument(help="The bucket in the book, e.g. client/alice/hedge.")]
At = Annotated[
    Path | None, typer.Option("--at", envvar="RINGFENCE_BOOK", help="The book that holds the bucket.")
]
PolicyOption = Annotated[Path | None, typer.Option("--policy", help="The policy of a bucket in a file.")]
BucketFile = Annotated[Path | None, typer.Option("--bucket", help="A bucket written as JSON.")]
Marks = Annotated[list[str] | None, typer.Option("--mark", help="INSTRUMENT=PRICE in place of its mark.")]
CoinPrices = Annotated[list[str] | None, typer.Option("--price", help="COIN=PRICE in place of its index.")]


@app.command()
def tiers(
    policy: PolicyFile,
    instrument: Annotated[str, typer.Argument(help="An instrument of the policy, e.g. BTC-PERP.")],
    as_json: Json = False,
) -> None:
    """Show the brackets of an instrument with the deduction that follows from them."""
    from ringfence.cli.margin_words import plain_tiers

    rows = plain_tiers(_policy(policy), instrument)
    if as_json:
        print_json({"instrument": instrument, "tiers": rows})
        return
    table = Table(
        "from", "maintenance", "leverage", "cum", title=f"{instrument}: maintenance = notional x rate - cum"
    )
    for column in table.columns:
        column.justify = "right"
    for row in rows:
        table.add_row(row["from"], row["maintenance"], str(row["leverage"]), row["cum"])
    console.print(table)


@app.command()
def explain(
    compartment: Where = "",
    at: At = None,
    policy: PolicyOption = None,
    bucket: BucketFile = None,
    mark: Marks = None,
    price: CoinPrices = None,
    as_json: Json = False,
) -> None:
    """Show a bucket's equity and requirements with every term of the sums."""
    from ringfence.cli.margin_words import plain_health, print_health

    subject = _subject(compartment, at, policy, bucket, mark, price)
    found = plain_health(subject)
    if as_json:
        print_json(found)
    else:
        print_health(found)


@app.command("price")
def show_prices(
    compartment: Where = "",
    at: At = None,
    policy: PolicyOption = None,
    bucket: BucketFile = None,
    mark: Marks = None,
    price: CoinPrices = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Move each instrument alone, not all that follows its coin.")
    ] = False,
    with_fee: Annotated[
        bool, typer.Option("--with-fee", help="Leave the taker fee of closing beside the requirement.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show between which marks a bucket is not liquidated, and not bankrupt."""
    from ringfence.cli.margin_words import plain_prices

    subject = _subject(compartment, at, policy, bucket, mark, price)
    rows = plain_prices(subject, moves="instrument" if alone else "underlying", with_fee=with_fee)
    if as_json:
        print_json({"bucket": subject.name, "prices": rows})
        return
    table = Table("instrument", "contracts", "mark", "not liquidated", "not bankrupt")
    for row in rows:
        table.add_row(
            row["instrument"],
            str(row["contracts"]),
            row["mark"],
            *map(_span, (row["liquidation"], row["bankruptcy"])),
        )
    console.print(table if rows else "the bucket has no open position, so no price closes it")


@app.command()
def close(
    compartment: Where = "",
    at: At = None,
    policy: PolicyOption = None,
    bucket: BucketFile = None,
    mark: Marks = None,
    price: CoinPrices = None,
    slippage: Annotated[
        str, typer.Option("--slippage", help="How much worse than the mark closing would get.")
    ] = "0 %",
    as_json: Json = False,
) -> None:
    """Plan the closing of a bucket: what is closed or taken over, and who would bear a loss.

    Nothing is closed: this is the plan for the prices given. Pools and winners are those of the book.
    """
    from ringfence.cli.margin_closing import plain_plan, print_plan

    subject = _subject(compartment, at, policy, bucket, mark, price)
    found = plain_plan(subject, _share_ppm(slippage))
    if as_json:
        print_json(found)
    else:
        print_plan(found)


@app.command()
def buckets(
    at: Annotated[Path, typer.Option("--at", envvar="RINGFENCE_BOOK", help="The file of the book.")],
    mark: Marks = None,
    price: CoinPrices = None,
    as_json: Json = False,
) -> None:
    """List every bucket of a book with its state, the riskiest first."""
    from ringfence.cli.margin_closing import plain_buckets

    rows = plain_buckets(at, mark or [], price or [])
    if as_json:
        print_json({"buckets": rows})
        return
    table = Table("bucket", "state", "equity", "maintenance", "short of initial")
    for row in rows:
        short = "yes" if row["is_short_of_initial"] else ""
        table.add_row(row["bucket"], row["state"], row["equity"], row["maintenance"], short)
    console.print(table if rows else "the book has no bucket with margin that ever held anything")


@app.command()
def venues(
    side: Annotated[Literal["long", "short"], typer.Option("--side", help="Which way the position goes.")],
    entry: Annotated[str, typer.Option("--entry", help="The price it was opened at.")],
    leverage: Annotated[int, typer.Option("--leverage", min=1, help="Entry value over margin.")],
    mark: Annotated[str, typer.Option("--mark", help="The price now.")],
    size: Annotated[str, typer.Option("--size", help="Its size in coin.")] = "1",
    maintenance: Annotated[str, typer.Option("--maintenance", help="The maintenance rate.")] = "0.5 %",
    fee: Annotated[str, typer.Option("--fee", help="The closing fee.")] = "0.05 %",
    as_json: Json = False,
) -> None:
    """Compare one isolated position under the rules of several venues."""
    from ringfence.cli.margin_closing import plain_venues

    shares = _share_ppm(maintenance), _share_ppm(fee)
    rows = plain_venues(side, _figure(size), _figure(entry), _figure(mark), leverage, *shares)
    if as_json:
        print_json({"venues": rows})
        return
    table = Table("venue", "liquidated at", f"at {mark}")
    for row in rows:
        table.add_row(row["venue"], row["liquidation_price"], row["at_mark"])
    console.print(table)


def _share_ppm(text: str) -> int:
    from ringfence.policy.phrases import parse_share

    try:
        return parse_share(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _figure(text: str) -> "Fraction":
    from ringfence.kernel.money import parse_ratio

    try:
        return parse_ratio(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _span(found: dict[str, str | None] | None) -> str:
    """Write a range of prices; a missing end has no limit."""
    if found is None:
        return "[red]at no price[/]"
    below, above = found["below"], found["above"]
    if below and above:
        return f"{below} to {above}"
    if below:
        return f"from {below}"
    return f"to {above}" if above else "at every price"


def _policy(path: Path) -> "Policy":
    from ringfence.wiring_files import load_policy

    return load_policy(path)


def _subject(
    compartment: str,
    at: Path | None,
    policy: Path | None,
    bucket: Path | None,
    marks: list[str] | None,
    prices: list[str] | None,
) -> "Subject":
    """Find the bucket that is asked about, in a book or in a file."""
    from ringfence.cli.margin_words import from_book, from_file

    if bucket is not None and policy is not None and not compartment:
        subject = from_file(_policy(policy), bucket)
    elif bucket is None and policy is None and at is not None and compartment:
        subject = from_book(at, compartment)
    else:
        raise UsageError("name a bucket: COMPARTMENT with --at BOOK, or --policy POLICY with --bucket FILE")
    return subject.at_other_prices(marks or [], prices or [])
