"""The compartments of a policy for the members kept, and which of them a gate's patterns name."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product

from ringfence.policy.families import fill, is_variable, parts_of, variables_of
from ringfence.policy.model import Compartment, Policy
from ringfence.proof.cutoff import Cast

Binding = Mapping[str, str]


class Site:
    """One compartment: its path, what the policy says of it, and the members in its path."""

    __slots__ = ("compartment", "members", "path")

    def __init__(self, path: str, compartment: Compartment, members: Binding) -> None:
        self.path = path
        self.compartment = compartment
        self.members = members

    def member_of(self, party: str | None) -> str | None:
        """Name the member of a family that this compartment belongs to; None where there is none."""
        if party in self.members:
            return self.members[party or ""]
        return self.compartment.member if self.compartment.owner == party else None

    def owner_member(self) -> str | None:
        """Name the member whose compartment it is, by its owner or else by its path."""
        return self.member_of(self.compartment.owner) or next(iter(self.members.values()), None)


class Sites:
    """All compartments, in the order of the policy and then of the members."""

    def __init__(self, policy: Policy, cast: Cast) -> None:
        self.rows: list[Site] = []
        self._by_pattern: dict[str, list[int]] = {}
        self._merged = cast.others() if cast.merged else frozenset()
        exact = {pattern for pattern in policy.compartments if not variables_of(pattern)}
        for pattern, compartment in policy.compartments.items():
            paths = [*_instances(pattern, cast)]
            kept = [(path, members) for path, members in paths if path == pattern or path not in exact]
            first = len(self.rows)
            self._by_pattern[pattern] = list(range(first, first + len(kept)))
            self.rows += [Site(path, compartment, members) for path, members in kept]
        self._at = {site.path: number for number, site in enumerate(self.rows)}

    def named_by(self, patterns: Sequence[str]) -> Iterator[tuple[tuple[int, ...], Binding]]:
        """Go through every choice of places for these ends that one binding of their variables fits."""
        found: list[tuple[tuple[int, ...], Binding]] = [((), {})]
        for pattern in patterns:
            found = [
                ((*places, place), wider)
                for places, binding in found
                for place, wider in self._ends(pattern, binding)
            ]
        return iter(found)

    def _ends(self, pattern: str, binding: Binding) -> Iterator[tuple[int, Binding]]:
        if all(variable in binding for variable in variables_of(pattern)):
            place = self._at.get(fill(pattern, binding))
            if place is not None:
                yield place, binding
            return
        for known, places in self._by_pattern.items():
            terms = _terms(pattern, known)
            if terms is None:
                continue
            for place in places:
                wider = self._bind(terms, self.rows[place].members, binding)
                if wider is not None:
                    yield place, wider

    def _bind(self, terms: tuple[tuple[str, str], ...], members: Binding, binding: Binding) -> Binding | None:
        """Extend a binding by what a place says; None where it differs or two variables are one member.

        A member that stands for all others at once may be two of them.
        """
        wider = dict(binding)
        for part, own in terms:
            member = members[own[1:-1]] if is_variable(own) else own
            if not is_variable(part):
                if part != member:
                    return None
            elif wider.setdefault(part[1:-1], member) != member:
                return None
        alone = [member for member in wider.values() if member not in self._merged]
        return wider if len(set(alone)) == len(alone) else None


def _instances(pattern: str, cast: Cast) -> Iterator[tuple[str, Binding]]:
    """Fill a compartment's variables, each named after its family, with the members kept."""
    variables = variables_of(pattern)
    families = [[member.name for member in cast.of(variable)] for variable in variables]
    for members in product(*families):
        binding = dict(zip(variables, members, strict=True))
        yield fill(pattern, binding), binding


@lru_cache(maxsize=16_384)
def _terms(pattern: str, known: str) -> tuple[tuple[str, str], ...] | None:
    """Pair the parts of a gate's pattern with those of a compartment's; None where they cannot agree."""
    wanted, found = parts_of(pattern), parts_of(known)
    if len(wanted) != len(found):
        return None
    terms = []
    for part, own in zip(wanted, found, strict=True):
        if is_variable(part) or is_variable(own):
            terms.append((part, own))
        elif part != own:
            return None
    return tuple(terms)
