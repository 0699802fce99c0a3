"""Drawn policies in the real kernel: what is decided, what packets do and what is read back agree.

RINGFENCE_DRAWN=0:100    which seeds are drawn
"""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from flow_policies import policy_of

from ringfence.adapters.namespaces import Lab
from ringfence.adapters.nft_command import Nft
from ringfence.adapters.probe_sockets import Listeners, matrix, probe
from ringfence.kernel.decision import Accepted
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.flow import decide
from ringfence.planes.network.observe import PROTOCOL_OF
from ringfence.planes.network.observe_nftables import observe_guards, observe_hub
from ringfence.planes.network.render_nftables import render_guard, render_hub
from ringfence.planes.network.sites import plan_sites
from ringfence.services.enforced import HUB

SERVICES = {"a": "z0", "b": "z0", "c": "z1", "d": "z2"}
EXTERNALS = ("x", "y")
PORTS = (53, 7000)
SITES = plan_sites(compile_flows(policy_of(SERVICES, EXTERNALS, [])))
CELLS = matrix(tuple(SITES), PORTS)
SILENCE_S = 0.06
PATIENT_S = 2.0
SEEDS = range(*map(int, os.environ.get("RINGFENCE_DRAWN", "0:100").split(":")))


@pytest.fixture(scope="module")
def lab():
    built = Lab(SITES)
    built.up()
    with Listeners(built.within, SITES, PORTS):
        yield built
    built.down()


def drawn(seed):
    """Draw up to thirty flows between four services and two externals, few policies of them empty."""
    dice = random.Random(seed)
    possible = [one for one in CELLS if not {one.source, one.target} <= set(EXTERNALS)]
    chosen = dice.sample(possible, dice.randint(0, 30))
    flows = [(one.source, one.target, one.port, one.protocol) for one in chosen]
    return compile_flows(policy_of(SERVICES, EXTERNALS, flows))


def in_force(places, rules):
    """Load the rules everywhere and read them back, each place in one transaction of its own."""

    def load(name):
        document = (
            render_hub(rules, SITES, "reset") if name == HUB else render_guard(rules, SITES, name, "reset")
        )
        places[name].load(document)
        return name, places[name].ruleset()

    with ThreadPoolExecutor(3) as pool:
        return dict(pool.map(load, places))


def open_to_packets(lab, expected):
    answers = probe(lab.within, SITES, CELLS, SILENCE_S).is_open
    wrong = sorted({flow for (flow, _), is_open in answers.items() if is_open != (flow in expected)})
    # A busy machine answers late: what looks wrong is asked again with more patience.
    answers = {**answers, **probe(lab.within, SITES, wrong, PATIENT_S).is_open}
    return {family: {flow for flow, of in answers if of == family and answers[flow, of]} for family in (4, 6)}


def permits(guards, flow):
    opened = guards.get((flow.source, flow.target))
    return opened is not None and opened.has(PROTOCOL_OF[flow.protocol], flow.port)


def test_evaluator_packets_and_reader_agree(lab):
    places = {place: Nft(partial(lab.command, place)) for place in (HUB, *SERVICES)}
    assert open_to_packets(lab, set(CELLS)) == {4: set(CELLS), 6: set(CELLS)}, "the control: all is open"
    for seed in SEEDS:
        rules = drawn(seed)
        decided = {flow for flow in CELLS if isinstance(decide(rules, flow), Accepted)}
        rulesets = in_force(places, rules)
        hub = observe_hub(rulesets.pop(HUB), SITES).flows()
        guards = observe_guards(rulesets, SITES).possible
        by_guards = {flow for flow in CELLS if permits(guards, flow)}
        assert hub == decided, f"seed {seed}: the hub, read back"
        assert by_guards == decided, f"seed {seed}: the services' own rules, read back"
        assert open_to_packets(lab, decided) == {4: decided, 6: decided}, f"seed {seed}: packets"
