"""Flows that were seen and no policy declares, as lines that a person may approve.

Nothing is opened by a proposal: it is text for the policy's `flows`, with what was seen as its purpose, and
the purpose is for the person to write.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ringfence.planes.network.compile import Flow, Rules
from ringfence.policy.yaml_text import write_flow


@dataclass(frozen=True, slots=True)
class Proposal:
    """A flow that the policy would need; seen: in words, how it is known."""

    flow: Flow
    seen: str

    def __str__(self) -> str:
        entry: dict[str, str | int] = {"from": self.flow.source, "to": self.flow.target}
        if self.flow.protocol != "tcp":
            entry["protocol"] = self.flow.protocol
        return f"  - {write_flow({**entry, 'port': self.flow.port, 'purpose': self.seen})}"


def propose(
    rules: Rules, tried: Mapping[Flow, int], established: Iterable[Flow] = ()
) -> tuple[Proposal, ...]:
    """List what was tried or is established and not declared, by flow; ends the policy does not have are not
    for it to open."""
    now = set(established)
    found = sorted({*tried, *now} - rules.flows.keys())
    return tuple(
        Proposal(flow, _seen(tried.get(flow, 0), flow in now))
        for flow in found
        if flow.source in rules.ends and flow.target in rules.ends
    )


def _seen(times: int, is_established: bool) -> str:
    parts = [f"tried {times} times"] if times else []
    return "; ".join([*parts, *(["established now"] if is_established else []), "say what it is for"])
