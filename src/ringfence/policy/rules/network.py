"""Services are who they say, once each; flows lead somewhere else."""

from collections import Counter
from collections.abc import Iterator

from ringfence.policy.model import Finding
from ringfence.policy.rules.view import Rule, View


def services_are_distinct(view: View) -> Iterator[Finding]:
    """Each service has an identity of its own, and a system user of its own where it names one."""
    seen: dict[str, str] = {}
    for name, service in view.policy.services.items():
        if not service.identity.startswith("spiffe://") or len(service.identity.split("/")) < 4:
            found = f"`{service.identity}` is no SPIFFE id"
            right = "write `spiffe://<platform>/<service>`"
            yield view.error("identity", ("services", name, "identity"), found, right)
        marks = [("identity", service.identity)]
        if service.uid is not None:
            marks.append(("uid", str(service.uid)))
        for word, mark in marks:
            if mark in seen:
                found = f"`{name}` has the {word} `{mark}` of `{seen[mark]}`"
                yield view.error("identity", ("services", name, word), found, "give each service its own")
            seen[mark] = name
    for name in view.policy.services:
        if name in view.policy.externals:
            found = f"`{name}` is a service and an external"
            yield view.error("identity", ("services", name), found, "name each thing once")


def flows_lead_somewhere(view: View) -> Iterator[Finding]:
    """No flow leads to where it starts or stands twice, and none runs between two things outside."""
    seen: Counter[tuple[str, str, int, str]] = Counter()
    externals = set(view.policy.externals)
    for index, flow in enumerate(view.policy.flows):
        path = ("flows", str(index))
        for source in flow.sources:
            for target in flow.targets:
                seen[source, target, flow.port, flow.protocol] += 1
                words = f"{source} -> {target} port {flow.port}"
                if source == target:
                    yield view.error("flow", path, f"`{words}` leads to itself", "leave it out")
                if seen[source, target, flow.port, flow.protocol] == 2:
                    yield view.error("flow", path, f"`{words}` stands twice", "write it once")
                if source in externals and target in externals:
                    yield view.error("flow", path, f"`{words}` is not ours", "one end must be a service")


def the_ledger_is_there(view: View) -> Iterator[Finding]:
    """The verifier of the ledger plane is the service `ledger`."""
    on_ledger = [name for name, gate in view.policy.gates.items() if "ledger" in gate.on]
    if view.policy.services and on_ledger and "ledger" not in view.policy.services:
        found = f"`{on_ledger[0]}` is checked on the ledger plane, and no service is named `ledger`"
        yield view.error("verifier", ("services",), found, "name the service that checks it `ledger`")


RULES: tuple[Rule, ...] = (services_are_distinct, flows_lead_somewhere)
WHOLE_RULES: tuple[Rule, ...] = (the_ledger_is_there,)
"""Rules that need every entry to be there."""
