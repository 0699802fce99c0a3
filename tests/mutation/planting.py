"""Planting faults: each a function of the readable rule with one small change, put in its place in memory.

The faults are mutmut's. It writes a module with every changed function beside the original; here that module
is run apart, and a changed function lends its code to the real one in a process forked for it. So no file
changes, nothing is imported twice, and the tests run at their usual speed.
"""

import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from mutmut.mutation.data import LineSpan
from mutmut.mutation.file_mutation import MutatedFile, mutate_file_contents
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

PACKAGE = "ringfence.planes.ledger"

_SWITCH = "from mutmut.mutation.trampoline import wrap_in_trampoline as _mutmut_mutated, MutantDict"
_NO_SWITCH = """
MutantDict = dict
def _mutmut_mutated(mutants, is_classmethod=False):
    return lambda function: function
"""
"""mutmut would let every function ask at each call which fault is planted."""


@dataclass(frozen=True)
class Fault:
    """One changed function.

    where: module and function, as in `holds.expire`; change: the lines of it that differ, each with its sign;
    healthy: the function of the book; changed: code and defaults that may be put in its place.
    """

    name: str
    where: str
    change: tuple[str, ...]
    healthy: FunctionType
    changed: tuple[CodeType, tuple[object, ...] | None, dict[str, object] | None]

    @property
    def module(self) -> str:
        """The module it is planted in."""
        return self.where.partition(".")[0]

    def plant(self) -> None:
        """Put the changed code in the place of the healthy one, wherever that is held."""
        function = self.healthy
        function.__code__, function.__defaults__, function.__kwdefaults__ = self.changed


def faults_of(name: str) -> Iterator[Fault]:
    """Go through the faults that mutmut finds for a module of the ledger."""
    module = importlib.import_module(f"{PACKAGE}.{name}")
    path = Path(str(module.__file__))
    written = mutate_file_contents(path.name, path.read_text())
    apart = _run_apart(module.__name__, written)
    lines = written.code.splitlines()
    for mutant in written.mutant_names:
        function, owner = orig_function_and_class_names_from_key(f"{name}.{mutant}")
        original = mutant.partition("__mutmut_")[0] + "__mutmut_orig"
        spans = written.line_span_by_function_name
        yield Fault(
            name=f"{name}.{mutant}",
            where=".".join(part for part in (name, owner, function) if part),
            change=_change(lines, spans[original], spans[mutant]),
            healthy=_function(module, owner, function),
            changed=_parts(_function(apart, owner, mutant)),
        )


def _run_apart(name: str, written: MutatedFile) -> ModuleType:
    """Run the module with all its changed functions, without letting anybody import it."""
    apart = ModuleType(name)
    code = written.code.replace(_SWITCH, _NO_SWITCH)
    exec(compile(code, f"<faults of {name}>", "exec"), apart.__dict__)
    return apart


def _function(module: ModuleType, owner: str | None, name: str) -> FunctionType:
    holder = vars(module) if owner is None else vars(vars(module)[owner])
    found = holder[name]
    return getattr(found, "__func__", found)  # type: ignore[no-any-return]


def _parts(function: FunctionType) -> tuple[CodeType, tuple[object, ...] | None, dict[str, object] | None]:
    return function.__code__, function.__defaults__, function.__kwdefaults__


def _change(lines: list[str], healthy: LineSpan, changed: LineSpan) -> tuple[str, ...]:
    """List the lines that differ, without those that only name the function."""
    before, after = (lines[span.start - 1 : span.end] for span in (healthy, changed))
    found = difflib.unified_diff(before, after, lineterm="", n=0)
    signed = [line for line in found if not line.startswith(("---", "+++", "@@"))]
    return tuple(f"{line[0]} {line[1:].strip()}" for line in signed if "__mutmut_" not in line) or tuple(
        f"{line[0]} {line[1:].strip()}" for line in signed
    )


@contextmanager
def noted(functions: Iterable[FunctionType]) -> Iterator[set[FunctionType]]:
    """Note which of the functions are called meanwhile, at the price of one more call each."""
    called: set[FunctionType] = set()
    healthy = {
        function: (function.__code__, function.__defaults__, function.__kwdefaults__)
        for function in functions
    }
    for number, function in enumerate(healthy):
        code, names, words = function.__code__, function.__globals__, function.__kwdefaults__
        twin = FunctionType(code, names, function.__name__, function.__defaults__, function.__closure__)
        twin.__kwdefaults__ = words
        function.__globals__.update({f"noted_{number}": called.add, f"noted_twin_{number}": (function, twin)})
        function.__defaults__ = function.__kwdefaults__ = None
        function.__code__ = _noting_code(number, code.co_freevars)
    try:
        yield called
    finally:
        for function, parts in healthy.items():
            function.__code__, function.__defaults__, function.__kwdefaults__ = parts


def _noting_code(number: int, free: tuple[str, ...]) -> CodeType:
    """Write what notes a call and passes it on; it closes over the same names, as its function demands."""
    apart: dict[str, Callable[..., FunctionType]] = {}
    exec(_NOTING.replace("_N", f"_{number}").replace("FREE", ", ".join(free)), apart)
    return apart["closing_over"](*free).__code__


_NOTING = """
def closing_over(FREE):
    def noting(*args, **words):
        (FREE)
        function, twin = noted_twin_N
        noted_N(function)
        return twin(*args, **words)
    return noting
"""
