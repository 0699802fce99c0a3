"""Why a connection is open or closed in a cluster: the rule on each side, its line, and the nearest way."""

from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv6Address, ip_address

from ringfence.kernel.errors import UsageError
from ringfence.planes.network.connections import Protocol
from ringfence.planes.network.kubernetes.evaluate import Connectivity
from ringfence.planes.network.kubernetes.model import Direction
from ringfence.planes.network.kubernetes.stance import External, Stance
from ringfence.planes.network.kubernetes.verdict import Piece

WAYS_MAX = 5
"""How many other ways an explanation names."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What one side says: open or closed, in words, and where the rule stands ("" where none speaks)."""

    direction: Direction
    is_open: bool
    words: str
    where: str

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return f"{self.direction}: {'open' if self.is_open else 'closed'}, {self.words}{place}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for one port: open only if every cause says so; `ways` lists what is open nearby."""

    source: str
    target: str
    protocol: Protocol
    port: int
    causes: tuple[Cause, ...]
    ways: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Say whether the connection is open."""
        return all(cause.is_open for cause in self.causes)

    def __str__(self) -> str:
        head = f"{self.source} => {self.target} : {self.protocol} {self.port} is "
        lines = [head + ("open" if self.is_open else "closed"), *(f"  {cause}" for cause in self.causes)]
        return "\n".join([*lines, *(f"  open nearby: {way}" for way in self.ways)])


def explain(
    connectivity: Connectivity, source: str, target: str, protocol: Protocol, port: int
) -> Explanation:
    """Say why one connection is open or closed.

    Ends may be written in full, without the kind, by a name that is alone, or as an address; UsageError where
    nothing, or more than one thing, goes by that name.
    """
    start = find_end(connectivity, source, connectivity.sources)
    end = find_end(connectivity, target, connectivity.targets)
    is_outside = not {start, end} & connectivity.workloads.keys()
    if start == end or is_outside:
        here = "between two ends outside the cluster" if is_outside else "inside one workload"
        raise UsageError(f"{source} to {target} is {here}, where no policy has a say")
    causes: list[Cause] = []
    for one in connectivity.as_source(start):
        for other in connectivity.as_target(end):
            causes = [_cause(connectivity, way, one, other, protocol, port) for way in ("egress", "ingress")]
            if all(cause.is_open for cause in causes):
                return Explanation(start, end, protocol, port, tuple(causes), ())
    return Explanation(
        start, end, protocol, port, tuple(causes), _ways(connectivity, start, end, protocol, port)
    )


def find_end(connectivity: Connectivity, text: str, outside: dict[str, External]) -> str:
    """Find the one end that a person means; UsageError where there is none or more than one."""
    titles = [*connectivity.workloads, *outside]
    if text in titles:
        return text
    try:
        address = ip_address(text)
    except ValueError:
        found = [title for title in titles if _goes_by(title, text)]
    else:
        family = "v4" if address.version == 4 else "v6"
        found = _pods_at(connectivity, address) or [
            title
            for title, end in outside.items()
            if end.family == family and end.first <= int(address) <= end.last
        ]
    if len(found) != 1:
        known = ", ".join(sorted(found)[:WAYS_MAX] or _nearest(connectivity, text))
        was = f"{len(found)} ends go by that name" if found else "nothing goes by that name"
        raise UsageError(f"{text}: {was}; " + (f"name one of {known}" if known else "there is no workload"))
    return found[0]


def _pods_at(connectivity: Connectivity, address: IPv4Address | IPv6Address) -> list[str]:
    """List the workloads with a pod at an address; pods on the host network share that of their node."""
    pods = connectivity.stances.cluster.pods
    return sorted({pod.workload for pod in pods if str(address) in pod.addresses})


def _nearest(connectivity: Connectivity, text: str) -> list[str]:
    """List the workloads whose names are most like a text, or the first of all where none is."""
    by_name = {_bare(title): title for title in sorted(connectivity.workloads)}
    like = get_close_matches(text, [*by_name, *(name.partition("/")[2] for name in by_name)], WAYS_MAX)
    titles = [title for name, title in by_name.items() if {name, name.partition("/")[2]} & set(like)]
    return titles[:WAYS_MAX] or sorted(connectivity.workloads)[:WAYS_MAX]


def _goes_by(title: str, text: str) -> bool:
    bare = _bare(title)
    return text in (bare, bare.partition("/")[2])


def _bare(title: str) -> str:
    return title.partition("[")[0]


def _cause(
    connectivity: Connectivity, way: Direction, source: Stance, target: Stance, protocol: Protocol, port: int
) -> Cause:
    for piece in connectivity.pieces(way, source, target):
        if piece.connections.has(protocol, port):
            return Cause(way, piece.is_open, *_words(piece, way))
    raise AssertionError("the pieces of one side hold every connection")


def _words(piece: Piece, way: Direction) -> tuple[str, str]:
    """Say what a piece is open or closed by, and where that stands."""
    if piece.policy is not None and piece.rule is not None:
        verb = "allows" if piece.is_open else "denies"
        return f"{piece.policy.title} {verb} it by its {way} rule {piece.rule.name!r}", piece.rule.where
    if piece.policies:
        names = ", ".join(policy.title for policy in piece.policies)
        return f"no {way} rule lets it through of {names}", piece.policies[0].where
    return f"no policy speaks of its {way}", ""


def _ways(
    connectivity: Connectivity, source: str, target: str, protocol: Protocol, port: int
) -> tuple[str, ...]:
    """List what is open nearby: other ports of the pair, then other sources of the same port."""
    pair = connectivity.between(source, target)
    ways = [f"{source} => {target} : {pair}"] if pair else []
    ways.extend(
        f"{other} => {target} : {protocol} {port}"
        for other in sorted(connectivity.workloads)
        if other not in (source, target) and connectivity.between(other, target).has(protocol, port)
    )
    return tuple(ways[:WAYS_MAX])
