"""Z3 as a second engine, within a time limit. Imported only by the commands that ask for it."""

from collections.abc import Callable

from ringfence.kernel.errors import UnreachableError
from ringfence.proof.encode import Solved


def z3_solver(seconds_max: float) -> Callable[[str], Solved]:
    """Return a solver of SMT-LIB text that answers `unknown` when its time is over.

    Raises UnreachableError where Z3 is not installed.
    """
    try:
        import z3
    except ImportError:
        raise UnreachableError(
            "Z3 is not installed; install ringfence[proof], or leave the second engine out"
        ) from None

    def solve(text: str) -> Solved:
        solver = z3.Solver()
        solver.set("timeout", max(1, int(seconds_max * 1000)))
        solver.from_string(text)
        answer = solver.check()
        if answer == z3.unsat:
            return Solved("unsatisfiable")
        if answer != z3.sat:
            return Solved("unknown", seconds=seconds_max)
        model = solver.model()
        true = (name.name() for name in model.decls() if z3.is_true(model[name]))
        return Solved("satisfiable", frozenset(true))

    return solve
