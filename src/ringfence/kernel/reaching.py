"""Reaching for memory before it is needed, from compiled code.

A loop that reads far-apart rows of large tables waits for memory at each. It need not, where it knows its
next rows some turns before: the processor fetches what it is told to beside its work. Nothing follows from it
but time; what is reached for may be anything.
"""

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic

ir = cgutils.ir

_TO_READ, _NEAR, _DATA = 0, 3, 1


@intrinsic  # type: ignore[untyped-decorator]
def reach(_: Any, array: Any, row: Any) -> Any:
    """Let the processor fetch the beginning of a row of an array; called from compiled code only."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        table = context.make_array(kind)(context, builder, arguments[0])
        row_number = context.cast(builder, arguments[1], signature.args[1], types.intp)
        places = [row_number, *[ir.Constant(ir.IntType(64), 0)] * (kind.ndim - 1)]
        item = cgutils.get_item_pointer(context, builder, kind, table, places, wraparound=False)
        address = builder.bitcast(item, cgutils.voidptr_t)
        number = ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], form)
        builder.call(fetch, [address, *(ir.Constant(number, word) for word in (_TO_READ, _NEAR, _DATA))])
        return context.get_dummy_value()

    return types.void(array, row), write
