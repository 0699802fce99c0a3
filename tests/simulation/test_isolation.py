"""Members are isolated bit for bit: alice's part of a book is the same with and without all that bob does.

One life is lived by everybody. It is lived again without any operation that concerns bob alone; what pays
everybody at once (a settlement, a collection of fees) is written anew for those who are left. Left out are
the purses that members share by the policy's own words: `all` limits, a pool that ran dry, the treasury.
"""

from random import Random
from typing import Any

import drawn_flows
import pytest
from flow_laws import text_of
from flow_world import CLIENTS, Step, World, names_of, tables_of
from harbour import EVIDENCE, USDC, e10

from ringfence.kernel.decision import Reason, Refused
from ringfence.planes.ledger.book import Outcome
from ringfence.planes.ledger.conditions import Conditions
from ringfence.planes.ledger.operations import Fill, Operation, Request, Settle
from ringfence.planes.ledger.payments import collection_links, settlement_links

NOT_ASKED = Outcome(Refused(Reason.LINKED_LEG_REFUSED, "not asked in this life"))


class Together(World):
    """A world in which alice trades with carol, bob with himself, and nobody takes another's id."""

    def __init__(self) -> None:
        self.lived: list[Step] = []
        self.whose: dict[int, list[str]] = {}
        super().__init__()

    def ask(self, operation: Operation, conditions: Conditions | None = None) -> Step:
        named = clients_in(repr(operation))
        is_pair = named == ["alice", "carol"] and "Fill(" in repr(operation)
        is_collective = "collective" in repr(operation)
        is_anothers = any(self.whose.get(one, named) != named for one in ids_in(operation))
        if (len(named) > 1 and not is_pair and not is_collective) or is_anothers:
            rows = tables_of(self.state)
            given = conditions or self.allowing()
            return Step(operation, operation, NOT_ASKED, self.at, self.rules, given, rows, rows)
        self.whose |= dict.fromkeys(ids_in(operation), named)
        step = super().ask(operation, conditions)
        self.lived.append(step)
        return step


def clients_in(text: str) -> list[str]:
    return [member for member in CLIENTS if member in text]


def ids_in(operation: Operation) -> list[int]:
    """List the ids that an operation takes or comes back to: its own, of holds, sessions and mandates."""
    links = operation.links if isinstance(operation, Request) else ()
    words = [getattr(operation, name, 0) for name in ("id", "session", "mandate")]
    return [one for one in (*words, *(getattr(link, "hold", 0) for link in links)) if one]


def arrive(world: World, rng: Random) -> None:
    world.arrive(f"client/{rng.choice(CLIENTS)}/cash", rng.choice(["USDC", "BTC"]), rng.choice([1, USDC]))


def bob_trades_with_himself(world: World, rng: Random) -> None:
    world.say_price(world.price)
    buckets = rng.sample(["client/bob/hedge", "client/bob/directional"], 2)
    contracts = rng.randint(1, 9)
    sides = [world.order(*side, contracts, "BTC-PERP") for side in zip(buckets, ("buy", "sell"), strict=True)]
    world.request([Fill("BTC-PERP", contracts, e10(world.price), *sides)])


def settle_everybody(world: World, rng: Random) -> None:
    world.say_price(world.price + rng.choice([-50, 50]))
    links = settlement_links(world.state, [Settle("BTC-PERP", e10(world.price))], world.at)
    world.request(links, *EVIDENCE, reason="collective")


def collect_from_everybody(world: World, rng: Random) -> None:
    del rng
    links = [link for link in collection_links(world.state, world.at) if link.gate in ("fee", "rebate")]
    world.request(links, *EVIDENCE, reason="collective")


ALONE = [
    arrive,
    bob_trades_with_himself,
    bob_trades_with_himself,
    settle_everybody,
    collect_from_everybody,
    *[drawn_flows.fund_or_release, drawn_flows.hold, drawn_flows.end_a_hold, drawn_flows.mandate_and_top_up]
    * 2,
    *[drawn_flows.trade] * 6,
    drawn_flows.lock_and_mirror,
    drawn_flows.pin_an_address,
    drawn_flows.open_a_session,
    drawn_flows.close_a_session,
    drawn_flows.change_a_key,
    drawn_flows.sign_with_a_former_key,
    drawn_flows.pass_a_position_on,
    drawn_flows.pay_out,
    drawn_flows.wait,
]


def again_without(life: Together, gone: str, kept: str) -> World:
    """Live a life again without what concerns only one member; the other gets the same answers."""
    world = World()
    begun = len(world.log)
    for step in life.lived[begun:]:
        world.at = step.at
        if isinstance(step.operation, Request) and step.operation.reason == "collective":
            world.ask(for_those_left(world, step.operation, gone), step.conditions)
            continue
        named = clients_in(text_of(step))
        if named == [gone]:
            continue
        answer = world.ask(step.operation, step.conditions).outcome
        assert kept not in named or answer == step.outcome, step.operation
    world.state.pass_time(life.at)
    return world


def for_those_left(world: World, request: Request, gone: str) -> Request:
    """Write anew what pays everybody, as the book without one of them asks for it."""
    settled = [link for link in request.links if isinstance(link, Settle)]
    links: Any = [link for link in request.links if gone not in repr(link)]
    if settled:
        links = settlement_links(world.state, settled, world.at)
    return world.write(links, *EVIDENCE, id=request.id, reason="collective", expires=request.expires)


def slice_of(world: World, member: str) -> list[tuple[str, Any]]:
    """Return every row of every table that names a member."""
    rows = []
    for name, table in tables_of(world.state).items():
        if name == "sessions":
            table = {(one, path): value for one, held in table.items() for path, value in held.items()}
        rows += [(name, key, value) for key, value in table.items() if member in f"{key!r} {value!r}"]
    return sorted(rows, key=repr)


@pytest.mark.parametrize("seed", range(30))
def test_a_member_is_the_same_bit_for_bit_without_another(seed: int) -> None:
    life = drawn_flows.draw(Together(), Random(seed), 120, ALONE)
    without = again_without(life, "bob", "alice")
    assert slice_of(without, "alice") == slice_of(life, "alice")
    assert slice_of(without, "bob") != slice_of(life, "bob")
    assert without.state.digest() != life.state.digest()


def test_the_lives_that_are_compared_are_full_of_trade() -> None:
    done: dict[str, set[str]] = {"alice": set(), "bob": set()}
    for seed in range(12):
        for step in drawn_flows.draw(Together(), Random(seed), 120, ALONE).lived:
            for member in clients_in(repr(step.operation)) if step.is_accepted else ():
                done.setdefault(member, set()).update(names_of(step))
    wanted = {"Fill", "Settle", "hold", "Post", "Void", "way fee", "PinAddress", "OpenSession", "Mandate"}
    assert done["alice"] >= wanted
    assert done["bob"] >= wanted
