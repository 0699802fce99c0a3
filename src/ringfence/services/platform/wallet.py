"""The service `wallet`: pulls withdrawals that all others have approved, checks each itself, signs and pays.

It believes nobody for a signature, an amount or a time. What the policy asks of the vault plane it checks
here, with counters and a delay of its own, until a contract checks that on a chain; then this service only
signs. `Sign` is the one small port through which it signs: Ed25519 now, EVM and Bitcoin with the vaults.
What it signed and paid is kept in lines on its own disk, so that a restart forgets no limit and pays nothing
twice.
"""

from collections.abc import Mapping

import msgspec

from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.operations import Record, Request, RotateKey, signing_bytes
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier
from ringfence.services.instructions import Sign
from ringfence.services.platform.messages import Approved, ApprovedAfter, Outcomes, Paid, Payment, Requests
from ringfence.services.platform.outside import Lines
from ringfence.services.platform.service import Duty, Method, Peers, ask
from ringfence.services.platform.signers import Signers
from ringfence.services.platform.vault import Vault

WALLET_KEY = "wallet_key"


class Noted(Record, frozen=True):
    """One line on the wallet's disk: a request it signed at a time or that it paid, or keys it learned."""

    at: int
    request: Request | None = None
    is_paid: bool = False
    keys: dict[str, bytes] = msgspec.field(default_factory=dict)
    rotation: RotateKey | None = None


class Wallet:
    """What was signed and paid here.

    public_keys: those of officers and services, known from the beginning; the keys of members come from the
    ledger with the first request, and the first one known of a name stays: another one takes its place only
    with a rotation that both signed, which the wallet verifies itself.
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
        self._sign = sign
        self._peers = peers
        self._signers = Signers(rules, verify)
        self._signers.learn(public_keys)
        self._vault = Vault(rules, self._signers)
        self._lines = lines
        self.refused: dict[int, str] = {}
        self._seen = ApprovedAfter()
        self._carried_out: set[int] = set()
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
        signed, paid = len(self._vault.announced), len(self._vault.paid)
        return {"signed": signed, "paid": paid, "refused": len(self.refused)}

    def close(self) -> None:
        """Hold nothing."""

    async def _pull(self, now: Instant) -> None:
        approved = await ask(self._peers, "ledger", "approved", self._seen, Approved)
        self.learn(approved, now)
        signed = self.sign_all(approved, now)
        for request in signed.requests:
            # The chain's own delay runs from its announcement.
            await ask(self._peers, "chain", "broadcast", Payment(request), Paid)
        if signed.requests:
            await ask(self._peers, "ledger", "signed", signed, Outcomes)
        for request in self.payable(now):
            if (await ask(self._peers, "chain", "broadcast", Payment(request), Paid)).is_paid:
                self._note(Noted(now, request, is_paid=True))

    def learn(self, approved: Approved, now: Instant) -> None:
        """Take note of new members' keys, and of rotations that both keys signed."""
        fresh = self._signers.learn(approved.keys, approved.revoked)
        if fresh:
            self._lines.append(msgspec.json.encode(Noted(now, keys=fresh)))
        self._carried_out.update({*approved.carried_out} - self._vault.paid)
        self._seen = ApprovedAfter(
            self._seen.carried_out + len(approved.carried_out), self._seen.rotations + len(approved.rotations)
        )
        for rotation in approved.rotations:
            if self._signers.rotate(rotation):
                self._lines.append(msgspec.json.encode(Noted(now, rotation=rotation)))

    def sign_all(self, approved: Approved, now: Instant) -> Requests:
        """Sign what may be signed; say why not of the rest."""
        signed = []
        for request in approved.to_sign:
            fault = self._vault.fault(request, now, frozenset({WALLET_KEY}))
            signature = self._sign(WALLET_KEY, signing_bytes(request)) if not fault else None
            if signature is None:
                self.refused[request.id] = fault or "the wallet has no key"
                continue
            whole = msgspec.structs.replace(request, signatures=(*request.signatures, signature))
            if request.id not in self._vault.announced:
                self._note(Noted(now, whole))
            signed.append(whole)
        return Requests(tuple(signed))

    def payable(self, now: Instant) -> tuple[Request, ...]:
        """Return what the book carried out and this wallet may pay: signed here, delay passed, not paid."""
        ids = sorted(one for one in self._carried_out if self._vault.is_payable(one, now))
        return tuple(self._vault.announced[one][1] for one in ids)

    # --- what is kept

    def _note(self, noted: Noted) -> None:
        """Keep first, act then: a crash between the two signs or pays too little, never twice."""
        self._lines.append(msgspec.json.encode(noted))
        self._remember(noted)

    def _remember(self, noted: Noted) -> None:
        self._signers.learn(noted.keys)
        if noted.rotation is not None:
            self._signers.rotate(noted.rotation)
        elif noted.request is not None and noted.is_paid:
            self._vault.paid.add(noted.request.id)
            self._carried_out.discard(noted.request.id)
        elif noted.request is not None:
            self._vault.announce(noted.request, Instant(noted.at))
