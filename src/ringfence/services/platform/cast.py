"""People who use a platform from outside: they sign with their own keys and speak to the gateway only.

For labs, drills and tests. `Say` carries a call to the gateway, however one gets there.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from ringfence.kernel.ids import RequestId, request_id
from ringfence.kernel.instant import DAY_NS, Clock
from ringfence.planes.ledger.operations import (
    Cancel,
    Move,
    Order,
    Request,
    RevokeKey,
    RotateKey,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.rules import Rules
from ringfence.services.platform.messages import (
    Asked,
    CancelOrder,
    KeyChange,
    Orders,
    Outcome,
    Outcomes,
    pack,
    unpack,
)
from ringfence.services.platform.signers import cancel_bytes

Say = Callable[[str, bytes], Awaitable[bytes]]
"""Calls a method of the gateway as a stranger does."""

SignAs = Callable[[str, bytes], Signature]
"""Signs with a person's key, by its concrete name."""


class Cast:
    """Everybody's hands at once: each request names the keys of those who sign it."""

    def __init__(self, rules: Rules, say: Say, sign: SignAs, clock: Clock, first: int = 1) -> None:
        self.rules = rules
        self._say = say
        self._sign = sign
        self._clock = clock
        self._number = first

    def new_id(self) -> RequestId:
        """Return an id that was not used here before."""
        self._number += 1
        return request_id(self._clock.now(), self._number)

    def order(
        self,
        bucket: str,
        side: Literal["buy", "sell"],
        contracts: int,
        limit_e10: int,
        instrument: str = "BTC-PERP",
        **words: object,
    ) -> Order:
        """Write an order signed by the client of the bucket; words: any other field."""
        order = Order(
            id=self.new_id(),
            bucket=bucket,
            instrument=instrument,
            side=side,
            contracts=contracts,
            limit_e10=limit_e10,
            expires=self._clock.now() + DAY_NS,
            policy=self.rules.digest,
        )
        order = msgspec.structs.replace(order, **words)
        signature = self._sign(f"client_key/{bucket.split('/')[1]}", signing_bytes(order))
        return msgspec.structs.replace(order, signatures=(signature,))

    async def place(self, *orders: Order) -> tuple[Outcome, ...]:
        """Send orders and return what became of each."""
        answer = await self._say("order", pack(Orders(orders)))
        return unpack(Outcomes, answer).outcomes

    async def cancel(self, order: Order) -> Outcome:
        """Take an order back."""
        bare = CancelOrder(order.instrument, order.bucket, order.id)
        signature = self._sign(f"client_key/{order.bucket.split('/')[1]}", cancel_bytes(bare))
        signed = msgspec.structs.replace(bare, signatures=(signature,))
        return unpack(Outcomes, await self._say("cancel", pack(signed))).outcomes[0]

    def request(self, gate: str, source: str, target: str, asset: str, units: int) -> Request:
        """Write a request of one move, signed by nobody."""
        move = Move(gate, source, target, asset, units)
        return Request(self.new_id(), (move,), self.rules.digest, self._clock.now() + DAY_NS)

    def signed(self, request: Request, keys: Sequence[str]) -> Request:
        """Sign a request with some keys."""
        content = signing_bytes(request)
        return msgspec.structs.replace(request, signatures=tuple(self._sign(key, content) for key in keys))

    async def send(self, request: Request, *keys: str) -> Outcome:
        """Send a request, signed with some keys; the ledger answers later, see `outcome`."""
        return unpack(Outcome, await self._say("request", pack(self.signed(request, keys))))

    async def end(self, request: Request, reason: str, *keys: str) -> Outcome:
        """Send the order to end a pending request."""
        bare = Cancel(request.id, signing_bytes(request), reason)
        content = signing_bytes(bare)
        cancel = msgspec.structs.replace(bare, signatures=tuple(self._sign(key, content) for key in keys))
        return unpack(Outcome, await self._say("cancel_request", pack(cancel)))

    async def rotate(self, rotation: RotateKey) -> Outcome:
        """Send the rotation of a key, signed by the key as it stands and by the new one."""
        return unpack(Outcome, await self._say("change_key", pack(KeyChange(rotation))))

    async def revoke(self, key: str, reason: str, *keys: str) -> Outcome:
        """Send the revocation of a key, signed with some keys."""
        bare = RevokeKey(key, reason)
        content = signing_bytes(bare)
        signed = msgspec.structs.replace(bare, signatures=tuple(self._sign(one, content) for one in keys))
        return unpack(Outcome, await self._say("change_key", pack(KeyChange(signed))))

    async def outcome(self, request: Request | Order) -> Outcome | None:
        """Ask what became of a request or order; None where the gateway does not know yet."""
        found = unpack(Outcomes, await self._say("outcomes", pack(Asked((request.id,))))).outcomes
        return found[0] if found else None
