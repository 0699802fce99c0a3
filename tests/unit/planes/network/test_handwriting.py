"""Readers understand what people wrote: other words for the same flows are no drift, and one flow less is.

Every form that rules are written in is held to it, over drawn platforms.
"""

import json
import random
from collections.abc import Callable
from typing import Any

import handwriting
import pytest
from flow_policies import random_rules
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.planes.network.compile import Flow, Rules
from ringfence.planes.network.compose import observe_compose, wanted_by_compose
from ringfence.planes.network.envelope import Envelope, all_differences
from ringfence.planes.network.kubernetes.manifest import Document
from ringfence.planes.network.observe import Drift, Pair, drift
from ringfence.planes.network.observe_kubernetes import decided_by_cluster_policies, observe_kubernetes
from ringfence.planes.network.observe_nftables import observe_guards, observe_hub
from ringfence.planes.network.sandbox_file import envelope_of, observe_sandbox, wanted_by_sandbox
from ringfence.planes.network.sites import Sites, plan_sites
from ringfence.planes.network.systemd import observe_drop_in, wanted_by_systemd

NETWORKS = {"outside0": ["198.51.100.0/24", "2001:db8::/32"], "outside1": ["203.0.113.0/24"]}


def plain(data: Any) -> Any:
    return json.loads(json.dumps(data))


def documents(objects: list[dict[str, Any]]) -> list[Document]:
    return [Document("hand.yaml", index, plain(data)) for index, data in enumerate(objects)]


def hub(wanted: Rules, written: Rules, sites: Sites, dice: random.Random) -> Drift:
    return drift(wanted, observe_hub(plain(handwriting.hub_by_hand(written, sites, dice)), sites))


def guards(wanted: Rules, written: Rules, sites: Sites, dice: random.Random) -> Drift:
    own = {name: plain(handwriting.guard_by_hand(written, sites, name, dice)) for name in written.workloads}
    pairs = [(a, b) for a in wanted.ends for b in wanted.ends if a != b and {a, b} & own.keys()]
    return drift(wanted, observe_guards(own, sites), pairs)


def network_policies(wanted: Rules, written: Rules, sites: Sites, dice: random.Random) -> Drift:
    objects = handwriting.network_policies_by_hand(written, sites, dice)
    return drift(wanted, observe_kubernetes(documents(objects), wanted, sites))


def cluster_policies(wanted: Rules, written: Rules, sites: Sites, dice: random.Random) -> Drift:
    objects = handwriting.cluster_policies_by_hand(written, sites, dice)
    pairs: tuple[Pair, ...] = decided_by_cluster_policies(wanted)
    return drift(wanted, observe_kubernetes(documents(objects), wanted, sites), pairs)


Whole = Callable[[Rules, Rules, Sites, random.Random], Drift]
WHOLE: list[Whole] = [hub, guards, network_policies, cluster_policies]


def drawn(seed: int) -> tuple[Rules, Sites, random.Random]:
    rules = random_rules(seed)
    given_networks = {end: networks for end, networks in NETWORKS.items() if end in rules.externals}
    return rules, plan_sites(rules, given_networks if seed % 2 else None), random.Random(seed)


@pytest.mark.parametrize("written", WHOLE)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_other_words_for_the_same_flows_are_no_drift(written: Whole, seed: int) -> None:
    rules, sites, dice = drawn(seed)
    assert not written(rules, rules, sites, dice)
    inside = [one for one in rules.flows if written is not cluster_policies or one.source in rules.workloads]
    if inside:
        gone = dice.choice(inside)
        assert written(rules, without(rules, gone), sites, dice).missing == (gone,)
        found = written(without(rules, gone), rules, sites, dice)
        assert [(one.source, one.target) for one in found.excess] == [(gone.source, gone.target)]


def without(rules: Rules, gone: Flow) -> Rules:
    kept = {flow: permission for flow, permission in rules.flows.items() if flow != gone}
    return Rules(rules.name, rules.zones, rules.workloads, rules.externals, kept)


Envelopes = dict[str, Envelope]


def units(rules: Rules, sites: Sites, dice: random.Random) -> tuple[Envelopes, Envelopes]:
    return wanted_by_systemd(rules), {
        name: observe_drop_in(handwriting.unit_by_hand(rules, sites, name, dice), sites, name)
        for name in rules.workloads
    }


def compose(rules: Rules, _: Sites, dice: random.Random) -> tuple[Envelopes, Envelopes]:
    return wanted_by_compose(rules), observe_compose(plain(handwriting.compose_by_hand(rules, dice)))


def sandboxes(rules: Rules, _: Sites, dice: random.Random) -> tuple[Envelopes, Envelopes]:
    return wanted_by_sandbox(rules), {
        name: envelope_of(observe_sandbox(plain(handwriting.sandbox_by_hand(rules, name, dice)), "f"))
        for name in rules.workloads
    }


@pytest.mark.parametrize("written", [units, compose, sandboxes])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=40)
def test_other_words_for_the_same_limits_are_no_difference(
    written: Callable[[Rules, Sites, random.Random], tuple[Envelopes, Envelopes]], seed: int
) -> None:
    rules, sites, dice = drawn(seed)
    wanted, seen = written(rules, sites, dice)
    assert all_differences(wanted, seen) == ()
    for name, envelope in wanted.items():
        weaker = {
            **seen,
            name: Envelope(envelope.peers, frozenset(), envelope.listens, envelope.connects, frozenset()),
        }
        for limit in envelope.limits or ():
            assert f"{name}: the limit `{limit}` is declared and does not hold" in all_differences(
                wanted, weaker
            )


CALLS = ("mount", "ptrace", "bpf", "keyctl")


@pytest.mark.parametrize(
    ("filters", "denied"),
    [
        ([], ()),
        (["~mount"], ("mount",)),
        (["~@mount ptrace:EPERM"], ("mount", "ptrace")),
        (["~mount", "~bpf"], ("mount", "bpf")),
        (["~mount bpf", "bpf"], ("mount",)),
        (["~mount", ""], ()),
        (["~mount", "", "~bpf"], ("bpf",)),
        (["@system-service"], ("mount", "ptrace", "bpf")),
        (["@system-service", "~@keyring"], CALLS),
        (["@system-service", "mount"], ("ptrace", "bpf")),
        (["@known"], ()),
        (["@known", "~@mount"], ("mount",)),
        (["~@unheard-of"], ()),
    ],
)
def test_filters_of_systemd_are_added_up_as_its_manual_has_it(
    filters: list[str], denied: tuple[str, ...]
) -> None:
    text = "[Service]\n" + "".join(f"SystemCallFilter={one}\n" for one in filters)
    limits = observe_drop_in(text, {}, "it").limits or frozenset()
    assert {call for call in CALLS if f"no call of {call}" in limits} == set(denied)


@pytest.mark.parametrize(
    ("directive", "holds"),
    [
        ("NoNewPrivileges=yes", True),
        ("NoNewPrivileges=on\nNoNewPrivileges=no", False),
        ("NoNewPrivileges=", False),
        ("RestrictAddressFamilies=AF_INET", True),
        ("RestrictAddressFamilies=none", True),
        ("RestrictAddressFamilies=AF_INET AF_NETLINK", False),
        ("RestrictAddressFamilies=~AF_NETLINK", False),
        ("User=1000", True),
        ("User=1000\nUser=0", False),
    ],
)
def test_other_limits_of_systemd(directive: str, holds: bool) -> None:
    limits = observe_drop_in(f"[Service]\n{directive}\n", {}, "it").limits or frozenset()
    wanted = {"no new privileges", "no address family but AF_UNIX, AF_INET, AF_INET6", "user 1000"}
    assert bool(limits & wanted) is holds
