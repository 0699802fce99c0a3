"""The rules as nftables JSON: one ruleset for the hub, and one for the place of each service.

The two layers are independent: the hub decides by interface, the service's own ruleset by address, and a
connection passes only if the hub, its source and its target all permit it. Every hook looks a new connection
up in one verdict map, so that its cost does not grow with the policy, and the order is fixed:

    quarantine   first, in both directions, before anything that is established; a chain of its own that is
                 empty while nobody is cut off, for every packet goes through it
    spoofing     a source address that does not belong to its interface is dropped
    established  replies, and errors that belong to a permitted connection
    neighbours   IPv6 neighbour discovery, without which IPv6 is dead
    flows        the verdict map; each element carries its policy line and counts what it let through
    record       what no flow permits is remembered for a week: who tried to open what, and how often; probes
                 of our own, which carry a mark, apart from the rest
    watched      passes between ends that are only watched (see `modes`)
    the rest     counted, then dropped (in production) or answered with a reset (in the lab)
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ringfence.planes.network.addresses import show_v4, show_v6
from ringfence.planes.network.compile import Flow, Rules, digest
from ringfence.planes.network.modes import Mode, mode_of, watched
from ringfence.planes.network.sites import Sites

Closed = Literal["drop", "reset"]
"""What becomes of what is not permitted: dropped silently, or for TCP answered at once."""

HUB_TABLE = "rf_hub"
GUARD_TABLE = "rf_guard"
FORWARD_CHAIN = "c_forward"
QUARANTINE_CHAIN = "c_quarantine"
QUARANTINE_SET = "s_quarantine"
FLOWS_MAP = "m_flows"
TRIED_SET = "s_tried"
WATCHED_SET = "s_watched"
WARNED_SET = "s_warned"
LENIENT_SET = "s_lenient"

PROBED_SET = "s_probed"
PROBE_MARK = 62
"""The DSCP value that our own probes carry. Anyone may set it; it decides where a packet is recorded only."""

TRIED_MAX = 4096
"""How many different attempts one set remembers; a scan fills it, and nothing else suffers."""
TRIED_SECONDS = 7 * 24 * 3600

Json = dict[str, Any]
"""One object of nft's JSON."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds beside the policy when rules are loaded.

    generation: counted up by each load, for people; modes: of zones that are only watched; quarantined: ends
    that are cut off and stay so.
    """

    generation: int = 0
    modes: Mapping[str, Mode] = field(default_factory=dict)
    quarantined: Collection[str] = ()


NOTHING_STANDS = Standing()


def render_hub(
    rules: Rules, sites: Sites, closed: Closed = "drop", standing: Standing = NOTHING_STANDS
) -> Json:
    """Write the hub's ruleset."""
    table = _Table(HUB_TABLE)
    cut_off = [sites[end].interface for end in standing.quarantined]
    table.add_set(QUARANTINE_SET, "ifname", cut_off, size=len(sites))
    keys = ["ifname", "ifname", "inet_proto", "inet_service"]
    table.add_map(FLOWS_MAP, keys, [hub_element(rules, sites, flow) for flow in rules.flows])
    for name in (TRIED_SET, PROBED_SET):
        table.add_record(name, keys)
    table.add_chain(QUARANTINE_CHAIN)
    for expressions in QUARANTINE_RULES if cut_off else ():
        table.add_rule(QUARANTINE_CHAIN, *expressions)
    table.add_chain(FORWARD_CHAIN, "forward")
    table.add_rule(FORWARD_CHAIN, {"jump": {"target": QUARANTINE_CHAIN}})
    table.add_rule(FORWARD_CHAIN, _match(_spoofed(), False), {"drop": None})
    _add_established(table, FORWARD_CHAIN)
    ends = [_meta("iifname"), _meta("oifname"), *_service_key()]
    table.add_rule(FORWARD_CHAIN, _lookup(ends, FLOWS_MAP))
    for protocol in ("ip", "ip6"):
        for name, operator in ((TRIED_SET, "!="), (PROBED_SET, "==")):
            mark = _match(_payload(protocol, "dscp"), PROBE_MARK, operator)
            table.add_rule(FORWARD_CHAIN, _has_ports(), mark, _record(ends, name))
    if watched(rules, standing.modes):
        _add_watching(table, rules, sites, standing.modes)
    _add_closing(table, FORWARD_CHAIN, closed, _note(rules, standing.generation, "enforce"))
    # The hub itself is nobody's target; only neighbour discovery may reach it.
    table.add_chain("c_input", "input")
    table.add_rule("c_input", _match(_meta("iifname"), "lo"), {"accept": None})
    _add_usual(table, "c_input")
    return table.document()


def render_guard(
    rules: Rules, sites: Sites, service: str, closed: Closed = "drop", standing: Standing = NOTHING_STANDS
) -> Json:
    """Write the ruleset for the place of one service: what may come in, and what may go out."""
    table = _Table(GUARD_TABLE)
    mode = mode_of(rules, standing.modes, service)
    hooks: tuple[tuple[str, str, Iterable[Flow]], ...] = (
        ("input", "saddr", rules.into(service)),
        ("output", "daddr", rules.out_of(service)),
    )
    for hook, end, flows in hooks:
        chain, flows = f"c_{hook}", list(flows)
        side = _match(_meta("iifname" if hook == "input" else "oifname"), sites[service].inner)
        for family, kind in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
            keys = [kind, "inet_proto", "inet_service"]
            elements = [one for flow in flows for one in guard_elements(rules, sites, flow, end, family)]
            table.add_map(guard_map(hook, family), keys, elements)
            for name in (TRIED_SET, PROBED_SET):
                table.add_record(f"{name}_{hook}{family}", keys)
        table.add_chain(chain, hook)
        table.add_rule(chain, _match(side["match"]["left"], "lo"), {"accept": None})
        _add_usual(table, chain)
        for family, protocol in (("4", "ip"), ("6", "ip6")):
            key = [_payload(protocol, end), *_service_key()]
            table.add_rule(chain, side, _lookup(key, guard_map(hook, family)))
            for name, operator in ((TRIED_SET, "!="), (PROBED_SET, "==")):
                mark = _match(_payload(protocol, "dscp"), PROBE_MARK, operator)
                record = _record(key, f"{name}_{hook}{family}")
                table.add_rule(chain, side, _has_ports(), mark, record)
        if mode == "warn":
            table.add_rule(chain, _LOGGED)
        if mode != "enforce":
            table.add_rule(chain, {"accept": None})
        _add_closing(table, chain, closed, _note(rules, standing.generation, mode))
    return table.document()


# --- elements ----------------------------------------------------------------------------------


def guard_map(hook: str, family: str) -> str:
    """Name the verdict map of one hook in the place of a service; `family` is "4" or "6"."""
    return f"m_{hook}{family}"


def hub_element(rules: Rules, sites: Sites, flow: Flow) -> list[Any]:
    """Return the element that opens a flow at the hub, with its verdict."""
    key = [sites[flow.source].interface, sites[flow.target].interface, flow.protocol, flow.port]
    return _element(key, rules.flows[flow].rule)


def guard_elements(rules: Rules, sites: Sites, flow: Flow, field: str, family: str) -> Iterable[list[Any]]:
    """List the elements that open a flow at one of its ends, by the other end's addresses of one family."""
    addresses = sites[flow.source if field == "saddr" else flow.target].addresses
    spans, show = (addresses.v4, show_v4) if family == "4" else (addresses.v6, show_v6)
    for first, last in spans:
        where = show(first) if first == last else {"range": [show(first), show(last)]}
        yield _element([where, flow.protocol, flow.port], rules.flows[flow].rule)


def _element(key: Sequence[Any], rule: str) -> list[Any]:
    value: Json = {"concat": list(key)}
    # nft takes comments of at most 128 bytes.
    return [{"elem": {"val": value, "comment": rule[-120:]}} if rule else value, {"accept": None}]


def _has_range(element: Sequence[Any]) -> bool:
    key = element[0]["elem"]["val"] if "elem" in element[0] else element[0]
    return any(isinstance(part, dict) for part in key["concat"])


# --- rules -------------------------------------------------------------------------------------


def _add_established(table: "_Table", chain: str) -> None:
    """Let replies pass, and errors that belong to a permitted connection."""
    table.add_rule(chain, _match(_state(), ["established", "related"], "in"), {"accept": None})
    table.add_rule(chain, _match(_state(), "invalid", "in"), {"drop": None})


def _add_usual(table: "_Table", chain: str) -> None:
    """Let pass what every end needs: established connections and neighbour discovery."""
    _add_established(table, chain)
    neighbours = {"set": ["nd-neighbor-solicit", "nd-neighbor-advert"]}
    table.add_rule(chain, _match(_payload("icmpv6", "type"), neighbours), {"accept": None})


_LOGGED: Json = {"log": {"prefix": "rf_undeclared "}}


def _add_watching(table: "_Table", rules: Rules, sites: Sites, modes: Mapping[str, Mode]) -> None:
    """Let pass what is undeclared between two watched ends, or between one and the outside."""
    chosen = watched(rules, modes)
    warned = [name for name in chosen if mode_of(rules, modes, name) == "warn"]
    for name, ends in (
        (WATCHED_SET, chosen),
        (WARNED_SET, warned),
        (LENIENT_SET, (*chosen, *rules.externals)),
    ):
        table.add_set(name, "ifname", sorted(sites[end].interface for end in ends), size=len(sites))
    for name, verdict in ((WARNED_SET, _LOGGED), (WATCHED_SET, {"accept": None})):
        for one, other in ((name, LENIENT_SET), (LENIENT_SET, name)):
            both = [_match(_meta("iifname"), f"@{one}"), _match(_meta("oifname"), f"@{other}")]
            table.add_rule(FORWARD_CHAIN, *both, verdict)


def _note(rules: Rules, generation: int, mode: Mode) -> str:
    return f"generation {generation} of {digest(rules)[:16]}, {mode}"


def _add_closing(table: "_Table", chain: str, closed: Closed, note: str) -> None:
    """Count what is left, and answer it; the chain's policy drops what is not answered."""
    table.add_rule(chain, {"counter": {"packets": 0, "bytes": 0}}, comment=note)
    if closed == "reset":
        table.add_rule(chain, _match(_meta("l4proto"), "tcp"), {"reject": {"type": "tcp reset"}})


def _has_ports() -> Json:
    return _match(_meta("l4proto"), {"set": ["tcp", "udp"]})


def _record(key: Sequence[Json], name: str) -> Json:
    """Remember a key; where the set is full the rule is passed over and nothing else changes."""
    counted = [{"counter": None}]
    return {"set": {"op": "update", "elem": {"concat": list(key)}, "set": f"@{name}", "stmt": counted}}


def _match(left: Json, right: object, operator: str = "==") -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


def _lookup(key: Sequence[Json], name: str) -> Json:
    return {"vmap": {"key": {"concat": list(key)}, "data": f"@{name}"}}


def _meta(key: str) -> Json:
    return {"meta": {"key": key}}


def _payload(protocol: str, field: str) -> Json:
    return {"payload": {"protocol": protocol, "field": field}}


def _state() -> Json:
    return {"ct": {"key": "state"}}


def _spoofed() -> Json:
    """The interface by which the source would be answered, if it is the one the packet came in by."""
    return {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}


def _service_key() -> list[Json]:
    return [_meta("l4proto"), _payload("th", "dport")]


QUARANTINE_RULES: tuple[list[Json], ...] = tuple(
    [_match(_meta(side), f"@{QUARANTINE_SET}"), {"drop": None}] for side in ("iifname", "oifname")
)
"""What the chain of quarantine holds while anybody is cut off."""


def _room(elements: int) -> int:
    """Return the size of a set or map; the kernel takes no more, and a person may have to add some."""
    return 2 * elements + 16


class _Table:
    """The commands that replace one table in a single transaction."""

    def __init__(self, name: str) -> None:
        self._here = {"family": "inet", "table": name}
        table = {"table": {"family": "inet", "name": name}}
        # Added first so that deleting it cannot fail; all in one transaction, so it is never absent.
        self._commands: list[Json] = [{"add": table}, {"delete": table}, {"add": table}]

    def add_set(self, name: str, kind: str, elements: list[str], size: int) -> None:
        content = {"elem": elements} if elements else {}
        shape = {"name": name, "type": kind, "size": _room(size), **content}
        self._commands.append({"add": {"set": {**self._here, **shape}}})

    def add_map(self, name: str, kinds: list[str], elements: list[Any]) -> None:
        # A map whose size is known is a plain hash in the kernel; ranges need a slower kind of map.
        is_interval = any(_has_range(element) for element in elements)
        shape: Json = {
            **self._here,
            "name": name,
            "type": kinds,
            "map": "verdict",
            "stmt": [{"counter": None}],
            **({"flags": ["interval"]} if is_interval else {"size": _room(len(elements))}),
        }
        if elements:
            shape["elem"] = elements
        self._commands.append({"add": {"map": shape}})

    def add_record(self, name: str, kinds: list[str]) -> None:
        """Add a set that the kernel fills itself, each element forgotten after a while."""
        shape: Json = {**self._here, "name": name, "type": kinds, "size": TRIED_MAX}
        # nft's JSON has no word for a set that rules fill; one with a timeout is.
        self._commands.append({"add": {"set": {**shape, "flags": ["timeout"], "timeout": TRIED_SECONDS}}})

    def add_chain(self, name: str, hook: str = "") -> None:
        shape = {"type": "filter", "hook": hook, "prio": 0, "policy": "drop"} if hook else {}
        self._commands.append({"add": {"chain": {**self._here, "name": name, **shape}}})

    def add_rule(self, chain: str, *expressions: Json, comment: str = "") -> None:
        rule: Json = {**self._here, "chain": chain, "expr": list(expressions)}
        self._commands.append({"add": {"rule": rule | ({"comment": comment} if comment else {})}})

    def document(self) -> Json:
        return {"nftables": [{"metainfo": {"json_schema_version": 1}}, *self._commands]}
