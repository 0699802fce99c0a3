"""A whole platform for tests: the venue policy with short delays, its processes, and people who use it."""

import asyncio
import time
from pathlib import Path

import msgspec

from ringfence import wiring_files, wiring_platform
from ringfence.policy.model import Policy
from ringfence.policy.parse import parse

USDC = 10**6
E10 = 10**10


def quick_venue() -> Policy:
    """The venue policy, but what takes hours there takes two seconds."""
    file = Path(wiring_files.shipped_policy("venue"))
    text = file.read_text().replace("delay: 1 h", "delay: 2 s")

    def include(name: str) -> str:
        return (file.parent / name).read_text().replace("settlement: 8 h", "settlement: 2 s")

    parsed = parse(text, "venue.yaml", include)
    assert parsed.policy is not None, parsed.errors
    return parsed.policy


class Running:
    """A platform that runs, on a loop of its own, for a test module."""

    def __init__(self, folder: Path, mode: str, svid_ns: int = 600 * E10) -> None:
        self.policy = quick_venue()
        self.folder = folder
        self._runner = asyncio.Runner()
        self.platform = wiring_platform.platform(self.policy, folder, mode, svid_ns=svid_ns)
        self.run(self.platform.start())
        self.stage = wiring_platform.Stage(self.platform, self.policy, folder)
        self.cast = self.stage.cast

    def run(self, work):
        return self._runner.run(work)

    def close(self) -> None:
        self.run(self.platform.stop())
        self._runner.close()

    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def until(self, what, words: str, seconds: float = 20.0):
        """Ask again until the answer is true, and return it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = what()
            if found:
                return found
            self.wait(0.05)
        logs = [path.read_text()[-600:] for path in self.folder.glob("*/*.log")]
        raise AssertionError(f"{words} never happened; {[log for log in logs if log]}")

    # --- what is

    def states(self):
        return {one.name: one for one in self.run(self.platform.states())}

    def figure(self, service: str, name: str):
        running = self.states()[service].running
        return running.figures[name] if running is not None else None

    def balance(self, path: str, asset: str = "USDC") -> int:
        rows = self.run(self.stage.holdings()).rows
        return next((units for where, what, units in rows if (where, what) == (path, asset)), 0)

    def position(self, bucket: str, instrument: str = "BTC-PERP") -> int:
        rows = self.run(self.stage.holdings()).positions
        return next((units for where, what, units in rows if (where, what) == (bucket, instrument)), 0)

    def outcome(self, request) -> str:
        found = self.run(self.cast.outcome(request))
        return found.state if found is not None else ""

    # --- what people do

    def open(self, member: str, **funded: int) -> None:
        """Open a member; funded: USDC that it brings into each of its buckets."""
        self.run(self.stage.open_member(member))
        total = sum(funded.values()) + 10_000
        cash = f"client/{member}/cash"
        self.run(self.stage.deposit(cash, "USDC", total * USDC))
        self.until(lambda: self.balance(cash) == total * USDC, f"the deposit of {member}")
        for bucket, units in funded.items():
            if units:
                self.move("fund", cash, f"client/{member}/{bucket}", units * USDC, f"client_key/{member}")

    def move(self, gate: str, source: str, target: str, units: int, *keys: str, **words):
        request = self.cast.request(gate, source, target, "USDC", units)
        request = msgspec.structs.replace(request, **words)
        self.run(self.cast.send(request, *keys))
        self.until(lambda: self.outcome(request) not in ("", "waiting"), f"{gate} of {source}")
        assert self.outcome(request) == "accepted", self.run(self.cast.outcome(request))
        return request

    def order(self, bucket: str, side: str, contracts: int, price: float, **words):
        return self.cast.order(bucket, side, contracts, int(price * E10), **words)

    def place(self, *orders):
        return self.run(self.cast.place(*orders))

    def place_when_risk_has_heard(self, order):
        """Place an order that margin permits, as soon as risk has followed what was just moved."""

        def placed():
            (told,) = self.place(order)
            return told if told.reason != "RISK_REFUSED" else None

        return self.until(placed, f"an order of {order.bucket}")

    def price(self, price: float, name: str = "index/BTC") -> None:
        self.run(self.stage.say_price(name, int(price)))
