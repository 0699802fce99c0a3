"""The service `watcher`: reads the chain, and says under its signature what arrived and is final."""

from collections.abc import Mapping

import msgspec

from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.operations import Move, Receipt, Request, signing_bytes
from ringfence.planes.ledger.records import RECEIPTS
from ringfence.planes.ledger.rules import Rules
from ringfence.services.instructions import Sign
from ringfence.services.ledger import INSTANT_END
from ringfence.services.platform.messages import After, Arrival, Arrivals, ChainEntries, ChainEntry
from ringfence.services.platform.own_ids import arrival_id
from ringfence.services.platform.service import Duty, Method, Peers, ask, serve

WATCHER_KEY = "watcher_key"
ARRIVALS_MAX = 200


class Watcher:
    """What was seen on the chain, signed."""

    def __init__(self, rules: Rules, sign: Sign, peers: Peers) -> None:
        self._rules = rules
        self._sign = sign
        self._peers = peers
        self._seen = 0
        self._arrivals: list[Arrival] = []

    @property
    def methods(self) -> Mapping[str, Method]:
        """The ledger pulls what arrived."""
        return {"arrivals": Method("ledger", serve(After, self.arrivals))}

    @property
    def duties(self) -> tuple[Duty, ...]:
        """The chain is read."""
        return (Duty("read", SECOND_NS // 5, self._read),)

    def figures(self) -> Mapping[str, int | str]:
        """Say how far the chain was read."""
        return {"entry": self._seen, "arrivals": len(self._arrivals)}

    def close(self) -> None:
        """Hold nothing."""

    def arrivals(self, asked: After, now: Instant) -> Arrivals:  # noqa: ARG002
        """Return what arrived after an entry of the chain, in order."""
        found = (one for one in self._arrivals if one.number > asked.after)
        return Arrivals(tuple(one for one, _ in zip(found, range(ARRIVALS_MAX), strict=False)))

    def take(self, entries: ChainEntries) -> None:
        """Sign what arrived for a compartment of ours and is final; stop at the first that is not final."""
        for entry in entries.entries:
            if not entry.is_final:
                return
            if entry.number > self._seen:
                self._seen = entry.number
                arrival = self._arrival(entry)
                if arrival is not None:
                    self._arrivals.append(arrival)

    async def _read(self, now: Instant) -> None:  # noqa: ARG002
        self.take(await ask(self._peers, "chain", "entries", After(self._seen), ChainEntries))

    def _arrival(self, entry: ChainEntry) -> Arrival | None:
        deposit = entry.deposit
        found = arrival_gate(self._rules, deposit.target, deposit.asset)
        if found is None:
            return None
        gate, outside = found
        receipt = Receipt(entry.reference, outside, deposit.target, deposit.asset, deposit.units)
        move = Move(gate, outside, deposit.target, deposit.asset, deposit.units)
        request = Request(arrival_id(entry.reference), (move,), self._rules.digest, INSTANT_END - 1)
        by_receipt = self._sign(WATCHER_KEY, signing_bytes(receipt))
        by_request = self._sign(WATCHER_KEY, signing_bytes(request))
        if by_receipt is None or by_request is None:
            return None
        return Arrival(
            entry.number,
            msgspec.structs.replace(receipt, signatures=(by_receipt,)),
            msgspec.structs.replace(request, signatures=(by_request,)),
        )


def arrival_gate(rules: Rules, target: str, asset: str) -> tuple[str, str] | None:
    """Find the gate by which what arrives from outside gets to a compartment: its name, and its source."""
    end = rules.place(target)
    for pattern, compartment in rules.policy.compartments.items():
        start = rules.place(pattern) if compartment.kind == "external" and "{" not in pattern else None
        if start is None or end is None:
            continue
        for way in rules.gates_between(start, end):
            if RECEIPTS in way.gate.accrual and way.accepts(asset):
                return way.gate.name, pattern
    return None
