"""The margin terms of one policy: its coins, debts, instruments and thresholds, ready for arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.margin.collateral import Coin
from ringfence.margin.instruments import Contract, compile_contract
from ringfence.policy.model import HaircutTier, Policy, Thresholds


@dataclass(frozen=True, slots=True)
class Terms:
    """What margin reads from a policy.

    coins: everything that is not a debt, mirrored credits too; debts: the coin that each debt asset is owed
    in; contracts: by instrument (options are left out: they have no brackets); decimals: of the numeraire.
    """

    numeraire: str
    decimals: int
    coins: Mapping[str, Coin]
    debts: Mapping[str, str]
    contracts: Mapping[str, Contract]
    thresholds: Thresholds | None = None


def compile_terms(policy: Policy) -> Terms:
    """Compile the margin terms of a checked policy; BadInput where brackets cannot be meant."""
    assets = policy.assets
    return Terms(
        numeraire=policy.numeraire,
        decimals=assets[policy.numeraire].decimals,
        coins={
            name: Coin(name, asset.decimals, asset.mirrors or name, _haircut(policy, name))
            for name, asset in assets.items()
            if asset.debt_in is None
        },
        debts={name: asset.debt_in for name, asset in assets.items() if asset.debt_in is not None},
        contracts={
            name: compile_contract(name, instrument, assets[instrument.quote].decimals)
            for name, instrument in policy.instruments.items()
            if instrument.kind != "option"
        },
        thresholds=policy.thresholds,
    )


def _haircut(policy: Policy, asset: str) -> tuple[HaircutTier, ...]:
    """Read a haircut; the numeraire counts in full where the policy says nothing."""
    stated = policy.assets[asset].haircut
    if not stated and asset == policy.numeraire:
        return (HaircutTier(floor_units=0, ppm=0),)
    return stated
