"""Stand-ins for what is outside a platform: price sources, and a chain of receipts and payments.

They are for a lab and for trying things out. A real platform talks to a venue's feed and to a node; the
vaults' chain adapter takes the place of `ChainStandIn` behind the same methods.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from ringfence.kernel.ids import show_id
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.operations import Move, Quote, Record
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier
from ringfence.planes.network.wire import CallFailedError
from ringfence.services.platform.messages import (
    After,
    ChainEntries,
    ChainEntry,
    Deposit,
    Empty,
    NamedQuote,
    OpenVault,
    Paid,
    Payment,
    Quotes,
    pack,
    unpack,
)
from ringfence.services.platform.service import OPERATOR, Duty, Method, Peers, serve
from ringfence.services.platform.signers import Signers
from ringfence.services.platform.vault import Vault

FINAL_NS = SECOND_NS // 5
"""How long after an entry nothing can take it back, in the stand-in."""

ENTRIES_MAX = 200


class Lines(Protocol):
    """Keeps lines that are only ever added."""

    def append(self, line: bytes) -> None:
        """Keep one more line, durably."""

    def read(self) -> tuple[bytes, ...]:
        """Return all lines in order."""


class Noted(Record, frozen=True):
    """One line of the stand-in's file."""

    at: int
    reference: str
    deposit: Deposit


class Said(Record, frozen=True):
    """What the script lets the sources say: by price name, and only these sources (none: all)."""

    prices_e10: dict[str, int]
    sources: tuple[str, ...] = ()


class PriceSources:
    """Every source of the policy at once; each says what the script told it."""

    def __init__(self, rules: Rules, prices_e10: Mapping[str, int]) -> None:
        self._rules = rules
        self._said = {
            (name, source): prices_e10.get(name, 0)
            for name, authority in rules.prices.items()
            for source in authority.sources
        }

    @property
    def methods(self) -> Mapping[str, Method]:
        """Marks ask; the operator's script says what to answer."""
        return {
            "quotes": Method("marks", serve(Empty, self.quotes)),
            "say": Method(OPERATOR, serve(Said, self.say)),
        }

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Sources do nothing by themselves."""
        return ()

    def figures(self) -> Mapping[str, int | str]:
        """Say how many quotes there are."""
        return {"quotes": sum(1 for price in self._said.values() if price)}

    def close(self) -> None:
        """Hold nothing."""

    def quotes(self, _: Empty, now: Instant) -> Quotes:
        """Return what every source says now."""
        said = ((name, source, price) for (name, source), price in self._said.items() if price)
        return Quotes(tuple(NamedQuote(name, Quote(source, price, now)) for name, source, price in said))

    def say(self, said: Said, now: Instant) -> Empty:  # noqa: ARG002
        """Change what sources say."""
        for name, price in said.prices_e10.items():
            if name not in self._rules.prices:
                raise CallFailedError("bad_body", f"the policy declares no price {name}")
            for source in said.sources or self._rules.prices[name].sources:
                self._said[name, source] = price
        return Empty()


class Relay(Record, frozen=True):
    """What the script lets a stranger say to the gateway."""

    method: str
    body: bytes


class Relayed(Record, frozen=True):
    """What the gateway answered."""

    body: bytes


class Internet:
    """Strangers: they say to the gateway what the script says, with no identity of their own."""

    def __init__(self, peers: Peers, gateway: str) -> None:
        self._peers = peers
        self._gateway = gateway
        self._calls = 0

    @property
    def methods(self) -> Mapping[str, Method]:
        """Only the script speaks through it."""
        return {"relay": Method(OPERATOR, lambda body, _: self._relay(unpack(Relay, body)))}

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Strangers do nothing by themselves."""
        return ()

    def figures(self) -> Mapping[str, int | str]:
        """Say how many calls there were."""
        return {"calls": self._calls}

    def close(self) -> None:
        """Hold nothing."""

    async def _relay(self, said: Relay) -> bytes:
        self._calls += 1
        return pack(Relayed(await self._peers.call(self._gateway, said.method, said.body)))


class Silence:
    """A stand-in for what nobody plays here: it is there, and serves nothing."""

    @property
    def methods(self) -> Mapping[str, Method]:
        """Nobody is answered."""
        return {}

    @property
    def duties(self) -> tuple[Duty, ...]:
        """It does nothing by itself."""
        return ()

    def figures(self) -> Mapping[str, int | str]:
        """There is nothing to say."""
        return {}

    def close(self) -> None:
        """Hold nothing."""


class ChainStandIn:
    """An append-only list of what arrived and what was paid out; an entry is final after `FINAL_NS`.

    It plays the vaults' contract too: what is to be paid is announced first, and both times judged with keys,
    limits and a delay of its own. Announcements are in memory only.
    """

    def __init__(
        self, rules: Rules, verify: Verifier, public_keys: Mapping[str, bytes], lines: Lines
    ) -> None:
        self._signers = Signers(rules, verify)
        self._signers.learn(public_keys)
        self._vault = Vault(rules, self._signers)
        self._lines = lines
        self._noted = [msgspec.json.decode(line, type=Noted) for line in lines.read()]
        self._paid = {noted.reference for noted in self._noted}

    @property
    def methods(self) -> Mapping[str, Method]:
        """Whoever has a flow to the chain reads it and may broadcast; the script deposits."""
        return {
            "entries": Method("watcher", serve(After, self.entries)),
            "broadcast": Method("wallet", serve(Payment, self.broadcast)),
            "deposit": Method(OPERATOR, serve(Deposit, self.deposit)),
            "open": Method(OPERATOR, serve(OpenVault, self.open)),
        }

    @property
    def duties(self) -> tuple[Duty, ...]:
        """A chain does nothing by itself."""
        return ()

    def figures(self) -> Mapping[str, int | str]:
        """Say how long the chain is."""
        return {"entries": len(self._noted)}

    def close(self) -> None:
        """Hold nothing."""

    def entries(self, asked: After, now: Instant) -> ChainEntries:
        """Return the entries after a number."""
        first = max(0, asked.after)
        return ChainEntries(
            tuple(
                ChainEntry(number, noted.reference, noted.deposit, now - noted.at >= FINAL_NS)
                for number, noted in enumerate(self._noted[first : first + ENTRIES_MAX], first + 1)
            )
        )

    def deposit(self, deposit: Deposit, now: Instant) -> ChainEntry:
        """Let value arrive at an address of the platform."""
        return self._note(f"tx{len(self._noted) + 1}", deposit, now)

    def open(self, opened: OpenVault, now: Instant) -> Empty:  # noqa: ARG002
        """Make the vaults of a member, for its keys; take rotations that both keys signed."""
        self._signers.learn(opened.keys)
        for rotation in opened.rotations:
            self._signers.rotate(rotation)
        return Empty()

    def broadcast(self, payment: Payment, now: Instant) -> Paid:
        """Announce a payment, or carry it out once its delay has passed; CallFailedError if it may not be."""
        request = payment.request
        reference = f"paid {show_id(request.id)}"
        if reference in self._paid:
            return Paid(True, reference)
        fault = self._vault.fault(request, now)
        if fault:
            raise CallFailedError("failed", f"the vault refuses {show_id(request.id)}: {fault}")
        self._vault.announce(request, now)
        if not self._vault.is_payable(request.id, now):
            return Paid(False)
        self._paid.add(reference)
        self._vault.paid.add(request.id)
        for link in request.links:
            if isinstance(link, Move):
                self._note(reference, Deposit(link.target, link.asset, link.units), now)
        return Paid(True, reference)

    def _note(self, reference: str, deposit: Deposit, now: Instant) -> ChainEntry:
        noted = Noted(now, reference, deposit)
        self._lines.append(msgspec.json.encode(noted))
        self._noted.append(noted)
        return ChainEntry(len(self._noted), reference, deposit, is_final=False)
