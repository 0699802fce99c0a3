"""The words and numbers of a study as people read them, the same on the terminal and on the page."""

from dataclasses import replace

from ringfence.replay.layouts import LAYOUTS, Layout
from ringfence.replay.paths import ORDERS
from ringfence.replay.study import SLIPPAGES_PPM, Band, Scene, Study
from ringfence.replay.summary import BookProof
from ringfence.replay.tale import Moment

LAYOUT_WORDS: dict[Layout, str] = {
    "segregated": "segregated",
    "cross": "one account each",
    "commingled": "one pool",
}
COLUMN_WORDS = {
    "foreign_loss": "foreign loss",
    "insurance_used": "paid by insurance pools",
    "profit_forgone": "given up by deleveraging",
    "house_loss": "paid by the house",
    "closure_cost": "cost of forced closures",
    "naked_delta": "hedges left unbalanced",
    "clients_wiped_out": "clients wiped out",
    "accounts_liquidated": "accounts closed by force",
    "bankruptcies": "accounts that failed",
}
MONEY = frozenset(COLUMN_WORDS) - {"clients_wiped_out", "accounts_liquidated", "bankruptcies"}
FROZEN_WORDS = "margin one account would free"
EVENTS_MAX, CALM_BARS = 12, 4
"""How much of a client's day a table shows."""

THOUSANDS_FROM = 10_000_000
"""Whole units of money from which on a table is in thousands."""


def layout_rows(study: Study) -> list[list[str]]:
    """Return the rows of the table of layouts: a name, then one cell per layout, [best, worst] order."""
    rows = [
        [
            f"foreign loss, slippage {ppm / 10_000:g} %",
            *(_cell(study, layout, "foreign_loss", ppm) for layout in LAYOUTS),
        ]
        for ppm in SLIPPAGES_PPM
    ]
    rows += [
        [words, *(_cell(study, layout, column) for layout in LAYOUTS)]
        for column, words in COLUMN_WORDS.items()
        if column != "foreign_loss"
    ]
    frozen = (study.results[layout].capital_frozen for layout in LAYOUTS)
    return [*rows, [FROZEN_WORDS, *(f"{_in_table(study, units):,.0f}" for units in frozen)]]


def money_words(study: Study) -> str:
    """Say what the money of the table is in."""
    quote = study.scene.capital.policy.numeraire
    return f"thousand {quote}" if _is_in_thousands(study) else quote


def checks(study: Study, proof: BookProof | None, unproved: str) -> tuple[str, ...]:
    """List what was verified, in sentences; unproved: why no book was kept, where none was."""
    found = [
        f"{study.runs} runs: {len(LAYOUTS)} layouts, {len(ORDERS)} orders of moves, {len(SLIPPAGES_PPM)} "
        "slippages. After each, every compartment holds what its sleeves have in it, nothing is "
        "overdrawn, and contracts net to zero."
    ]
    if proof is None:
        return (*found, f"No book was kept: {unproved}.")
    read_back = (
        "every signature, answer and hash came out the same." if proof.verified else "IT DID NOT VERIFY."
    )
    return (
        *found,
        f"One run was lived again in a real book: {proof.operations:,} operations, signed by clients and "
        f"services, none refused; {proof.compared:,} balances, positions and debts equal the replay to the "
        "unit.",
        f"The book's journal of {proof.records:,} records was read back: {read_back}",
    )


def shown_moments(moments: tuple[Moment, ...]) -> list[Moment]:
    """Choose the moments that a table shows: a few bars of calm, and what happened, the middle left out."""
    eventful = [one for one in moments if one.words]
    calm = [one for one in moments if not one.words]
    if len(eventful) > EVENTS_MAX:
        half = EVENTS_MAX // 2
        left_out = eventful[half:-half]
        first = left_out[0]
        between = replace(first, words=(f"… {len(left_out)} more moments like these",))
        eventful = [*eventful[:half], between, *eventful[-half:]]
    return sorted([*calm[-CALM_BARS:], *eventful], key=lambda one: one.point)


def whole(scene: Scene, units: int) -> float:
    """Turn units of the numeraire into whole ones, to show."""
    return units / float(10 ** scene.grounds["segregated"].names.quote_decimals)


def short_money(value: float) -> str:
    """Write an amount in three figures: 10.8 M."""
    for size, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:,.0f}"


def _cell(study: Study, layout: Layout, column: str, ppm: int | None = None) -> str:
    band: Band = study.results[layout].bands[column]
    low, high = (band.best, band.worst) if ppm is None else band.by_slippage[ppm]
    shown = [f"{_in_table(study, one):,.0f}" if column in MONEY else f"{one:,}" for one in (low, high)]
    return shown[0] if shown[0] == shown[1] else f"{shown[0]} – {shown[1]}"


def _in_table(study: Study, units: int) -> float:
    return whole(study.scene, units) / (1_000 if _is_in_thousands(study) else 1)


def _is_in_thousands(study: Study) -> bool:
    worst = max(study.results[layout].bands[column].worst for layout in LAYOUTS for column in MONEY)
    return whole(study.scene, worst) >= THOUSANDS_FROM
