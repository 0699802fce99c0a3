"""What an answer rests on, in a form that a separate program can check.

Everything is said by name: places, keys, services, and rules with their lane. None of it needs to be
believed: a closed set is checked by looking at every way once, a cut by adding it up and looking for a way
round.
"""

from typing import Literal

from ringfence.proof.world import Row

Node = tuple[str, str]
"""A place and an asset."""


class Hop(Row, frozen=True):
    """One way: its rule and lane, and where it leads."""

    rule: str
    lane: int
    source: str
    target: str
    asset: str


Effect = Literal["owed", "for_others", "exchanged", "own", "outside", "unowed"]
"""How a way changes what a compartment holds, as an invariant counts it."""


class Step(Row, frozen=True, array_like=True):
    """All ways of a rule into a place, or out of it, that count alike."""

    rule: str
    place: str
    enters: bool
    effect: Effect


class Invariant(Row, frozen=True):
    """What an exception moves is at most what is owed: it holds of the empty book, every gate that touches
    one of its compartments is a step that keeps it, and the claim follows (docs/why/exceptions.md)."""

    exception: str
    steps: tuple[Step, ...]


class Closed(Row, frozen=True, tag="closed"):
    """Value that starts in the sources stays within these nodes; none of them is a target. What moves only
    what is owed is left out of that, each by its invariant."""

    nodes: tuple[Node, ...]
    invariants: tuple[Invariant, ...] = ()


class Fallen(Row, frozen=True):
    """Everything an attacker ends up with: closed under flows, holdings and derivations."""

    services: tuple[str, ...]
    keys: tuple[str, ...]


class Item(Row, frozen=True):
    """A cap or supply that limits a flow, with the units it counts, over all directions of a rule together;
    `who` is a member, or the place of a supply."""

    kind: str
    rule: str
    who: str
    units: int


class Cut(Row, frozen=True):
    """No way of this asset leads from the sources to the sink without passing an item; `places` is where
    value gets to without passing any."""

    asset: str
    items: tuple[Item, ...]
    places: tuple[str, ...]


class Cuts(Row, frozen=True, tag="cuts"):
    """The attacker ends up with `fallen` and no more, and each asset is cut."""

    fallen: Fallen
    cuts: tuple[Cut, ...]


class Losses(Row, frozen=True, tag="losses"):
    """The attacker ends up with `fallen` and no more; losses follow from what the buckets declare."""

    fallen: Fallen


class Cover(Row, frozen=True):
    """Even everything but these keys and services does not suffice: it ends up with `fallen`, and value gets
    no further than `nodes`."""

    services: tuple[str, ...]
    keys: tuple[str, ...]
    fallen: Fallen
    nodes: tuple[Node, ...]


class Covers(Row, frozen=True, tag="covers"):
    """Every attack takes one of each cover, and no fewer than so many thefts meet them all."""

    covers: tuple[Cover, ...]


class Route(Row, frozen=True, tag="route"):
    """Value gets through here, with these services and keys taken at the start."""

    services: tuple[str, ...]
    keys: tuple[str, ...]
    hops: tuple[Hop, ...]


class NoEvidence(Row, frozen=True, tag="none"):
    """Nothing that could be checked: no answer was reached."""


Evidence = Closed | Cuts | Losses | Covers | Route | NoEvidence
