"""All layouts over all orders of moves and all slippages: bands, and what holds over the whole of them.

A figure of one run is an anecdote: nobody knows in which order prices moved inside a bar, nor what closing by
force really costs. So every figure is given per slippage as [best order, worst order], and the headline holds
only if it holds in every run.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ringfence.kernel.errors import ViolationError
from ringfence.policy.model import Policy
from ringfence.replay.capital import Capital, bring_capital
from ringfence.replay.contagion import COLUMNS, Conduit, Figures, capital_frozen, figures_of
from ringfence.replay.engine import replay
from ringfence.replay.layouts import LAYOUTS, Layout
from ringfence.replay.market import Market
from ringfence.replay.paths import ORDERS, price_path
from ringfence.replay.population import Population, build_population
from ringfence.replay.terms import compile_terms
from ringfence.replay.world import Ground, compile_world

SLIPPAGES_PPM = (0, 10_000, 50_000)
"""What forced closures lose against the mark: nothing, 1 %, 5 %."""

RUNS = len(LAYOUTS) * len(ORDERS) * len(SLIPPAGES_PPM)

OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Band:
    """One figure per slippage: [best order, worst order]."""

    by_slippage: Mapping[int, tuple[int, int]]

    @property
    def best(self) -> int:
        """The least over all runs."""
        return min(low for low, _ in self.by_slippage.values())

    @property
    def worst(self) -> int:
        """The most over all runs."""
        return max(high for _, high in self.by_slippage.values())


@dataclass(frozen=True, slots=True)
class LayoutResult:
    """What became of one layout: a band per column, the conduits of its worst run, the capital it freezes.

    holds: segregated: no loss crossed in any run; the others: some did in every run.
    """

    layout: Layout
    bands: Mapping[str, Band]
    conduits: tuple[Conduit, ...]
    capital_frozen: int
    holds: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """Who stands where before the first price: the same population laid out three times."""

    market: Market
    population: Population
    capital: Capital
    grounds: Mapping[Layout, Ground]


@dataclass(frozen=True, slots=True)
class Study:
    """The answer: one result per layout, and how many runs it rests on."""

    scene: Scene
    results: Mapping[Layout, LayoutResult]
    runs: int

    @property
    def holds(self) -> bool:
        """Whether the headline holds over the whole band in every layout."""
        return all(result.holds for result in self.results.values())


def set_scene(policy: Policy, market: Market, clients: int, seed: int) -> Scene:
    """Draw the population and lay it out under every layout; BadInput where the policy cannot be replayed."""
    population = build_population(policy, market, clients, seed)
    capital = bring_capital(policy, population)
    terms, names = compile_terms(policy, market)
    grounds = {
        layout: compile_world(capital.policy, layout, population, terms, names, capital.units)
        for layout in LAYOUTS
    }
    return Scene(market, population, capital, grounds)


def run_study(scene: Scene, on_progress: OnProgress | None = None) -> Study:
    """Replay every layout along every order at every slippage.

    Raises ViolationError where a layout saw no bankruptcy at all: then nothing was put to the test.
    """
    found: dict[Layout, dict[tuple[str, int], Figures]] = {layout: {} for layout in LAYOUTS}
    for done, (layout, order, slippage, figures) in enumerate(_runs(scene), start=1):
        found[layout][order, slippage] = figures
        if on_progress is not None:
            on_progress(done, RUNS, f"{layout}, {order}, slippage {slippage / 10_000:g} %")
    results = {layout: _result(scene, layout, figures) for layout, figures in found.items()}
    for result in results.values():
        _refuse_calm(scene, result)
    return Study(scene, results, RUNS)


def _runs(scene: Scene) -> Iterator[tuple[Layout, str, int, Figures]]:
    for order in ORDERS:
        path = price_path(scene.market, order)
        for layout, ground in scene.grounds.items():
            for slippage in SLIPPAGES_PPM:
                yield layout, order, slippage, figures_of(replay(ground, scene.population, path, slippage))


def _result(scene: Scene, layout: Layout, figures: Mapping[tuple[str, int], Figures]) -> LayoutResult:
    bands = {column: _band(column, figures) for column in COLUMNS}
    foreign = bands["foreign_loss"]
    worst = max(figures.values(), key=lambda one: one.foreign_loss)
    frozen = capital_frozen(scene.grounds[layout], scene.grounds["cross"], scene.market.start_e10)
    holds = foreign.worst == 0 if layout == "segregated" else foreign.best > 0
    return LayoutResult(layout, bands, worst.conduits, frozen, holds)


def _band(column: str, figures: Mapping[tuple[str, int], Figures]) -> Band:
    by_slippage = {}
    for slippage in SLIPPAGES_PPM:
        values = [getattr(one, column) for (_, ppm), one in figures.items() if ppm == slippage]
        by_slippage[slippage] = (min(values), max(values))
    return Band(by_slippage)


def _refuse_calm(scene: Scene, result: LayoutResult) -> None:
    if result.bands["bankruptcies"].worst == 0:
        raise ViolationError(
            f"nobody failed in the {result.layout} layout over {scene.market.span.name}: nothing was put to "
            "the test; take a harder window or more clients"
        )
