"""A campaign: every fault meets the tests that run its function, in a process of its own, until one fails.

It is a plug-in of pytest, so the tests are collected once. First each runs on the healthy rule and is noted
with the functions it calls; then a process is forked for each fault. Of the tests that call the faulty
function those that found its neighbours come first, then the quick ones.
"""

import gc
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from types import FunctionType
from typing import Literal, NoReturn

import harbour
import pytest
from _pytest.runner import runtestprotocol
from mutation.planting import Fault, noted

Word = Literal["found", "endless", "lives", "not run"]
PATIENCE_S = 2.0
"""Seconds of computing that a test is given on top of ten times what it took on the healthy rule."""


@dataclass(frozen=True)
class Fate:
    """What became of a fault: found by a test, endless in one, alive after all of them, in no test's way."""

    fault: Fault
    word: Word
    test: str = ""

    @property
    def is_living(self) -> bool:
        """Say whether no test saw it."""
        return self.word in ("lives", "not run")


@dataclass
class Campaign:
    """The faults to plant, and what became of them.

    children: how many processes at once; seconds: how much computing one fault may cost, by what its tests
    took on the healthy rule; told: is called with each fate as it is known.
    """

    faults: Sequence[Fault]
    children: int
    seconds: float
    told: Callable[[Fate], None] | None = None
    fates: list[Fate] = field(default_factory=list)
    _callers: dict[FunctionType, list[pytest.Item]] = field(default_factory=lambda: defaultdict(list))
    _compiling: set[FunctionType] = field(default_factory=set)
    _seconds: dict[str, float] = field(default_factory=dict)
    _finders: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests on the healthy rule, then on every fault."""
        if session.testsfailed or not self._run_healthy(session.items):
            raise pytest.UsageError("the tests fail on the healthy rule")
        gc.collect()
        gc.freeze()
        self._run_faults()
        return True

    def _run_healthy(self, items: Sequence[pytest.Item]) -> bool:
        watched = {fault.healthy for fault in self.faults}
        harbour.rules_of.cache_clear()  # Modules of tests may have compiled it when they were collected.
        with noted(watched) as called:
            harbour.rules_of()
            self._compiling = set(called)
        with noted(watched) as called:
            for place, item in enumerate(items):
                called.clear()
                if self._compiling:
                    harbour.rules_of.cache_clear()
                begun = time.process_time()
                reports = runtestprotocol(item, log=False, nextitem=_next(items, place))
                self._seconds[item.nodeid] = time.process_time() - begun
                if any(report.failed for report in reports):
                    print(*(report.longreprtext for report in reports if report.failed), sep="\n")
                    return False
                for function in called:
                    self._callers[function].append(item)
        return True

    def _run_faults(self) -> None:
        running: dict[int, tuple[Fault, int]] = {}
        waiting = list(reversed(self.faults))
        while waiting or running:
            while waiting and len(running) < self.children:
                fault = waiting.pop()
                if fault.healthy in self._callers:
                    running |= self._fork(fault)
                else:
                    self._tell(Fate(fault, "not run"))
            if running:
                pid, status = os.wait()
                fault, pipe = running.pop(pid)
                self._tell(_fate(fault, status, pipe))

    def _tell(self, fate: Fate) -> None:
        self.fates.append(fate)
        if self.told is not None:
            self.told(fate)
        if fate.test:
            self._finders[fate.fault.where][fate.test] += 1
            self._finders[fate.fault.module][fate.test] += 1
        done = len(self.fates)
        if done % 100 == 0 or done == len(self.faults):
            living = sum(one.is_living for one in self.fates)
            print(f"{done} of {len(self.faults)}, {living} living, at {fate.fault.where}", flush=True)

    def _fork(self, fault: Fault) -> dict[int, tuple[Fault, int]]:
        items = self._tests_for(fault)
        reading, writing = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            os.close(reading)
            self._meet(fault, items, writing)
        os.close(writing)
        return {pid: (fault, reading)}

    def _tests_for(self, fault: Fault) -> list[pytest.Item]:
        """List the tests that call the faulty function, those first that find much in little time."""
        near, far = self._finders[fault.where], self._finders[fault.module]

        def promise(item: pytest.Item) -> tuple[float, float]:
            found = (
                5 * near[item.nodeid] + far[item.nodeid] + 3 * (item.path.name == f"test_{fault.module}.py")
            )
            seconds = max(0.001, self._seconds[item.nodeid])
            return -found / seconds, seconds

        items = sorted(self._callers[fault.healthy], key=promise)
        ends = accumulate(self._seconds[item.nodeid] for item in items)
        return [item for item, end in zip(items, ends, strict=True) if end < self.seconds]

    def _meet(self, fault: Fault, items: Sequence[pytest.Item], writing: int) -> NoReturn:
        """Plant a fault and run tests until one finds it; the end of the process says whether one did."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        fault.plant()
        if fault.healthy in self._compiling:
            harbour.rules_of.cache_clear()
        gc.disable()
        finder = ""
        try:
            for place, item in enumerate(items):
                finder = item.nodeid
                signal.setitimer(signal.ITIMER_PROF, 10 * self._seconds[item.nodeid] + PATIENCE_S)
                _run(item, _next(items, place))
            finder = ""
        finally:  # Whatever the fault raises ends here, and what pytest raises by itself.
            os.write(writing, finder.encode())
            os._exit(bool(finder))


def _fate(fault: Fault, status: int, pipe: int) -> Fate:
    test = os.read(pipe, 4_096).decode()
    os.close(pipe)
    if os.WIFSIGNALED(status):
        return Fate(fault, "endless")
    return Fate(fault, "found" if os.WEXITSTATUS(status) else "lives", test)


def _next(items: Sequence[pytest.Item], place: int) -> pytest.Item | None:
    return items[place + 1] if place + 1 < len(items) else None


def _run(item: pytest.Item, following: pytest.Item | None) -> None:
    """Run one test without the reports of pytest, which take longer than it; raises where it fails."""
    item._initrequest()  # type: ignore[attr-defined]
    with suppress(pytest.skip.Exception):
        item.session._setupstate.setup(item)
        item.runtest()
    item.session._setupstate.teardown_exact(following)
