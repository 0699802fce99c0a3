"""What a rule looks at, and how it says what it found."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from ringfence.policy.grammar import Path, nearest
from ringfence.policy.model import Compartment, Finding, KeyNeed, Need, Policy, Quorum
from ringfence.policy.selectors import compartment_of


@dataclass(frozen=True)
class View:
    """A policy under check; `broken` are entries that could not be read and are not in it."""

    policy: Policy
    broken: frozenset[Path] = field(default_factory=frozenset)

    def names(self, section: str) -> set[str]:
        """Return every name declared in a section, also those whose entry could not be read."""
        lost = {path[1] for path in self.broken if len(path) == 2 and path[0] == section}
        return set(getattr(self.policy, section)) | lost

    def families(self) -> set[str]:
        """Return the parties that have members; a party that could not be read may be one."""
        lost = self.names("parties") - set(self.policy.parties)
        return {name for name, party in self.policy.parties.items() if party.family} | lost

    def compartment(self, end: str) -> Compartment | None:
        """Return the compartment that an end means, None where there is none."""
        return compartment_of(self.policy, end)

    def error(self, rule: str, path: Path, found: str, right: str) -> Finding:
        """Say what is wrong."""
        return Finding(level="error", rule=rule, where=self.policy.line(*path), found=found, right=right)

    def note(self, rule: str, path: Path, found: str, right: str) -> Finding:
        """Say what is worth knowing."""
        return Finding(level="note", rule=rule, where=self.policy.line(*path), found=found, right=right)

    def unknown(self, path: Path, name: str, what: str, known: Collection[str]) -> Iterator[Finding]:
        """Find a name that resolves to nothing."""
        if name not in known:
            found = f"`{name}` in {' '.join(path[:2])} is no {what} of this policy"
            yield self.error("unknown-name", path, found, nearest(name, known, _plural(what)))


def _plural(what: str) -> str:
    """Say `parties and services` for `party or service`."""
    one, *others = what.replace(", ", " or ").split(" or ")
    words = [
        f"{word[:-1]}ies" if word.endswith("y") and word != "key" else f"{word}s" for word in (one, *others)
    ]
    return words[0] if not others else f"{', '.join(words[:-1])} and {words[-1]}"


Rule = Callable[[View], Iterator[Finding]]


def keys_of(needs: Iterable[Need]) -> Iterator[KeyNeed]:
    """List every key named in needs, also inside quorums."""
    for need in needs:
        if isinstance(need, Quorum):
            yield from keys_of(need.of)
        else:
            yield need


def quorums_of(needs: Iterable[Need]) -> Iterator[Quorum]:
    """List every quorum in needs, the outer before the inner."""
    for need in needs:
        if isinstance(need, Quorum):
            yield need
            yield from quorums_of(need.of)


def listed(names: Iterable[str]) -> str:
    """Write names in a row."""
    return ", ".join(f"`{name}`" for name in names)
