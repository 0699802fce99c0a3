"""Keys and needs as tables: who must sign, with the members bound.

A need is a tree of counts over keys. Within one quorum no key counts twice, so a quorum whose lists overlap
is written out as the sets of keys that meet it; any other is a count over its parts.
"""

from collections.abc import Iterable, Iterator, Sequence

from ringfence.policy.families import is_variable
from ringfence.policy.model import KeyNeed, Policy, Quorum
from ringfence.policy.model import Need as PolicyNeed
from ringfence.proof.cutoff import Cast
from ringfence.proof.places import Binding, Site
from ringfence.proof.world import NOBODY, Key, Need, Service

NEVER = Need(1)
"""A need that nothing meets: its key is of a member that is not bound."""


class Signing:
    """The keys of a policy, and every need seen so far; equal needs have one position."""

    def __init__(self, policy: Policy, cast: Cast) -> None:
        self.policy = policy
        self.keys: list[Key] = []
        self.needs: list[Need] = []
        self._key_at: dict[str, int] = {}
        self._need_at: dict[Need, int] = {}
        for name, key in policy.keys.items():
            paths = [f"{name}/{member.name}" for member in cast.of(key.per)] if key.per else [name]
            for path in paths:
                self._key_at[path] = len(self.keys)
                given = key.signs == "on_evidence"
                self.keys.append(Key(path, given, key.person or "", key.host or ""))

    def services(self) -> tuple[Service, ...]:
        """List the services with the keys that fall with each."""
        return tuple(Service(name, self._held_by(name)) for name in self.policy.services)

    def _held_by(self, name: str) -> tuple[int, ...]:
        service = self.policy.services[name]
        names = [*service.holds, *(key for key, row in self.policy.keys.items() if row.held_by == name)]
        # A token can be used by whoever it passes through; a signature cannot.
        forms = {key: row.form for key, row in self.policy.keys.items()}
        names += [key for key in service.carries if forms.get(key, "signature") != "signature"]
        return tuple(dict.fromkeys(key for one in names for key in self.keys_called(one)))

    def keys_called(self, name: str) -> tuple[int, ...]:
        """Return one key, or each member's where the name is of a family; () where there is none."""
        if name in self._key_at:
            return (self._key_at[name],)
        return tuple(index for path, index in self._key_at.items() if path.startswith(f"{name}/"))

    def all_of(self, needs: Iterable[PolicyNeed], source: Site, binding: Binding) -> int:
        """Return the position of the need that all of these hold at a gate or leg that leaves `source`."""
        keys: list[int] = []
        parts: list[int] = []
        for need in needs:
            if isinstance(need, Quorum):
                parts.append(self._quorum(need, source, binding))
                continue
            key = self._key_of(need, source, binding)
            if key == NOBODY:
                return self._position(NEVER)
            keys.append(key)
        own, inner = tuple(dict.fromkeys(keys)), tuple(dict.fromkeys(parts))
        if not own and len(inner) == 1:
            return inner[0]
        return self._position(Need(len(own) + len(inner), own, inner))

    def all_keys(self, names: Iterable[str]) -> int:
        """Return the position of the need that each of these keys signs, as far as the policy has them."""
        keys = tuple(self._key_at[name] for name in names if name in self._key_at)
        return self._position(Need(len(keys), keys))

    def _position(self, need: Need) -> int:
        if need not in self._need_at:
            self._need_at[need] = len(self.needs)
            self.needs.append(need)
        return self._need_at[need]

    def _quorum(self, quorum: Quorum, source: Site, binding: Binding) -> int:
        lists = [self._keys_in(need, source, binding) for need in quorum.of]
        if len({key for keys in lists for key in keys}) == sum(len(set(keys)) for keys in lists):
            plain = [keys[0] for need, keys in zip(quorum.of, lists, strict=True) if _is_key(need) and keys]
            inner = [self._quorum(need, source, binding) for need in quorum.of if isinstance(need, Quorum)]
            return self._position(Need(quorum.count, tuple(plain), tuple(inner)))
        sets = set(self._meeting(quorum, source, binding))
        parts = [self._position(Need(len(keys), tuple(sorted(keys)))) for keys in sorted(sets, key=sorted)]
        return self._position(Need(1, (), tuple(parts)))

    def _keys_in(self, need: PolicyNeed, source: Site, binding: Binding) -> list[int]:
        if isinstance(need, Quorum):
            return [key for inner in need.of for key in self._keys_in(inner, source, binding)]
        key = self._key_of(need, source, binding)
        return [] if key == NOBODY else [key]

    def _meeting(self, need: PolicyNeed, source: Site, binding: Binding) -> Iterator[frozenset[int]]:
        """Go through the sets of distinct keys that meet a need, each just large enough."""
        if isinstance(need, Quorum):
            yield from self._choose(need.count, need.of, source, binding)
        else:
            key = self._key_of(need, source, binding)
            if key != NOBODY:
                yield frozenset({key})

    def _choose(
        self, count: int, of: Sequence[PolicyNeed], source: Site, binding: Binding
    ) -> Iterator[frozenset[int]]:
        if count == 0:
            yield frozenset()
            return
        if len(of) < count:
            return
        for first in self._meeting(of[0], source, binding):
            for rest in self._choose(count - 1, of[1:], source, binding):
                if not first & rest:
                    yield first | rest
        yield from self._choose(count, of[1:], source, binding)

    def _key_of(self, need: KeyNeed, source: Site, binding: Binding) -> int:
        """Return the key that a need means; NOBODY where no member is bound."""
        key = self.policy.keys.get(need.key)
        if key is None or key.per is None:
            return self._key_at.get(need.key, NOBODY)
        member = need.member or source.member_of(key.per)
        if member is not None and is_variable(member):
            member = binding.get(member[1:-1])
        return self._key_at.get(f"{need.key}/{member}", NOBODY)


def _is_key(need: PolicyNeed) -> bool:
    return isinstance(need, KeyNeed)
