"""Whether a book and the compiled replay ended the same day with the same money, unit for unit."""

from collections.abc import Iterator

import numpy as np

from ringfence.kernel.errors import ViolationError
from ringfence.planes.ledger.book import BookState
from ringfence.replay.engine import Run


def compare(run: Run, state: BookState) -> int:
    """Return how many figures were compared; ViolationError names the first that differs."""
    count = 0
    for words, replayed, booked in _figures(run, state):
        count += 1
        if replayed != booked:
            raise ViolationError(f"{words} is {replayed} in the replay and {booked} in the book")
    return count


def _figures(run: Run, state: BookState) -> Iterator[tuple[str, int, int]]:
    world, ground = run.world, run.ground
    for comp in range(len(world.comps)):
        path = ground.path(comp)
        for coin, name in enumerate(ground.names.coins):
            units = int(world.balance[comp, coin]) * ground.names.quantum_units[coin]
            yield f"{name} of {path}", units, state.balance(path, name)
    for slot in world.slots:
        path = ground.path(int(world.units["comp"][slot["unit"]]))
        name = ground.names.instruments[slot["instrument"]]
        booked = state.position(path, name)
        yield f"{name} of {path}", int(slot["contracts"]), booked.contracts
        yield f"session value of {name} of {path}", int(slot["session"]), booked.session_value
    for unit in np.flatnonzero(world.units["debt"]):
        kind = ground.kinds[int(world.units["kind"][unit])]
        fall = next(one for one in ground.policy.waterfalls.values() if kind in one.covers)
        path = ground.path(int(world.units["comp"][unit]))
        if fall.record is not None:
            yield f"debt of {path}", int(world.units["debt"][unit]), state.balance(path, fall.record)
