"""What the ledger obeys: a policy compiled for the book, without members and without prose.

Compartments stay families: a `CompartmentRule` stands for `client/{client}/cash`, whoever the clients are. A
`Way` is one gate between two such rules, found once and then only asked whether the members at both ends fit.
Every rule keeps the policy line it came from, so that a refusal can point at it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from ringfence.kernel.money import show_decimal
from ringfence.policy.families import fill, is_variable, parts_of
from ringfence.policy.model import Cap, Finding, Instrument, KeyNeed, Need, Plane, Policy, PriceAuthority

Members = tuple[str, ...]
"""The members a compartment belongs to, one for each family of its rule, in order."""

TOPPING = "margin_shortfall"
"""The accrual of a top-up: what margin says a bucket lacks."""

DEBT_GATE = "debt"
"""The implied gate from a waterfall's `last` to a bucket: the issue of a debt asset."""

TRADE_GATE = "trade"
"""The implied gates between buckets and clearing for contracts; the name by which trading is frozen."""

DRAW = "debt_draw"
"""The accrual of a gate that lends: what is drawn is owed back as a debt."""

EVIDENCE_NEEDS: tuple[Need, ...] = (KeyNeed(key="risk_key"), KeyNeed(key="ledger_key"))
"""Who signs what the ledger can recompute: settlements, funding, forced closures, debts (policy meaning)."""


@dataclass(frozen=True, slots=True)
class WaterfallRule:
    """Who bears what a bucket cannot pay. pools: the compartments of its `cover` steps in order; last: who
    bears the rest, recorded as the debt asset `record`; classes: who may be deleveraged for it."""

    name: str
    covers: tuple[str, ...]
    pools: tuple[str, ...]
    last: str | None
    record: str | None
    classes: frozenset[str]
    line: str


@dataclass(frozen=True, slots=True)
class CompartmentRule:
    """A family of compartments, or one.

    index: its number among the rules; families: the party of each variable in the order of the path;
    named: (party, member) where the policy gives one compartment to one member; accepts: coins and debts
    (None: all, outside); two_sided: may be short of anything, as everything outside may; trades: instruments
    that may be traded, with `trade_needs`; takes_over: instruments a pool may receive; margined: trades are
    judged by margin.
    """

    index: int
    pattern: str
    families: tuple[str, ...]
    named: tuple[str, str] | None
    accepts: frozenset[str] | None
    two_sided: bool
    role: str | None
    nets_to_zero: bool
    trades: frozenset[str]
    trade_needs: tuple[Need, ...]
    takes_over: frozenset[str]
    margined: bool
    waterfall: WaterfallRule | None
    line: str


class Place(msgspec.Struct, frozen=True, gc=False):
    """One compartment: its path, its rule, and the members it belongs to."""

    path: str
    rule: CompartmentRule
    members: Members

    def member_of(self, party: str) -> str | None:
        """Name the member of `party` that this compartment belongs to; None where there is none."""
        if party in self.rule.families:
            return self.members[self.rule.families.index(party)]
        if self.rule.named is not None and self.rule.named[0] == party:
            return self.rule.named[1]
        return None


@dataclass(frozen=True, slots=True)
class GateRule:
    """A gate or exchange as the ledger checks it.

    needs: all must hold; assets: None where an exchange lists none; each_transfer, each, all: the limits by
    asset; asks_for_text: `reason: required`; unenforced: words of it that this book does not enforce, for
    which it stays shut; valued_in: the asset every amount is valued in before limits count it; delay_ns: how
    long a request through it waits; cancel: any one of these may cancel; standing: whose mandate it needs;
    statements: words that somebody must have said, and how long ago at most in ns.
    """

    name: str
    line: str
    needs: tuple[Need, ...]
    assets: frozenset[str] | None
    accrual: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    each_transfer: Mapping[str, int] = field(default_factory=dict)
    each: Mapping[str, Cap] = field(default_factory=dict)
    all: Mapping[str, Cap] = field(default_factory=dict)
    asks_for_text: bool = False
    reverses: Literal["required", "optional"] | None = None
    unenforced: tuple[str, ...] = ()
    valued_in: str | None = None
    delay_ns: int = 0
    standing: KeyNeed | None = None
    statements: tuple[tuple[str, int | None], ...] = ()
    cancel: tuple[Need, ...] = ()

    @property
    def draws(self) -> bool:
        """Say whether it lends coins, each move of them against as many units of a debt."""
        return DRAW in self.accrual

    def counted_in(self, asset: str) -> str:
        """Name the asset that the limits count an amount of `asset` in."""
        return self.valued_in or asset

    @property
    def is_limited(self) -> bool:
        """Say whether any limit counts at this gate."""
        return bool(self.each_transfer or self.each or self.all)


@dataclass(frozen=True, slots=True)
class Way:
    """A gate from one rule to another, as patterns whose variables the members must fit.

    source and target: the gate's own patterns; assets: what both ends accept and the gate moves (None:
    anything, between two places outside); source_terms and target_terms: for each member of that end,
    `{variable}` or a member's name; fixed: variables that a named compartment binds; is_plain: at most one
    variable, so that it is enough to compare the two members.
    """

    gate: GateRule
    source: str
    target: str
    assets: frozenset[str] | None
    source_terms: tuple[str, ...]
    target_terms: tuple[str, ...]
    fixed: tuple[tuple[str, str], ...]
    is_plain: bool

    def fits(self, source: Members, target: Members) -> bool:
        """Say whether the members of two places are the ones this way is for."""
        if self.is_plain:
            return not source or not target or source == target
        return self.binding(source, target) is not None

    def binding(self, source: Members, target: Members) -> dict[str, str] | None:
        """Bind each variable to its member; None where two places do not fit the way."""
        return bind_terms(
            zip((*self.source_terms, *self.target_terms), (*source, *target), strict=True), dict(self.fixed)
        )

    def accepts(self, asset: str) -> bool:
        """Say whether the asset may pass here."""
        return self.assets is None or asset in self.assets

    def target_from(self, source: Place) -> str:
        """Name the one target that this way leads to from a place; it must have no variable of its own."""
        bound = bind_terms(zip(self.source_terms, source.members, strict=True), dict(self.fixed))
        return fill(self.target, bound or {})

    def source_to(self, target: Place) -> str:
        """Name the one source from which this way leads to a place."""
        bound = bind_terms(zip(self.target_terms, target.members, strict=True), dict(self.fixed))
        return fill(self.source, bound or {})


def bind_terms(terms: Iterable[tuple[str, str]], bound: dict[str, str]) -> dict[str, str] | None:
    """Extend a binding so that each term (`{variable}` or a name) is its member; None where none does.

    Distinct variables are distinct members.
    """
    for term, member in terms:
        if not is_variable(term):
            if term != member:
                return None
        elif bound.setdefault(term[1:-1], member) != member:
            return None
    return bound if len(set(bound.values())) == len(bound) else None


@dataclass(frozen=True, slots=True)
class ExchangeRule:
    """Legs that happen together: `gate` carries the words, `legs` the patterns; value given and received
    must be equal within `band_ppm` of the index (None: no price is asked)."""

    gate: GateRule
    legs: tuple[tuple[str, str], ...]
    band_ppm: int | None


@dataclass(frozen=True, slots=True)
class AssetRule:
    """A coin or debt: its decimals, the coin a debt is in and its cap; worth_as: the coin whose price it has
    (itself, or the coin of a debt or credit); price: its name under `prices`, None for the numeraire;
    interest_ppm: of a debt what it costs, of a coin what it earns where a gate pays it, per year; mirrors:
    the coin in escrow that a credit stands on."""

    name: str
    decimals: int
    debt_in: str | None
    worth_as: str
    debt_cap_units: int | None
    price: str | None
    interest_ppm: int = 0
    mirrors: str | None = None

    def show(self, units: int) -> str:
        """Write units with the asset's name, as people read them."""
        return f"{show_decimal(units, self.decimals)} {self.name}"


@dataclass(frozen=True, slots=True)
class KeyRule:
    """A key: the family it has one member key for, and whether the policy itself expects it."""

    name: str
    per: str | None


@dataclass(frozen=True, slots=True)
class HaltRule:
    """Who may stop something (`needs`), and who may lift the stop again (`lift`)."""

    needs: tuple[Need, ...]
    lift: tuple[Need, ...]


PLACES_MAX: Final = 65_536
"""How many compartments that were looked up are remembered; anybody may ask for any path."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything the ledger enforces of one policy; `notes` says what it does not.

    families: parties with members; holders: the keys each service holds; ways: by gate or exchange and the
    indices of the rules at its ends; pays and is_paid: by accrual, index of the rule that pays (or is paid)
    and asset, the way such a payment goes; reversible: the rules between which a move may be reversed;
    halts: by kind, who may stop and lift; whoever writes to the book where a kind is missing; delayed: the
    gates and exchanges with a delay; attestors: the keys that attestors hold; service_keys: the keys of no
    family that services hold and use on evidence.
    """

    name: str
    digest: bytes
    numeraire: str
    planes: tuple[Plane, ...]
    assets: Mapping[str, AssetRule]
    instruments: Mapping[str, Instrument]
    prices: Mapping[str, PriceAuthority]
    keys: Mapping[str, KeyRule]
    families: frozenset[str]
    holders: Mapping[str, tuple[str, ...]]
    compartments: tuple[CompartmentRule, ...]
    gates: Mapping[str, GateRule]
    exchanges: Mapping[str, ExchangeRule]
    ways: Mapping[tuple[str, int, int], tuple[Way, ...]]
    pays: Mapping[tuple[str, int, str], Way]
    is_paid: Mapping[tuple[str, int, str], Way]
    reversible: frozenset[tuple[int, int]]
    computed_by: Mapping[str, tuple[str, ...]]
    waterfalls: Mapping[str, WaterfallRule]
    halts: Mapping[str, HaltRule]
    clearing: str | None
    rounding: str | None
    notes: tuple[Finding, ...]
    policy: Policy
    delayed: frozenset[str] = frozenset()
    attestors: frozenset[str] = frozenset()
    service_keys: frozenset[str] = frozenset()
    _exact: dict[str, CompartmentRule] = field(default_factory=dict, repr=False)
    _patterns: dict[int, list[CompartmentRule]] = field(default_factory=dict, repr=False)
    _joined: set[tuple[int, int]] = field(default_factory=set, repr=False)
    _places: dict[str, Place] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._joined.update((start, end) for _, start, end in self.ways)
        for rule in self.compartments:
            if rule.families:
                self._patterns.setdefault(len(parts_of(rule.pattern)), []).append(rule)
            else:
                self._exact[rule.pattern] = rule

    def place(self, path: str) -> Place | None:
        """Find the compartment of that path, open or not; None where the policy has none."""
        found = self._places.get(path)
        if found is None:
            found = self._find(path)
            if found is not None:
                if len(self._places) >= PLACES_MAX:
                    self._places.clear()
                self._places[path] = found
        return found

    def _find(self, path: str) -> Place | None:
        exact = self._exact.get(path)
        if exact is not None:
            return Place(path, exact, ())
        parts = path.split("/")
        for rule in self._patterns.get(len(parts), ()):
            members = _members_in(rule.pattern, parts)
            if members is not None:
                return Place(path, rule, members)
        return None

    @property
    def freeze_needs(self) -> tuple[Need, ...] | None:
        """Who may freeze; None where the policy does not say."""
        rule = self.halts.get("freeze")
        return rule.needs if rule is not None else None

    def is_joined(self, source: Place, target: Place) -> bool:
        """Say whether any way at all leads between the rules of two places."""
        return (source.rule.index, target.rule.index) in self._joined

    def way(self, gate: str, source: Place, target: Place) -> Way | None:
        """Find the way through `gate` from one place to another; None where there is a wall."""
        for way in self.ways.get((gate, source.rule.index, target.rule.index), ()):
            if way.fits(source.members, target.members):
                return way
        return None

    def gates_between(self, source: Place, target: Place) -> tuple[Way, ...]:
        """List every way from one place to another, in the order of the policy."""
        ways = (self.way(name, source, target) for name in self.gates)
        return tuple(way for way in ways if way is not None)


def _members_in(pattern: str, parts: list[str]) -> Members | None:
    members: dict[str, str] = {}
    for wanted, found in zip(parts_of(pattern), parts, strict=True):
        if not is_variable(wanted):
            if wanted != found:
                return None
        elif members.setdefault(wanted, found) != found:
            return None
    return tuple(members.values())
