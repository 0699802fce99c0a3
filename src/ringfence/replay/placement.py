"""Where the strategies of a population live in a policy.

A population knows sleeves, not compartments: a sleeve is what one client keeps for one purpose (a holding, a
hedge, bets). Which compartment a sleeve lives in is read from the policy by its words: `role`, `margin`,
`strategy`. A policy with one margined bucket holds every strategy in it, and the sleeves then share it.
"""

from dataclasses import dataclass
from typing import Literal

from ringfence.kernel.errors import BadInput
from ringfence.policy.families import variables_of
from ringfence.policy.model import Compartment, Policy

Style = Literal["holding", "hedge", "bets"]

_NEUTRAL_WORDS = ("neutral", "hedge", "arbitrage", "basis", "market_making")


@dataclass(frozen=True, slots=True)
class Sleeve:
    """What each client keeps for one purpose: its name, its style, and the compartment it lives in."""

    name: str
    style: Style
    pattern: str


@dataclass(frozen=True, slots=True)
class Placement:
    """The family of clients of a policy and the sleeves each of them has."""

    party: str
    sleeves: tuple[Sleeve, ...]

    def with_style(self, style: Style) -> tuple[int, ...]:
        """Number the sleeves of one style."""
        return tuple(number for number, sleeve in enumerate(self.sleeves) if sleeve.style == style)


def client_party(policy: Policy) -> str:
    """Name the family of clients that owns margined buckets; BadInput where the policy has none."""
    for name, party in policy.parties.items():
        if party.kind == "client" and party.family and _margined(policy, name):
            return name
    raise BadInput(
        f"{policy.name}: no family of clients owns a margined bucket; a replay needs a compartment such as "
        "client/{client}/directional with margin and trade"
    )


def place_sleeves(policy: Policy) -> Placement:
    """Find a home for the holding, the hedge and the bets of a client.

    The holding lives in the first compartment of client money without margin, the hedge in the first
    margined bucket of a neutral strategy, and each other margined bucket holds bets. Where one kind of home
    is missing, the sleeve lives with another, as its money would.
    """
    party = client_party(policy)
    margined = _margined(policy, party)
    neutral = [pattern for pattern, home in margined.items() if _is_neutral(pattern, home)]
    bets = [pattern for pattern in margined if pattern not in neutral] or neutral[:1]
    hedge = (neutral or bets)[0]
    calm = _unmargined(policy, party)
    holding = calm[0] if calm else hedge
    names = _distinct([pattern.rpartition("/")[2] for pattern in bets], ("cash", "hedge"))
    sleeves = [Sleeve("cash", "holding", holding), Sleeve("hedge", "hedge", hedge)]
    sleeves += [Sleeve(name, "bets", pattern) for name, pattern in zip(names, bets, strict=True)]
    return Placement(party, tuple(sleeves))


def owned_by(policy: Policy, party: str) -> dict[str, Compartment]:
    """Return the internal compartments that each member of a family has."""
    return {
        pattern: compartment
        for pattern, compartment in policy.compartments.items()
        if compartment.kind == "internal" and compartment.owner == party and party in variables_of(pattern)
    }


def _margined(policy: Policy, party: str) -> dict[str, Compartment]:
    owned = owned_by(policy, party)
    return {
        pattern: home for pattern, home in owned.items() if home.margin is not None and home.trade is not None
    }


def _unmargined(policy: Policy, party: str) -> list[str]:
    owned = owned_by(policy, party)
    return [pattern for pattern, home in owned.items() if home.margin is None and home.role == "client_money"]


def _is_neutral(pattern: str, home: Compartment) -> bool:
    words = (home.strategy or pattern.rpartition("/")[2]).lower()
    return any(word in words for word in _NEUTRAL_WORDS)


def _distinct(names: list[str], taken: tuple[str, ...]) -> list[str]:
    return [f"{name} bets" if name in taken else name for name in names]
