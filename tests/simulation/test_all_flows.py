"""Every flow of a book in any order, by a machine that also makes mistakes; each law by name after each step.

`drawn_flows` has the flows, `flow_laws` the laws, `flow_world` the venue. Margin says yes as a rule: its own
laws are tested where it is; here the ledger must hold without its help.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import get_args

import pytest
from drawn_flows import FLOWS, adopt, draw, take_over_a_book
from flow_laws import Laws
from flow_world import WORLD, World, policy_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ringfence.kernel.decision import Reason
from ringfence.planes.ledger import adopting
from ringfence.planes.ledger.operations import Link, Operation
from ringfence.planes.ledger.stopping import LADDER


@pytest.fixture(autouse=True, scope="module")
def each_policy_is_read_once() -> Iterator[None]:
    """Reading a policy takes as long as a hundred operations, and the same text is the same policy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adopting, "parse", cache(adopting.parse))
        yield


def begun(is_empty: bool, chance: Random) -> World:
    """Begin a world: with money in it, or with what another book ended with."""
    world = World(Laws().check, is_empty=is_empty)
    return draw(world, chance, 2, [take_over_a_book]) if is_empty else world


class AllFlows(RuleBasedStateMachine):
    """A venue in which everything happens that the book knows; `Laws` is asked after every operation."""

    @initialize(is_empty=st.booleans())
    def begin(self, is_empty: bool) -> None:
        self.world = begun(is_empty, Random(0))

    @rule(flow=st.sampled_from(list(dict.fromkeys(FLOWS))), chance=st.randoms(use_true_random=False))
    def let_it_happen(self, flow, chance) -> None:
        flow(self.world, chance)

    def teardown(self) -> None:
        """Replay gives the book: the same operations at the same times, and nothing else."""
        assert self.world.replayed().digest() == self.world.state.digest()


TestAllFlows = AllFlows.TestCase
TestAllFlows.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)


# --- that the flows are no empty gestures ----------------------------------------------------------

LIVES, LIVES_MAX, FLOWS_OF_A_LIFE = 10, 60, 110

WAYS = {f"way {name}" for name in (*policy_of(WORLD).gates, *policy_of(WORLD).exchanges, "debt")}
OPERATIONS = {kind.__name__ for kind in (*get_args(Operation), *get_args(Link))}
FURTHER = {
    "hold",
    "reversal",
    "post in part",
    "order in a session",
    "liquidation",
    "takeover",
    "deleveraging",
}
TRADED = {f"trade {name}" for name in policy_of(WORLD).instruments}
HALTS = {f"{word} {kind}" for word in ("Freeze", "Resume") for kind in ("freeze", *LADDER)}
SCOPES = {f"scope {kind}" for kind in ("gate", "compartment", "asset", "member", "pool", "shard", "book")}
SHUT_BY_NAME = {"way escape_acme"}
HARDLY_REFUSED = {"Remark", "way penalty_directional", "way penalty_hedge", "way residue", "way cover"}

ACCEPTED = {
    (name, "accepted") for name in (OPERATIONS | WAYS | FURTHER | TRADED | HALTS | SCOPES) - SHUT_BY_NAME
}
REFUSED = {(name, "refused") for name in (OPERATIONS | WAYS | FURTHER | TRADED) - HARDLY_REFUSED}


def test_every_operation_and_every_way_of_the_policy_is_accepted_and_refused() -> None:
    """Live some whole lives, and more until everything was seen, but not for ever."""
    seen: Counter[tuple[str, str]] = Counter()
    reasons: Counter[Reason] = Counter()
    for seed in range(LIVES_MAX):
        chance = Random(seed)
        world = draw(begun(seed % 5 == 4, chance), chance, FLOWS_OF_A_LIFE)
        draw(world, chance, 6 if seed % 5 == 0 else 0, [adopt])
        assert world.replayed().digest() == world.state.digest(), f"seed {seed}"
        seen, reasons = seen + world.seen, reasons + world.reasons
        if seed >= LIVES and seen.keys() >= ACCEPTED | REFUSED:
            break
    assert seen.keys() >= ACCEPTED | REFUSED, (ACCEPTED | REFUSED) - seen.keys()
    assert not any(seen[name, "accepted"] for name in SHUT_BY_NAME)
    assert len(reasons) > 55
    assert Reason.LAW_BROKEN not in reasons


@pytest.mark.nightly
@pytest.mark.parametrize("block", range(20))
def test_the_laws_hold_in_very_many_lives(block: int) -> None:
    for seed in range(1_000 + 20 * block, 1_020 + 20 * block):
        chance = Random(seed)
        world = draw(begun(seed % 5 == 4, chance), chance, 2 * FLOWS_OF_A_LIFE)
        assert world.replayed().digest() == world.state.digest(), f"seed {seed}"
