"""The pictures of the documentation, drawn by ringfence itself from the policies that it ships.

A picture may not say more than the policy: every arrow names a gate that leads where the arrow leads, and
every barred line stands between two compartments that no gate joins.
"""

from pathlib import Path

from ringfence.drawing.maps import Area, Arrow, Place, place_map
from ringfence.drawing.page import picture
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.map import flow_map
from ringfence.policy.families import match
from ringfence.policy.model import Gate, Policy
from ringfence.proof.picture import draw_alone
from ringfence.proof.picture import picture as floor_plan_of
from ringfence.wiring_files import load_policy

POLICY = Path(__file__).resolve().parent.parent / "policies" / "two-buckets.yaml"
VENUE = POLICY.with_name("venue.yaml")

AREAS = (
    Area(
        "cash of each client",
        (Place("client/alice/cash", "client money"), Place("client/bob/cash", "client money")),
    ),
    Area(
        "a bucket for each purpose",
        (
            Place("client/alice/hedge", "a hedge, 3 x", "good"),
            Place("client/alice/bet", "a bet, 20 x", "bad"),
            Place("client/bob/bet", "a bet, 20 x"),
        ),
    ),
    Area(
        "the house",
        (
            Place("clearing", "nets to zero"),
            Place("insurance", "pays first", "accent"),
            Place("treasury", "pays last"),
        ),
    ),
)
ARROWS = (
    Arrow("client/alice/cash", "client/alice/hedge", "fund"),
    Arrow("client/alice/cash", "client/alice/bet", "fund"),
    Arrow("client/bob/cash", "client/bob/bet", "fund"),
    Arrow("client/alice/cash", "client/bob/cash", "wall", "bad", barred=True),
    Arrow("client/alice/hedge", "client/alice/bet", "wall", "bad", barred=True),
    Arrow("client/alice/bet", "client/bob/bet", "wall", "bad", barred=True),
    Arrow("client/alice/hedge", "clearing", "settle"),
    Arrow("client/alice/bet", "clearing", "settle", "bad"),
    Arrow("insurance", "clearing", "cover", "accent"),
    Arrow("treasury", "insurance", "fill_pool"),
)


def draw_flows() -> str:
    """Draw the services of policies/venue.yaml in their zones, and the flows between them."""
    return picture(flow_map(compile_flows(load_policy(POLICY.with_name("venue.yaml")))))


def draw_walls() -> str:
    """Draw the compartments of policies/two-buckets.yaml, the gates between them, and walls."""
    policy = load_policy(POLICY)
    for arrow in ARROWS:
        _check(policy, arrow)
    words = "Gates lead from cash to buckets and from buckets to clearing; no gate joins a bet and a hedge."
    return picture(place_map("Walls and gates", words, AREAS, ARROWS))


def draw_breach() -> str:
    """Draw what falls and what opens in policies/venue.yaml when matching and both officers' keys fall."""
    return draw_alone(floor_plan_of(load_policy(VENUE), ["matching", "officer_a", "officer_b"], "pivot"))


def _check(policy: Policy, arrow: Arrow) -> None:
    """Refuse to draw what the policy does not say; ValueError names the arrow."""
    between = [name for name, gate in policy.gates.items() if _leads(gate, arrow.source, arrow.target)]
    if arrow.barred:
        between += [name for name, gate in policy.gates.items() if _leads(gate, arrow.target, arrow.source)]
    if arrow.barred is bool(between) or not (arrow.barred or arrow.words in between):
        raise ValueError(f"{arrow.source} -> {arrow.target}: the gates between them are {between}")


def _leads(gate: Gate, source: str, target: str) -> bool:
    """Say whether a gate leads from source to target."""
    ways = [(gate.sources, gate.targets)]
    if gate.both_ways:
        ways.append((gate.targets, gate.sources))
    return any(
        (bound := match(start, source)) is not None and match(end, target, bound) is not None
        for starts, ends in ways
        for start in starts
        for end in ends
    )
