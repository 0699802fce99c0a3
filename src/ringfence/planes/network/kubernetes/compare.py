"""What two versions of a cluster let through differently, whatever their policies are called.

Ranges outside are cut by the networks of both versions and joined again where the difference is the same, so
each changed range is exact and stands once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ringfence.planes.network.connections import NO_CONNECTIONS, Connections
from ringfence.planes.network.kubernetes.evaluate import Connectivity
from ringfence.planes.network.kubernetes.model import Cluster
from ringfence.planes.network.kubernetes.stance import External, Family, Stances


@dataclass(frozen=True, slots=True)
class Change:
    """One pair of ends whose connections differ; `note` names an end that is only there in one version."""

    kind: Literal["added", "removed", "changed"]
    source: str
    target: str
    before: Connections
    after: Connections
    note: str = ""

    def __str__(self) -> str:
        words = f"{self.kind}: {self.source} => {self.target} : {self.before} -> {self.after}"
        return f"{words} ({self.note})" if self.note else words


def compare(old: Cluster, new: Cluster, families: tuple[Family, ...] = ("v4",)) -> tuple[Change, ...]:
    """List every pair whose connections differ between two versions."""
    cuts = (*Stances(old).networks(), *Stances(new).networks())
    before, after = Connectivity(old, families, cuts), Connectivity(new, families, cuts)
    both = _Both(before, after)
    inside = [both.change(source, target) for source in both.workloads for target in both.workloads]
    sources, targets = before.sources | after.sources, before.targets | after.targets
    changes = [change for change in inside if change is not None]
    for workload in both.workloads:
        changes.extend(_joined(both, [(end, workload) for end in sources.values()]))
        changes.extend(_joined(both, [(workload, end) for end in targets.values()]))
    return tuple(sorted(changes, key=lambda change: (change.source, change.target)))


class _Both:
    """Two versions asked the same question."""

    def __init__(self, before: Connectivity, after: Connectivity) -> None:
        self.before, self.after = before, after
        self.workloads = sorted(before.workloads.keys() | after.workloads.keys())

    def change(self, source: str, target: str) -> Change | None:
        """Return the difference between two ends, None where there is none."""
        if source == target:
            return None
        was, is_now = _ask(self.before, source, target), _ask(self.after, source, target)
        if was == is_now:
            return None
        kind: Literal["added", "removed", "changed"] = "changed"
        if not was or not is_now:
            kind = "removed" if was else "added"
        return Change(kind, source, target, was, is_now, self._note(source, target))

    def _note(self, *ends: str) -> str:
        notes = []
        for end in ends:
            if end in self.workloads and end not in self.before.workloads:
                notes.append(f"{end} is new")
            elif end in self.workloads and end not in self.after.workloads:
                notes.append(f"{end} is gone")
        return ", ".join(notes)


def _ask(connectivity: Connectivity, source: str, target: str) -> Connections:
    """Return what passes; nothing where an end is not there."""
    has_source = source in connectivity.workloads or source in connectivity.sources
    has_target = target in connectivity.workloads or target in connectivity.targets
    return connectivity.between(source, target) if has_source and has_target else NO_CONNECTIONS


def _joined(both: _Both, pairs: list[tuple[External | str, External | str]]) -> Iterator[Change]:
    """Give the changes of one workload with the outside; neighbouring ranges that change alike are one."""
    last: tuple[External, Change] | None = None
    for source, target in pairs:
        change = both.change(_title(source), _title(target))
        external = source if isinstance(source, External) else target
        assert isinstance(external, External)  # one end of each pair lies outside
        if last and change and _continues(last, external, change):
            joined = External(external.family, last[0].first, external.last)
            last = (joined, _renamed(last[1], last[0].title, joined.title))
            continue
        if last:
            yield last[1]
        last = (external, change) if change else None
    if last:
        yield last[1]


def _title(end: External | str) -> str:
    return end.title if isinstance(end, External) else end


def _continues(last: tuple[External, Change], external: External, change: Change) -> bool:
    earlier, known = last
    return (
        external.family is not None
        and earlier.family == external.family
        and earlier.last + 1 == external.first
        and (known.before, known.after) == (change.before, change.after)
    )


def _renamed(change: Change, old: str, new: str) -> Change:
    source, target = (new if end == old else end for end in (change.source, change.target))
    return Change(change.kind, source, target, change.before, change.after, change.note)
