"""Who a workload is, and what that lets it ask for.

A SPIFFE id is `spiffe://trust-domain/path`. It is read strictly: what another reader might normalise
(capitals, percent signs, empty or dotted path parts, a port, a query) is refused, since two readers that
disagree about a name are a way around a wall. Network and identity must both allow: `Authorisation` is
compiled from the flows.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ringfence.kernel.decision import Accepted, Decision, Reason, Refused
from ringfence.planes.network.compile import Flow, Rules

SCHEME = "spiffe://"
ID_BYTES_MAX = 2048
TRUST_DOMAIN_MAX = 255
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_PATH_PART = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """A workload's name: the trust domain that vouches for it, and its path there (without a first slash)."""

    trust_domain: str
    path: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}/{self.path}"


def parse_identity(text: str) -> SpiffeId | Refused:
    """Read the id of a workload; Refused with the fault where it is none.

    Rules: SPIFFE-ID standard, sections 2.1-2.3, with every character that could be normalised refused.
    """
    fault = _fault_of(text)
    if fault:
        return Refused(Reason.IDENTITY_INVALID, f"{text[:80]!r} is no SPIFFE id: {fault}")
    trust_domain, _, path = text.removeprefix(SCHEME).partition("/")
    return SpiffeId(trust_domain, path)


def identity_of(uris: Iterable[str]) -> SpiffeId | Refused:
    """Take the one identity of a certificate from its URI names; none or several are refused."""
    listed = list(uris)
    if len(listed) != 1:
        words = f"the certificate holds {len(listed)} URI names; it must hold exactly one SPIFFE id"
        return Refused(Reason.IDENTITY_INVALID, words)
    return parse_identity(listed[0])


def _fault_of(text: str) -> str:
    """Say what is wrong with an id, "" where nothing is."""
    if not text.startswith(SCHEME):
        return f"it must begin with {SCHEME}"
    if len(text.encode("utf-8", "surrogatepass")) > ID_BYTES_MAX:
        return f"it is longer than {ID_BYTES_MAX} bytes"
    trust_domain, slash, path = text.removeprefix(SCHEME).partition("/")
    if not _TRUST_DOMAIN.fullmatch(trust_domain) or len(trust_domain) > TRUST_DOMAIN_MAX:
        return "the trust domain is 1 to 255 of a-z, 0-9, dot, dash and underscore"
    if not slash:
        return "it names a trust domain and no workload"
    for part in path.split("/"):
        if part in (".", "..") or not _PATH_PART.fullmatch(part):
            return "a path part is one or more of a-z, A-Z, 0-9, dot, dash and underscore, and not . or .."
    return ""


# --- who may call what -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Who may call which method of one service: the methods of a port are open to the sources of its flows.

    callers: for each method, the permitted identities with the line that permits each.
    """

    service: str
    callers: Mapping[str, Mapping[str, str]]

    def allows(self, peer: str, method: str) -> bool:
        """Say whether the peer with this identity may call this method."""
        return peer in self.callers.get(method, {})

    def decide(self, uris: Iterable[str], method: str) -> Decision:
        """Judge a call by the URI names of the caller's certificate."""
        peer = identity_of(uris)
        if isinstance(peer, Refused):
            return peer
        words = self.refusal(str(peer), method)
        return Refused(Reason.METHOD_NOT_PERMITTED, words) if words else Accepted()

    def refusal(self, peer: str, method: str) -> str:
        """Say why a peer may not call a method, and whom which line of the policy lets; "" where it may."""
        if self.allows(peer, method):
            return ""
        permitted = sorted(self.callers.get(method, {}).items())
        callers = ", ".join(f"{one} ({line})" if line else one for one, line in permitted) or "nobody"
        return f"{peer} may not call {method} of {self.service}; the policy lets {callers} call it"


def compile_authorisation(rules: Rules, service: str, methods: Mapping[str, int]) -> Authorisation:
    """Compile who may call the methods of a service; `methods` says on which TCP port each is served.

    Sources outside the policy's services have no identity, so an external may call nothing.
    """
    callers: dict[str, dict[str, str]] = {}
    for method, port in methods.items():
        permitted = {
            workload.identity: rules.flows[flow].rule
            for workload in rules.workloads.values()
            if (flow := Flow(workload.name, service, "tcp", port)) in rules.flows
        }
        callers[method] = permitted
    return Authorisation(service, callers)
