"""Policies that hold services and flows only, written down or drawn from a seed."""

import random
from collections.abc import Iterable

from ringfence.planes.network.compile import Rules, compile_flows
from ringfence.policy.model import Flow, Line, Policy, Service

VENUE_FLOWS = (
    ("internet", "gateway", 443),
    ("gateway", "matching", 7000),
    ("ledger", "gateway", 7003),
    ("matching", "risk", 7001),
    ("ledger", "risk", 7002),
    ("marks", "matching", 7008),
    ("marks", "risk", 7008),
    ("wallet", "ledger", 7005),
    ("wallet", "chain", 8545),
)
VENUE_ZONES = {
    "gateway": "public",
    "matching": "trading",
    "risk": "trading",
    "marks": "trading",
    "ledger": "books",
    "wallet": "vaults",
}


def policy_of(
    zones: dict[str, str],
    externals: Iterable[str],
    flows: Iterable[tuple[str, str, int] | tuple[str, str, int, str]],
) -> Policy:
    """Write a policy; each service and flow stands on a line of its own in p.yaml."""
    listed = [
        Flow(sources=(flow[0],), targets=(flow[1],), port=flow[2], protocol=(*flow, "tcp")[3])
        for flow in flows
    ]
    services = {name: Service(zone=zone, identity=f"spiffe://test/{name}") for name, zone in zones.items()}
    policy = Policy(
        ringfence=1,
        name="test",
        numeraire="USDC",
        assets={},
        compartments={},
        zones=tuple(dict.fromkeys(zones.values())),
        externals=tuple(externals),
        services=services,
        flows=tuple(listed),
    )
    lines = {("services", name): Line(file="p.yaml", line=index + 1) for index, name in enumerate(services)}
    lines |= {("flows", str(index)): Line(file="p.yaml", line=100 + index) for index in range(len(listed))}
    return policy.located(lines)


def venue_rules() -> Rules:
    """Return a small venue: six services in four zones, two externals, nine flows."""
    return compile_flows(policy_of(VENUE_ZONES, ("internet", "chain"), VENUE_FLOWS))


def random_rules(seed: int) -> Rules:
    """Draw a platform: up to eight services in up to four zones, up to three externals, up to 25 flows."""
    dice = random.Random(seed)
    services = [
        f"service-{index}" if dice.random() < 0.3 else f"s{index}" for index in range(dice.randint(1, 8))
    ]
    zones = {name: f"zone{dice.randint(0, 3)}" for name in services}
    externals = [f"outside{index}" for index in range(dice.randint(0, 3))]
    ends = services + externals
    flows = []
    for _ in range(dice.randint(0, 25)):
        source, target = dice.choice(ends), dice.choice(ends)
        if source != target and not (source in externals and target in externals):
            port = dice.choice((1, 53, 443, 444, 445, 7000, 65_535))
            flows.append((source, target, port, dice.choice(("tcp", "tcp", "udp"))))
    return compile_flows(policy_of(zones, externals, flows))
