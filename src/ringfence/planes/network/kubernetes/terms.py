"""The terms that pods and all four kinds of policy share: protocols, label selectors, networks."""

from collections.abc import Mapping

from ringfence.planes.network.addresses import Addresses
from ringfence.planes.network.connections import PROTOCOLS, Protocol
from ringfence.planes.network.kubernetes.manifest import Part
from ringfence.planes.network.kubernetes.model import (
    EVERYTHING,
    NamespaceChoice,
    Operator,
    PortChoice,
    Requirement,
    Selector,
)
from ringfence.planes.network.ranges import PORT_MAX, PORT_MIN, Ranges

_OPERATORS: Mapping[str, Operator] = {
    "In": "In",
    "NotIn": "NotIn",
    "Exists": "Exists",
    "DoesNotExist": "DoesNotExist",
}


def read_protocol(part: Part) -> Protocol | None:
    """Read a protocol, TCP where none is given; None and a finding where it is no known one."""
    text = part.text("TCP")
    for protocol in PROTOCOLS:
        if protocol == text:
            return protocol
    part.wrong("unknown-protocol", f"protocol was {text!r}", "it must be TCP, UDP or SCTP")
    return None


def read_selector(part: Part) -> Selector | None:
    """Read a label selector, everything where it is empty; None and findings where it cannot be meant."""
    part.only(frozenset(("matchLabels", "matchExpressions")))
    labels = part.at("matchLabels").labels()
    requirements = [Requirement(key, "In", frozenset((value,))) for key, value in labels.items()]
    read = [_requirement(item) for item in part.at("matchExpressions").items()]
    known = [requirement for requirement in read if requirement is not None]
    if len(known) < len(read) or not isinstance(part.value, dict | None):
        return None
    return Selector(tuple(requirements + known))


def _requirement(part: Part) -> Requirement | None:
    part.only(frozenset(("key", "operator", "values")))
    key, word = part.at("key").text(), part.at("operator").text()
    values = frozenset(item.text() for item in part.at("values").items())
    operator = _OPERATORS.get(word)
    if not key or operator is None:
        part.wrong("bad-selector", f"{key!r} {word!r}", "a key, and In, NotIn, Exists or DoesNotExist")
        return None
    if (operator in ("In", "NotIn")) != bool(values):
        part.wrong("bad-selector", f"{word} has {len(values)} values", "only In and NotIn list some")
        return None
    return Requirement(key, operator, values)


def read_namespaces(part: Part) -> NamespaceChoice | None:
    """Read which namespaces are meant, in today's shape or that of the first drafts (sameLabels)."""
    fields = part.mapping()
    if not fields.keys() & {"namespaceSelector", "sameLabels", "notSameLabels"}:
        selector = read_selector(part)
        return None if selector is None else NamespaceChoice(selector)
    if part.has("namespaceSelector"):
        selector = read_selector(part.at("namespaceSelector"))
        return None if selector is None else NamespaceChoice(selector)
    if part.has("sameLabels"):
        return NamespaceChoice(EVERYTHING, same=_keys(part.at("sameLabels")))
    return NamespaceChoice(EVERYTHING, different=_keys(part.at("notSameLabels")))


def _keys(part: Part) -> tuple[str, ...]:
    return tuple(item.text() for item in part.items())


def read_network(part: Part) -> Addresses | None:
    """Read one network such as `10.0.0.0/8`; None and a finding where it is none."""
    text = part.text()
    try:
        return Addresses.parse(text)
    except ValueError:
        part.wrong("bad-network", f"{text!r} is no network", "it must be one, as in 10.0.0.0/8")
        return None


def read_port_name(part: Part) -> str:
    """Read the name of a container port; digits alone are a finding, for they name nothing."""
    name = part.text()
    if not any(letter.isalpha() for letter in name):
        part.wrong("bad-port", f"port was the text {name!r}", "a number unquoted, or a name")
    return name


def read_span(protocol: Protocol | None, start: Part, end: Part) -> PortChoice | None:
    """Read the ports from `start` to `end` of one protocol; None and a finding where they are none."""
    if start.value is None or end.value is None:
        start.wrong("bad-port", "a port without a number", f"it must be {PORT_MIN} to {PORT_MAX}")
        return None
    first, last = start.number(PORT_MIN, PORT_MAX), end.number(PORT_MIN, PORT_MAX)
    if protocol is None or first is None or last is None:
        return None
    if last < first:
        start.wrong("bad-port", f"it runs from {first} to {last}", "its end must not be below its start")
        return None
    return PortChoice(protocol, Ranges(((first, last),)))
