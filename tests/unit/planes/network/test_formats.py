"""Each format by its name: what is written is read back as the policy, whole or for every place."""

import json
from typing import Any

import pytest
from flow_policies import venue_rules

from ringfence.adapters.kubernetes_files import parse_yaml
from ringfence.kernel.errors import BadInput, UsageError
from ringfence.planes.network import formats
from ringfence.planes.network.compile import Rules
from ringfence.planes.network.formats import Difference, Format, as_yaml, write
from ringfence.planes.network.sites import plan_sites

RULES = venue_rules()
SITES = plan_sites(RULES, {"internet": ["0.0.0.0/0", "::/0"]})
PLACES: dict[Format, tuple[str | None, ...]] = {
    "nftables": (formats.HUB, *RULES.workloads),
    "kubernetes": (None,),
    "cluster-policies": (None,),
    "systemd": tuple(RULES.workloads),
    "compose": (None,),
    "sandbox": tuple(RULES.workloads),
}
EVERY = [(form, place) for form, places in PLACES.items() for place in places]


def compared(form: Format, written: Any, place: str | None) -> Difference:
    """Read what was written as it would be read from a file."""
    match form:
        case "nftables":
            return formats.compare_nftables(json.loads(json.dumps(written)), RULES, SITES, str(place), "f")
        case "systemd":
            return formats.compare_unit(written, RULES, SITES, str(place))
        case "sandbox":
            return formats.compare_sandbox(json.loads(json.dumps(written)), RULES, "f")
        case "compose":
            (document,) = parse_yaml(as_yaml(written), "c.yaml")
            return formats.compare_compose(document.data, RULES)
        case "kubernetes" | "cluster-policies":
            return formats.compare_kubernetes(form, parse_yaml(as_yaml(written), "k.yaml"), RULES, SITES)


@pytest.mark.parametrize(("form", "place"), EVERY)
def test_what_is_written_is_the_policy(form: Format, place: str | None) -> None:
    found = compared(form, write(form, RULES, SITES, place), place)

    assert not found, found


@pytest.mark.parametrize(("form", "place"), EVERY)
def test_a_flow_too_few_is_said(form: Format, place: str | None) -> None:
    ends = {flow for flow in RULES.flows if place in (None, formats.HUB, flow.source, flow.target)}
    if form in ("systemd", "compose"):
        # They know addresses and networks of ends, so only the last flow of a pair is missed.
        ends = {flow for flow in ends if flow.source in RULES.workloads}
    # A sandbox knows ports and not ends, so every flow of that port goes.
    gone = {flow for flow in RULES.flows if flow.port == max(ends).port}
    fewer = Rules(
        RULES.name,
        RULES.zones,
        RULES.workloads,
        RULES.externals,
        {flow: permission for flow, permission in RULES.flows.items() if flow not in gone},
    )
    found = compared(form, write(form, fewer, SITES, place), place)
    assert found.missing, (form, place, gone)
    assert not found.excess


@pytest.mark.parametrize("form", ["nftables", "systemd", "sandbox"])
@pytest.mark.parametrize("place", [None, "nobody", ""])
def test_a_format_of_places_names_them(form: Format, place: str | None) -> None:
    with pytest.raises(UsageError, match=r"there are .*ledger"):
        write(form, RULES, SITES, place)
    if form != "nftables":
        with pytest.raises(UsageError, match="there are gateway"):
            write(form, RULES, SITES, formats.HUB)


def test_the_profile_of_one_service_is_not_that_of_another() -> None:
    written = json.loads(json.dumps(write("sandbox", RULES, SITES, "gateway")))
    assert not formats.compare_sandbox(written, RULES, "f", "gateway").missing
    with pytest.raises(BadInput, match="f is the profile of gateway, and ledger was asked for"):
        formats.compare_sandbox(written, RULES, "f", "ledger")
    with pytest.raises(UsageError, match="there are gateway"):
        formats.compare_sandbox(written, RULES, "f", "zzz")


def test_what_could_not_be_read_is_a_difference() -> None:
    found = formats.compare_nftables([], RULES, SITES, formats.HUB, "f.json")

    assert found
    assert "there is no list `nftables`" in str(found.findings[0])
