"""A bucket's figures as plain data for `--json` and as tables for people."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from ringfence.cli.output import console
from ringfence.kernel.errors import BadInput, UsageError
from ringfence.kernel.money import PPM, PRICE_DIGITS, parse_decimal, show_decimal
from ringfence.margin.bucket import Bucket
from ringfence.margin.calls import levels_ppm, state_of
from ringfence.margin.exposure import exposures
from ringfence.margin.health import Health, PositionTerm, contract_of, health
from ringfence.margin.marks import Prices
from ringfence.margin.performance import is_neutral, net_and_gross
from ringfence.margin.price_range import Moves, PriceRange, bankruptcy_range, liquidation_range
from ringfence.margin.releasable import releasable
from ringfence.margin.terms import Terms, compile_terms
from ringfence.margin.written import parse_bucket
from ringfence.planes.ledger.book import BookState
from ringfence.policy.model import Policy

Plain = dict[str, Any]
"""What `--json` prints."""

_STATES_BELOW = ("held", "warned", "called", "reduce_only", "liquidate")


@dataclass(frozen=True, slots=True)
class Subject:
    """The bucket that is asked about, its prices, the terms of its policy, and the book if it is in one."""

    name: str
    bucket: Bucket
    prices: Prices
    terms: Terms
    state: BookState | None = None

    def at_other_prices(self, marks: list[str], coins: list[str]) -> "Subject":
        """Return the same bucket with some prices put in place of its own."""
        changed = self.prices.replaced(map(parse_price, marks), map(parse_price, coins))
        return replace(self, prices=changed)

    def show(self, units: int) -> str:
        """Write numeraire units."""
        return show_decimal(units, self.terms.decimals)


def parse_price(text: str) -> tuple[str, int]:
    """Read `NAME=PRICE`; UsageError where it is none."""
    name, is_given, price = text.partition("=")
    try:
        price_e10 = parse_decimal(price, PRICE_DIGITS)
    except ValueError:
        price_e10 = 0
    if not (name and is_given and price_e10):
        raise UsageError(f"{text!r} is no price such as BTC-PERP=60000.5")
    return name, price_e10


def from_file(policy: Policy, path: Path) -> Subject:
    """Read a bucket that is written in a file; BadInput where it cannot be."""
    terms = compile_terms(policy)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from None
    bucket, prices = parse_bucket(text, terms, str(path))
    return Subject(str(path), bucket, prices, terms)


def from_book(path: Path, compartment: str) -> Subject:
    """Read a bucket of a book at the prices that are fresh at its last record."""
    from ringfence.cli.book_reading import opened
    from ringfence.margin.reading import bucket_in, prices_in
    from ringfence.wiring import read_book

    with opened(path, read_book) as book:
        terms = compile_terms(book.rules.policy)
        bucket = bucket_in(book.state, compartment)
        return Subject(compartment, bucket, prices_in(book.state, book.head.at), terms, book.state)


# --- brackets ----------------------------------------------------------------------------------


def plain_tiers(policy: Policy, instrument: str) -> list[Plain]:
    """Write the brackets of an instrument with their derived deduction."""
    contract = contract_of(compile_terms(policy), instrument)
    decimals = policy.assets[contract.quote].decimals
    table = contract.tiers
    return [
        {
            "from": f"{show_decimal(floor, decimals)} {contract.quote}",
            "maintenance": f"{show_decimal(rate * 100, 6)} %",
            "leverage": leverage,
            # The deduction is kept in units x PPM, which is six digits more.
            "cum": f"{show_decimal(cum, decimals + 6)} {contract.quote}",
        }
        for floor, rate, leverage, cum in zip(
            table.floors, table.rates_ppm, table.leverages, table.cums_ppm, strict=True
        )
    ]


# --- health ------------------------------------------------------------------------------------


def plain_health(subject: Subject) -> Plain:
    """Write a bucket's figures with every term they are sums of."""
    figures = health(subject.bucket, subject.prices, subject.terms)
    net, gross = net_and_gross(exposures(subject.bucket, subject.prices, subject.terms))
    thresholds = subject.terms.thresholds
    state = None if thresholds is None else state_of(figures.equity, figures.maintenance, thresholds)
    ratio = figures.ratio_ppm()
    return {
        "bucket": subject.name,
        "mode": subject.bucket.mode,
        "numeraire": subject.terms.numeraire,
        "equity": subject.show(figures.equity),
        "initial": subject.show(figures.initial),
        "order_margin": subject.show(figures.order_margin),
        "free": subject.show(figures.free),
        "maintenance": subject.show(figures.maintenance),
        "health": None if ratio is None else f"{show_decimal(ratio * 100, 6)} %",
        "state": None if state is None else state.name.lower(),
        "states": _state_levels(subject, figures),
        "gross_notional": subject.show(figures.gross_notional),
        "net_delta": subject.show(net),
        "gross_delta": subject.show(gross),
        "is_neutral": is_neutral(exposures(subject.bucket, subject.prices, subject.terms)),
        "coins": _coin_rows(subject, figures),
        "positions": [_position_row(subject, row) for row in figures.positions],
        "releasable": _releasable_rows(subject),
    }


def _state_levels(subject: Subject, figures: Health) -> list[Plain]:
    """Say below which equity each state begins."""
    thresholds = subject.terms.thresholds
    if thresholds is None:
        return []
    return [
        {
            "state": state,
            "below": f"{show_decimal(ppm * 100, 6)} %",
            "equity": subject.show(-(-figures.maintenance * ppm // PPM)),
        }
        for state, ppm in zip(_STATES_BELOW, levels_ppm(thresholds), strict=True)
    ]


def _coin_rows(subject: Subject, figures: Health) -> list[Plain]:
    rows = []
    for row in figures.coins:
        decimals = subject.terms.coins[row.asset].decimals
        rows.append(
            {
                "coin": row.asset,
                "balance": show_decimal(row.balance, decimals),
                "debts": show_decimal(row.debts, decimals),
                "session_profit": show_decimal(row.session_profit, decimals),
                "net": show_decimal(row.net, decimals),
                "price": show_decimal(row.price_e10, PRICE_DIGITS),
                "value": subject.show(row.value),
            }
        )
    return rows


def _position_row(subject: Subject, row: PositionTerm) -> Plain:
    decimals = subject.terms.coins[row.quote].decimals
    table = contract_of(subject.terms, row.instrument).tiers
    return {
        "instrument": row.instrument,
        "contracts": row.contracts,
        "mark": show_decimal(row.mark_e10, PRICE_DIGITS),
        "quote": row.quote,
        "notional": show_decimal(row.notional_quote, decimals),
        "session_profit": show_decimal(row.session_profit, decimals),
        "maintenance_rate": f"{show_decimal(table.rates_ppm[row.bracket] * 100, 6)} %",
        "cum": show_decimal(table.cums_ppm[row.bracket], decimals + 6),
        "maintenance": subject.show(row.maintenance),
        "leverage_max": table.leverages[row.bracket],
        "initial": subject.show(row.initial),
    }


def _releasable_rows(subject: Subject) -> Plain:
    coins = [asset for asset in subject.bucket.balances if asset in subject.terms.coins]
    return {
        asset: show_decimal(
            releasable(subject.bucket, asset, subject.prices, subject.terms),
            subject.terms.coins[asset].decimals,
        )
        for asset in coins
    }


def print_health(found: Plain) -> None:
    """Print what `plain_health` wrote, each sum below its terms."""
    console.print(f"[bold]{escape(found['bucket'])}[/] ({found['mode']}), amounts in {found['numeraire']}")
    _print_coins(found["coins"])
    for row in found["positions"]:
        _print_position(row)
    sums = Table("sum", found["numeraire"])
    sums.columns[1].justify = "right"
    for name in ("equity", "initial", "order_margin", "free", "maintenance", "gross_notional", "net_delta"):
        sums.add_row(name.replace("_", " "), found[name])
    console.print(sums)
    if found["state"] is not None:
        health_words = f"health {found['health']}, " if found["health"] else ""
        console.print(f"{health_words}state [bold]{found['state']}[/]", highlight=False)
        for level in found["states"]:
            console.print(f"  {level['state']} below {level['equity']} ({level['below']})", highlight=False)
    for asset, amount in found["releasable"].items():
        console.print(f"releasable: {amount} {asset}", highlight=False)


def _print_coins(rows: list[Plain]) -> None:
    columns = ("coin", "balance", "debts", "session_profit", "net", "price", "value")
    table = Table(*(name.replace("_", " ") for name in columns))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    if rows:
        console.print(table)
        console.print("net = balance - debts + session profit; value is after the haircut, rounded down")


def _print_position(row: Plain) -> None:
    """Write one position as the sums that its requirements are."""
    quote = row["quote"]
    console.print(
        f"{escape(row['instrument'])}: {row['contracts']} contracts at {row['mark']}, "
        f"notional {row['notional']} {quote}, session profit {row['session_profit']} {quote}",
        f"  maintenance {row['maintenance']} = {row['notional']} x {row['maintenance_rate']} - {row['cum']}",
        f"  initial {row['initial']} = {row['notional']} / {row['leverage_max']}, at least maintenance",
        sep="\n",
        highlight=False,
        soft_wrap=True,
    )


# --- prices ------------------------------------------------------------------------------------


def plain_prices(subject: Subject, moves: Moves, *, with_fee: bool) -> list[Plain]:
    """Write between which marks each open position leaves the bucket healthy, and solvent."""
    rows = []
    for position in subject.bucket.positions:
        if not position.contracts:
            continue
        name = position.instrument
        fee_ppm = max(0, contract_of(subject.terms, name).fees.taker_ppm) if with_fee else 0
        about = (subject.bucket, name, subject.prices, subject.terms)
        rows.append(
            {
                "instrument": name,
                "contracts": position.contracts,
                "mark": show_decimal(subject.prices.mark(name), PRICE_DIGITS),
                "liquidation": _plain_range(liquidation_range(*about, fee_ppm=fee_ppm, moves=moves)),
                "bankruptcy": _plain_range(bankruptcy_range(*about, fee_ppm=fee_ppm, moves=moves)),
            }
        )
    return rows


def _plain_range(found: PriceRange | None) -> Plain | None:
    if found is None:
        return None
    below, above = (
        None if price_e10 is None else show_decimal(price_e10, PRICE_DIGITS)
        for price_e10 in (found.below, found.above)
    )
    return {"below": below, "above": above}
