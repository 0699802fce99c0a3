"""nft's JSON, as it is loaded or as `nft -j list ruleset` prints it, as tables of chains, sets and maps.

Commands are carried out in order: `add`, `create` and `insert` add, `delete` and `flush` remove, and a bare
object counts as added. Rules keep their order; comments, counters and handles are of no account.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ringfence.policy.model import Finding

Element = tuple[Any, Any]
"""A member of a set with None, or of a map with its verdict."""


@dataclass(slots=True)
class Chain:
    """A chain; `hook` is "" where only rules lead into it. Each rule is the list of its statements."""

    name: str
    hook: str = ""
    priority: int = 0
    policy: str = "accept"
    kind: str = "filter"
    rules: list[list[Any]] = field(default_factory=list)


@dataclass(slots=True)
class Table:
    """A table with what it holds; `family` is inet, ip or ip6."""

    family: str
    chains: dict[str, Chain] = field(default_factory=dict)
    collections: dict[str, list[Element]] = field(default_factory=dict)


class Ruleset:
    """All tables of a document, and findings about what could not be read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tables: dict[tuple[str, str], Table] = {}
        self.findings: list[Finding] = []
        self._unread: set[tuple[str, str]] = set()

    def bases(self, hook: str) -> Iterator[tuple[Table, Chain]]:
        """List the base chains of a hook in the order the kernel asks them."""
        found = [
            (chain.priority, table, chain)
            for table in self.tables.values()
            for chain in table.chains.values()
            if chain.hook == hook and chain.kind == "filter"
        ]
        return ((table, chain) for _, table, chain in sorted(found, key=lambda item: item[0]))

    def reached(self, hook: str) -> Iterator[list[Any]]:
        """List the rules that a packet of a hook may come to, by the chains that lead into others."""
        for table, base in self.bases(hook):
            known, ahead = {base.name}, [base]
            while ahead:
                chain = ahead.pop()
                yield from chain.rules
                led = {*_leads(chain.rules), *_leads(list(table.collections.values()))} - known
                known |= led
                ahead += [table.chains[name] for name in led if name in table.chains]

    def unread(self, what: str, found: object) -> None:
        """Record something that is not understood."""
        known = what, str(found)[:120]
        if known in self._unread:
            return
        self._unread.add(known)
        finding = Finding(
            level="note",
            rule="not-understood",
            where=self.name,
            found=f"{' '.join(known)} is not understood",
            right="where it could open something it is taken to",
        )
        self.findings.append(finding)


def read_ruleset(document: object, name: str) -> Ruleset:
    """Read a document; what has no meaning here becomes a finding and nothing raises."""
    ruleset = Ruleset(name)
    items = document.get("nftables") if isinstance(document, dict) else None
    if not isinstance(items, list):
        finding = Finding(
            level="error",
            rule="not-nftables",
            where=name,
            found="there is no list `nftables`",
            right="the JSON that `nft -j list ruleset` prints",
        )
        ruleset.findings.append(finding)
        return ruleset
    for item in items:
        if isinstance(item, dict) and len(item) == 1:
            _carry_out(ruleset, *next(iter(item.items())))
        else:
            ruleset.unread("the item", item)
    return ruleset


def _carry_out(ruleset: Ruleset, verb: str, body: Any) -> None:
    if verb in ("add", "create", "insert") and isinstance(body, dict) and len(body) == 1:
        _add(ruleset, *next(iter(body.items())), is_first=verb == "insert")
    elif verb in ("delete", "flush") and isinstance(body, dict) and len(body) == 1:
        _remove(ruleset, verb, *next(iter(body.items())))
    else:
        _add(ruleset, verb, body, is_first=False)


def _remove(ruleset: Ruleset, verb: str, kind: str, body: Any) -> None:
    if kind == "ruleset":
        ruleset.tables.clear()
    elif kind == "table" and verb == "delete":
        ruleset.tables.pop((_text(body, "family", "ip"), _text(body, "name")), None)
    elif kind == "chain" and (table := _table(ruleset, body)):
        if verb == "delete":
            table.chains.pop(_text(body, "name"), None)
        elif _text(body, "name") in table.chains:
            table.chains[_text(body, "name")].rules.clear()
    elif kind in ("set", "map") and (table := _table(ruleset, body)):
        table.collections[_text(body, "name")] = []
    elif kind == "element" and (table := _table(ruleset, body)):
        gone = [key for key, _ in _elements(body.get("elem"))]
        kept = table.collections.get(_text(body, "name"), [])
        table.collections[_text(body, "name")] = [pair for pair in kept if pair[0] not in gone]
    else:
        ruleset.unread(f"to {verb} a", kind)


def _add(ruleset: Ruleset, kind: str, body: Any, *, is_first: bool) -> None:
    if kind in ("metainfo", "counter", "quota", "limit", "ct helper", "ct timeout", "ct expectation"):
        return
    if kind == "table" and isinstance(body, dict):
        family = _text(body, "family", "ip")
        if family not in ("inet", "ip", "ip6"):
            ruleset.unread("the family", family)
        ruleset.tables.setdefault((family, _text(body, "name")), Table(family))
    elif kind == "chain" and (table := _table(ruleset, body)):
        _add_chain(table, body)
    elif (kind in ("set", "map") and (table := _table(ruleset, body))) or (
        kind == "element" and (table := _table(ruleset, body))
    ):
        table.collections.setdefault(_text(body, "name"), []).extend(_elements(body.get("elem")))
    elif kind == "rule" and (table := _table(ruleset, body)):
        chain = table.chains.setdefault(_text(body, "chain"), Chain(_text(body, "chain")))
        statements = body.get("expr")
        position = 0 if is_first else len(chain.rules)
        chain.rules.insert(position, statements if isinstance(statements, list) else [statements])
    else:
        ruleset.unread("the object", kind)


def _leads(value: Any) -> Iterator[str]:
    """Name the chains that verdicts anywhere within a value lead to."""
    if isinstance(value, dict):
        for verb in ("jump", "goto"):
            if isinstance(value.get(verb), dict):
                yield _text(value[verb], "target")
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leads(item)


def _add_chain(table: Table, body: dict[str, Any]) -> None:
    name = _text(body, "name")
    chain = table.chains.setdefault(name, Chain(name))
    priority = body.get("prio", 0)
    chain.hook = _text(body, "hook")
    chain.priority = priority if isinstance(priority, int) else 0
    chain.policy = _text(body, "policy", "accept")
    chain.kind = _text(body, "type", "filter")


def _table(ruleset: Ruleset, body: Any) -> Table | None:
    """Return the table that an object belongs to; the tables of other families are passed over."""
    if not isinstance(body, dict):
        return None
    key = _text(body, "family", "ip"), _text(body, "table")
    return ruleset.tables.setdefault(key, Table(key[0]))


def _elements(listed: Any) -> list[Element]:
    """Read the members of a set or map, without their counters, comments and timeouts."""
    found: list[Element] = []
    for item in listed if isinstance(listed, list) else [] if listed is None else [listed]:
        key, verdict = (item[0], item[1]) if isinstance(item, list) and len(item) == 2 else (item, None)
        if isinstance(key, dict) and "elem" in key and isinstance(key["elem"], dict):
            key = key["elem"].get("val")
        found.append((key, verdict))
    return found


def _text(body: Any, key: str, default: str = "") -> str:
    value = body.get(key, default) if isinstance(body, dict) else default
    return value if isinstance(value, str) else default
