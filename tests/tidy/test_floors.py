"""The pure floors call nothing that looks at the world; imports alone are held by import-linter."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "ringfence"
PURE = ("kernel", "policy", "drawing", "planes", "margin", "replay", "proof")
MODULES = sorted(file for floor in PURE for file in (SOURCE / floor).rglob("*.py"))
EFFECTS = {"open", "print", "input", "breakpoint", "eval", "exec", "__import__"}
CLOCKS = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns"}
UNSEEDED = {"seed", "rand", "randn", "random_sample"}


def effects(module: ast.Module) -> list[str]:
    """List the calls of a module that reach outside, with their lines."""
    found = []
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in EFFECTS:
            found.append(f"{node.lineno}: {node.func.id}")
        if isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS | UNSEEDED:
            found.append(f"{node.lineno}: {node.func.attr}")
        if isinstance(node.func, ast.Attribute) and node.func.attr == "default_rng" and not node.args:
            found.append(f"{node.lineno}: default_rng without a seed")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_a_pure_floor_calls_nothing_that_looks_at_the_world(module):
    assert effects(ast.parse(module.read_text())) == []


@pytest.mark.parametrize(
    "text",
    [
        "open('book.db')",
        "print(1)",
        "datetime.now(UTC)",
        "time.monotonic()",
        "numpy.random.default_rng()",
        "numpy.random.seed(1)",
    ],
)
def test_an_effect_is_found(text):
    assert len(effects(ast.parse(text))) == 1


@pytest.mark.parametrize("text", ["numpy.random.default_rng(7)", "rule.opened()", "clock = 3", "reopen(x)"])
def test_what_is_no_effect_is_not_found(text):
    assert effects(ast.parse(text)) == []
