"""The rules as nftables JSON: one ruleset for the hub, and one for the place of each service.

The two layers are independent: the hub decides by interface, the service's own ruleset by address, and a
connection passes only if the hub, its source and its target all permit it. Every hook looks a new connection
up in one verdict map, so that its cost does not grow with the policy, and the order is fixed:

    quarantine   first, in both directions, before anything that is established
    spoofing     a source address that does not belong to its interface is dropped
    established  replies, and errors that belong to a permitted connection
    neighbours   IPv6 neighbour discovery, without which IPv6 is dead
    flows        the verdict map; each element carries its policy line and counts what it let through
    the rest     counted, then dropped (in production) or answered with a reset (in the lab)
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from ringfence.planes.network.addresses import show_v4, show_v6
from ringfence.planes.network.compile import Flow, Rules
from ringfence.planes.network.sites import INNER_INTERFACE, Sites

Closed = Literal["drop", "reset"]
"""What becomes of what is not permitted: dropped silently, or for TCP answered at once."""

HUB_TABLE = "rf_hub"
GUARD_TABLE = "rf_guard"
QUARANTINE_SET = "s_quarantine"
FLOWS_MAP = "m_flows"

Json = dict[str, Any]
"""One object of nft's JSON."""


def render_hub(
    rules: Rules, sites: Sites, closed: Closed = "drop", observed_zones: Collection[str] = ()
) -> Json:
    """Write the hub's ruleset.

    observed_zones: zones that are only watched: what is not permitted between two ends that are both in such
    zones (or outside) is logged and let through.
    """
    table = _Table(HUB_TABLE)
    table.add_set(QUARANTINE_SET, "ifname", [])
    keys = ["ifname", "ifname", "inet_proto", "inet_service"]
    table.add_map(FLOWS_MAP, keys, [_hub_element(rules, sites, flow) for flow in rules.flows])
    table.add_chain("c_forward", "forward")
    for side in ("iifname", "oifname"):
        table.add_rule("c_forward", _match(_meta(side), f"@{QUARANTINE_SET}"), {"drop": None})
    table.add_rule("c_forward", _match(_spoofed(), False), {"drop": None})
    _add_established(table, "c_forward")
    ends = [_meta("iifname"), _meta("oifname"), *_service_key()]
    table.add_rule("c_forward", _lookup(ends, FLOWS_MAP))
    if observed_zones:
        _add_observation(table, rules, sites, observed_zones)
    _add_closing(table, "c_forward", closed)
    # The hub itself is nobody's target; only neighbour discovery may reach it.
    table.add_chain("c_input", "input")
    table.add_rule("c_input", _match(_meta("iifname"), "lo"), {"accept": None})
    _add_usual(table, "c_input")
    return table.document()


def render_guard(
    rules: Rules, sites: Sites, service: str, closed: Closed = "drop", observed_zones: Collection[str] = ()
) -> Json:
    """Write the ruleset for the place of one service: what may come in, and what may go out."""
    table = _Table(GUARD_TABLE)
    is_observed = rules.workloads[service].zone in observed_zones
    hooks: tuple[tuple[str, str, Iterable[Flow]], ...] = (
        ("input", "saddr", rules.into(service)),
        ("output", "daddr", rules.out_of(service)),
    )
    for hook, field, flows in hooks:
        chain, flows = f"c_{hook}", list(flows)
        side = "iifname" if hook == "input" else "oifname"
        for family, kind in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
            elements = [
                element for flow in flows for element in _guard_elements(rules, sites, flow, field, family)
            ]
            table.add_map(
                f"m_{hook}{family}", [kind, "inet_proto", "inet_service"], elements, is_interval=True
            )
        table.add_chain(chain, hook)
        table.add_rule(chain, _match(_meta(side), "lo"), {"accept": None})
        _add_usual(table, chain)
        for family, protocol in (("4", "ip"), ("6", "ip6")):
            key = [_payload(protocol, field), *_service_key()]
            table.add_rule(chain, _match(_meta(side), INNER_INTERFACE), _lookup(key, f"m_{hook}{family}"))
        if is_observed:
            table.add_rule(chain, {"log": {"prefix": "rf_undeclared "}}, {"accept": None})
        _add_closing(table, chain, closed)
    return table.document()


# --- elements ----------------------------------------------------------------------------------


def _hub_element(rules: Rules, sites: Sites, flow: Flow) -> list[Any]:
    key = [sites[flow.source].interface, sites[flow.target].interface, flow.protocol, flow.port]
    return _element(key, rules.flows[flow].rule)


def _guard_elements(rules: Rules, sites: Sites, flow: Flow, field: str, family: str) -> Iterable[list[Any]]:
    addresses = sites[flow.source if field == "saddr" else flow.target].addresses
    spans, show = (addresses.v4, show_v4) if family == "4" else (addresses.v6, show_v6)
    for first, last in spans:
        where = show(first) if first == last else {"range": [show(first), show(last)]}
        yield _element([where, flow.protocol, flow.port], rules.flows[flow].rule)


def _element(key: Sequence[Any], rule: str) -> list[Any]:
    value: Json = {"concat": list(key)}
    # nft takes comments of at most 128 bytes.
    return [{"elem": {"val": value, "comment": rule[-120:]}} if rule else value, {"accept": None}]


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


def _add_observation(table: "_Table", rules: Rules, sites: Sites, zones: Collection[str]) -> None:
    watched = [name for name, workload in rules.workloads.items() if workload.zone in zones]
    interfaces = sorted(sites[end].interface for end in (*watched, *rules.externals))
    table.add_set("s_observed", "ifname", interfaces)
    both = [_match(_meta(side), "@s_observed") for side in ("iifname", "oifname")]
    table.add_rule("c_forward", *both, {"log": {"prefix": "rf_undeclared "}}, {"accept": None})


def _add_closing(table: "_Table", chain: str, closed: Closed) -> None:
    """Count what is left, and answer it; the chain's policy drops what is not answered."""
    table.add_rule(chain, {"counter": {"packets": 0, "bytes": 0}})
    if closed == "reset":
        table.add_rule(chain, _match(_meta("l4proto"), "tcp"), {"reject": {"type": "tcp reset"}})


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


class _Table:
    """The commands that replace one table in a single transaction."""

    def __init__(self, name: str) -> None:
        self._here = {"family": "inet", "table": name}
        table = {"table": {"family": "inet", "name": name}}
        # Added first so that deleting it cannot fail; all in one transaction, so it is never absent.
        self._commands: list[Json] = [{"add": table}, {"delete": table}, {"add": table}]

    def add_set(self, name: str, kind: str, elements: list[str]) -> None:
        content = {"elem": elements} if elements else {}
        self._commands.append({"add": {"set": {**self._here, "name": name, "type": kind, **content}}})

    def add_map(self, name: str, kinds: list[str], elements: list[Any], is_interval: bool = False) -> None:
        shape: Json = {
            **self._here,
            "name": name,
            "type": kinds,
            "map": "verdict",
            "stmt": [{"counter": None}],
        }
        if is_interval:
            shape["flags"] = ["interval"]
        if elements:
            shape["elem"] = elements
        self._commands.append({"add": {"map": shape}})

    def add_chain(self, name: str, hook: str) -> None:
        shape = {"name": name, "type": "filter", "hook": hook, "prio": 0, "policy": "drop"}
        self._commands.append({"add": {"chain": {**self._here, **shape}}})

    def add_rule(self, chain: str, *expressions: Json) -> None:
        self._commands.append({"add": {"rule": {**self._here, "chain": chain, "expr": list(expressions)}}})

    def document(self) -> Json:
        return {"nftables": [{"metainfo": {"json_schema_version": 1}}, *self._commands]}
