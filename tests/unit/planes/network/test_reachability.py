from flow_policies import random_rules, venue_rules
from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.network.flow import path_between
from ringfence.planes.network.reachability import components, reach, reached_by_all

EDGES = st.integers(1, 12).flatmap(
    lambda count: st.lists(st.lists(st.integers(0, count - 1), max_size=4), min_size=count, max_size=count)
)


@given(EDGES)
def test_all_pairs_at_once_is_a_walk_from_each(targets: list[list[int]]) -> None:
    for node, bits in enumerate(reach(targets)):
        seen: set[int] = set()
        waiting = list(targets[node])
        while waiting:
            found = waiting.pop()
            if found not in seen:
                seen.add(found)
                waiting.extend(targets[found])
        assert {other for other in range(len(targets)) if bits >> other & 1} == seen


@given(EDGES)
def test_every_node_lies_in_one_component_and_components_come_after_what_they_lead_to(
    targets: list[list[int]],
) -> None:
    seen: set[int] = set()
    for component in components(targets):
        assert not seen & set(component)
        for node in component:
            assert set(targets[node]) <= seen | set(component)
        seen |= set(component)
    assert seen == set(range(len(targets)))


def test_a_chain_longer_than_the_stack_of_calls_is_walked() -> None:
    length = 20_000
    bits = reach([[node + 1] for node in range(length - 1)] + [[]])

    assert bits[0].bit_count() == length - 1


@given(st.integers(0, 2**32))
def test_what_is_reached_is_what_a_path_leads_to(seed: int) -> None:
    rules = random_rules(seed)
    reached = reached_by_all(rules)
    for source in rules.ends:
        for target in rules.ends:
            if source != target:
                assert (target in reached[source]) == bool(path_between(rules, source, target))


def test_nobody_outside_reaches_the_wallet_of_the_small_venue() -> None:
    reached = reached_by_all(venue_rules())

    assert "wallet" not in reached["internet"]
    assert reached["internet"] == {"gateway", "matching", "risk"}
    assert "wallet" not in reached["ledger"]
