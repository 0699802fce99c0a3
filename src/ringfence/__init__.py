"""ringfence: segregated accounts, margin and custody, with containment that can be proved.

The names below are what other programs may rely on. Each is loaded when it is first used, so that a command
that needs none of them starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfence.kernel.decision import Accepted as Accepted
    from ringfence.kernel.decision import Reason as Reason
    from ringfence.kernel.decision import Refused as Refused
    from ringfence.kernel.errors import BadInput as BadInput
    from ringfence.kernel.errors import RingfenceError as RingfenceError
    from ringfence.kernel.instant import Instant as Instant
    from ringfence.kernel.instant import parse_instant as parse_instant
    from ringfence.kernel.money import parse_decimal as parse_decimal
    from ringfence.kernel.money import show_decimal as show_decimal
    from ringfence.margin.bucket import Bucket as Bucket
    from ringfence.margin.health import health as health
    from ringfence.margin.marks import Prices as Prices
    from ringfence.planes.ledger.operations import Move as Move
    from ringfence.planes.ledger.operations import OpenMember as OpenMember
    from ringfence.planes.ledger.operations import Request as Request
    from ringfence.planes.ledger.operations import Signature as Signature
    from ringfence.planes.ledger.operations import signing_bytes as signing_bytes
    from ringfence.policy.diff import diff as diff
    from ringfence.policy.model import Finding as Finding
    from ringfence.policy.model import Policy as Policy
    from ringfence.policy.parse import parse as parse
    from ringfence.policy.show import show as show
    from ringfence.services.ledger import Book as Book
    from ringfence.wiring import embedded as embedded
    from ringfence.wiring_files import load_policy as load_policy
    from ringfence.wiring_files import shipped_policy as shipped_policy

_HOMES = {
    "Accepted": "kernel.decision",
    "BadInput": "kernel.errors",
    "Book": "services.ledger",
    "Bucket": "margin.bucket",
    "Finding": "policy.model",
    "Instant": "kernel.instant",
    "Move": "planes.ledger.operations",
    "OpenMember": "planes.ledger.operations",
    "Policy": "policy.model",
    "Prices": "margin.marks",
    "Reason": "kernel.decision",
    "Refused": "kernel.decision",
    "Request": "planes.ledger.operations",
    "RingfenceError": "kernel.errors",
    "Signature": "planes.ledger.operations",
    "diff": "policy.diff",
    "embedded": "wiring",
    "health": "margin.health",
    "load_policy": "wiring_files",
    "parse": "policy.parse",
    "parse_decimal": "kernel.money",
    "parse_instant": "kernel.instant",
    "shipped_policy": "wiring_files",
    "show": "policy.show",
    "show_decimal": "kernel.money",
    "signing_bytes": "planes.ledger.operations",
}

__all__ = tuple(_HOMES)


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in; AttributeError for any other."""
    if name not in _HOMES:
        raise AttributeError(f"ringfence has no public name {name!r}")
    return getattr(import_module(f"ringfence.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
