"""The service `wallet`: pulls withdrawals that all others have approved, checks each itself, signs and pays.

It believes nobody for a signature, an amount or a time. What the policy asks of the vault plane it checks
here, with counters and a delay of its own, until a contract checks that on a chain; then this service only
signs. `Sign` is the one small port through which it signs: Ed25519 now, EVM and Bitcoin with the vaults.
What it signed and paid is kept in lines on its own disk, so that a restart forgets no limit and pays nothing
twice.
"""

from collections.abc import Iterator, Mapping

import msgspec

from ringfence.kernel.calendar import window_index
from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import SECOND_NS, Instant, show_duration
from ringfence.planes.ledger.operations import Move, Record, Request, signing_bytes
from ringfence.planes.ledger.rules import GateRule, Rules, Way
from ringfence.planes.ledger.signing import Verifier
from ringfence.planes.network.wire import CallFailedError
from ringfence.policy.model import Cap
from ringfence.services.instructions import Sign
from ringfence.services.platform.messages import Approved, ChainEntry, Empty, Outcomes, Payment, Requests
from ringfence.services.platform.outside import Lines
from ringfence.services.platform.service import Duty, Method, Peers, ask
from ringfence.services.platform.signers import Signers

WALLET_KEY = "wallet_key"
KNOWN_MAX = 100_000


class Noted(Record, frozen=True):
    """One line on the wallet's disk: a request it signed at a time, or that it paid."""

    at: int
    request: Request
    is_paid: bool = False


class Wallet:
    """What was signed here, what was paid, and how much in each window.

    public_keys: those of officers and services, known from the beginning; the keys of members come from the
    ledger with the first request, and the first one known of a name stays.
    """

    def __init__(
        self,
        rules: Rules,
        verify: Verifier,
        sign: Sign,
        public_keys: Mapping[str, bytes],
        lines: Lines,
        peers: Peers,
    ) -> None:
        self._rules = rules
        self._sign = sign
        self._peers = peers
        self._signers = Signers(rules, verify)
        self._signers.learn(public_keys)
        self._signed: dict[int, tuple[Instant, Request]] = {}
        self._paid: set[int] = set()
        self._used: dict[tuple[str, str, str, int], int] = {}
        self.refused: dict[int, str] = {}
        self._lines = lines
        for line in lines.read():
            self._remember(msgspec.json.decode(line, type=Noted))

    @property
    def methods(self) -> Mapping[str, Method]:
        """Nobody may ask the wallet anything."""
        return {}

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Approved withdrawals are pulled."""
        return (Duty("pull", SECOND_NS // 10, self._pull),)

    def figures(self) -> Mapping[str, int | str]:
        """Say what was signed and paid."""
        return {"signed": len(self._signed), "paid": len(self._paid), "refused": len(self.refused)}

    def close(self) -> None:
        """Hold nothing."""

    async def _pull(self, now: Instant) -> None:
        approved = await ask(self._peers, "ledger", "approved", Empty(), Approved)
        self._signers.learn(approved.keys, approved.revoked)
        signed = self.sign_all(approved, now)
        if signed.requests:
            await ask(self._peers, "ledger", "signed", signed, Outcomes)
        for request in self.payable(approved, now):
            await self._pay(request)

    def sign_all(self, approved: Approved, now: Instant) -> Requests:
        """Sign what may be signed; say why not of the rest."""
        signed = []
        for request in approved.to_sign:
            fault = self._fault(request, now)
            if fault:
                self.refused[request.id] = fault
                continue
            signature = self._sign(WALLET_KEY, signing_bytes(request))
            if signature is not None:
                whole = msgspec.structs.replace(request, signatures=(*request.signatures, signature))
                if request.id not in self._signed:
                    self._note(Noted(now, whole))
                signed.append(whole)
        return Requests(tuple(signed))

    def payable(self, approved: Approved, now: Instant) -> tuple[Request, ...]:
        """Return what the book carried out and this wallet may pay: signed here, delay passed, not paid."""
        found = []
        for identifier in approved.carried_out:
            kept = self._signed.get(identifier)
            if kept is None or identifier in self._paid:
                continue
            since, request = kept
            if now - since >= self._delay_ns(request):
                found.append(request)
        return tuple(found)

    async def _pay(self, request: Request) -> None:
        try:
            await ask(self._peers, "chain", "broadcast", Payment(request), ChainEntry)
        except CallFailedError as fault:
            if fault.code != "failed":
                raise
            # It was paid before: the chain takes each request once, whoever asks again.
        except UnreachableError:
            return
        self._note(Noted(0, request, is_paid=True))

    # --- what is kept

    def _note(self, noted: "Noted") -> None:
        """Keep first, act then: a crash between the two signs or pays too little, never twice."""
        self._lines.append(msgspec.json.encode(noted))
        self._remember(noted)

    def _remember(self, noted: "Noted") -> None:
        if noted.is_paid:
            self._paid.add(noted.request.id)
        elif noted.request.id not in self._signed:
            self._count(noted.request, Instant(noted.at))
            self._signed[noted.request.id] = Instant(noted.at), noted.request

    # --- the wallet's own judgement

    def _fault(self, request: Request, now: Instant) -> str:
        """Say why a request is not signed, "" where it is."""
        if request.policy != self._rules.digest or request.expires < now:
            return "it was signed for another policy, or has expired"
        if request.id in self._signed:
            _, kept = self._signed[request.id]
            return (
                "" if signing_bytes(kept) == signing_bytes(request) else "its id was used with other content"
            )
        if len(self._signed) >= KNOWN_MAX:
            return f"{KNOWN_MAX} withdrawals are kept already"
        signed = self._signers.of(request.signatures, signing_bytes(request))
        missing = self._signers.missing(request, signed)
        if missing != {WALLET_KEY}:
            return f"it lacks {', '.join(sorted(missing - {WALLET_KEY})) or 'a gate that needs the wallet'}"
        return self._limit_fault(request, now)

    def _limit_fault(self, request: Request, now: Instant) -> str:
        asked: dict[tuple[str, str, str, int], int] = {}
        for move, way, member in self._moves(request):
            for kind, who, cap in _caps(way.gate, move.asset, member):
                key = (f"{kind} {way.gate.name}", who, move.asset, window_index(now, cap.window.length_ns))
                asked[key] = asked.get(key, 0) + move.units
                if self._used.get(key, 0) + asked[key] > cap.units:
                    length = show_duration(cap.window.length_ns)
                    return f"the limit of {way.gate.name} in {length} would be passed"
        return ""

    def _count(self, request: Request, now: Instant) -> None:
        for move, way, member in self._moves(request):
            for kind, who, cap in _caps(way.gate, move.asset, member):
                key = (f"{kind} {way.gate.name}", who, move.asset, window_index(now, cap.window.length_ns))
                self._used[key] = self._used.get(key, 0) + move.units

    def _delay_ns(self, request: Request) -> int:
        gates = self._rules.policy.gates
        return max((gates[way.gate.name].delay_ns or 0 for _, way, _ in self._moves(request)), default=0)

    def _moves(self, request: Request) -> Iterator[tuple[Move, Way, str]]:
        for link in request.links:
            if isinstance(link, Move):
                source, target = self._rules.place(link.source), self._rules.place(link.target)
                way = self._rules.way(link.gate, source, target) if source and target else None
                if way is not None and source is not None:
                    yield link, way, "/".join(source.members)


def _caps(gate: GateRule, asset: str, member: str) -> Iterator[tuple[str, str, Cap]]:
    """Go through the limits of a gate for an asset: of the member, and of all together."""
    if asset in gate.each:
        yield "each", member, gate.each[asset]
    if asset in gate.all:
        yield "all", "", gate.all[asset]
