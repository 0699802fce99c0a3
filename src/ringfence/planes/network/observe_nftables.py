"""What nftables rules permit, whoever wrote them and in whatever order and form.

The rules are walked for every pair of ends, both IP families, TCP and UDP, with the set of ports carried
along as ranges: each match narrows the set, each verdict takes its part out of it. Nothing is sampled. Only
new connections are asked about. A match that cannot be decided here (a rate, a mark, a user) is a finding,
and is taken to hold where its rule opens something and not to hold where it closes something; `certain` is
found with the opposite assumption.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.planes.network.addresses import V4_WHOLE, V6_WHOLE, Addresses
from ringfence.planes.network.compile import TRANSPORTS
from ringfence.planes.network.connections import ALL_CONNECTIONS, NO_CONNECTIONS, Connections
from ringfence.planes.network.nft_match import (
    IDLE,
    ElementIndex,
    Packet,
    cut,
    field_of,
    has_field,
    holds,
    may_decide,
    networks_in,
    pairs_of,
    ports_of,
    verb_of,
)
from ringfence.planes.network.nft_ruleset import Chain, Element, Ruleset, Table, read_ruleset
from ringfence.planes.network.observe import PROTOCOL_OF, Observed, Pair, observed
from ringfence.planes.network.ranges import PORT_MAX, PORT_MIN, Range, Ranges
from ringfence.planes.network.sites import Sites
from ringfence.policy.model import Finding

JUMPS_MAX = 16
"""How deep chains may lead into chains; the kernel's own limit."""

_EVERY = Ranges(((PORT_MIN, PORT_MAX),))
_NONE = Ranges()


def observe_hub(document: object, sites: Sites, name: str = "hub") -> Observed:
    """Read the rules of the hub: what each end may open to each other end through it."""
    ruleset = read_ruleset(document, name)
    walk = _Walk(ruleset, "forward")
    found = []
    for source, here in sites.items():
        for target, there in sites.items():
            if source != target:
                may, must = walk.between(here.addresses, there.addresses, here.interface, there.interface)
                found.append(((source, target), may, must))
    return observed(found, ruleset.findings)


def observe_guards(documents: Mapping[str, object], sites: Sites) -> Observed:
    """Read the rules in the places of services, by service: what both ends of a pair permit.

    An end without rules of its own, such as an external, permits everything from its side.
    """
    outward: dict[Pair, tuple[Connections, Connections]] = {}
    inward: dict[Pair, tuple[Connections, Connections]] = {}
    findings: list[Finding] = []
    for service, document in documents.items():
        ruleset = read_ruleset(document, service)
        into, out_of = _Walk(ruleset, "input"), _Walk(ruleset, "output")
        own, inner = sites[service].addresses, sites[service].inner
        for other, there in sites.items():
            if other != service:
                inward[other, service] = into.between(there.addresses, own, inner, "")
                outward[service, other] = out_of.between(own, there.addresses, "", inner)
        findings.extend(ruleset.findings)
    free = ALL_CONNECTIONS, ALL_CONNECTIONS
    found = []
    for pair in sorted({*inward, *outward}):
        (may_out, must_out), (may_in, must_in) = outward.get(pair, free), inward.get(pair, free)
        found.append((pair, may_out & may_in, must_out & must_in))
    return observed(found, findings)


@dataclass(slots=True)
class _Fate:
    """What becomes of ports in a chain: accepted for good, or handed back to the chain before."""

    accepted: Ranges
    rest: Ranges


class _Walk:
    """The walk of new connections through the chains of one hook."""

    def __init__(self, ruleset: Ruleset, hook: str) -> None:
        self.ruleset = ruleset
        self.bases = list(ruleset.bases(hook))
        asked = list(ruleset.reached(hook))
        cuts = list(networks_in(ruleset, asked))
        # Cutting a side that no rule of this hook asks about would only multiply the packets.
        self.source_cuts, self.target_cuts = (
            cuts if side in str(asked) else [] for side in ("saddr", "daddr")
        )
        self.is_hopeful = True
        self._is_unsure = False
        self._deciding = {
            id(chain): [rule for rule in chain.rules if may_decide(rule)]
            for table in ruleset.tables.values()
            for chain in table.chains.values()
        }
        self._fields: dict[int, str | None] = {}
        self._index: dict[tuple[int, int], ElementIndex] = {}

    def between(
        self, source: Addresses, target: Addresses, interface_in: str, interface_out: str
    ) -> tuple[Connections, Connections]:
        """Return what some, and what every, address of the source may open to the target."""
        may, must = NO_CONNECTIONS, NO_CONNECTIONS
        for transport in TRANSPORTS:
            possible, certain = _NONE, _EVERY
            for family, one, other in self._segments(source, target):
                packet = Packet(family, transport, interface_in, interface_out, one, other)
                self._is_unsure = False
                hoped = self._accepted(packet, is_hopeful=True)
                possible |= hoped
                certain &= self._accepted(packet, is_hopeful=False) if self._is_unsure else hoped
            protocol = PROTOCOL_OF[transport]
            may |= Connections.on(protocol, possible)
            must |= Connections.on(protocol, certain)
        return may, must

    def _segments(self, source: Addresses, target: Addresses) -> Iterator[tuple[str, Range, Range]]:
        """Cut two sets of addresses into ranges that no rule tells apart, family by family."""
        for one in cut(source.v4, V4_WHOLE, [one.v4 for one in self.source_cuts]):
            for other in cut(target.v4, V4_WHOLE, [one.v4 for one in self.target_cuts]):
                yield "ip", one, other
        for one in cut(source.v6, V6_WHOLE, [one.v6 for one in self.source_cuts]):
            for other in cut(target.v6, V6_WHOLE, [one.v6 for one in self.target_cuts]):
                yield "ip6", one, other

    def _accepted(self, packet: Packet, *, is_hopeful: bool) -> Ranges:
        """Return the ports that every base chain of the hook accepts."""
        self.is_hopeful = is_hopeful
        accepted = _EVERY
        for table, chain in self.bases:
            if table.family in ("inet", packet.family):
                fate = self._run(table, chain, packet, accepted, 0)
                accepted = fate.accepted | (fate.rest if chain.policy == "accept" else _NONE)
        return accepted

    def _run(self, table: Table, chain: Chain, packet: Packet, ports: Ranges, depth: int) -> _Fate:
        fate = _Fate(_NONE, _NONE)
        for statements in self._deciding[id(chain)]:
            if not ports:
                break
            ports = self._rule(table, statements, packet, ports, fate, depth)
        fate.rest |= ports
        return fate

    def _rule(
        self, table: Table, statements: list[Any], packet: Packet, ports: Ranges, fate: _Fate, depth: int
    ) -> Ranges:
        """Apply one rule to `ports`; return those that go on to the next."""
        live = ports
        is_closing = any(verb_of(statement) in ("drop", "reject") for statement in statements)
        for statement in statements:
            verb = verb_of(statement)
            if verb == "match":
                live &= self._match(table, statement["match"], packet, is_closing)
            elif verb == "vmap":
                return (ports - live) | self._choose(table, statement["vmap"], packet, live, fate, depth)
            elif verb in ("accept", "drop", "reject", "return", "jump", "goto"):
                return (ports - live) | self._verdict(table, statement, packet, live, fate, depth)
            elif verb in ("limit", "quota", "ct count", "xt"):
                self._unread("the statement", statement)
                live = live if self.is_hopeful != is_closing else _NONE
            elif verb not in IDLE:
                self._unread("the statement", statement)
            if not live:
                return ports
        return ports

    def _verdict(
        self, table: Table, statement: Any, packet: Packet, live: Ranges, fate: _Fate, depth: int
    ) -> Ranges:
        """Carry out a verdict on `live`; return the ports that go on to the next rule."""
        verb = verb_of(statement)
        if verb == "accept":
            fate.accepted |= live
        elif verb == "return":
            fate.rest |= live
        elif verb == "continue":
            return live
        elif verb in ("jump", "goto"):
            return self._lead(table, statement[verb], packet, live, fate, depth, is_goto=verb == "goto")
        elif verb not in ("drop", "reject"):
            self._unread("the verdict", statement)
            fate.accepted |= live if self.is_hopeful else _NONE
        return _NONE

    def _lead(
        self,
        table: Table,
        body: Any,
        packet: Packet,
        live: Ranges,
        fate: _Fate,
        depth: int,
        *,
        is_goto: bool,
    ) -> Ranges:
        target = table.chains.get(body.get("target", "")) if isinstance(body, dict) else None
        if target is None or depth >= JUMPS_MAX:
            self._unread("the way to the chain", body)
            fate.accepted |= live if self.is_hopeful else _NONE
            return _NONE
        inner = self._run(table, target, packet, live, depth + 1)
        fate.accepted |= inner.accepted
        if is_goto:
            fate.rest |= inner.rest
            return _NONE
        return inner.rest

    def _choose(
        self, table: Table, body: Any, packet: Packet, live: Ranges, fate: _Fate, depth: int
    ) -> Ranges:
        """Look `live` up in a verdict map; return the ports that no element takes."""
        key, data = body.get("key"), body.get("data")
        going_on = _NONE
        for element_key, verdict in self._candidates(table, data, key, packet):
            taken = live & self._equals(table, key, element_key, packet)
            if taken:
                live -= taken
                going_on |= self._verdict(table, verdict, packet, taken, fate, depth)
        return live | going_on

    def _unread(self, what: str, found: object) -> None:
        """Record what is not understood; from here on it matters what is assumed."""
        self._is_unsure = True
        self.ruleset.unread(what, found)

    def _field(self, left: Any) -> str | None:
        """Name the field of a left side, found once for each: rules stay as they are while they are read."""
        if id(left) not in self._fields:
            self._fields[id(left)] = field_of(left)
        return self._fields[id(left)]

    # --- matches -------------------------------------------------------------------------------

    def _match(self, table: Table, body: Any, packet: Packet, is_closing: bool) -> Ranges:
        """Return the ports for which a match holds."""
        left, right, operator = body.get("left"), body.get("right"), body.get("op", "==")
        if self._field(left) is None and not (isinstance(left, dict) and "concat" in left):
            self._unread("the match", body)
            return _EVERY if self.is_hopeful != is_closing else _NONE
        if operator in ("<", ">", "<=", ">="):
            return self._compare(left, right, operator, packet)
        if operator not in ("==", "in", "!="):
            self._unread("the operator", operator)
            return _EVERY if self.is_hopeful != is_closing else _NONE
        equal = _NONE
        for element, _ in self._candidates(table, right, left, packet):
            equal |= self._equals(table, left, element, packet)
        if operator != "!=":
            return equal
        # A field that the packet does not have makes the whole rule pass it by, whatever the operator.
        return _EVERY - equal if has_field(left, packet) else _NONE

    def _compare(self, left: Any, right: Any, operator: str, packet: Packet) -> Ranges:
        if not has_field(left, packet):
            return _NONE
        if self._field(left) != "dport" or not isinstance(right, int):
            self._unread("the comparison", {"left": left, "op": operator, "right": right})
            return _EVERY if self.is_hopeful else _NONE
        first = {"<": PORT_MIN, "<=": PORT_MIN, ">": right + 1, ">=": right}[operator]
        last = {"<": right - 1, "<=": right, ">": PORT_MAX, ">=": PORT_MAX}[operator]
        return Ranges(((first, last),)) if first <= last else _NONE

    def _candidates(self, table: Table, right: Any, left: Any, packet: Packet) -> Iterator[Element]:
        """List the elements that the right side of a match, or the data of a map, offers."""
        if isinstance(right, str) and right.startswith("@"):
            listed = table.collections.get(right[1:])
            if listed is None:
                self._unread("the set", right)
                return
            # One set may be asked about different fields: quarantine is asked about both interfaces.
            asked = (id(listed), id(left))
            if asked not in self._index:
                self._index[asked] = ElementIndex(listed, left)
            yield from self._index[asked].candidates(packet)
        elif isinstance(right, dict) and isinstance(right.get("set"), list):
            asked = (id(right), id(left))
            if asked not in self._index:
                self._index[asked] = ElementIndex(pairs_of(right["set"]), left)
            yield from self._index[asked].candidates(packet)
        elif isinstance(right, list):
            yield from ((item, None) for item in right)
        else:
            yield right, None

    def _equals(self, table: Table, left: Any, value: Any, packet: Packet) -> Ranges:
        """Return the ports for which the left side has a value."""
        if isinstance(left, dict) and "concat" in left:
            parts = value.get("concat") if isinstance(value, dict) else None
            if not isinstance(parts, list) or len(parts) != len(left["concat"]):
                self._unread("the key", value)
                return _NONE
            ports = _EVERY
            for one, other in zip(left["concat"], parts, strict=True):
                ports &= self._equals(table, one, other, packet)
            return ports
        field = self._field(left)
        if field is None:
            self._unread("the expression", left)
            return _EVERY if self.is_hopeful else _NONE
        if not has_field(left, packet):
            return _NONE
        if field == "dport":
            return ports_of(value) & _EVERY
        return _EVERY if holds(field, value, packet) else _NONE
