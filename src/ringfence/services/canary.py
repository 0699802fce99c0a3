"""A canary in the rules: real packets, again and again, for as long as the rules are to hold.

Every round asks all declared flows and a share of everything else. A silence proves nothing by itself, so
beside each connection that was closed the target is asked from its own place: only where that answers was the
wall what closed it. The rest counts as unproven and is said.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

from ringfence.planes.network.compile import Flow, Rules
from ringfence.services.lab import Ask, MustBe

SHARE = 0.05
"""What part of the undeclared connections one round asks."""


@dataclass(frozen=True, slots=True)
class CanaryRound:
    """One round.

    wrong: a sentence for each connection that was not as it must be; unproven: how many of the closed ones
    had a target that did not answer in its own place either.
    """

    number: int
    asked: int
    wrong: tuple[str, ...]
    unproven: int
    seconds: float


def canary(
    rules: Rules,
    everything: Sequence[Flow],
    ask: Ask,
    must_be: Callable[[], MustBe],
    seed: int,
    share: float = SHARE,
) -> Iterator[CanaryRound]:
    """Ask round after round; who takes the rounds decides how often.

    everything: all connections that could be asked, declared ones among them; must_be: asked anew in each
    round, for somebody may change what is in force; seed: draws the shares.
    """
    dice = random.Random(seed)
    undeclared = [flow for flow in everything if flow not in rules.flows]
    declared = [flow for flow in everything if flow in rules.flows]
    count = min(len(undeclared), max(1, round(share * len(undeclared))))
    for number in itertools.count(1):
        yield _round([*declared, *dice.sample(undeclared, count)], ask, must_be, number)


def _round(asked: Sequence[Flow], ask: Ask, must_be: Callable[[], MustBe], number: int) -> CanaryRound:
    start = perf_counter()
    wanted = must_be()
    found = dict(ask(asked).is_open)
    wrong = {flow for (flow, _), is_open in found.items() if wanted(flow) not in (None, is_open)}
    if wrong:
        # A busy machine answers late, and what is in force may just have changed: both are asked again.
        wanted = must_be()
        found |= ask(sorted(wrong)).is_open
    closed = [(flow, family) for (flow, family), is_open in found.items() if not is_open]
    control = ask(sorted({_at_home(flow) for flow, _ in closed})).is_open
    said = tuple(
        f"{flow} over IPv{family} was {'open' if is_open else 'closed'}"
        for (flow, family), is_open in sorted(found.items())
        if flow in wrong and wanted(flow) not in (None, is_open)
    )
    unproven = sum(not control.get((_at_home(flow), family)) for flow, family in closed)
    return CanaryRound(number, len(found), said, unproven, perf_counter() - start)


def _at_home(flow: Flow) -> Flow:
    """Return the same question asked by the target itself, where no wall stands between."""
    return Flow(flow.target, flow.target, flow.protocol, flow.port)
