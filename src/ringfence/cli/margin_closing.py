"""How a bucket would be closed and who would bear a loss, all buckets of a book, and venues side by side."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.markup import escape

from ringfence.cli.margin_words import Subject, parse_price
from ringfence.cli.output import console
from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PPM, PRICE_DIGITS, divide_down, divide_up, show_decimal
from ringfence.margin.bearing import deficits, pools_in, waterfall_of, winners_in
from ringfence.margin.calls import State
from ringfence.margin.health import contract_of
from ringfence.margin.liquidation import Liquidation, plan_liquidation
from ringfence.margin.takeover import Takeover
from ringfence.margin.terms import compile_terms
from ringfence.margin.venues import Stake, compare_venues
from ringfence.margin.waterfall import Deficit, WaterfallPlan, plan_waterfall
from ringfence.planes.ledger.book import BookState

Plain = dict[str, Any]
"""What `--json` prints."""


# --- closing one bucket ------------------------------------------------------------------------


def plain_plan(subject: Subject, slippage_ppm: int) -> Plain:
    """Write the plan for closing a bucket and, where it fails, its waterfall."""
    plan = plan_liquidation(subject.bucket, subject.prices, subject.terms, _execution(subject, slippage_ppm))
    return {
        "bucket": subject.name,
        "numeraire": subject.terms.numeraire,
        "outcome": plan.outcome,
        "equity_before": subject.show(plan.before.equity),
        "equity_after": subject.show(plan.after.equity),
        "maintenance_after": subject.show(plan.after.maintenance),
        "closures": [
            {
                "instrument": row.instrument,
                "contracts": row.contracts,
                "price": show_decimal(row.price_e10, PRICE_DIGITS),
                "fee": _in_quote(subject, row.instrument, row.fee),
                "penalty": _in_quote(subject, row.instrument, row.penalty),
            }
            for row in plan.closures
        ],
        "takeovers": [
            {
                "instrument": row.instrument,
                "contracts": row.contracts,
                "price": show_decimal(row.price_e10, PRICE_DIGITS),
                "mark": show_decimal(row.mark_e10, PRICE_DIGITS),
                "share": subject.show(row.share),
            }
            for row in plan.takeovers
        ],
        "borne": [*_borne(subject, plan)],
    }


def _execution(subject: Subject, slippage_ppm: int) -> dict[str, int]:
    """Price each closing at its mark, worse by the slippage, on the tick."""
    prices = {}
    for position in subject.bucket.positions:
        if position.contracts:
            contract = contract_of(subject.terms, position.instrument)
            side = 1 if position.contracts > 0 else -1
            divide = divide_down if side > 0 else divide_up
            worse = subject.prices.mark(position.instrument) * (PPM - side * slippage_ppm)
            tick = contract.tick_e10
            prices[position.instrument] = max(tick, divide(worse, PPM * tick) * tick)
    return prices


def _in_quote(subject: Subject, instrument: str, units: int) -> str:
    quote = contract_of(subject.terms, instrument).quote
    return f"{show_decimal(units, subject.terms.coins[quote].decimals)} {quote}"


def _borne(subject: Subject, plan: Liquidation) -> Iterator[Plain]:
    """Write who bears each deficit, as far as the book knows."""
    for passed, deficit in deficits(subject.name, plan, subject.terms):
        coin = subject.terms.numeraire
        if passed is not None:
            coin = contract_of(subject.terms, passed.instrument).quote
        decimals = subject.terms.coins[coin].decimals
        row: Plain = {
            "instrument": None if passed is None else passed.instrument,
            "coin": coin,
            "deficit": show_decimal(deficit.units, decimals),
        }
        fall = None if subject.state is None else _waterfall(subject, subject.state, coin, passed, deficit)
        if fall is not None:
            row["profit_forgone"] = show_decimal(fall.profit_forgone, decimals)
            row["naked_contracts"] = fall.naked_contracts
            row["debt"] = show_decimal(fall.debt_units, decimals)
            row["shares"] = [
                {
                    "step": share.step,
                    "bearer": share.bearer,
                    "amount": show_decimal(share.units, decimals),
                    "contracts": share.contracts,
                }
                for share in fall.shares
            ]
        yield row


def _waterfall(
    subject: Subject, state: BookState, coin: str, passed: Takeover | None, deficit: Deficit
) -> WaterfallPlan | None:
    fall = waterfall_of(state, subject.name)
    if fall is None:
        return None
    winners = () if passed is None else winners_in(state, fall, passed, subject.prices, subject.terms)
    return plan_waterfall(fall, deficit, pools_in(state, fall, coin), winners)


def print_plan(found: Plain) -> None:
    """Print what `plain_plan` wrote."""
    console.print(f"[bold]{escape(found['bucket'])}[/]: {found['outcome']}", highlight=False)
    for row in found["closures"]:
        verb = "sells" if row["contracts"] < 0 else "buys"
        console.print(
            f"  {verb} {abs(row['contracts'])} {escape(row['instrument'])} at {row['price']}, "
            f"fee {row['fee']}, penalty {row['penalty']}",
            highlight=False,
        )
    for row in found["takeovers"]:
        console.print(
            f"  {row['contracts']} {escape(row['instrument'])} pass on at {row['price']}, mark {row['mark']}",
            highlight=False,
        )
    for row in found["borne"]:
        _print_borne(row)
    numeraire = found["numeraire"]
    console.print(
        f"  equity {found['equity_before']} {numeraire} before, {found['equity_after']} {numeraire} after, "
        f"maintenance {found['maintenance_after']}",
        highlight=False,
    )


def _print_borne(row: Plain) -> None:
    what = row["instrument"] or "beside positions"
    console.print(f"  deficit on {escape(what)}: {row['deficit']} {row['coin']}", highlight=False)
    for share in row.get("shares", ()):
        contracts = f" with {share['contracts']} contracts" if share["contracts"] else ""
        console.print(
            f"    {share['step']}: {share['amount']} {row['coin']} by {escape(share['bearer'])}{contracts}",
            highlight=False,
        )


# --- all buckets of a book ---------------------------------------------------------------------


def plain_buckets(path: Path, marks: list[str], coins: list[str]) -> list[Plain]:
    """Write every bucket of a book with its state, the riskiest first."""
    from ringfence.cli.book_reading import opened
    from ringfence.margin.batch import compile_batch, pack, remargin
    from ringfence.margin.reading import bucket_in, buckets_in, prices_in
    from ringfence.wiring import read_book

    with opened(path, read_book) as book:
        names = buckets_in(book.state)
        held = [bucket_in(book.state, name) for name in names]
        prices = prices_in(book.state, book.head.at)
        batch = compile_batch(compile_terms(book.rules.policy))
    prices = prices.replaced(map(parse_price, marks), map(parse_price, coins))
    missing = sorted(
        {row.instrument for one in held for row in one.positions if row.contracts} - prices.marks.keys()
    )
    if missing:
        raise BadInput(f"there is no fresh mark for {', '.join(missing)}; give each with --mark")
    found = remargin(pack(held, batch), prices, batch, held.__getitem__)
    decimals = batch.terms.decimals
    rows = [
        {
            "bucket": name,
            "state": State(found.states[number]).name.lower(),
            "equity": show_decimal(round(found.equity[number]), decimals),
            "maintenance": show_decimal(round(found.maintenance[number]), decimals),
            "initial": show_decimal(round(found.initial[number]), decimals),
            "is_bankrupt": bool(found.is_bankrupt[number]),
            "is_short_of_initial": bool(found.is_short_of_initial[number]),
        }
        for number, name in enumerate(names)
    ]
    ratios = [
        equity / maintenance if maintenance else float("inf")
        for equity, maintenance in zip(found.equity, found.maintenance, strict=True)
    ]
    order = sorted(
        range(len(rows)), key=lambda number: (-found.states[number].item(), ratios[number], names[number])
    )
    return [rows[number] for number in order]


# --- venues ------------------------------------------------------------------------------------


def plain_venues(
    side: str,
    size: Fraction,
    entry: Fraction,
    mark: Fraction,
    leverage: int,
    rate_ppm: int,
    fee_ppm: int,
) -> list[Plain]:
    """Write what each venue would do with a position; prices rounded to the cent for reading."""
    stake = Stake(
        side=1 if side == "long" else -1,
        size=size,
        entry=entry,
        leverage=leverage,
        rate=Fraction(rate_ppm, PPM),
        fee=Fraction(fee_ppm, PPM),
        mark=mark,
    )
    return [
        {
            "venue": answer.venue,
            "liquidation_price": f"{float(answer.liquidation_price):.2f}",
            "at_mark": answer.at_mark,
        }
        for answer in compare_venues(stake)
    ]
