"""Where a breach drill is put together: a platform with people, an intruder in one service, and the count.

Like `wiring`, this file joins services and adapters and decides nothing.
"""

import asyncio
import dataclasses
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from ringfence import wiring, wiring_platform
from ringfence.adapters.intruder_probes import Surroundings
from ringfence.adapters.key_files import KeyFolder
from ringfence.adapters.line_file import LineFile
from ringfence.adapters.service_process import Beginning
from ringfence.kernel.errors import UnreachableError, UsageError
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.operations import Order, Request
from ringfence.planes.network.compile import compile_flows
from ringfence.policy.model import Policy
from ringfence.proof.blast import blast
from ringfence.services.history import requests_carried_out
from ringfence.services.platform.drill import DrillReport, Moved, equities, judge, moved_by
from ringfence.services.platform.intruder import Attempt, Attempts, Plan
from ringfence.services.platform.messages import Empty, pack, unpack
from ringfence.services.platform.outside import Noted
from ringfence.services.platform.stations import CALLERS, Mode, port_between

MEMBERS = ("alice", "bob", "mallory")
BUCKET = "hedge"
FUNDED = 20_000
INDEX = 65_000
TRADED = 1_000
"""Contracts that two clients hold against each other: as much as leverage permits them, nearly."""

WAIT_S = 30.0


class Drill:
    """One platform that is broken into, service after service; in a folder that is thrown away after."""

    def __init__(self, policy: Policy, folder: Path, mode: Mode, seed: int, actions: int) -> None:
        self.policy = policy
        self._folder = folder
        self._seed = seed
        self._actions = actions
        self._platform = wiring_platform.platform(policy, folder, mode)
        self._stage = wiring_platform.Stage(self._platform, policy, folder)
        self._seen: list[Request] = []
        self._orders: list[Order] = []
        self._index_e10 = {name: price * PRICE_SCALE for name, price in wiring_platform.PRICES.items()}

    @property
    def targets(self) -> tuple[str, ...]:
        """What may be broken into: every service, and every laptop that holds keys."""
        hosts = dict.fromkeys(key.host for key in self.policy.keys.values() if key.host is not None)
        return (*self.policy.services, *hosts)

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
        await asyncio.sleep(0.5)
        await self._trade()

    async def run(self, target: str) -> DrillReport:
        """Break into one target, wait until everything was tried, count, and put the service back."""
        if target not in self.targets:
            raise UsageError(f"{target} is nothing to break into; there are {', '.join(self.targets)}")
        place = target if target in self.policy.services else "internet"
        (before, since), paid = self._before(), self._paid()
        honest = self._platform.beginning(place)
        await self._platform.put_in_place(place, self._intrusion(honest, target, await self._pids(place)))
        attempts = await self._finished(place)
        await asyncio.sleep(0.5)
        await self._platform.put_in_place(place, dataclasses.replace(honest, intrusion=None))
        moved = self._moved(before, since, paid)
        found = blast(self.policy, (target,), "contained")
        remarks = []
        if target == "ledger":
            remarks.append("whoever owns the ledger may write any book: only the chain was measured")
        return judge(target, attempts, moved, found, self._permitted(place), "USDC", remarks)

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
        for order in (sell, buy, eager):
            await cast.place(order)
        self._orders += [eager]
        await self._until(self._has_position, "the first trade")

    # --- the intruder

    def _intrusion(self, honest: Beginning, target: str, pids: tuple[int, ...]) -> Beginning:
        """Give the intruder what the service has, and an accomplice among the clients."""
        keys = KeyFolder(self._folder / "keys")
        seeds = dict(honest.seeds)
        if target not in self.policy.services:
            names = [name for name, key in self.policy.keys.items() if key.host == target]
            seeds.update((name, keys.seed(name)) for name in names)
        plan = Plan(
            seed=self._seed,
            actions=self._actions,
            members=MEMBERS,
            methods={service: tuple(methods) for service, methods in CALLERS.items()},
            seen=msgspec.json.encode(self._seen),
            orders=msgspec.json.encode(self._orders),
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

    def _before(self) -> tuple[dict[str, int], Instant]:
        """Value every client, and say as of when."""
        book = wiring.read_book(self._book())
        found = equities(book.state, MEMBERS, self._index_e10), book.head.at
        book.close()
        return found

    def _moved(self, before: Mapping[str, int], since: Instant, paid: Mapping[str, int]) -> Moved:
        book = wiring.read_book(self._book())
        after = equities(book.state, MEMBERS, self._index_e10)
        requests = [request for at, request in requests_carried_out(book.lines()) if at > since]
        now = self._paid()
        out = {
            asset: units - paid.get(asset, 0) for asset, units in now.items() if units != paid.get(asset, 0)
        }
        lost = {member: before[member] - after[member] for member in MEMBERS}
        moved = moved_by(book.rules, requests, out, lost)
        book.close()
        return moved

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

    def _book(self) -> Path:
        return self._folder / "ledger" / "ledger.book"

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
