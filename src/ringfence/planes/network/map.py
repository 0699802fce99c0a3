"""The rules as a picture: zones as rooms, services as what is in them, flows as the doors between them.

Flows with one purpose and port are one door, so that a service that pushes to two others has one.
"""

from ringfence.drawing.floor_plans import Door, Panel, PlanRow, Room, floor_plan
from ringfence.drawing.markup import Markup
from ringfence.planes.network.compile import Flow, Rules

PORTS_SHOWN = 3
"""How many ports of one service are named before they are only counted."""


def flow_map(rules: Rules) -> Markup:
    """Draw all zones, the outside, and every flow; a service without a flow stands in its room alone."""
    rooms = [
        Room(f"zone {zone}", [_row(rules, name) for name in rules.of_zone(zone)]) for zone in rules.zones
    ]
    if rules.externals:
        rooms.append(Room("outside", [PlanRow(name, "", "muted") for name in rules.externals]))
    words = f"{len(rules.flows)} flows between {len(rules.workloads)} services in {len(rules.zones)} zones."
    return floor_plan(f"{rules.name}: who may talk to whom", words, [Panel("", rooms, _doors(rules))])


def _row(rules: Rules, service: str) -> PlanRow:
    ports = [str(port) for port in sorted({flow.port for flow in rules.into(service)})]
    if len(ports) > PORTS_SHOWN:
        return PlanRow(service, f"listens on {len(ports)} ports")
    return PlanRow(service, f"on {', '.join(ports)}" if ports else "listens on none")


def _doors(rules: Rules) -> list[Door]:
    gathered: dict[tuple[str, str, str, int], list[Flow]] = {}
    for flow, permission in rules.flows.items():
        # One line of a policy may open several flows; together they are one door.
        line = permission.rule or str(flow)
        gathered.setdefault((line, permission.purpose, flow.protocol, flow.port), []).append(flow)
    ends = [*(name for zone in rules.zones for name in rules.of_zone(zone)), *rules.externals]
    first = {key: min(ends.index(flow.source) for flow in flows) for key, flows in gathered.items()}
    return [
        Door(
            f"{port}" if protocol == "tcp" else f"{protocol}/{port}",
            sorted({flow.source for flow in flows}),
            sorted({flow.target for flow in flows}),
            "accent" if {flow.source for flow in flows} & set(rules.externals) else "muted",
        )
        for (_, _, protocol, port), flows in sorted(
            gathered.items(), key=lambda pair: (first[pair[0]], pair[0][3])
        )
    ]
