"""May one service open a connection to another? The rule, readable.

`decide` is asked about one packet's worth: two ends, a port, a protocol. It is the reference that every
renderer is held to, and what `net explain` prints.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ringfence.kernel.decision import Accepted, Decision, Reason, Refused
from ringfence.planes.network.compile import Flow, Rules

WAYS_MAX = 3
"""How many permitted ways a refusal names beside the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its cause.

    rule: the policy line that decides, "" where no line does; purpose: what a permitted flow is for; ways:
    the nearest permitted flows, each with its line; path: flows that lead there over others.
    """

    flow: Flow
    decision: Decision
    rule: str
    purpose: str
    ways: tuple[str, ...]
    path: tuple[str, ...]

    @property
    def is_accepted(self) -> bool:
        """Say whether the connection may be opened."""
        return isinstance(self.decision, Accepted)


def decide(rules: Rules, flow: Flow) -> Decision:
    """Judge one connection, opened by the flow's source; the first reason in `Reason` order wins."""
    if flow.source not in rules.ends or flow.target not in rules.ends:
        unknown = flow.source if flow.source not in rules.ends else flow.target
        known = ", ".join(sorted(rules.ends))
        words = f"the policy has no service or external {unknown!r}; it has {known}"
        return Refused(Reason.SERVICE_UNKNOWN, words)
    if flow not in rules.flows:
        words = f"no flow of the policy permits {flow}{_best(rules, flow)}"
        return Refused(Reason.NO_FLOW_BETWEEN_SERVICES, words, _nearest_rule(rules, flow))
    return Accepted()


def explain(rules: Rules, flow: Flow) -> Explanation:
    """Judge one connection and say why, and what would be permitted instead."""
    decision = decide(rules, flow)
    if isinstance(decision, Accepted):
        permission = rules.flows[flow]
        return Explanation(flow, decision, permission.rule, permission.purpose, (), ())
    ways = tuple(with_rule(rules, near) for near in nearest(rules, flow))
    path = tuple(with_rule(rules, step) for step in path_between(rules, flow.source, flow.target))
    return Explanation(flow, decision, decision.rule, "", ways, path)


def nearest(rules: Rules, flow: Flow) -> tuple[Flow, ...]:
    """List the permitted flows closest to one that is not: the same pair first, then the other way round,
    then the same port of the same target, then anything else into the target."""
    ranked = sorted((_distance(flow, other), other) for other in rules.flows)
    return tuple(other for distance, other in ranked if distance < len(_NEARNESS))[:WAYS_MAX]


def path_between(rules: Rules, source: str, target: str) -> tuple[Flow, ...]:
    """Return the shortest chain of permitted flows from source to target over others; empty where none is.

    Whoever owns every service on the way gets there; it is what `pivot` means in a claim.
    """
    reached: dict[str, Flow | None] = {source: None}
    waiting = deque([source])
    while waiting and target not in reached:
        for flow in rules.out_of(waiting.popleft()):
            if flow.target not in reached:
                reached[flow.target] = flow
                waiting.append(flow.target)
    steps: list[Flow] = []
    step = reached.get(target)
    while step is not None:
        steps.append(step)
        step = reached[step.source]
    return tuple(reversed(steps))


_NEARNESS: tuple[Callable[[Flow, Flow], bool], ...] = (
    lambda asked, other: (other.source, other.target) == (asked.source, asked.target),
    lambda asked, other: (other.target, other.source) == (asked.source, asked.target),
    lambda asked, other: (
        (other.target, other.protocol, other.port) == (asked.target, asked.protocol, asked.port)
    ),
    lambda asked, other: other.target == asked.target,
)


def _distance(asked: Flow, other: Flow) -> int:
    for distance, is_near in enumerate(_NEARNESS):
        if is_near(asked, other):
            return distance
    return len(_NEARNESS)


def _best(rules: Rules, flow: Flow) -> str:
    near = nearest(rules, flow)
    if near:
        return f"; the nearest permitted way is {with_rule(rules, near[0])}"
    own = next(rules.out_of(flow.target), None)
    pulls = f", which opens its own, such as {with_rule(rules, own)}" if own else ""
    return f"; nobody may open a connection to {flow.target}{pulls}"


def _nearest_rule(rules: Rules, flow: Flow) -> str:
    """Return the line that declares the target: what is not permitted has no line of its own."""
    workload = rules.workloads.get(flow.target)
    return workload.rule if workload else ""


def with_rule(rules: Rules, flow: Flow) -> str:
    """Write a permitted flow with the policy's line that permits it."""
    rule = rules.flows[flow].rule
    return f"{flow} ({rule})" if rule else str(flow)
