"""Plant small faults in the readable rule of the ledger, one at a time, and count those that no test sees.

    .venv/bin/python tests/mutation/run_mutants.py [module ...]

`survivors.txt` beside this file lists the faults that may live, each with its reason. The run fails where any
other lives, and where fewer than 90 % of all are found, those with a reason counted as not found. Without
names it takes every module of the readable rule, as `make nightly` does.

Nothing is written but what became of each fault, where `--record FILE` asks for it; `--again FILE` then takes
only the faults that such a run left living. `--every 10` plants a tenth of them, for a first look.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from mutation.campaign import Campaign, Fate  # noqa: E402 (its folder is on the path only now)
from mutation.planting import Fault, faults_of  # noqa: E402
from mutation.survivors import Survivors, read_survivors  # noqa: E402

LEDGER = ROOT / "src/ringfence/planes/ledger"
TESTS = ROOT / "tests/unit/planes/ledger"

LEFT_OUT = {
    "the rule again, compiled; differential tests hold the twins equal to the readable rule": (
        *("batch", "batch_kernel", "row_lane", "row_form", "row_kernel", "row_ids", "row_id_table"),
        *("hold_kernel", "id_hash", "seals", "trail_kernel"),
    ),
    "how a book is written down, not what it decides; round trips, outside vectors, flipped bits hold it": (
        *("journal", "rows", "trail", "tree", "checkpoint", "snapshot", "__init__"),
    ),
}
READABLE_RULE = sorted(
    {path.stem for path in LEDGER.glob("*.py")} - {name for names in LEFT_OUT.values() for name in names}
)
"""Every other module: whatever decides or computes, what it keeps, and what is told of it."""

# They hold what is left out, and would compile it anew.
OF_WHAT_IS_LEFT_OUT = (
    *("batch", "row_lane", "row_form", "row_holds", "rows", "row_ids", "row_id_table"),
    *("seals", "journal", "trail"),
)
SCORE_MIN = 0.9
EXAMPLES_MAX = 12
"""Examples of each property: a fault that only more of them would see counts as living."""


class FewExamples:
    """A plug-in of pytest that keeps properties short: the same few examples at every fault."""

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Cut the number of examples of every property."""
        for item in items:
            test = getattr(item, "obj", None)
            wanted = getattr(test, "_hypothesis_internal_use_settings", None)
            if test is not None and wanted is not None:
                fewer = settings(wanted, max_examples=min(wanted.max_examples, EXAMPLES_MAX))
                getattr(test, "__func__", test)._hypothesis_internal_use_settings = fewer


def faults(modules: Iterable[str], again: Path | None) -> list[Fault]:
    """List the faults to plant; of a recorded run, those that it left living."""
    planted = [fault for module in modules for fault in faults_of(module)]
    if again is None:
        return planted
    records = map(json.loads, again.read_text().splitlines())
    living = {(one["where"], tuple(one["change"])) for one in records if one["word"] in ("lives", "not run")}
    return [fault for fault in planted if (fault.where, fault.change) in living]


def run(campaign: Campaign) -> int:
    """Run the campaign inside one run of pytest; returns pytest's exit code."""
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_PROFILE"] = "faults"
    settings.register_profile(
        "faults",
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    names = {f"test_{name}.py" for name in OF_WHAT_IS_LEFT_OUT}
    tests = [str(path) for path in sorted(TESTS.glob("test_*.py")) if path.name not in names]
    options = ["-qq", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain"]
    return int(pytest.main([*options, *tests], plugins=[campaign, FewExamples()]))


def recorder(path: Path) -> Callable[[Fate], None]:
    """Return what writes each fate to a new file as it is known, a line of JSON each."""
    path.write_text("")

    def write(fate: Fate) -> None:
        fault = fate.fault
        row = {"where": fault.where, "change": fault.change, "word": fate.word, "test": fate.test}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    return write


def report(fates: Sequence[Fate], survivors: Survivors) -> int:
    """Print the living faults and the score of each module; returns 1 where one lives without a reason, or
    too few are found in all."""
    planted = Counter(fate.fault.module for fate in fates)
    living = Counter(fate.fault.module for fate in fates if fate.is_living)
    unexplained = 0
    for fate in fates:
        reason = survivors.reason(fate.fault)
        if fate.is_living and reason is None:
            unexplained += 1
            print(fate.fault.where, *fate.fault.change, f"{fate.word}, NO REASON", sep="\n    ")
    for module in sorted(planted, key=lambda name: (-planted[name], name)):
        found = planted[module] - living[module]
        print(f"{module:20} {found:5} of {planted[module]:5} faults found: {found / planted[module]:.1%}")
    endless = sum(fate.word == "endless" for fate in fates)
    found, total = len(fates) - living.total(), len(fates)
    print(f"{found} of {total} faults found ({endless} by never ending): {found / total:.1%}")
    print(f"{living.total()} live, {unexplained} of them without a reason in survivors.txt")
    return 0 if found >= SCORE_MIN * total and not unexplained else 1


def main() -> int:
    """Plant, run, report."""
    parser = argparse.ArgumentParser(description="Count the faults in the ledger's rule that no test sees.")
    parser.add_argument("modules", nargs="*", default=READABLE_RULE)
    parser.add_argument("--children", type=int, default=2, help="processes at once")
    parser.add_argument("--seconds", type=float, default=20.0, help="most computing for one fault")
    parser.add_argument("--every", type=int, default=1, help="plant every so-manieth fault only")
    parser.add_argument("--record", type=Path, help="write what became of each fault here")
    parser.add_argument("--again", type=Path, help="take the living of this record only")
    asked = parser.parse_args()
    told = recorder(asked.record) if asked.record else None
    planted = faults(asked.modules, asked.again)[:: asked.every]
    campaign = Campaign(planted, asked.children, asked.seconds, told)
    code = run(campaign)
    if len(campaign.fates) < len(campaign.faults) or code:
        print(f"pytest ended with {code} before every fault was tried", file=sys.stderr)
        return 1
    return report(campaign.fates, read_survivors())


if __name__ == "__main__":
    sys.exit(main())
