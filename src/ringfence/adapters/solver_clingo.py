"""clingo as a second engine for the fewest thefts, within a time limit. Imported only when asked for."""

from collections.abc import Callable

from ringfence.kernel.errors import UnreachableError
from ringfence.proof.encode import Solved


def clingo_solver(seconds_max: float) -> Callable[[str], Solved]:
    """Return a solver of answer-set programs that keeps the best answer found when its time is over.

    Raises UnreachableError where clingo is not installed.
    """
    try:
        import clingo
    except ImportError:
        raise UnreachableError(
            "clingo is not installed; install ringfence[proof], or leave the second engine out"
        ) from None

    def solve(text: str) -> Solved:
        control = clingo.Control(["--opt-mode=opt"])
        control.add("base", [], text)
        control.ground([("base", [])])
        best = Solved("unknown", seconds=seconds_max)
        with control.solve(yield_=True, async_=True) as handle:
            handle.resume()
            while handle.wait(seconds_max):
                model = handle.model()
                if model is None:
                    break
                atoms = frozenset(str(symbol) for symbol in model.symbols(shown=True))
                best = Solved("satisfiable", atoms, sum(model.cost), seconds=seconds_max)
                handle.resume()
            else:
                handle.cancel()
                return best
            outcome = handle.get()
        if outcome.unsatisfiable:
            return Solved("unsatisfiable")
        return best._replace(is_best=bool(outcome.exhausted))

    return solve
