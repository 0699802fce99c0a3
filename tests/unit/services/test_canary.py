"""The canary tells walls, holes and dead listeners apart."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice

from flow_policies import venue_rules

from ringfence.planes.network.compile import TRANSPORTS, Flow
from ringfence.services.canary import canary
from ringfence.services.lab import MustBe

RULES = venue_rules()
PORTS = sorted({flow.port for flow in RULES.flows})
EVERYTHING = [
    Flow(source, target, transport, port)
    for source in RULES.ends
    for target in RULES.ends
    if source != target
    for port in PORTS
    for transport in TRANSPORTS
]
HOLE = Flow("gateway", "wallet", "tcp", 7005)


@dataclass(frozen=True)
class Cells:
    is_open: Mapping[tuple[Flow, int], bool]
    counts: Mapping[str, int]


class Network:
    """A network that opens what `passes` says, and whose ends answer at home unless they are dead."""

    def __init__(self, passes: Callable[[Flow], bool], dead: str = "") -> None:
        self.passes, self.dead = passes, dead
        self.asked: list[Flow] = []

    def __call__(self, flows: Collection[Flow] | None) -> Cells:
        self.asked += flows or ()
        answers = {
            (flow, family): flow.target != self.dead and (flow.source == flow.target or self.passes(flow))
            for flow in flows or ()
            for family in (4, 6)
        }
        return Cells(answers, {})


def declared() -> MustBe:
    return lambda flow: flow in RULES.flows


def rounds(network: Network, count: int, share: float = 0.1, must_be: Callable[[], MustBe] = declared):  # type: ignore[no-untyped-def]
    return list(islice(canary(RULES, EVERYTHING, network, must_be, 1, share), count))


def test_a_network_that_does_as_declared_is_never_wrong() -> None:
    network = Network(lambda flow: flow in RULES.flows)
    found = rounds(network, 5)

    assert [one.number for one in found] == [1, 2, 3, 4, 5]
    assert not any(one.wrong or one.unproven for one in found)
    assert set(RULES.flows) <= set(network.asked)
    undeclared = len(EVERYTHING) - len(RULES.flows)
    assert {one.asked for one in found} == {2 * (len(RULES.flows) + round(0.1 * undeclared))}


def test_a_hole_is_found_within_some_rounds_and_a_closed_flow_at_once() -> None:
    leaking = rounds(Network(lambda flow: flow in RULES.flows or flow == HOLE), 60)
    assert {words for one in leaking for words in one.wrong} == {
        f"{HOLE} over IPv4 was open",
        f"{HOLE} over IPv6 was open",
    }
    gone = min(RULES.flows)
    broken = rounds(Network(lambda flow: flow in RULES.flows and flow != gone), 1)
    assert broken[0].wrong == (f"{gone} over IPv4 was closed", f"{gone} over IPv6 was closed")


def test_a_dead_listener_is_no_wall() -> None:
    found = rounds(Network(lambda flow: flow in RULES.flows, dead="wallet"), 1, share=1)

    into_wallet = sum(flow.target == "wallet" for flow in EVERYTHING)
    assert found[0].unproven == 2 * into_wallet
    assert not found[0].wrong  # nothing declared leads there


def test_what_may_be_either_is_not_wrong_and_a_change_in_between_is_asked_for_again() -> None:
    assert not rounds(Network(lambda _: True), 1, 1, lambda: lambda flow: None)[0].wrong
    answers = iter([lambda flow: True, lambda flow: flow in RULES.flows])
    assert not rounds(Network(lambda flow: flow in RULES.flows), 1, 0.2, lambda: next(answers))[0].wrong


def test_an_answer_that_came_late_is_asked_for_again() -> None:
    late = min(RULES.flows)
    network = Network(lambda flow: flow in RULES.flows and (flow != late or network.asked.count(late) > 1))
    assert not rounds(network, 1)[0].wrong
    assert network.asked.count(late) == 2
