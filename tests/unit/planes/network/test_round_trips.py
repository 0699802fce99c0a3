"""The law of the renderers: what a tool's rules permit, read back, is what the policy declares.

A thousand drawn platforms hold it for every target (a tenth of them outside the nightly run), beside the same
rules shuffled, stripped of notes, and with one flow too many or too few.
"""

import json
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from flow_policies import random_rules

from ringfence.planes.network.compile import Flow, Permission, Rules
from ringfence.planes.network.compose import observe_compose, render_compose, wanted_by_compose
from ringfence.planes.network.envelope import all_differences
from ringfence.planes.network.kubernetes.manifest import Document
from ringfence.planes.network.observe import Drift, Observed, drift
from ringfence.planes.network.observe_kubernetes import decided_by_cluster_policies, observe_kubernetes
from ringfence.planes.network.observe_nftables import observe_guards, observe_hub
from ringfence.planes.network.render_kubernetes import render_cluster_policies, render_network_policies
from ringfence.planes.network.render_nftables import render_guard, render_hub
from ringfence.planes.network.sandbox import compile_sandbox
from ringfence.planes.network.sandbox_file import (
    envelope_of,
    observe_sandbox,
    render_sandbox,
    wanted_by_sandbox,
)
from ringfence.planes.network.sites import Sites, plan_sites
from ringfence.planes.network.systemd import observe_drop_in, render_drop_in, wanted_by_systemd

PLATFORMS = 1_000
NETWORKS = {"outside0": ["0.0.0.0/0", "::/0"], "outside1": ["203.0.113.0/24"]}


def plain(data: Any) -> Any:
    """Return the data as it comes out of a file."""
    return json.loads(json.dumps(data))


def documents(objects: Iterable[dict[str, Any]]) -> list[Document]:
    return [Document("k.yaml", index, plain(data)) for index, data in enumerate(objects)]


def sites_of(rules: Rules, seed: int) -> Sites:
    """Give some platforms real, overlapping networks outside."""
    given = {end: networks for end, networks in NETWORKS.items() if end in rules.externals}
    return plan_sites(rules, given if seed % 2 else None)


def through_hub(rules: Rules, sites: Sites) -> Observed:
    return observe_hub(plain(render_hub(rules, sites)), sites)


def through_guards(rules: Rules, sites: Sites) -> Observed:
    return observe_guards({name: plain(render_guard(rules, sites, name)) for name in rules.workloads}, sites)


def through_network_policies(rules: Rules, sites: Sites) -> Observed:
    return observe_kubernetes(documents(render_network_policies(rules, sites)), rules, sites)


def through_cluster_policies(rules: Rules, sites: Sites) -> Observed:
    return observe_kubernetes(documents(render_cluster_policies(rules, sites)), rules, sites)


def through_both_kinds(rules: Rules, sites: Sites) -> Observed:
    objects = [*render_network_policies(rules, sites), *render_cluster_policies(rules, sites)]
    return observe_kubernetes(documents(objects), rules, sites)


Through = Callable[[Rules, Sites], Observed]
WHOLE: list[Through] = [through_hub, through_guards, through_network_policies, through_both_kinds]


def drift_of(through: Through, wanted: Rules, loaded: Rules, sites: Sites) -> Drift:
    pairs = None
    if through is through_cluster_policies:
        pairs = decided_by_cluster_policies(wanted)
    if through is through_guards:
        # Between two externals there is no place that could hold a guard.
        pairs = [pair for pair in pairs_of(wanted) if set(pair) & set(wanted.workloads)]
    return drift(wanted, through(loaded, sites), pairs)


def pairs_of(rules: Rules) -> list[tuple[str, str]]:
    return [(source, target) for source in rules.ends for target in rules.ends if source != target]


def envelopes_differ(wanted: Rules, loaded: Rules, sites: Sites) -> dict[str, tuple[str, ...]]:
    units = {
        name: observe_drop_in(render_drop_in(loaded, sites, name), sites, name) for name in loaded.workloads
    }
    boxes = {
        name: envelope_of(observe_sandbox(plain(render_sandbox(compile_sandbox(loaded, name))), name))
        for name in loaded.workloads
    }
    return {
        "systemd": all_differences(wanted_by_systemd(wanted), units),
        "compose": all_differences(wanted_by_compose(wanted), observe_compose(plain(render_compose(loaded)))),
        "sandbox": all_differences(wanted_by_sandbox(wanted), boxes),
    }


def check(seed: int) -> None:
    rules = random_rules(seed)
    sites = sites_of(rules, seed)
    for through in (*WHOLE, through_cluster_policies):
        found = drift_of(through, rules, rules, sites)
        assert not found, (seed, through.__name__, found)
    assert through_hub(rules, sites).flows() == frozenset(rules.flows), seed
    assert not any(envelopes_differ(rules, rules, sites).values()), seed


@pytest.mark.parametrize("block", range(PLATFORMS // 100))
def test_what_is_read_back_is_what_was_declared(block: int) -> None:
    for seed in range(block * 10, block * 10 + 10):
        check(seed)


@pytest.mark.nightly
def test_what_is_read_back_is_what_was_declared_in_a_thousand_platforms() -> None:
    for seed in range(100, PLATFORMS):
        check(seed)


@pytest.mark.parametrize("through", [*WHOLE, through_cluster_policies])
def test_a_flow_too_few_or_too_many_is_found_by_name(through: Through) -> None:
    for seed in range(16):
        rules = random_rules(seed)
        sites, dice = sites_of(rules, seed), random.Random(seed)
        inside = [flow for flow in rules.flows if is_decided(through, rules, flow)]
        if inside:
            gone = dice.choice(inside)
            assert drift_of(through, rules, without(rules, gone), sites) == Drift(missing=(gone,), excess=())
            found = drift_of(through, without(rules, gone), rules, sites)
            assert [(one.source, one.target) for one in found.excess] == [(gone.source, gone.target)]
            assert found.missing == ()


def is_decided(through: Through, rules: Rules, flow: Flow) -> bool:
    return through is not through_cluster_policies or flow.source in rules.workloads


def without(rules: Rules, gone: Flow) -> Rules:
    kept = {flow: permission for flow, permission in rules.flows.items() if flow != gone}
    return Rules(rules.name, rules.zones, rules.workloads, rules.externals, kept)


def test_a_new_peer_or_port_is_found_by_the_tools_that_cannot_name_flows() -> None:
    for seed in range(30):
        rules = random_rules(seed)
        if len(rules.workloads) < 2 or not rules.externals:
            continue
        first, second = list(rules.workloads)[:2]
        quiet = without_pair(rules, first, second)
        flow = Flow(first, second, "tcp", 12_345)
        more = Rules(
            quiet.name,
            quiet.zones,
            quiet.workloads,
            quiet.externals,
            {**quiet.flows, flow: Permission("p.yaml:1", "")},
        )
        found = envelopes_differ(quiet, more, sites_of(rules, seed))
        assert f"{first}: undeclared peer {second}" in found["systemd"]
        assert f"{second}: listens on TCP 12345 is open and not declared" in found["systemd"]
        assert f"{first}: undeclared peer {second}" in found["compose"]
        assert f"{first}: connects to TCP 12345 is open and not declared" in found["sandbox"]
        assert (
            f"{first}: missing peer {second}"
            in envelopes_differ(more, quiet, sites_of(rules, seed))["compose"]
        )


def without_pair(rules: Rules, one: str, other: str) -> Rules:
    kept = {
        flow: permission
        for flow, permission in rules.flows.items()
        if {flow.source, flow.target} != {one, other}
    }
    return Rules(rules.name, rules.zones, rules.workloads, rules.externals, kept)


def test_order_names_and_notes_are_of_no_account_to_kubernetes() -> None:
    for seed in range(20):
        rules = random_rules(seed)
        sites, dice = sites_of(rules, seed), random.Random(seed)
        objects = plain([*render_network_policies(rules, sites), *render_cluster_policies(rules, sites)])
        for number, content in enumerate(objects):
            content["metadata"].pop("annotations", None)
            content["metadata"]["name"] = f"other-{number}"
            if content["kind"] == "NetworkPolicy":
                for direction in ("ingress", "egress"):
                    dice.shuffle(content["spec"].get(direction, []))
                    for rule in content["spec"].get(direction, []):
                        dice.shuffle(rule["ports"])
        dice.shuffle(objects)
        assert not drift(rules, observe_kubernetes(documents(objects), rules, sites)), seed
