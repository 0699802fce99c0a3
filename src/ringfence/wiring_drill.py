"""Where a breach drill is put together: a platform with people, an intruder in one service, and the count.

Like `wiring`, this file joins services and adapters and decides nothing.
"""

import asyncio
import dataclasses
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from ringfence import wiring_platform
from ringfence.adapters import signatures_ed25519
from ringfence.adapters.book_sqlite import read_file
from ringfence.adapters.intruder_probes import Surroundings
from ringfence.adapters.key_files import KeyFolder
from ringfence.adapters.line_file import LineFile
from ringfence.adapters.service_process import Beginning, sandbox_of
from ringfence.kernel.errors import JournalBroken, UnreachableError, UsageError
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.journal import Head, JournalRecord, Kind, head_of, read_batch
from ringfence.planes.ledger.operations import Fill, Order, Request
from ringfence.planes.network.compile import compile_flows
from ringfence.policy.model import Policy
from ringfence.proof.blast import blast
from ringfence.services.history import Dated, requests_carried_out
from ringfence.services.platform.denied import explained
from ringfence.services.platform.drill import (
    DrillReport,
    OwnBook,
    Worth,
    judge,
    moved_by,
    show_units,
    worth_of,
)
from ringfence.services.platform.follower import Follower
from ringfence.services.platform.intruder import Attempt, Attempts, Plan
from ringfence.services.platform.messages import Empty, pack, unpack
from ringfence.services.platform.outside import Noted
from ringfence.services.platform.stations import CALLERS, SERVICES, Mode, port_between

MEMBERS = ("alice", "bob", "mallory")
BUCKET = "hedge"
FUNDED = 20_000
INDEX = 65_000
TRADED = 1_000
"""Contracts that two clients hold against each other: as much as leverage permits them, nearly."""

WAIT_S = 90.0

KEPT = ("ledger", "matching", "wallet", "chain")
"""The services that have books on disk."""


@dataclass(frozen=True, slots=True)
class _Book:
    """A book as a follower believes it: its end, balances, clients' worth, and accepted requests.

    written: requests that the file calls accepted, believed or not; fault: where the follower stopped.
    """

    head: Head | None
    rows: tuple[tuple[str, str, int], ...]
    worth: Worth
    believed: tuple[Request, ...]
    written: tuple[Request, ...]
    fault: str


class Drill:
    """One platform that is broken into, service after service; in a folder that is thrown away after."""

    def __init__(self, policy: Policy, folder: Path, mode: Mode, seed: int, actions: int) -> None:
        missing = sorted({*SERVICES} - {*policy.services})
        if missing:
            words = "a drill needs people who trade, and so the services"
            raise UsageError(f"{words} {', '.join(SERVICES)}; the policy {policy.name} has no {missing[0]}")
        self.policy = policy
        self._folder = folder
        self._seed = seed
        self._actions = actions
        self._platform = wiring_platform.platform(policy, folder, mode)
        self._stage = wiring_platform.Stage(self._platform, policy, folder)
        self._seen: list[Request] = []
        self._orders: list[Order] = []
        self._fills: list[Fill] = []
        self._index_e10 = {name: price * PRICE_SCALE for name, price in wiring_platform.PRICES.items()}

    @property
    def targets(self) -> tuple[str, ...]:
        """What may be broken into: every service, and the laptop of every person who holds keys."""
        by_hand = (key.host or key.person for key in self.policy.keys.values())
        return (*self.policy.services, *dict.fromkeys(name for name in by_hand if name is not None))

    async def open(self) -> None:
        """Start the platform with clients that have money, positions and standing orders."""
        await self._platform.start()
        for member in MEMBERS:
            await self._stage.open_member(member)
            await self._stage.deposit(f"client/{member}/cash", "USDC", 2 * FUNDED * 10**6)
        await self._until(lambda: self._has(f"client/{MEMBERS[-1]}/cash"), "the deposits")
        for member in MEMBERS:
            await self._fund(member)
        await self._until(lambda: self._has(f"client/{MEMBERS[-1]}/{BUCKET}"), "the funding")
        await self._trade()
        await self._keep()

    async def run(self, target: str) -> DrillReport:
        """Break into one target, wait until everything was tried, count, and put the service back."""
        if target not in self.targets:
            raise UsageError(f"{target} is nothing to break into; there are {', '.join(self.targets)}")
        place = target if target in self.policy.services else "internet"
        before, paid = self._book_now(), self._paid()
        honest = self._platform.beginning(place)
        await self._platform.put_in_place(place, self._intrusion(honest, target, await self._pids(place)))
        attempts = await self._finished(place)
        await asyncio.sleep(0.5)
        await self._platform.stop_one(place)
        after, paid_now = self._book_now(before.head), self._paid()
        report = self._judged(target, place, attempts, before, after, _more(paid, paid_now))
        await self._put_back(place, honest, is_changed=after.rows != before.rows or place == "ledger")
        return report

    async def close(self) -> None:
        """Stop the platform and throw its folder away."""
        await self._platform.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- people

    async def _fund(self, member: str) -> None:
        cast = self._stage.cast
        source, target = f"client/{member}/cash", f"client/{member}/{BUCKET}"
        request = cast.request("fund", source, target, "USDC", FUNDED * 10**6)
        self._seen.append(cast.signed(request, (f"client_key/{member}",)))
        await cast.send(request, f"client_key/{member}")

    async def _trade(self) -> None:
        """Let two clients trade, and one leave an order that pays well over the index."""
        cast = self._stage.cast
        sell = cast.order(f"client/bob/{BUCKET}", "sell", TRADED, INDEX * PRICE_SCALE)
        buy = cast.order(f"client/alice/{BUCKET}", "buy", TRADED, INDEX * PRICE_SCALE)
        eager = cast.order(f"client/alice/{BUCKET}", "buy", 20, (INDEX + 1_000) * PRICE_SCALE)
        for order in (sell, buy):
            await self._until(partial(self._is_taken, order), f"the order of {order.bucket}")
        await self._until(self._has_position, "the first trade")
        await self._until(partial(self._is_taken, eager), f"the order of {eager.bucket}")
        self._orders.append(eager)
        self._fills.append(Fill("BTC-PERP", TRADED, INDEX * PRICE_SCALE, buy, sell))

    async def _is_taken(self, order: Order) -> bool:
        """Place an order; risk may not have heard yet of what pays for it."""
        (told,) = await self._stage.cast.place(order)
        return told.state in ("standing", "filled")

    # --- the platform as it was

    async def _keep(self) -> None:
        """Keep what the services have on disk, so that every break-in begins with the same platform."""
        for name in KEPT:
            await self._platform.stop_one(name)
        for name in KEPT:
            shutil.copytree(self._folder / name, self._folder / "kept" / name)
            await self._platform.restart(name)

    async def _put_back(self, place: str, honest: Beginning, *, is_changed: bool) -> None:
        """Put the honest service in its place again, and the books, where they are others now."""
        honest = dataclasses.replace(honest, intrusion=None)
        if not is_changed:
            await self._platform.put_in_place(place, honest)
            return
        others = [name for name in self._platform.names if name != place]
        for name in others:
            await self._platform.stop_one(name)
        for name in KEPT:
            shutil.rmtree(self._folder / name)
            shutil.copytree(self._folder / "kept" / name, self._folder / name)
        await self._platform.put_in_place(place, honest)
        for name in others:
            await self._platform.restart(name)
        await self._until(self._is_followed, "risk following the book again")

    async def _is_followed(self) -> bool:
        states = {one.name: one.running for one in await self._platform.states()}
        ledger, risk = states["ledger"], states["risk"]
        if ledger is None or risk is None:
            return False
        return int(risk.figures["record"]) >= int(ledger.figures["records"]) - 2

    # --- the intruder

    def _intrusion(self, honest: Beginning, target: str, pids: tuple[int, ...]) -> Beginning:
        """Give the intruder what the service has, and an accomplice among the clients."""
        keys = KeyFolder(self._folder / "keys")
        seeds = dict(honest.seeds)
        if target not in self.policy.services:
            names = [n for n, key in self.policy.keys.items() if (key.host or key.person) == target]
            seeds.update((name, keys.seed(name)) for name in names)
        plan = Plan(
            seed=self._seed,
            actions=self._actions,
            members=MEMBERS,
            methods={service: tuple(methods) for service, methods in CALLERS.items()},
            seen=msgspec.json.encode(self._seen),
            orders=msgspec.json.encode(self._orders),
            fills=msgspec.json.encode(self._fills),
            accomplice=f"client/{MEMBERS[-1]}/{BUCKET}",
            accomplice_seed=keys.seed(f"client_key/{MEMBERS[-1]}"),
            index_e10=self._index_e10,
        )
        return dataclasses.replace(honest, seeds=seeds, intrusion=(plan, self._around(honest.name, pids)))

    def _around(self, place: str, pids: tuple[int, ...]) -> Surroundings:
        rules = compile_flows(self.policy)
        others = [name for name in self._platform.names if name != place]
        return Surroundings(
            ends={name: self._platform.beginning(name).hosts for name in others},
            ports=tuple(sorted({flow.port for flow in rules.flows})),
            allowed=frozenset((flow.target, flow.port) for flow in rules.out_of(place)),
            identities=tuple(one.identity for one in rules.workloads.values()),
            folders=tuple(str(self._folder / name) for name in (*others, "keys")),
            pids=pids,
        )

    async def _pids(self, place: str) -> tuple[int, ...]:
        states = await self._platform.states()
        return tuple(one.running.pid for one in states if one.running is not None and one.name != place)

    async def _finished(self, place: str) -> tuple[Attempt, ...]:
        """Wait until the intruder has tried everything, and until the others had time to fall for it."""
        for _ in range(int(WAIT_S / 0.2)):
            await asyncio.sleep(0.2)
            try:
                report = unpack(Attempts, await self._platform.ask(place, "report", pack(Empty())))
            except UnreachableError:
                continue
            if report.is_done:
                return report.attempts
        raise UnreachableError(f"the intruder in {place} did not come to its end within {WAIT_S:g} s")

    def _permitted(self, place: str) -> frozenset[str]:
        rules = compile_flows(self.policy)
        found = set()
        for service, methods in CALLERS.items():
            port = port_between(rules, place, service)
            for method, caller in methods.items():
                if port is not None and port_between(rules, caller, service) == port:
                    found.add(f"{service}.{method}")
        return frozenset(found)

    # --- counting

    def _judged(
        self,
        target: str,
        place: str,
        attempts: tuple[Attempt, ...],
        before: _Book,
        after: _Book,
        paid: Mapping[str, int],
    ) -> DrillReport:
        rules, flows = compile_policy(self.policy), compile_flows(self.policy)
        found = blast(self.policy, (target,), "contained")
        moved = moved_by(rules, after.believed, paid, before.worth, after.worth)
        own_book, remarks = None, []
        if target == "ledger":
            written = moved_by(rules, after.written, {}, after.worth, after.worth)
            own_book = OwnBook(written, blast(self.policy, self.policy.services[target].holds, "contained"))
            if after.fault:
                remarks.append(f"a follower of its book stopped believing it: {after.fault}")
        unpaid = after.worth.unpaid - before.worth.unpaid
        if unpaid > 0:
            words = "was lost beyond what the buckets had; pools and the treasury would bear it"
            remarks.append(f"{show_units(self.policy, rules.numeraire, unpaid)} {words}")
        profile = sandbox_of(self._platform.beginning(place))
        return judge(
            target,
            explained(attempts, flows, profile),
            moved,
            found,
            self._permitted(place),
            rules.numeraire,
            remarks,
            sorted({flow.target for flow in flows.out_of(place)}),
            own_book,
        )

    def _book_now(self, since: Head | None = None) -> _Book:
        """Read the book as its file is, and as a follower believes it; requests are those after `since`."""
        rules = compile_policy(self.policy)
        follower = Follower(rules, signatures_ed25519.verify)
        believed, written, fault, head = [], [], "", None
        store = read_file(self._folder / "ledger" / "ledger.book")
        for record in store.records():
            lines = _lines_of(record)
            written += lines
            if fault:
                continue
            try:
                follower.follow((record,))
            except JournalBroken as broken:
                fault = str(broken)
                continue
            head = head_of(record)
            believed += lines
        store.close()
        rows = tuple(sorted(row for row in follower.state.balances() if row[2]))
        worth = worth_of(follower.state, MEMBERS, self._index_e10)
        return _Book(head, rows, worth, _carried_out(believed, since), _carried_out(written, since), fault)

    def _paid(self) -> dict[str, int]:
        """Add up what the chain paid out."""
        lines = LineFile(self._folder / "chain" / "chain.lines")
        found: dict[str, int] = {}
        for line in lines.read():
            noted = msgspec.json.decode(line, type=Noted)
            if noted.reference.startswith("paid "):
                found[noted.deposit.asset] = found.get(noted.deposit.asset, 0) + noted.deposit.units
        lines.close()
        return found

    async def _has(self, path: str) -> bool:
        return any(row[0] == path for row in (await self._stage.holdings()).rows)

    async def _has_position(self) -> bool:
        return bool((await self._stage.holdings()).positions)

    async def _until(self, asked: Callable[[], Awaitable[bool]], words: str) -> None:
        for _ in range(int(WAIT_S / 0.05)):
            if await asked():
                return
            await asyncio.sleep(0.05)
        raise UnreachableError(f"{words} did not come within {WAIT_S:g} s")


def _lines_of(record: JournalRecord) -> list[Dated]:
    if record.kind != Kind.BATCH:
        return []
    return [Dated(record.sequence, record.at, place, line) for place, line in enumerate(read_batch(record))]


def _carried_out(lines: Iterable[Dated], since: Head | None) -> tuple[Request, ...]:
    """Return the requests that lines after a head call carried out, whether they could be or not."""
    found = requests_carried_out(lines)
    return tuple(request for at, request in found if since is not None and at > since.at)


def _more(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {asset: units - before.get(asset, 0) for asset, units in after.items()}


def run_drills(
    policy: Policy, folder: Path, targets: tuple[str, ...], mode: Mode, seed: int, actions: int
) -> Iterator[DrillReport]:
    """Drill targets one after the other on one platform; all of them where none is named."""
    if mode == "namespaces":
        wiring_platform.raise_walls(policy)
    with asyncio.Runner() as runner:
        drill = Drill(policy, folder, mode, seed, actions)
        try:
            runner.run(drill.open())
            for target in targets or drill.targets:
                yield runner.run(drill.run(target))
        finally:
            runner.run(drill.close())
