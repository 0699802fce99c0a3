import pytest
from flow_policies import VENUE_FLOWS, policy_of, random_rules, venue_rules
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.planes.network.compile import Flow, compile_flows
from ringfence.planes.network.flow import decide, explain, nearest, path_between
from ringfence.policy.model import Flow as DeclaredFlow

RULES = venue_rules()


def test_every_declared_flow_keeps_its_line_and_purpose() -> None:
    policy = policy_of({"a": "z", "b": "z"}, ("out",), [("a", "b", 1), ("b", "out", 2, "udp"), ("a", "b", 1)])
    rules = compile_flows(policy)

    assert {str(flow): permission.rule for flow, permission in rules.flows.items()} == {
        "a -> b tcp 1": "p.yaml:100",
        "b -> out udp 2": "p.yaml:101",
    }
    assert rules.workloads["a"].rule == "p.yaml:1"
    assert rules.of_zone("z") == ("a", "b")


def test_a_flow_between_lists_is_every_pair() -> None:
    declared = DeclaredFlow(sources=("a",), targets=("b", "c"), port=1)
    many = policy_of({"a": "z", "b": "z", "c": "z"}, (), []).model_copy(update={"flows": (declared,)})

    assert [str(flow) for flow in compile_flows(many).flows] == ["a -> b tcp 1", "a -> c tcp 1"]


@pytest.mark.parametrize(
    ("flow", "reason"),
    [
        (Flow("matching", "risk", "tcp", 7001), None),
        (Flow("matching", "risk", "tcp", 7000), Reason.NO_FLOW_BETWEEN_SERVICES),
        (Flow("matching", "risk", "tcp", 7002), Reason.NO_FLOW_BETWEEN_SERVICES),  # another source's port
        (Flow("matching", "risk", "udp", 7001), Reason.NO_FLOW_BETWEEN_SERVICES),
        (Flow("risk", "matching", "tcp", 7001), Reason.NO_FLOW_BETWEEN_SERVICES),  # never pushed back
        (Flow("marks", "matching", "tcp", 7008), None),
        (Flow("marks", "ledger", "tcp", 7008), Reason.NO_FLOW_BETWEEN_SERVICES),
        (Flow("risk", "marks", "tcp", 7008), Reason.NO_FLOW_BETWEEN_SERVICES),  # one zone grants nothing
        (Flow("internet", "gateway", "tcp", 443), None),
        (Flow("internet", "matching", "tcp", 443), Reason.NO_FLOW_BETWEEN_SERVICES),
        (Flow("chain", "wallet", "tcp", 8545), Reason.NO_FLOW_BETWEEN_SERVICES),
        (Flow("nobody", "risk", "tcp", 7001), Reason.SERVICE_UNKNOWN),
        (Flow("matching", "nobody", "tcp", 7001), Reason.SERVICE_UNKNOWN),
    ],
)
def test_only_declared_flows_are_accepted(flow: Flow, reason: Reason | None) -> None:
    decision = decide(RULES, flow)

    assert (decision.reason if isinstance(decision, Refused) else None) == reason


def test_a_refusal_names_the_nearest_permitted_ways_and_the_way_round() -> None:
    found = explain(RULES, Flow("gateway", "risk", "tcp", 7001))

    assert not found.is_accepted
    assert found.ways == (
        "matching -> risk tcp 7001 (p.yaml:103)",
        "ledger -> risk tcp 7002 (p.yaml:104)",
        "marks -> risk tcp 7008 (p.yaml:106)",
    )
    assert found.path == (
        "gateway -> matching tcp 7000 (p.yaml:101)",
        "matching -> risk tcp 7001 (p.yaml:103)",
    )
    assert isinstance(found.decision, Refused)
    assert found.decision.words == (
        "no flow of the policy permits gateway -> risk tcp 7001; "
        "the nearest permitted way is matching -> risk tcp 7001 (p.yaml:103)"
    )


def test_where_nobody_may_come_in_the_refusal_says_who_opens_instead() -> None:
    found = explain(RULES, Flow("gateway", "wallet", "tcp", 7005))
    assert isinstance(found.decision, Refused)
    assert found.decision.words == (
        "no flow of the policy permits gateway -> wallet tcp 7005; nobody may open a connection to wallet, "
        "which opens its own, such as wallet -> chain tcp 8545 (p.yaml:108)"
    )
    alone = compile_flows(policy_of({"a": "z", "b": "z"}, (), []))
    refused = decide(alone, Flow("a", "b", "tcp", 1))
    assert isinstance(refused, Refused)
    assert refused.words.endswith("; nobody may open a connection to b")


def test_the_nearest_way_is_the_same_pair_then_the_other_way_round() -> None:
    assert nearest(RULES, Flow("matching", "risk", "tcp", 1))[0] == Flow("matching", "risk", "tcp", 7001)
    assert nearest(RULES, Flow("risk", "matching", "tcp", 1))[0] == Flow("matching", "risk", "tcp", 7001)


def test_an_accepted_connection_names_its_line() -> None:
    found = explain(RULES, Flow("wallet", "chain", "tcp", 8545))

    assert (found.decision, found.rule, found.ways) == (Accepted(), "p.yaml:108", ())


def test_there_is_no_path_where_flows_only_lead_away() -> None:
    assert path_between(RULES, "chain", "wallet") == ()
    assert path_between(RULES, "gateway", "wallet") == ()


@given(st.integers(0, 2**32))
def test_exactly_the_declared_flows_are_accepted(seed: int) -> None:
    rules = random_rules(seed)
    ports = {flow.port for flow in rules.flows} | {1, 8080}
    for source in rules.ends:
        for target in rules.ends:
            for port in ports:
                for protocol in ("tcp", "udp"):
                    flow = Flow(source, target, protocol, port)
                    assert isinstance(decide(rules, flow), Accepted) == (flow in rules.flows)


@given(st.integers(0, 2**32))
def test_a_path_is_made_of_permitted_flows_and_leads_there(seed: int) -> None:
    rules = random_rules(seed)
    for source in rules.ends:
        for target in rules.ends:
            path = path_between(rules, source, target)
            assert all(step in rules.flows for step in path)
            assert [step.target for step in path[:-1]] == [step.source for step in path[1:]]
            if path:
                assert (path[0].source, path[-1].target) == (source, target)


def test_the_small_venue_has_the_flows_it_was_written_with() -> None:
    assert len(RULES.flows) == len(VENUE_FLOWS)
