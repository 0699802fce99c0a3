"""Who can talk to whom in a cluster: every workload, and the addresses outside in exact ranges.

A connection is open when the source's egress and the target's ingress both let it through. Pods with one
owner are one workload; where they differ, what any of them can do is shown. Addresses outside are cut as the
policies cut them: sources by the networks of ingress rules, targets by those of egress rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.planes.network.addresses import Addresses
from ringfence.planes.network.connections import NO_CONNECTIONS, Connections
from ringfence.planes.network.kubernetes.model import Cluster, Direction, NamedPort
from ringfence.planes.network.kubernetes.stance import Family, Stance, Stances
from ringfence.planes.network.kubernetes.verdict import Piece, judge, opened

_Question = tuple[Direction, int, int, tuple[NamedPort, ...]]


@dataclass(frozen=True, slots=True)
class Link:
    """An ordered pair of ends, by their titles, and what may pass."""

    source: str
    target: str
    connections: Connections

    def __str__(self) -> str:
        return f"{self.source} => {self.target} : {self.connections}"


class Connectivity:
    """The answers about one cluster; built once, asked often.

    families: the address families listed outside; cuts: networks that addresses outside are cut by besides
    those of the policies, so that two clusters can be compared range by range.
    """

    def __init__(
        self, cluster: Cluster, families: tuple[Family, ...] = ("v4",), cuts: tuple[Addresses, ...] = ()
    ) -> None:
        self.stances = Stances(cluster)
        self.workloads: dict[str, tuple[Stance, ...]] = {}
        for pod in self.stances.cluster.pods:
            stance, known = self.stances.of_pod(pod), self.workloads.get(pod.workload, ())
            self.workloads[pod.workload] = known if stance in known else (*known, stance)
        self.sources = {end.title: end for end in self.stances.outside("ingress", families, cuts)}
        self.targets = {end.title: end for end in self.stances.outside("egress", families, cuts)}
        self._stance_outside = {
            title: self.stances.of_external(end) for title, end in (self.sources | self.targets).items()
        }
        self._pieces: dict[_Question, tuple[Piece, ...]] = {}
        self._open: dict[_Question, Connections] = {}

    def links(self) -> Iterator[Link]:
        """List every pair with anything open, by source and target; nobody talks to himself."""
        for source in sorted((*self.workloads, *self.sources)):
            for target in sorted(
                self.workloads if source in self.sources else (*self.workloads, *self.targets)
            ):
                connections = NO_CONNECTIONS if source == target else self.between(source, target)
                if connections:
                    yield Link(source, target, connections)

    def between(self, source: str, target: str) -> Connections:
        """Return what may pass between two ends, by their titles; KeyError where one is unknown."""
        total = NO_CONNECTIONS
        for one in self.as_source(source):
            for other in self.as_target(target):
                total = total | (self.open("egress", one, other) & self.open("ingress", one, other))
        return total

    def as_source(self, title: str) -> tuple[Stance, ...]:
        """Return the stances of an end that starts connections; KeyError where it is unknown."""
        return self.workloads.get(title) or (self._stance_outside[self.sources[title].title],)

    def as_target(self, title: str) -> tuple[Stance, ...]:
        """Return the stances of an end that takes connections; KeyError where it is unknown."""
        return self.workloads.get(title) or (self._stance_outside[self.targets[title].title],)

    def open(self, direction: Direction, source: Stance, target: Stance) -> Connections:
        """Return what one side lets through: the source's egress or the target's ingress."""
        question = self._question(direction, source, target)
        if question not in self._open:
            self._open[question] = opened(self.pieces(direction, source, target))
        return self._open[question]

    def pieces(self, direction: Direction, source: Stance, target: Stance) -> tuple[Piece, ...]:
        """Return all connections divided by what one side says about them, with the rules that say it."""
        question = self._question(direction, source, target)
        if question not in self._pieces:
            side = self.stances.egress if direction == "egress" else self.stances.ingress
            self._pieces[question] = judge(side.applying(question[1], question[2]), target.ports)
        return self._pieces[question]

    def _question(self, direction: Direction, source: Stance, target: Stance) -> _Question:
        """Reduce two stances to what decides the answer, so that equal questions are judged once."""
        if direction == "egress":
            selected, meant = source.selected_egress, target.as_target
            return direction, selected, meant & self.stances.egress.relevant(selected), target.ports
        selected, meant = target.selected_ingress, source.as_source
        return direction, selected, meant & self.stances.ingress.relevant(selected), target.ports
