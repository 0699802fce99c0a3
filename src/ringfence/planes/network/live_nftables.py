"""Small changes to rules that stand: an end cut off or let in again, one flow closed.

Each is one transaction on the tables that `render_nftables` writes, and touches nothing else, so that it
takes a few milliseconds however large the rules are.
"""

from typing import Any

from ringfence.planes.network.compile import Flow, Rules
from ringfence.planes.network.render_nftables import (
    FLOWS_MAP,
    GUARD_TABLE,
    HUB_TABLE,
    QUARANTINE_CHAIN,
    QUARANTINE_RULES,
    QUARANTINE_SET,
    guard_elements,
    guard_map,
    hub_element,
)
from ringfence.planes.network.sites import Sites

Json = dict[str, Any]


def cutting_off(interface: str) -> Json:
    """Write what lets no packet pass from or to an interface of the hub any more, established or not."""
    chain = {"family": "inet", "table": HUB_TABLE, "name": QUARANTINE_CHAIN}
    rule = {"family": "inet", "table": HUB_TABLE, "chain": QUARANTINE_CHAIN}
    rules = [{"add": {"rule": {**rule, "expr": expressions}}} for expressions in QUARANTINE_RULES]
    return {"nftables": [_element("add", interface), {"flush": {"chain": chain}}, *rules]}


def letting_in(interface: str) -> Json:
    """Write what lets packets of an interface pass again, as the rules say."""
    return {"nftables": [_element("add", interface), _element("delete", interface)]}


def _element(verb: str, interface: str) -> Json:
    body = {"family": "inet", "table": HUB_TABLE, "name": QUARANTINE_SET, "elem": [interface]}
    return {verb: {"element": body}}


def closing_at_hub(rules: Rules, sites: Sites, flow: Flow) -> Json:
    """Write what takes one flow out of the hub's verdict map."""
    return {"nftables": [_gone(HUB_TABLE, FLOWS_MAP, [hub_element(rules, sites, flow)])]}


def closing_at_guard(rules: Rules, sites: Sites, flow: Flow, service: str) -> Json:
    """Write what takes one flow out of the verdict maps of its source or its target."""
    hook, field = ("output", "daddr") if service == flow.source else ("input", "saddr")
    listed = {family: [*guard_elements(rules, sites, flow, field, family)] for family in ("4", "6")}
    return {
        "nftables": [
            _gone(GUARD_TABLE, guard_map(hook, family), elements)
            for family, elements in listed.items()
            if elements
        ]
    }


def _gone(table: str, name: str, elements: list[list[Any]]) -> Json:
    bare = [[key["elem"]["val"] if "elem" in key else key, verdict] for key, verdict in elements]
    return {"delete": {"element": {"family": "inet", "table": table, "name": name, "elem": bare}}}
