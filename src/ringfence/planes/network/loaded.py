"""What is loaded at a place beside its permissions: whose rules, what is cut off, and what was counted.

Only the tables that the renderer writes are read; what is permitted is read by `observe_nftables`, from any
rules.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringfence.planes.network.addresses import Addresses
from ringfence.planes.network.compile import TRANSPORTS, Flow, Rules
from ringfence.planes.network.modes import Mode, Modes
from ringfence.planes.network.render_nftables import (
    FLOWS_MAP,
    GUARD_TABLE,
    HUB_TABLE,
    PROBED_SET,
    QUARANTINE_SET,
    TRIED_SET,
    WARNED_SET,
    WATCHED_SET,
)
from ringfence.planes.network.sites import Sites

Json = dict[str, Any]

_NOTE = re.compile(r"generation (\d+) of ([0-9a-f]+), (observe|warn|enforce)")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one place says of itself.

    generation: counted up by each `apply`, 0 where nothing is loaded; digest: of the rules; modes: of the
    zones that are only watched; quarantined: ends that are cut off; passed: new connections that each flow
    let through; tried: first packets that no flow permits, by the flow they would need; the rest was counted
    with no ports to name.
    """

    generation: int = 0
    digest: str = ""
    modes: Modes = field(default_factory=dict)
    quarantined: tuple[str, ...] = ()
    passed: Mapping[Flow, int] = field(default_factory=dict)
    tried: Mapping[Flow, int] = field(default_factory=dict)


def read_hub(document: object, rules: Rules, sites: Sites) -> Loaded:
    """Read the hub's table from what `nft -j list ruleset` prints."""
    parts = _Parts(document, HUB_TABLE)
    end_of = {site.interface: end for end, site in sites.items()}
    modes: dict[str, Mode] = {}
    for name, mode in ((WATCHED_SET, "observe"), (WARNED_SET, "warn")):
        for interface, _ in parts.counted(name):
            workload = rules.workloads.get(end_of.get(interface[0], ""))
            if workload:
                modes[workload.zone] = "warn" if mode == "warn" else "observe"
    cut_off = tuple(end_of[key[0]] for key, _ in parts.counted(QUARANTINE_SET) if key[0] in end_of)
    generation, digest, _ = parts.note()
    return Loaded(
        generation,
        digest,
        modes,
        cut_off,
        dict(_hub_flows(parts.counted(FLOWS_MAP), end_of)),
        dict(_hub_flows(parts.counted(TRIED_SET), end_of)),
    )


def read_guard(document: object, rules: Rules, sites: Sites, service: str) -> Loaded:
    """Read the table in the place of one service from what `nft -j list ruleset` prints."""
    parts = _Parts(document, GUARD_TABLE)
    generation, digest, mode = parts.note()
    modes: Modes = {} if mode == "enforce" else {rules.workloads[service].zone: mode}
    found: list[dict[Flow, int]] = []
    for prefix in ("m", TRIED_SET):
        counts: dict[Flow, int] = {}
        for hook in ("input", "output"):
            for family in ("4", "6"):
                for key, packets in parts.counted(f"{prefix}_{hook}{family}"):
                    flow = _guard_flow(key, sites, service, is_input=hook == "input")
                    if flow:
                        counts[flow] = counts.get(flow, 0) + packets
        found.append(counts)
    return Loaded(generation, digest, modes, (), *found)


def restoring(document: Json) -> Json:
    """Turn a listing into the document that brings our tables back as they are in it, or takes them away.

    The tables of others are no part of it. Counters are kept; what was recorded is left out.
    """
    commands: list[Json] = []
    for name in (HUB_TABLE, GUARD_TABLE):
        parts = _Parts(document, name)
        table = {"add": {"table": {"family": "inet", "name": name}}}
        commands += [table, {"delete": table["add"]}]
        if parts.is_there:
            commands += [table, *({"add": {kind: body}} for kind, body in parts.without_records())]
    return {"nftables": commands}


Counted = tuple[tuple[Any, ...], int]
"""The key of an element and how many packets it counted."""


class _Parts:
    """The parts of one of our tables in a listing."""

    def __init__(self, document: object, table: str) -> None:
        items = document.get("nftables") if isinstance(document, dict) else None
        self._items = [
            (kind, body)
            for item in (items if isinstance(items, list) else [])
            if isinstance(item, dict)
            for kind, body in item.items()
            if isinstance(body, dict) and body.get("table") == table
        ]
        # A table of ours has chains, so it is there where anything is listed in it.
        self.is_there = bool(self._items)

    def without_records(self) -> Iterator[tuple[str, Json]]:
        """List everything as it can be loaded: without handles, and records without what they hold."""
        for kind, body in self._items:
            is_record = kind == "set" and body.get("name", "").startswith((TRIED_SET, PROBED_SET))
            gone = {"handle", "elem"} if is_record else {"handle"}
            yield kind, {key: value for key, value in body.items() if key not in gone}

    def note(self) -> tuple[int, str, Mode]:
        """Return generation, digest and mode as the last rule of our chains states them."""
        for kind, body in self._items:
            said = _NOTE.search(str(body.get("comment", ""))) if kind == "rule" else None
            if said:
                mode: Mode = "observe" if said[3] == "observe" else "warn" if said[3] == "warn" else "enforce"
                return int(said[1]), said[2], mode
        return 0, "", "enforce"

    def counted(self, name: str) -> Iterator[Counted]:
        """List the elements of a set or map with their counters."""
        for kind, body in self._items:
            if kind in ("set", "map") and body.get("name") == name:
                for listed in body.get("elem", ()):
                    yield _element(listed[0] if isinstance(listed, list) else listed)


def _element(listed: Any) -> Counted:
    inner = listed.get("elem") if isinstance(listed, dict) else None
    value = inner.get("val") if isinstance(inner, dict) else listed
    counter = inner.get("counter", {}) if isinstance(inner, dict) else {}
    parts = value["concat"] if isinstance(value, dict) and "concat" in value else [value]
    return tuple(parts), counter.get("packets", 0)


def _hub_flows(elements: Iterator[Counted], end_of: Mapping[str, str]) -> Iterator[tuple[Flow, int]]:
    for key, packets in elements:
        if len(key) == 4 and key[0] in end_of and key[1] in end_of:
            for transport in TRANSPORTS:
                if key[2] == transport and isinstance(key[3], int):
                    yield Flow(end_of[key[0]], end_of[key[1]], transport, key[3]), packets


def _guard_flow(key: tuple[Any, ...], sites: Sites, service: str, *, is_input: bool) -> Flow | None:
    other = _owner(sites, key[0]) if len(key) == 3 else None
    if other is None or not isinstance(key[2], int):
        return None
    ends = (other, service) if is_input else (service, other)
    return next((Flow(*ends, transport, key[2]) for transport in TRANSPORTS if key[1] == transport), None)


def _owner(sites: Sites, where: Any) -> str | None:
    """Name the end that an element's address, or range of addresses, belongs to."""
    text = where["range"][0] if isinstance(where, dict) and "range" in where else where
    if isinstance(where, dict) and "prefix" in where:
        text = where["prefix"]["addr"]
    return owner_of(sites, text) if isinstance(text, str) else None


def owner_of(sites: Sites, address: str) -> str | None:
    """Name the end that an address belongs to; None where it is nobody's."""
    wanted = Addresses.parse(address)
    return next((end for end, site in sites.items() if not wanted - site.addresses), None)
