"""A `World` as compiled functions hand it on: one pointer instead of thirty tables.

A named tuple passes every table at every call, which costs more than the call. `bundle` copies nothing: what
is changed through it changes the world.
"""

from typing import Any

from numba import types
from numba.experimental import structref

from ringfence.replay.exact import compiled
from ringfence.replay.world import World


class _BundleType(types.StructRef):  # type: ignore[misc]
    """The type of a bundle: the fields of `World`."""

    def preprocess_fields(self, fields: Any) -> Any:
        return tuple((name, types.unliteral(field)) for name, field in fields)


class _Bundle:
    """What the constructor of a bundle is found under."""

    def __init__(self, *fields: object) -> None: ...


structref.register(_BundleType)
structref.define_constructor(_Bundle, _BundleType, list(World._fields))
structref.define_attributes(_BundleType)


@compiled
def bundle(tables: World) -> World:
    """Gather the tables of a world behind one pointer."""
    return _Bundle(*tables)  # type: ignore[return-value]
