"""The one way to compile a kernel: machine code that is kept for the next run where there is a place for it.

numba keeps compiled code beside the source, or in the home of the user. A service may run where it can write
neither; it then compiles anew at each start instead of failing.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

_P = ParamSpec("_P")
_R = TypeVar("_R")


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function with numba; other threads may run while it does."""
    return _kept_or_not(function, parallel=False)


def compiled_in_place(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function that only changes the arrays it is given, and makes or keeps none.

    Such a function borrows its arrays from whoever calls it, and so need not count references to them: in a
    kernel of many small functions the counting takes most of the time, and calling them much of the rest, so
    they are put into each other. numba refuses one that makes an array.
    """
    return _kept_or_not(function, parallel=False, _nrt=False, forceinline=True)


def compiled_parallel(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function whose `prange` loops are shared between threads."""
    return _kept_or_not(function, parallel=True)


def _kept_or_not(function: Callable[_P, _R], **options: bool) -> Callable[_P, _R]:
    try:
        return njit(cache=True, nogil=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:
        # numba found no folder that it can write.
        return njit(nogil=True, **options)(function)  # type: ignore[no-any-return]
