"""A study as plain data for programs, and its headline in sentences for people."""

from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.kernel.instant import show_instant
from ringfence.replay.capital import CAPITAL_GATE, LAST_PPM, POOL_PPM
from ringfence.replay.contagion import COLUMNS
from ringfence.replay.engine import SALE_COST_PPM_MAX
from ringfence.replay.headline import SLIPPAGE_PPM
from ringfence.replay.paths import ORDERS, TOLD
from ringfence.replay.study import Band, LayoutResult, Scene, Study


@dataclass(frozen=True, slots=True)
class BookProof:
    """What the book said about the headline run.

    operations: accepted by it; compared: figures equal in book and replay; records: of its journal; verified:
    the journal was read back and every answer came out the same; hashes: of the hedge's bucket before the
    bet beside it was closed and after what that made due.
    """

    operations: int
    compared: int
    records: int
    verified: bool
    conserved: bool
    hashes: tuple[str, str] | None


def data_of(study: Study, proof: BookProof | None, unproved: str = "") -> dict[str, object]:
    """Return the study as plain data: amounts are whole units of the numeraire.

    unproved: why no book was kept, where none was. A run whose books do not balance raises long before this.
    """
    scene = study.scene
    return {
        "holds": study.holds,
        "unit": {"asset": scene.capital.policy.numeraire, "decimals": _decimals(scene)},
        "layouts": {layout: _layout_data(result) for layout, result in study.results.items()},
        "conservation": {"ok": True, "runs": study.runs, "book": None if proof is None else proof.conserved},
        "journal": _journal_data(proof, unproved),
        "market": _market_data(scene),
        "population": _population_data(scene),
        "assumptions": list(assumptions(scene)),
    }


def sentence(study: Study) -> str:
    """Say in one sentence what was found, and through what it crossed where a wall did not hold."""
    apart = study.results["segregated"]
    foreign = apart.bands["foreign_loss"]
    if not apart.holds:
        through = "; ".join(f"{one.name} ({one.line})" if one.line else one.name for one in apart.conduits)
        return (
            f"NOT CONTAINED: up to {show_units(study.scene, foreign.worst)} of client collateral paid for "
            f"another strategy or client, through {through}."
        )
    others = [
        f"{show_band(study.scene, result.bands['foreign_loss'])} with {_pooled_words(layout)}"
        for layout, result in study.results.items()
        if layout != "segregated"
    ]
    return (
        f"Contained: in none of {study.runs // len(study.results)} runs did client collateral pay for "
        f"another strategy or client. The same day would have cost {' and '.join(others)}."
    )


def faults(study: Study) -> tuple[str, ...]:
    """Name every layout whose headline does not hold over the whole band."""
    found = []
    for layout, result in study.results.items():
        if not result.holds and layout != "segregated":
            found.append(
                f"the {layout} layout shows no loss crossing in at least one run, so it proves nothing there"
            )
    if not study.results["segregated"].holds:
        found.insert(0, sentence(study))
    return tuple(found)


def assumptions(scene: Scene) -> tuple[str, ...]:
    """List what was taken as given, in sentences."""
    quote = scene.capital.policy.numeraire
    added = (
        "The policy has no gate by which the house brings its capital in; the replay adds "
        f"`{CAPITAL_GATE}` beside it.",
    )
    return (
        *scene.market.notes,
        *(f"Left out: {words}." for words in scene.market.skipped),
        f"The order of moves inside a bar is unknown; {len(ORDERS)} were replayed: {', '.join(ORDERS)}.",
        "Every forced closure finds a buyer: makers whose own position it makes smaller, at the mark less 0, "
        "1 or 5 % slippage, inside the instrument's price band. Makers hold enough to outlast the window.",
        "Nobody answers a call, adds money or trades during the window; a call that nobody cures closes "
        "nothing by itself.",
        f"Pools begin with {POOL_PPM / 10_000:g} % of what lies where they cover, the last owner with "
        f"{LAST_PPM / 10_000:g} % of all money in {quote}; the same in every layout.",
        f"Coins sold to pay a loss lose as much as a closure does, {SALE_COST_PPM_MAX / 10_000:g} % at most.",
        "Funding is 0.01 % an interval, paid by longs. Rebates to makers stay unpaid.",
        *(added if scene.capital.is_gate_added else ()),
        f"The book was kept for the segregated layout, {TOLD}, at {SLIPPAGE_PPM / 10_000:g} % slippage.",
    )


def show_units(scene: Scene, units: int) -> str:
    """Write an amount of the numeraire without its decimals."""
    return f"{units / 10 ** _decimals(scene):,.0f} {scene.capital.policy.numeraire}"


def show_band(scene: Scene, band: Band) -> str:
    """Write a band over all runs."""
    if band.best == band.worst:
        return show_units(scene, band.best)
    return f"{band.best / 10 ** _decimals(scene):,.0f} to {show_units(scene, band.worst)}"


def _pooled_words(layout: str) -> str:
    return {"cross": "one account per client", "commingled": "one pool for all"}[layout]


def _decimals(scene: Scene) -> int:
    return scene.grounds["segregated"].names.quote_decimals


def _layout_data(result: LayoutResult) -> dict[str, object]:
    data: dict[str, object] = {column: _band_data(result.bands[column]) for column in COLUMNS}
    data["foreign_loss"] = {**_band_data(result.bands["foreign_loss"]), "holds": result.holds}
    data["capital_frozen"] = result.capital_frozen
    data["crossed_through"] = [
        {"name": one.name, "line": one.line, "units": one.units} for one in result.conduits
    ]
    return data


def _band_data(band: Band) -> dict[str, object]:
    return {
        "best": band.best,
        "worst": band.worst,
        "by_slippage": {f"{ppm / 10_000:g} %": list(pair) for ppm, pair in band.by_slippage.items()},
    }


def _journal_data(proof: BookProof | None, unproved: str) -> Mapping[str, object]:
    if proof is None:
        return {"verified": False, "why": unproved}
    return {
        "verified": proof.verified,
        "records": proof.records,
        "operations": proof.operations,
        "figures_equal_to_the_replay": proof.compared,
        "hedge_hash_before": proof.hashes[0] if proof.hashes else None,
        "hedge_hash_after": proof.hashes[1] if proof.hashes else None,
    }


def _market_data(scene: Scene) -> dict[str, object]:
    market = scene.market
    return {
        "title": market.title,
        "source": market.source,
        "window": market.span.name,
        "from": show_instant(market.span.start),
        "to": show_instant(market.span.end),
        "bars": len(market.opened),
        "coins": list(market.symbols),
        "instruments": list(market.instruments),
        "skipped": list(market.skipped),
        "notes": list(market.notes),
    }


def _population_data(scene: Scene) -> dict[str, object]:
    population = scene.population
    return {
        "seed": population.seed,
        "clients": population.makers_from,
        "makers": len(population.names) - population.makers_from,
        "sleeves": {one.name: one.pattern for one in population.placement.sleeves},
        "words": list(population.words),
    }
