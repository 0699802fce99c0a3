"""One layout of one population as arrays: who holds what where, what is margined as one, who pays for whom.

Everything that lasts is a `World`; everything that changes while prices move is a `State`. A sleeve is what
one client keeps for one purpose; its purse is the shadow ledger of the replay. In a layout, sleeves lie in
compartments (where their coins are) and belong to units (what is margined as one). In the segregated layout
the three are the same thing; in the others several sleeves share a compartment, and a purse may go below
zero while its compartment still pays: that is where one strategy's loss becomes another's.

At any time, per compartment and coin:   balance = sum of the purses of its sleeves

Tables have named int64 columns; numbers in them are rows of another table, -1 is none. A `first_x` and
`end_x` name a run of rows, in the table of that name or in the list beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.rules import GateRule, Rules
from ringfence.policy.families import fill, variables_of
from ringfence.policy.model import Cap, CoverStep, DeleverageStep, Policy, Waterfall
from ringfence.replay.exact import stamp
from ringfence.replay.feeds import Feed, feeds_of
from ringfence.replay.layouts import POOL, Layout, account_pattern, lay_out
from ringfence.replay.population import Population
from ringfence.replay.terms import Ints, Names, Table, Terms


def _columns(*names: str) -> np.dtype[np.void]:
    return np.dtype([(name, "i8") for name in names])


SLEEVE = _columns("comp", "unit", "owed_fee", "owed_penalty", "helped_by_pool", "helped_by_last")
"""owed_*: not paid yet; helped_by_*: paid for this sleeve by pools, or by the last owner."""

UNIT = _columns(
    "comp", "kind", "has_coins", "last", "cap_ppm", "is_queue", "converts", "fees", "penalty",
    "first_slot", "end_slot", "first_sleeve", "end_sleeve",
    "debt", "level", "worst", "is_closed", "is_bankrupt", "was_forced",
)  # fmt: skip
"""What is margined as one; unit = client x kinds + kind, so units stand in order of name. last: who pays at
last, `debt` is owed to it; cap_ppm: 0 where nobody is deleveraged for it; converts: its coins may be sold to
the last owner; fees, penalty: where these go; level: as in `margin.calls.State`, worst: the
worst reached."""

SLOT = _columns("unit", "instrument", "is_maker", "first_position", "end_position", "contracts", "session")
"""One per unit and instrument, by unit and then by name; contracts and session are its positions added up."""

POSITION = _columns("sleeve", "slot", "contracts", "session")
"""What one sleeve has of a slot, bets before hedges."""

COMP = _columns("first_sleeve", "end_sleeve", "limit", "pool_session")
"""A compartment. limit: the cap on what it covers; pool_session: session value of what it took over."""

LIMIT = _columns("units", "length_ns", "spent", "window")


class World(NamedTuple):
    """Everything a replay works on; `fresh` copies it, since a replay changes it.

    The first five are `Terms`. purse, balance: [sleeves and compartments, coins]; lent: [sleeves, conduits]
    what other compartments of clients put in, less what it put into others; unit_sleeves, comp_sleeves:
    sleeves by unit and compartment; instrument_slots: slots by instrument, from instrument_first[i] on;
    unit_pools: [units, steps] who covers a shortfall, in order; classes: [kinds, kinds] who may be
    deleveraged for whom; first_at: [units, levels] the price point that first brought a unit there; takes:
    [compartments, instruments] may receive contracts of a failed unit; rounding: the compartment that takes
    residues; touched: [instruments] closed since the last settlement; tally: see `log.Tally`; trace:
    [points, 3] equity, requirement and level of the unit `followed`; log: see `log`, with the number of rows
    in logged[0]; stamp: see `exact.stamp`.
    """

    instruments: Table
    tiers: Table
    haircuts: Table
    price_of: Ints
    levels: Ints
    sleeves: Table
    purse: Ints
    lent: Ints
    units: Table
    unit_sleeves: Ints
    unit_pools: Ints
    classes: Ints
    first_at: Ints
    slots: Table
    instrument_slots: Ints
    instrument_first: Ints
    positions: Table
    comps: Table
    comp_sleeves: Ints
    balance: Ints
    takes: Ints
    limits: Table
    rounding: int
    followed: int
    touched: Ints
    tally: Ints
    trace: Ints
    log: Ints
    logged: Ints
    stamp: Table


def fresh(world: World, points: int = 0, log_rows: int = 0, followed: int = -1) -> World:
    """Copy a world so that a replay may change it; points and log_rows: how much of its course to keep."""
    parts = {name: part.copy() for name, part in world._asdict().items() if isinstance(part, np.ndarray)}
    return World(**{**world._asdict(), **parts})._replace(
        trace=np.zeros((points if followed >= 0 else 0, 3), dtype=np.int64),
        log=np.zeros((log_rows, LOG_COLUMNS), dtype=np.int64),
        followed=followed,
        stamp=stamp(),
    )


LOG_COLUMNS = 8
TALLIES = 16


@dataclass(frozen=True, slots=True)
class Ground:
    """A world with the names behind its numbers.

    patterns: of the compartments, with the number of the first one of each and whether it is a family;
    kinds: patterns of the units, sorted; clients: names; house: what the house put where at the start;
    feeds: see `feeds`; covers: by kind, the patterns that cover its shortfall, in order.
    """

    layout: Layout
    policy: Policy
    rules: Rules
    terms: Terms
    names: Names
    world: World
    patterns: tuple[str, ...]
    first: tuple[int, ...]
    is_family: tuple[bool, ...]
    party: str
    kinds: tuple[str, ...]
    clients: tuple[str, ...]
    sleeves: tuple[str, ...]
    styles: tuple[str, ...]
    makers_from: int
    house: Mapping[str, int]
    feeds: tuple[Feed, ...]
    covers: tuple[tuple[str, ...], ...]

    def comp(self, pattern: str, client: int = 0) -> int:
        """Number the compartment of a pattern and, where it is a family, of a client."""
        at = self.patterns.index(pattern)
        return int(self.first[at] + (client if self.is_family[at] else 0))

    def is_family_pattern(self, pattern: str) -> bool:
        """Say whether each client has a compartment of that pattern."""
        return self.is_family[self.patterns.index(pattern)]

    def feed_conduit(self, feed: int) -> int:
        """Number the conduit of a feed; the steps of the waterfalls come before."""
        return len(self.kinds) * int(self.world.unit_pools.shape[1]) + feed

    def pattern_of(self, comp: int) -> str:
        """Return the pattern of a compartment."""
        return self.patterns[int(np.searchsorted(self.first, comp, side="right")) - 1]

    def client_of(self, comp: int) -> int:
        """Number the client that a compartment belongs to; -1 for none."""
        at = int(np.searchsorted(self.first, comp, side="right")) - 1
        return int(comp - self.first[at]) if self.is_family[at] else -1

    def path(self, comp: int) -> str:
        """Write the path of a compartment."""
        client = self.client_of(comp)
        pattern = self.pattern_of(comp)
        return fill(pattern, {self.party: self.clients[client]}) if client >= 0 else pattern


def compile_world(
    policy: Policy,
    layout: Layout,
    population: Population,
    terms: Terms,
    names: Names,
    house: Mapping[str, int],
) -> Ground:
    """Lay a population out under one layout of a policy; house: what the house brings (see `capital`)."""
    return _Builder(policy, layout, population, terms, names, house).build()


class _Builder:
    """Numbers everything once, then fills the arrays of a `World` one group after the other."""

    def __init__(
        self,
        policy: Policy,
        layout: Layout,
        population: Population,
        terms: Terms,
        names: Names,
        house: Mapping[str, int],
    ) -> None:
        self.layout, self.population, self.house = layout, population, house
        self.policy = lay_out(policy, layout)
        self.rules = compile_policy(self.policy)
        self.terms, self.names = terms, names
        self.party = population.placement.party
        self.clients = len(population.names)
        self.sleeves = population.placement.sleeves
        self.homes = [self._home(sleeve.pattern) for sleeve in self.sleeves]
        self._number_compartments()
        margined = {home for home in self.homes if self.policy.compartments[home].margin is not None}
        self.kinds = tuple(sorted(margined))
        payers = [
            pattern
            for kind in self.kinds
            for row in [self._unit_row(kind)]
            for pattern in (*row.pools, row.last)
            if pattern
        ]
        fed = (one for one in feeds_of(self.policy, (*self.kinds, *payers)) if one.source in self.patterns)
        self.feeds = tuple(one for one in fed if one.target in self.patterns)

    def build(self) -> Ground:
        """Put all tables together."""
        sleeves = self._sleeves()
        units, unit_sleeves = self._units(sleeves)
        comps, comp_sleeves = self._comps(sleeves)
        slots, positions = self._slots(sleeves, units)
        limits, takes = self._pools(comps)
        pools = self._unit_pools()
        by_instrument_first, by_instrument = _grouped(slots["instrument"], len(self.names.instruments))
        world = World(
            **self.terms._asdict(),
            sleeves=sleeves,
            purse=self.population.deposits.reshape(len(sleeves), -1).copy(),
            lent=np.zeros(
                (len(sleeves), pools.size // len(units) * len(self.kinds) + len(self.feeds)), dtype=np.int64
            ),
            units=units,
            unit_sleeves=unit_sleeves,
            unit_pools=pools,
            classes=self._classes(),
            first_at=np.full((len(units), 6), -1, dtype=np.int64),
            slots=slots,
            instrument_slots=by_instrument,
            instrument_first=by_instrument_first,
            positions=positions,
            comps=comps,
            comp_sleeves=comp_sleeves,
            balance=np.zeros((len(comps), len(self.names.coins)), dtype=np.int64),
            takes=takes,
            limits=limits,
            rounding=self._comp_of(self.rules.rounding),
            followed=-1,
            touched=np.zeros(len(self.names.instruments), dtype=np.int64),
            tally=np.zeros(TALLIES, dtype=np.int64),
            trace=np.zeros((0, 3), dtype=np.int64),
            log=np.zeros((0, LOG_COLUMNS), dtype=np.int64),
            logged=np.zeros(1, dtype=np.int64),
            stamp=stamp(),
        )
        return self._ground(world)

    def _ground(self, world: World) -> Ground:
        return Ground(
            layout=self.layout,
            policy=self.policy,
            rules=self.rules,
            terms=self.terms,
            names=self.names,
            world=world,
            patterns=self.patterns,
            first=self.first,
            is_family=self.is_family,
            party=self.party,
            kinds=self.kinds,
            clients=self.population.names,
            sleeves=tuple(sleeve.name for sleeve in self.sleeves),
            styles=tuple(sleeve.style for sleeve in self.sleeves),
            makers_from=self.population.makers_from,
            house=self.house,
            feeds=self.feeds,
            covers=tuple(self._unit_row(kind).pools for kind in self.kinds),
        )

    # --- numbering

    def _home(self, pattern: str) -> str:
        if self.layout == "segregated":
            return pattern
        return POOL if self.layout == "commingled" else account_pattern(self.party)

    def _number_compartments(self) -> None:
        kept, first, families, count = [], [], [], 0
        for pattern, compartment in self.policy.compartments.items():
            variables = variables_of(pattern)
            if compartment.kind == "internal" and variables in ((), (self.party,)):
                kept.append(pattern)
                first.append(count)
                families.append(bool(variables))
                count += self.clients if variables else 1
        self.patterns, self.first, self.is_family = tuple(kept), tuple(first), tuple(families)
        self.comps = count

    def _comp_of(self, pattern: str | None, client: int = 0) -> int:
        if pattern is None or pattern not in self.patterns:
            return -1
        at = self.patterns.index(pattern)
        return self.first[at] + (client if self.is_family[at] else 0)

    def _rule_of(self, pattern: str) -> int:
        return next(rule.index for rule in self.rules.compartments if rule.pattern == pattern)

    # --- sleeves, slots, positions

    def _sleeves(self) -> Table:
        clients = np.arange(self.clients)
        sleeves = np.zeros((self.clients, len(self.homes)), dtype=SLEEVE)
        for number, home in enumerate(self.homes):
            at = self.patterns.index(home)
            sleeves["comp"][:, number] = self.first[at] + (clients if self.is_family[at] else 0)
            sleeves["unit"][:, number] = (
                clients * len(self.kinds) + self.kinds.index(home) if home in self.kinds else -1
            )
        return sleeves.ravel()

    def _slots(self, sleeves: Table, units: Table) -> tuple[Table, Table]:
        held = self.population.positions()
        sleeve = held.client * len(self.sleeves) + held.sleeve
        unit = sleeves["unit"][sleeve]
        order = np.lexsort((-held.sleeve, self.terms.instruments["name_rank"][held.instrument], unit))
        sleeve, unit, instrument = sleeve[order], unit[order], held.instrument[order]
        is_new = np.ones(len(unit), dtype=np.bool_)
        is_new[1:] = (np.diff(unit) != 0) | (np.diff(instrument) != 0)
        positions = np.zeros(len(unit), dtype=POSITION)
        positions["sleeve"], positions["slot"] = sleeve, np.cumsum(is_new) - 1
        positions["contracts"] = held.contracts[order]
        slots = np.zeros(int(is_new.sum()), dtype=SLOT)
        slots["unit"], slots["instrument"] = unit[is_new], instrument[is_new]
        slots["is_maker"] = slots["unit"] // len(self.kinds) >= self.population.makers_from
        slots["first_position"] = np.flatnonzero(is_new)
        slots["end_position"] = np.append(np.flatnonzero(is_new)[1:], len(unit))
        slots["contracts"] = np.add.reduceat(positions["contracts"], slots["first_position"])
        bounds = np.searchsorted(slots["unit"], np.arange(len(units) + 1))
        units["first_slot"], units["end_slot"] = bounds[:-1], bounds[1:]
        return slots, positions

    # --- who pays for whom

    def _units(self, sleeves: Table) -> tuple[Table, Ints]:
        rows = [self._unit_row(kind) for kind in self.kinds]
        units = np.zeros((self.clients, len(rows)), dtype=UNIT)
        clients = np.arange(self.clients)
        for number, row in enumerate(rows):
            column = units[:, number]
            at = self.patterns.index(row.kind)
            column["comp"] = self.first[at] + (clients if self.is_family[at] else 0)
            column["kind"] = number
            column["last"] = self._comp_of(row.last)
            column["cap_ppm"], column["is_queue"] = row.cap_ppm, row.is_queue
            column["converts"] = self._converts(row.kind, row.last)
            column["fees"] = self._target("fees", row.kind)
            column["penalty"] = self._target("liquidation_surplus", row.kind)
        flat = units.ravel()
        bounds, members = _grouped(sleeves["unit"], len(flat))
        flat["first_sleeve"], flat["end_sleeve"] = bounds[:-1], bounds[1:]
        holds = self.population.deposits[:, :, 1:].any(axis=2).reshape(-1)
        flat["has_coins"][sleeves["unit"][holds & (sleeves["unit"] >= 0)]] = 1
        return flat, members

    def _unit_pools(self) -> Ints:
        rows = [self._unit_row(kind) for kind in self.kinds]
        clients = np.arange(self.clients)
        pools = np.full(
            (self.clients, len(rows), max(1, *(len(row.pools) for row in rows))), -1, dtype=np.int64
        )
        for number, row in enumerate(rows):
            for step, pool in enumerate(row.pools):
                at = self.patterns.index(pool)
                pools[:, number, step] = self.first[at] + (clients if self.is_family[at] else 0)
        return pools.reshape(-1, pools.shape[2])

    def _classes(self) -> Ints:
        rows = [self._unit_row(kind) for kind in self.kinds]
        return np.array([[kind in row.classes for kind in self.kinds] for row in rows], dtype=np.int64)

    def _comps(self, sleeves: Table) -> tuple[Table, Ints]:
        comps = np.zeros(self.comps, dtype=COMP)
        bounds, members = _grouped(sleeves["comp"], self.comps)
        comps["first_sleeve"], comps["end_sleeve"] = bounds[:-1], bounds[1:]
        return comps, members

    def _unit_row(self, kind: str) -> "_UnitRow":
        fall = next(
            (one for one in self.policy.waterfalls.values() if kind in one.covers),
            Waterfall(covers=(kind,), steps=()),
        )
        pools = tuple(
            step.compartment
            for step in fall.steps
            if isinstance(step, CoverStep)
            and step.compartment in self.patterns
            and self._pays_shortfall(step.compartment)
        )
        giving = next((step for step in fall.steps if isinstance(step, DeleverageStep)), None)
        return _UnitRow(
            kind=kind,
            pools=pools,
            last=fall.last,
            cap_ppm=giving.cap_ppm if giving else 0,
            is_queue=giving is not None and giving.method == "queue",
            classes=frozenset(giving.classes if giving else ()),
        )

    def _pays_shortfall(self, pattern: str) -> bool:
        return ("shortfall", self._rule_of(pattern), self.policy.numeraire) in self.rules.pays

    def _target(self, accrual: str, kind: str) -> int:
        way = self.rules.pays.get((accrual, self._rule_of(kind), self.policy.numeraire))
        return self._comp_of(way.target) if way is not None else -1

    def _converts(self, kind: str, last: str | None) -> bool:
        return any(
            {(kind, last), (last, kind)} <= set(exchange.legs) and "debt_repayment" in exchange.gate.accrual
            for exchange in self.rules.exchanges.values()
        )

    def _pools(self, comps: Table) -> tuple[Table, Ints]:
        takes = np.zeros((self.comps, len(self.names.instruments)), dtype=np.int64)
        comps["limit"] = -1
        caps: dict[str, Cap] = {}
        for at, pattern in enumerate(self.patterns):
            rule = self.rules.compartments[self._rule_of(pattern)]
            stretch = slice(self.first[at], self.first[at] + (self.clients if self.is_family[at] else 1))
            takes[stretch] = [name in rule.takes_over for name in self.names.instruments]
            way = self.rules.pays.get(("shortfall", rule.index, self.policy.numeraire))
            cap = _cap_of(way.gate, self.policy.numeraire) if way is not None else None
            if way is not None and cap is not None:
                caps.setdefault(way.gate.name, cap)
                comps["limit"][stretch] = list(caps).index(way.gate.name)
        limits = np.zeros(len(caps), dtype=LIMIT)
        for number, cap in enumerate(caps.values()):
            limits[number] = (cap.units, cap.window.length_ns, 0, -1)
        return limits, takes


def _cap_of(gate: GateRule, asset: str) -> Cap | None:
    return gate.all.get(asset) or gate.each.get(asset)


@dataclass(frozen=True, slots=True)
class _UnitRow:
    kind: str
    pools: tuple[str, ...]
    last: str | None
    cap_ppm: int
    is_queue: bool
    classes: frozenset[str]


def _grouped(group: Ints, groups: int) -> tuple[Ints, Ints]:
    """List members by group: where each group starts, and the members; group -1 is left out."""
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    return np.searchsorted(group[order], np.arange(groups + 1)).astype(np.int64), order.astype(np.int64)
