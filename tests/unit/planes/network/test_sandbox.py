import pytest

from ringfence.kernel.errors import UsageError
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.sandbox import compile_sandbox
from ringfence.wiring_files import load_policy, shipped_policy


@pytest.fixture(scope="module")
def rules():
    return compile_flows(load_policy(shipped_policy("venue")))


def test_a_service_listens_and_connects_on_the_ports_of_its_flows_only(rules):
    profile = compile_sandbox(rules, "ledger", reads=["/b", "/a"], writes=["/c"])
    assert profile.listens == (7005,)
    assert profile.connects == (7002, 7003, 7004, 7006, 7007, 8545)
    assert not profile.uses_udp
    assert (profile.reads, profile.writes) == (("/a", "/b"), ("/c",))


def test_a_service_that_nobody_calls_listens_nowhere(rules):
    assert compile_sandbox(rules, "wallet").listens == ()


def test_a_service_that_is_not_there_is_named(rules):
    with pytest.raises(UsageError, match="walet"):
        compile_sandbox(rules, "walet")
