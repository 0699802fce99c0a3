"""The same business under three layouts of its money, each one a real policy.

segregated    the policy as it is given
cross         one account per client: its cash, hedge and bets share one compartment and one margin
commingled    one pool for all clients; accounts exist only as lines in the operator's own records, and
              liquidation follows those records

The other two are derived from the given policy: compartments are merged, gates that would lead from a
compartment to itself fall away, and what names a compartment elsewhere is renamed. Claims are dropped, since
they speak of walls that no longer stand. The derived policies pass the same check as any other.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from ringfence.policy.families import is_variable, parts_of, variables_of
from ringfence.policy.model import (
    BucketLimits,
    Compartment,
    CoverStep,
    DeleverageStep,
    Exchange,
    Gate,
    KeyNeed,
    LegPattern,
    Need,
    OwnStep,
    Policy,
    Quorum,
    Step,
    Trade,
    Waterfall,
)
from ringfence.replay.placement import client_party, owned_by

Layout = Literal["segregated", "cross", "commingled"]
LAYOUTS: tuple[Layout, ...] = ("segregated", "cross", "commingled")

POOL = "pool/clients"
"""The one compartment of all clients in the commingled layout."""

_Rename = Callable[[str], str]


def lay_out(policy: Policy, layout: Layout) -> Policy:
    """Return the policy of one layout; BadInput where no family of clients owns a margined bucket."""
    party = client_party(policy)
    if layout == "segregated":
        return policy
    if layout == "cross":
        return _merged(policy, party, account_pattern(party))
    return _without_client_keys(_merged(policy, party, POOL), party)


def account_pattern(party: str) -> str:
    """Name the one account of each client in the cross layout."""
    return f"{party}/{{{party}}}/account"


def same_shape(pattern: str, other: str) -> bool:
    """Say whether two patterns mean the same family, whatever their variables are called."""
    one, two = parts_of(pattern), parts_of(other)
    return len(one) == len(two) and all(
        left == right or (is_variable(left) and is_variable(right))
        for left, right in zip(one, two, strict=True)
    )


def _merged(policy: Policy, party: str, home: str) -> Policy:
    """Merge every compartment a client has into `home`."""
    owned = owned_by(policy, party)

    def rename(pattern: str) -> str:
        """Name the merged home of a pattern, whatever its variable is called there."""
        if not any(same_shape(pattern, other) for other in owned):
            return pattern
        (variable,) = variables_of(pattern)
        return home.replace(f"{{{party}}}", f"{{{variable}}}")

    kept = {name: one for name, one in policy.compartments.items() if name not in owned}
    return policy.model_copy(
        update={
            "name": f"{policy.name}-{'cross' if variables_of(home) else 'commingled'}",
            "compartments": {**kept, home: _union(list(owned.values()))},
            "gates": _renamed_gates(policy.gates, rename),
            "exchanges": _renamed_exchanges(policy.exchanges, rename),
            "waterfalls": _merged_waterfalls(policy.waterfalls, rename, home),
            "entities": {},
            "claims": {},
        }
    )


def _union(homes: list[Compartment]) -> Compartment:
    """Describe one compartment that may hold and do whatever the merged ones might."""
    traded = [home.trade for home in homes if home.trade is not None]
    limits = [home.limits for home in homes if home.margin is not None]
    bounded = bool(limits) and all(one is not None and one.leverage is not None for one in limits)
    leverage = max((one.leverage or 0 for one in limits if one is not None), default=0)
    return Compartment(
        owner=homes[0].owner,
        role="collateral",
        accepts=tuple(dict.fromkeys(asset for home in homes for asset in home.accepts)),
        vault="own",
        margin="cross",
        trade=_widest(traded),
        limits=BucketLimits(leverage=leverage) if bounded else None,
    )


def _widest(traded: list[Trade]) -> Trade:
    if any(trade.instruments is None for trade in traded):
        return Trade(needs=traded[0].needs, instruments=None)
    names = dict.fromkeys(name for trade in traded for name in trade.instruments or ())
    return Trade(needs=traded[0].needs, instruments=tuple(names))


def _renamed_gates(gates: Mapping[str, Gate], rename: _Rename) -> dict[str, Gate]:
    renamed = {}
    for name, gate in gates.items():
        sources = tuple(dict.fromkeys(rename(pattern) for pattern in gate.sources))
        targets = tuple(dict.fromkeys(rename(pattern) for pattern in gate.targets))
        if set(sources) != set(targets) or len(sources) > 1:
            renamed[name] = gate.model_copy(update={"sources": sources, "targets": targets})
    return renamed


def _renamed_exchanges(exchanges: Mapping[str, Exchange], rename: _Rename) -> dict[str, Exchange]:
    renamed: dict[str, Exchange] = {}
    for name, exchange in exchanges.items():
        legs = tuple(
            LegPattern(source=rename(leg.source), target=rename(leg.target)) for leg in exchange.legs
        )
        known = any(other.legs == legs and other.needs == exchange.needs for other in renamed.values())
        if not known and all(leg.source != leg.target for leg in legs):
            renamed[name] = exchange.model_copy(update={"legs": legs})
    return renamed


def _merged_waterfalls(
    waterfalls: Mapping[str, Waterfall], rename: _Rename, home: str
) -> dict[str, Waterfall]:
    """Join the waterfalls of the merged buckets: their pools one after the other, then one deleveraging."""
    of_clients = {name: one for name, one in waterfalls.items() if home in map(rename, one.covers)}
    others = {name: one for name, one in waterfalls.items() if name not in of_clients}
    if not of_clients:
        return others
    first = next(iter(of_clients.values()))
    steps = [step for one in of_clients.values() for step in one.steps]
    covers: tuple[Step, ...] = tuple(
        CoverStep(compartment=pool)
        for pool in dict.fromkeys(rename(step.compartment) for step in steps if isinstance(step, CoverStep))
        if pool != home
    )
    deleverage = [step for step in steps if isinstance(step, DeleverageStep)][:1]
    classes: tuple[Step, ...] = tuple(step.model_copy(update={"classes": (home,)}) for step in deleverage)
    joined = Waterfall(
        covers=(home,), steps=(OwnStep(), *covers, *classes), last=first.last, record=first.record
    )
    return {**others, "account": joined}


def _without_client_keys(policy: Policy, party: str) -> Policy:
    """Take the clients' keys out: one pool is bound to no client, so no client's key can guard it."""
    service_needs = _service_needs(policy)
    pool = policy.compartments[POOL]
    assert pool.trade is not None
    trade = Trade(needs=service_needs, instruments=pool.trade.instruments)
    gates = {
        name: _without_members(gate)
        for name, gate in policy.gates.items()
        if not _names_client_key(gate.needs, policy, party) and not _tells_clients_apart(gate)
    }
    exchanges = {
        name: exchange
        for name, exchange in policy.exchanges.items()
        if not _names_client_key(exchange.needs, policy, party)
    }
    home = pool.model_copy(update={"trade": trade, "owner": _house(policy)})
    return policy.model_copy(
        update={
            "compartments": {**policy.compartments, POOL: home},
            "gates": gates,
            "exchanges": exchanges,
        }
    )


def _service_needs(policy: Policy) -> tuple[Need, ...]:
    """Return the keys with which the platform itself settles."""
    settling = next((gate for gate in policy.gates.values() if "variation" in gate.accrual), None)
    return settling.needs if settling is not None else ()


def _house(policy: Policy) -> str | None:
    return next((name for name, party in policy.parties.items() if party.kind == "house"), None)


def _tells_clients_apart(gate: Gate) -> bool:
    """Say whether a gate names clients at an end: the pool is at the other, and belongs to none."""
    return any(variables_of(pattern) for pattern in (*gate.sources, *gate.targets))


def _without_members(gate: Gate) -> Gate:
    """Take out of a gate what counts or asks by client; what each client may do, nobody may do alone."""
    limit = gate.limit.model_copy(update={"each": {}, "all": gate.limit.all or gate.limit.each})
    return gate.model_copy(update={"standing": None, "limit": limit})


def _names_client_key(needs: tuple[Need, ...], policy: Policy, party: str) -> bool:
    for need in needs:
        if isinstance(need, Quorum):
            if _names_client_key(need.of, policy, party):
                return True
        elif isinstance(need, KeyNeed) and need.key in policy.keys and policy.keys[need.key].per == party:
            return True
    return False
