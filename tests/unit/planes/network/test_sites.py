import pytest
from flow_policies import policy_of, random_rules, venue_rules
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.errors import UsageError
from ringfence.planes.network.addresses import ALL_V4, ALL_V6, Addresses
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.ranges import Ranges
from ringfence.planes.network.sites import (
    INTERFACE_NAME_MAX,
    blocks_of,
    interface_of,
    networks_of,
    plan_sites,
)

NETWORKS = ("0.0.0.0/0", "10.0.0.0/8", "10.77.0.0/16", "10.77.0.0/30", "::/0", "fd77::/48", "2001:db8::/32")


@given(st.integers(0, 2**32), st.lists(st.sampled_from(NETWORKS), max_size=4, unique=True))
def test_no_address_belongs_to_two_ends(seed: int, networks: list[str]) -> None:
    rules = random_rules(seed)
    given_networks = {end: [network] for end, network in zip(rules.externals, networks, strict=False)}
    try:
        sites = plan_sites(rules, given_networks)
    except UsageError:
        return
    taken = Addresses()
    for site in sites.values():
        assert site.addresses
        assert not site.addresses & taken
        taken |= site.addresses
    assert len({site.interface for site in sites.values()}) == len(sites)


def test_the_narrower_network_owns_an_address() -> None:
    rules = venue_rules()
    sites = plan_sites(rules, {"internet": ["0.0.0.0/0"], "chain": ["203.0.113.0/24", "203.0.112.0/24"]})

    assert networks_of(sites["chain"].addresses) == ("203.0.112.0/23",)
    assert sites["internet"].addresses.has("203.0.111.255")
    assert not sites["internet"].addresses.has("203.0.113.7")
    assert not sites["internet"].addresses.has(sites["ledger"].own_v4)
    assert sites["internet"].addresses.v6 == Ranges()


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ({"nobody": ["10.0.0.0/8"]}, "no service or external 'nobody'"),
        ({"internet": ["10.0.0.0/99"]}, "network of internet was '10.0.0.0/99'"),
        ({"internet": ["10.0.0.0/8"], "chain": ["10.0.0.0/8"]}, "belongs to others already"),
    ],
)
def test_networks_that_cannot_be_meant_are_refused(networks: dict[str, list[str]], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan_sites(venue_rules(), networks)


@given(st.text("abcdefgh_-", min_size=1, max_size=40))
def test_an_interface_name_fits_the_kernel(name: str) -> None:
    assert len(interface_of(name)) <= INTERFACE_NAME_MAX


def test_long_names_that_begin_alike_have_interfaces_of_their_own() -> None:
    names = [f"settlement-service-{index}" for index in range(50)]
    rules = compile_flows(policy_of(dict.fromkeys(names, "z"), (), []))

    assert len({site.interface for site in plan_sites(rules).values()}) == 50


def test_a_network_keeps_its_length_in_both_families() -> None:
    texts = ("10.0.0.0/8", "10.1.2.3/32", "2001:db8::/32", "2001:db8::1/128")
    assert tuple(networks_of(Addresses.parse(text))[0] for text in texts) == texts


@given(st.lists(st.sampled_from((*NETWORKS, "10.1.2.3", "fd77::2", "128.0.0.0/1", "10.0.0.0/9")), max_size=5))
def test_networks_and_networks_with_holes_hold_exactly_the_set(texts: list[str]) -> None:
    for whole in (ALL_V4 | ALL_V6, Addresses.union(map(Addresses.parse, texts))):
        addresses = whole - Addresses.union(map(Addresses.parse, texts[:2]))
        assert Addresses.union(map(Addresses.parse, networks_of(addresses))) == addresses
        rebuilt = Addresses()
        for cidr, holes in blocks_of(addresses):
            rebuilt |= Addresses.parse(cidr) - Addresses.union(map(Addresses.parse, holes))
        assert rebuilt == addresses


def test_the_whole_without_one_address_is_one_network_with_a_hole() -> None:
    assert blocks_of(ALL_V4 - Addresses.parse("10.0.0.1")) == (("0.0.0.0/0", ("10.0.0.1/32",)),)
