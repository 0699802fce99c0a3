"""The service `matching`: takes signed orders, asks risk about each, matches them, and keeps the fills.

What it was told is durable before anybody hears of it. It moves no money: the ledger pulls the fills with
both signed orders and judges each by itself. A fill that it refuses is undone here, and that is durable too.
"""

from collections.abc import Mapping, Sequence

from ringfence.kernel.decision import Refused
from ringfence.kernel.errors import UnreachableError, UsageError
from ringfence.kernel.ids import RequestId
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.kernel.money import PPM
from ringfence.planes.ledger.operations import Order, PriceFact
from ringfence.planes.ledger.prices import agree
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier
from ringfence.planes.network.wire import CallFailedError
from ringfence.policy.model import Instrument
from ringfence.services.matching.engine import (
    Band,
    Cancel,
    Command,
    Engine,
    Expire,
    Halt,
    MatchingService,
    Submit,
    Undo,
)
from ringfence.services.matching.order_book import Dropped, Event, Matched, Refusal, Rested
from ringfence.services.platform.messages import (
    Asked,
    CancelOrder,
    Check,
    Checks,
    Empty,
    Fills,
    FillsAfter,
    ForcedOrders,
    KeysTold,
    Orders,
    Outcome,
    Outcomes,
    Priced,
    Prices,
    RefusedFill,
    Resting,
    Verdict,
    Verdicts,
    pack,
    unpack,
)
from ringfence.services.platform.service import Duty, Method, Peers, ask, serve
from ringfence.services.platform.signers import Signers, owner_in
from ringfence.services.ports import BookStore

FILLS_MAX = 500
ASKED_MAX = 500
_TRUSTED = ("fresh", "degraded")


class Matching:
    """The matching engine of a platform."""

    def __init__(
        self,
        rules: Rules,
        store: BookStore,
        verify: Verifier,
        public_keys: Mapping[str, bytes],
        peers: Peers,
    ) -> None:
        ticks = {name: instrument.tick_e10 for name, instrument in rules.instruments.items()}
        engine = Engine(ticks, lambda bucket: owner_in(rules, bucket))
        self._rules = rules
        self._signers = Signers(rules, verify)
        self._signers.learn(public_keys)
        self._store = store
        self._desk = MatchingService.recover(engine, store, rules.digest, self._is_signed)
        self._keys_known = (0, 0)
        self._bands: dict[str, tuple[int, int] | None] = {}
        self._peers = peers

    @property
    def methods(self) -> Mapping[str, Method]:
        """Orders come from the gateway, prices from marks, and the ledger pulls the fills."""
        return {
            "submit": Method("gateway", lambda body, now: self._submit(unpack(Orders, body), now)),
            "cancel": Method("gateway", serve(CancelOrder, self.cancel)),
            "outcomes": Method("gateway", serve(Asked, self.outcomes)),
            "prices": Method("marks", serve(Prices, self.take_prices)),
            "fills": Method("ledger", serve(FillsAfter, self.fills)),
        }

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Expired orders are taken out, and what risk has to close is closed."""
        return (Duty("expire", SECOND_NS, self._expire), Duty("close", SECOND_NS // 10, self._close))

    def figures(self) -> Mapping[str, int | str]:
        """Say how many fills there were and which instruments have a band."""
        banded = sum(band is not None for band in self._bands.values())
        engine = self._desk.engine
        return {"fills": engine.last_fill, "instruments": banded, "last undone": engine.last_undone}

    def close(self) -> None:
        """Let go of the journal."""
        self._store.close()

    # --- orders

    async def _submit(self, body: Orders, now: Instant) -> bytes:
        signed = [order for order in body.orders if self._signers.may_trade(order, now)]
        verdicts = dict(zip(_ids(signed), await self._judged(signed), strict=True))
        return pack(Outcomes(self.take_orders(body.orders, verdicts, now)))

    async def _judged(self, orders: Sequence[Order]) -> Sequence[Verdict]:
        if not orders:
            return ()
        checks = tuple(Check(order, self._resting(order.bucket)) for order in orders)
        try:
            found = (await ask(self._peers, "risk", "check", Checks(checks), Verdicts)).verdicts
        except (UnreachableError, CallFailedError) as fault:
            found = (Verdict(-1, f"risk could not be asked: {fault}"),) * len(orders)
        if len(found) != len(orders):
            found = (Verdict(-1, "risk did not judge every order"),) * len(orders)
        return found

    def take_orders(
        self, orders: Sequence[Order], verdicts: Mapping[int, Verdict], now: Instant
    ) -> tuple[Outcome, ...]:
        """Match the orders that are signed and that risk lets pass, together; answer for each in order."""
        refused: dict[int, Outcome] = {}
        commands: list[Submit] = []
        for order in orders:
            fault = self._fault(order, verdicts.get(order.id))
            if fault is None:
                commands.append(Submit(order, verdicts[order.id].reducible))
            else:
                refused[order.id] = fault
        events = self._desk.carry_out(commands, now) if commands else ()
        done = {one.order.id: found for one, found in zip(commands, events, strict=True)}
        return tuple(refused.get(order.id) or _told(order, done[order.id]) for order in orders)

    def cancel(self, cancel: CancelOrder, now: Instant) -> Outcomes:
        """Take an order out of the book for whoever may trade its bucket."""
        if not self._signers.may_cancel(cancel, now):
            return Outcomes((Outcome(cancel.order, "refused", "SIGNATURE_INVALID", "it is not signed"),))
        standing = {order.id for order, _ in self._desk.engine.standing(cancel.bucket)}
        if cancel.order not in standing:
            return Outcomes((Outcome(cancel.order, "gone", words="it does not stand in the book"),))
        self._desk.carry_out([Cancel(cancel.instrument, cancel.order)], now)
        return Outcomes((Outcome(cancel.order, "cancelled"),))

    def _fault(self, order: Order, verdict: Verdict | None) -> Outcome | None:
        if order.instrument not in self._desk.engine.instruments:
            return Outcome(
                order.id, "refused", "INSTRUMENT_UNKNOWN", f"{order.instrument} is not traded here"
            )
        if order.policy != self._rules.digest:
            return Outcome(order.id, "refused", "POLICY_DIGEST_DIFFERS", "it was signed for another policy")
        if verdict is None:
            words = f"it is not signed by who may trade {order.bucket}"
            return Outcome(order.id, "refused", "SIGNATURE_INVALID", words)
        if verdict.reason:
            return Outcome(order.id, "refused", "RISK_REFUSED", verdict.words)
        return None

    def _resting(self, bucket: str) -> tuple[Resting, ...]:
        return tuple(
            Resting(order.instrument, left if order.side == "buy" else -left, order.limit_e10)
            for order, left in self._desk.engine.standing(bucket)
        )

    def _is_signed(self, submitted: Submit, at: Instant) -> bool:
        if submitted.is_forced:
            return self._signers.is_forced(submitted.order, at)
        return self._signers.may_trade(submitted.order, at)

    # --- fills

    def fills(self, asked: FillsAfter, now: Instant) -> Fills:
        """Return the fills after a number; up to it the book has decided: what it refused is undone here.

        What is settled is forgotten. Whatever comes twice, after a crash of either side, was
        undone already and changes nothing.
        """
        self._learn(asked.keys)
        self._undo(asked.refused, now)
        try:
            found = self._desk.engine.fills(asked.after, FILLS_MAX)
        except ValueError as fault:
            raise CallFailedError("failed", str(fault)) from None
        self._desk.engine.confirm(asked.settled)
        return Fills(found, self._desk.engine.last_undone, *self._keys_known)

    def _learn(self, told: KeysTold) -> None:
        """Take the facts about keys that follow those it has; another list begins anew."""
        epoch, known = self._keys_known
        if told.first == (known if told.epoch == epoch else 0):
            self._signers.follow(told.facts)
            self._keys_known = told.epoch, told.first + len(told.facts)

    def _undo(self, refused: Sequence[RefusedFill], now: Instant) -> None:
        fresh = {one.number: one for one in refused if one.number > self._desk.engine.last_undone}
        commands = [
            Undo(number, one.reason, one.words, one.rule, one.at_fault)
            for number, one in sorted(fresh.items())
        ]
        if not commands:
            return
        try:
            self._desk.carry_out(commands, now)
        except UsageError as fault:
            raise CallFailedError("failed", str(fault)) from None

    def outcomes(self, asked: Asked, now: Instant) -> Outcomes:  # noqa: ARG002
        """Say what became of orders after they were answered: that a fill was undone, or that they stand."""
        found = (self._outcome(RequestId(one)) for one in asked.ids[:ASKED_MAX])
        return Outcomes(tuple(one for one in found if one is not None))

    def _outcome(self, order: RequestId) -> Outcome | None:
        engine = self._desk.engine
        left, undone = engine.left_of(order), engine.undone(order)
        stands = f"{left} stand" if left else "nothing of it stands"
        if undone is not None:
            words = f"fill {undone.fill} was undone: {undone.words}; {stands}"
            return Outcome(order, "undone", undone.reason, words, undone.rule)
        return Outcome(order, "standing", words=stands) if left else None

    # --- prices

    def take_prices(self, body: Prices, now: Instant) -> Empty:
        """Move every instrument's band to what the sources agree on; halt where they do not."""
        by_name = {priced.fact.name: priced for priced in body.prices}
        commands: list[Command] = []
        for name, instrument in self._rules.instruments.items():
            if instrument.index in by_name:
                commands += self._band(name, instrument, by_name[instrument.index], now)
        if commands:
            self._desk.carry_out(commands, now)
        return Empty()

    def _band(self, name: str, instrument: Instrument, priced: Priced, now: Instant) -> list[Command]:
        band = self._agreed(instrument, priced.fact, now) if priced.state in _TRUSTED else None
        before = self._bands.get(name)
        if name in self._bands and band == before:
            return []
        self._bands[name] = band
        if band is None:
            return [Halt(name)]
        commands: list[Command] = [] if before else [Halt(name, resumes=True)]
        return [*commands, Band(name, *band)]

    def _agreed(self, instrument: Instrument, fact: PriceFact, now: Instant) -> tuple[int, int] | None:
        """Judge the quotes by the policy's own rule: who pushes them is not believed for it."""
        agreed = agree(fact.name, self._rules.prices[instrument.index], fact.quotes, now)
        if isinstance(agreed, Refused):
            return None
        width = agreed.price_e10 * instrument.price_band_ppm // PPM
        return agreed.price_e10 - width, agreed.price_e10 + width

    # --- duties

    async def _expire(self, now: Instant) -> None:
        engine = self._desk.engine
        late = [Expire(name) for name in engine.instruments if engine.book(name).has_expired(now)]
        if late:
            self._desk.carry_out(late, now)

    async def _close(self, now: Instant) -> None:
        found = await ask(self._peers, "risk", "closings", Empty(), ForcedOrders)
        for order in found.orders:
            self._force(order, now)

    def _force(self, order: Order, now: Instant) -> None:
        """Close a bucket at the market: its own orders go first, they can only add risk."""
        gone = [Cancel(one.instrument, one.id) for one, _ in self._desk.engine.standing(order.bucket)]
        try:
            self._desk.carry_out([*gone, Submit(order, order.contracts, is_forced=True)], now)
        except UsageError as fault:
            raise CallFailedError("failed", f"risk asked for a closing that cannot be: {fault}") from None


def _ids(orders: Sequence[Order]) -> list[int]:
    return [order.id for order in orders]


def _told(order: Order, events: Sequence[Event]) -> Outcome:
    """Say in one line what became of an order."""
    filled = sum(event.contracts for event in events if isinstance(event, Matched))
    for event in events:
        if isinstance(event, Rested):
            return Outcome(order.id, "standing", words=f"{filled} filled, {event.contracts} stand")
        if isinstance(event, Dropped) and event.reason is not Refusal.EXPIRED and event.order == order.id:
            state = "dropped" if filled else "refused"
            return Outcome(order.id, state, event.reason.name, f"{filled} filled; {event.reason.value}")
    return Outcome(order.id, "filled", words=f"{filled} filled")
