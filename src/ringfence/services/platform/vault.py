"""What the vault plane checks before value leaves: every signature, every limit, the delay, each once.

It judges with keys and counters of its own and believes no ledger. The wallet asks it before it signs; the
chain stand-in asks another one of its own before it pays, as a vault's contract will.
"""

from collections.abc import Iterator

from ringfence.kernel.calendar import window_index
from ringfence.kernel.instant import Instant, show_duration
from ringfence.planes.ledger.operations import Move, Request, signing_bytes
from ringfence.planes.ledger.rules import GateRule, Rules, Way
from ringfence.policy.model import Cap
from ringfence.services.platform.signers import Signers

VAULT = "vault"
KNOWN_MAX = 100_000

_Counter = tuple[str, str, str, int]


class Vault:
    """What was announced here and when, what was paid, and how much in each window."""

    def __init__(self, rules: Rules, signers: Signers) -> None:
        self._rules = rules
        self._signers = signers
        self.announced: dict[int, tuple[Instant, Request]] = {}
        self.paid: set[int] = set()
        self._used: dict[_Counter, int] = {}

    def fault(self, request: Request, now: Instant, may_lack: frozenset[str] = frozenset()) -> str:
        """Say why a request may not be announced, "" if it may; may_lack: keys that need not have signed."""
        if request.policy != self._rules.digest or request.expires < now:
            return "it was signed for another policy, or has expired"
        if request.id in self.announced:
            same = signing_bytes(self.announced[request.id][1]) == signing_bytes(request)
            return "" if same else "its id was used with other content"
        if len(self.announced) >= KNOWN_MAX:
            return f"{KNOWN_MAX} requests are kept already"
        moves = list(self._moves(request))
        if not moves or len(moves) != len(request.links):
            return "it is not made of moves through gates that a vault checks"
        signed = self._signers.of(request.signatures, signing_bytes(request), now)
        missing = self._signers.missing(request, signed) - may_lack
        if missing:
            return f"it lacks {', '.join(sorted(missing))}"
        return self._limit_fault(request, now)

    def announce(self, request: Request, at: Instant) -> None:
        """Count a request in its windows and let its delay run."""
        if request.id not in self.announced:
            for key, units, _ in self._counters(request, at):
                self._used[key] = self._used.get(key, 0) + units
            self.announced[request.id] = at, request

    def is_payable(self, identifier: int, now: Instant) -> bool:
        """Say whether a request was announced, its delay has passed, and it was not paid."""
        since, request = self.announced.get(identifier, (now, None))
        return request is not None and identifier not in self.paid and now - since >= self._delay_ns(request)

    def _limit_fault(self, request: Request, now: Instant) -> str:
        asked: dict[_Counter, int] = {}
        for key, units, cap in self._counters(request, now):
            asked[key] = asked.get(key, 0) + units
            if self._used.get(key, 0) + asked[key] > cap.units:
                return f"the limit {key[0]} in {show_duration(cap.window.length_ns)} would be passed"
        return ""

    def _counters(self, request: Request, at: Instant) -> Iterator[tuple[_Counter, int, Cap]]:
        for move, way, member in self._moves(request):
            for kind, who, cap in _caps(way.gate, move.asset, member):
                window = window_index(at, cap.window.length_ns)
                yield (f"{kind} of {way.gate.name}", who, move.asset, window), move.units, cap

    def _delay_ns(self, request: Request) -> int:
        gates = self._rules.policy.gates
        return max((gates[way.gate.name].delay_ns or 0 for _, way, _ in self._moves(request)), default=0)

    def _moves(self, request: Request) -> Iterator[tuple[Move, Way, str]]:
        """Go through the moves by gates that are on the vault plane and lead outside."""
        for link in request.links:
            if not isinstance(link, Move):
                continue
            source, target = self._rules.place(link.source), self._rules.place(link.target)
            way = self._rules.way(link.gate, source, target) if source and target else None
            if way is None or source is None or target is None or not way.accepts(link.asset):
                continue
            gate = self._rules.policy.gates.get(way.gate.name)
            is_outside = self._rules.policy.compartments[target.rule.pattern].kind == "external"
            if gate is not None and VAULT in gate.on and is_outside and link.units > 0:
                yield link, way, "/".join(source.members)


def _caps(gate: GateRule, asset: str, member: str) -> Iterator[tuple[str, str, Cap]]:
    """Go through the limits of a gate for an asset: of the member, and of all together."""
    if asset in gate.each:
        yield "each", member, gate.each[asset]
    if asset in gate.all:
        yield "all", "", gate.all[asset]
