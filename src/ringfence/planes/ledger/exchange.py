"""Exchanges: legs that happen together or not at all, at a price near the index.

A returned debt counts against its value: the bucket that gives back a debt receives what the debt is worth,
so the debt's leg is read from its target to its source.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ringfence.kernel.money import PPM
from ringfence.planes.ledger.rules import ExchangeRule
from ringfence.policy.families import match

LEGS_MAX = 16
"""Most moves of one exchange; binding their members tries them against every leg of the policy."""


@dataclass(frozen=True, slots=True)
class ValueLeg:
    """One leg as value sees it: who gives `value` (any common unit) to whom."""

    giver: str
    receiver: str
    value: int


def bind_legs(rule: ExchangeRule, moves: Sequence[tuple[str, str]]) -> dict[str, str] | None:
    """Bind the exchange's variables so that every move is one of its legs and every leg is moved.

    moves: (giver, receiver) of each; None where no binding makes them the legs of the exchange.
    """
    if not len(rule.legs) <= len(moves) <= LEGS_MAX:
        return None
    return _bind(rule.legs, moves, {}, frozenset())


def _bind(
    legs: Sequence[tuple[str, str]],
    moves: Sequence[tuple[str, str]],
    bound: Mapping[str, str],
    used: frozenset[int],
) -> dict[str, str] | None:
    if not moves:
        return dict(bound) if len(used) == len(legs) else None
    giver, receiver = moves[0]
    for index, (source, target) in enumerate(legs):
        start = match(source, giver, bound)
        both = match(target, receiver, start) if start is not None else None
        # Distinct variables are distinct members.
        if both is None or len(set(both.values())) < len(both):
            continue
        found = _bind(legs, moves[1:], both, used | {index})
        if found is not None:
            return found
    return None


def unequal_value(legs: Iterable[ValueLeg], band_ppm: int) -> str:
    """Say who gives and receives values that differ by more than the band; "" where nobody does.

    The band is taken of the smaller of the two, so that it holds whichever side is called the price.
    """
    given: dict[str, int] = {}
    received: dict[str, int] = {}
    for leg in legs:
        given[leg.giver] = given.get(leg.giver, 0) + leg.value
        received[leg.receiver] = received.get(leg.receiver, 0) + leg.value
    for party in sorted(given.keys() | received.keys()):
        gives, gets = given.get(party, 0), received.get(party, 0)
        if abs(gives - gets) * PPM > band_ppm * min(gives, gets):
            return party
    return ""
