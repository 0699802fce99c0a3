"""The lab's exercise: real packets on one machine, before the rules, under them, and with walls taken away.

Each step states what must be open and asks every cell of the matrix. The first step, without rules, is the
control: only where a cell was open then does its silence later prove anything.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from ringfence.planes.network.compile import Flow, Rules
from ringfence.services.enforced import HUB
from ringfence.services.segmentation import Enforcer


class Probed(Protocol):
    """Whether each cell of the matrix was open, and how the closed ones were closed."""

    @property
    def is_open(self) -> Mapping[tuple[Flow, int], bool]:
        """By flow and IP family (4 or 6)."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many cells ended how, by word."""


Ask = Callable[[Collection[Flow] | None], Probed]
"""Probes the whole matrix, or only the cells of some flows."""


@dataclass(frozen=True, slots=True)
class LabStep:
    """What one step showed. wrong: a sentence for each cell that was not as it must be."""

    name: str
    words: str
    cells: int
    counts: Mapping[str, int]
    wrong: tuple[str, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Say whether every cell was as it must be."""
        return not self.wrong


def exercise(rules: Rules, enforcer: Enforcer, ask: Ask) -> Iterator[LabStep]:
    """Run every step in order; a step that does not hold does not stop the next."""
    declared = frozenset(rules.flows)
    yield _step("control", "without rules everything is open", ask, None)
    enforcer.apply(rules, lambda _: (), lambda _: (), lambda: True)
    yield _step("both", "under both layers only declared flows are open", ask, declared)
    enforcer.places[HUB].flush()
    outside = frozenset(rules.externals)
    yield _step(
        "without_hub", "with the hub's rules flushed the services' own still hold", ask, declared, outside
    )
    _reload(enforcer, HUB)
    for service in rules.workloads:
        enforcer.places[service].flush()
        yield _step(
            f"without_{service}", f"with the rules of {service} flushed the others still hold", ask, declared
        )
        _reload(enforcer, service)
    yield from _quarantines(rules, enforcer, ask, declared)


def _quarantines(rules: Rules, enforcer: Enforcer, ask: Ask, declared: frozenset[Flow]) -> Iterator[LabStep]:
    for service in rules.workloads:
        enforcer.quarantine(service)
        left = frozenset(flow for flow in declared if service not in (flow.source, flow.target))
        yield _step(
            f"quarantine_{service}", f"{service} cut off, and nothing else", ask, left, asked=declared
        )
        enforcer.release(service)
    yield _step("released", "released, everything is as declared again", ask, declared, asked=declared)


def _step(
    name: str,
    words: str,
    ask: Ask,
    must_be_open: frozenset[Flow] | None,
    unguarded: frozenset[str] = frozenset(),
    asked: frozenset[Flow] | None = None,
) -> LabStep:
    """Probe and compare. unguarded: ends that have no rules of their own; what is between two of them only
    the hub decides."""
    start = perf_counter()
    probed = ask(asked)
    wrong = _wrong_cells(probed, must_be_open, unguarded)
    if wrong:
        # A busy machine may answer late: what looks wrong is asked a second time, by itself.
        wrong = _wrong_cells(ask({flow for flow, _ in wrong}), must_be_open, unguarded)
    said = tuple(_wrong(*cell, is_open=probed.is_open[cell]) for cell in wrong)
    return LabStep(name, words, len(probed.is_open), probed.counts, said, perf_counter() - start)


def _wrong_cells(
    probed: Probed, must_be_open: frozenset[Flow] | None, unguarded: frozenset[str]
) -> tuple[tuple[Flow, int], ...]:
    return tuple(
        (flow, family)
        for (flow, family), is_open in sorted(probed.is_open.items())
        if is_open != (must_be_open is None or flow in must_be_open)
        and not {flow.source, flow.target} <= unguarded
    )


MustBe = Callable[[Flow], bool | None]
"""Whether a connection must be open or closed; None where either is right."""


def wrong_cells(ask: Ask, must_be: MustBe, asked: Collection[Flow] | None = None) -> tuple[str, ...]:
    """Ask the whole matrix, or some flows; say in a sentence each what was not as it must be.

    What looks wrong is asked a second time, by itself: a busy machine may answer late.
    """
    cells = ask(asked).is_open
    wrong = {flow for (flow, _), is_open in cells.items() if must_be(flow) not in (None, is_open)}
    again = ask(sorted(wrong)).is_open if wrong else {}
    return tuple(
        _wrong(flow, family, is_open=is_open)
        for (flow, family), is_open in sorted(again.items())
        if must_be(flow) not in (None, is_open)
    )


def _wrong(flow: Flow, family: int, *, is_open: bool) -> str:
    return f"{flow} over IPv{family} was {'open' if is_open else 'closed'}"


def _reload(enforcer: Enforcer, place: str) -> None:
    assert enforcer.generation is not None  # `exercise` applied rules before
    enforcer.places[place].load(enforcer.generation.documents[place])


def summary(steps: Sequence[LabStep]) -> str:
    """Say in one sentence what the exercise showed."""
    wrong = sum(len(step.wrong) for step in steps)
    cells = sum(step.cells for step in steps)
    if wrong:
        return f"{wrong} of {cells} probes were not as they must be"
    return f"all {cells} probes were as they must be, in {len(steps)} steps"
