"""The formats that the rules are written in, and read back from, by name.

nftables and sandbox profiles are JSON and belong to one place; a systemd drop-in is text and belongs to one
service; Kubernetes manifests and compose files are YAML and hold the whole platform.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ringfence.kernel.errors import BadInput, UsageError
from ringfence.planes.network.compile import Rules
from ringfence.planes.network.compose import observe_compose, render_compose, wanted_by_compose
from ringfence.planes.network.envelope import Envelope, all_differences
from ringfence.planes.network.kubernetes.manifest import Document
from ringfence.planes.network.observe import Observed, Pair, drift
from ringfence.planes.network.observe_kubernetes import decided_by_cluster_policies, observe_kubernetes
from ringfence.planes.network.observe_nftables import observe_guards, observe_hub
from ringfence.planes.network.render_kubernetes import render_cluster_policies, render_network_policies
from ringfence.planes.network.render_nftables import Closed, render_guard, render_hub
from ringfence.planes.network.sandbox import compile_sandbox
from ringfence.planes.network.sandbox_file import (
    envelope_of,
    observe_sandbox,
    render_sandbox,
    wanted_by_sandbox,
)
from ringfence.planes.network.sites import Sites
from ringfence.planes.network.systemd import observe_drop_in, render_drop_in, wanted_by_systemd
from ringfence.policy.model import Finding
from ringfence.policy.yaml_text import write_yaml

Format = Literal["nftables", "kubernetes", "cluster-policies", "systemd", "compose", "sandbox"]

WHOLE: tuple[Format, ...] = ("kubernetes", "cluster-policies", "compose")
"""Formats that hold the whole platform, so that no place of it can be asked for."""

HUB = "hub"
"""The place that decides between all ends; every other place is that of a service."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How what was read differs from the policy, in words; true where it does or could not be read whole."""

    missing: tuple[str, ...]
    excess: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.excess) or any(one.level == "error" for one in self.findings)


def write(form: Format, rules: Rules, sites: Sites, place: str | None, closed: Closed = "drop") -> Any:
    """Write the rules: text for systemd, a list of objects for Kubernetes, one object for the others.

    UsageError where the format belongs to a place and none, or one that the policy does not have, is named,
    and where a place is named and the format holds the whole platform.
    """
    refuse_place(form, place)
    match form:
        case "nftables":
            if _known(place, HUB, *rules.workloads) == HUB:
                return render_hub(rules, sites, closed)
            return render_guard(rules, sites, str(place), closed)
        case "kubernetes":
            return list(render_network_policies(rules, sites))
        case "cluster-policies":
            return list(render_cluster_policies(rules, sites))
        case "systemd":
            return render_drop_in(rules, sites, _known(place, *rules.workloads))
        case "compose":
            return render_compose(rules)
        case "sandbox":
            return render_sandbox(compile_sandbox(rules, _known(place, *rules.workloads)))


def refuse_place(form: Format, place: str | None) -> None:
    """Refuse a place for a format that holds the whole platform; UsageError then."""
    if form in WHOLE and place is not None:
        raise UsageError(f"{form} holds the whole platform, so no place of it can be named; it was {place!r}")


def as_yaml(written: Any) -> str:
    """Write one object, or a list of them, as YAML documents."""
    return "---\n".join(map(write_yaml, written if isinstance(written, list) else [written]))


def compare_nftables(document: object, rules: Rules, sites: Sites, place: str, name: str) -> Difference:
    """Compare the ruleset of the hub, or of the place of a service, as `nft -j list ruleset` prints it."""
    if _known(place, HUB, *rules.workloads) == HUB:
        return _difference(rules, observe_hub(document, sites, name))
    inside = [pair for end in sites if end != place for pair in ((place, end), (end, place))]
    return _difference(rules, observe_guards({place: document}, sites), inside)


def compare_kubernetes(form: Format, documents: Iterable[Document], rules: Rules, sites: Sites) -> Difference:
    """Compare manifests; ClusterNetworkPolicies alone do not decide what comes from outside."""
    pairs = decided_by_cluster_policies(rules) if form == "cluster-policies" else None
    return _difference(rules, observe_kubernetes(documents, rules, sites), pairs)


def compare_unit(text: str, rules: Rules, sites: Sites, place: str | None) -> Difference:
    """Compare the unit or drop-in of one service."""
    service = _known(place, *rules.workloads)
    return _envelopes(
        {service: wanted_by_systemd(rules)[service]}, {service: observe_drop_in(text, sites, service)}
    )


def compare_compose(document: object, rules: Rules) -> Difference:
    """Compare a compose file."""
    return _envelopes(wanted_by_compose(rules), observe_compose(document))


def compare_sandbox(document: object, rules: Rules, name: str, place: str | None = None) -> Difference:
    """Compare a sandbox profile, which names its service; BadInput where it is none, or that of another
    service than `place`."""
    profile = observe_sandbox(document, name)
    service = _known(profile.service, *rules.workloads)
    if place is not None and _known(place, *rules.workloads) != service:
        raise BadInput(f"{name} is the profile of {service}, and {place} was asked for")
    return _envelopes({service: wanted_by_sandbox(rules)[service]}, {service: envelope_of(profile)})


def _difference(rules: Rules, seen: Observed, pairs: Iterable[Pair] | None = None) -> Difference:
    found = drift(rules, seen, pairs)
    return Difference(tuple(map(str, found.missing)), tuple(map(str, found.excess)), seen.findings)


def _envelopes(wanted: dict[str, Envelope], seen: dict[str, Envelope]) -> Difference:
    found = all_differences(wanted, seen)
    closed = tuple(words for words in found if _says_closed(words))
    return Difference(closed, tuple(words for words in found if not _says_closed(words)))


def _says_closed(words: str) -> bool:
    return "missing peer" in words or words.endswith("declared and closed")


def _known(place: str | None, *places: str) -> str:
    if place is None or place not in places:
        given = "no place was named" if place is None else f"there is no place {place!r} for it"
        raise UsageError(f"{given}; there are {', '.join(places)}")
    return place
