"""What is shown reads back the same, and means the same to the digest."""

import pytest
from drawn_policies import policies
from hypothesis import given

from ringfence.policy.digest import digest
from ringfence.policy.parse import parse, read
from ringfence.policy.show import show
from ringfence.wiring_files import SHIPPED_POLICIES, load_policy, shipped_policy


@given(policies())
def test_what_is_shown_reads_back_the_same(policy):
    shown = show(policy)
    again = read(shown, "p.yaml")
    assert again.findings == ()
    assert again.policy == policy
    assert show(again.policy) == shown
    assert digest(again.policy) == digest(policy)


@pytest.mark.parametrize("name", SHIPPED_POLICIES)
def test_each_example_reads_back_the_same(name):
    policy = load_policy(shipped_policy(name))
    again = parse(show(policy), f"{name}.yaml").policy
    assert again == policy
    assert digest(again) == digest(policy)
