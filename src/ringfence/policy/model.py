"""The policy as values: what every plane compiles from and the analyser proves against.

`parse` builds it from YAML, `show` writes it back, `check` lists what is wrong with its meaning. Amounts are
whole units of their asset, rates parts per million, lengths of time nanoseconds, prices `PRICE_SCALE`. Names
with variables are kept as patterns (see `families`); nothing is expanded into members.

Two policies are equal when they mean the same: the lines they were written on do not count.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

Plane = Literal["ledger", "vault", "network"]
Role = Literal[
    "client_money",
    "collateral",
    "insurance",
    "clearing",
    "rounding",
    "house_money",
    "custody",
    "escrow",
]
MarginMode = Literal["isolated", "cross", "portfolio"]
HaltKind = Literal["freeze", "withdrawals", "cancel_only", "reduce_only", "stop"]


class Model(BaseModel):
    """A value of the policy: frozen, and strict about its words."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# --- amounts and windows -----------------------------------------------------------------------


class Window(Model):
    """The length of time a cap counts in: a fixed UTC window, a refilling bucket, or an exact rolling one."""

    kind: Literal["fixed", "refill", "rolling"]
    length_ns: int


class Cap(Model):
    """At most `units` per `window`."""

    units: int
    window: Window


class Limits(Model):
    """How much a gate or exchange lets through, by asset.

    each_transfer: units at most in one transfer; each: per member of the source's family; all: the whole
    family together; valued_in: the asset every amount is valued in first (ledger plane only).
    """

    each_transfer: Mapping[str, int] = Field(default_factory=dict)
    each: Mapping[str, Cap] = Field(default_factory=dict)
    all: Mapping[str, Cap] = Field(default_factory=dict)
    valued_in: str | None = None


class Band(Model):
    """A price must lie within `ppm` of the index price, or of the mark (`at mark` is 0 ppm of it)."""

    ppm: int
    of: Literal["index", "mark"] = "index"


# --- assets, parties, keys, prices, instruments ------------------------------------------------


class HaircutTier(Model):
    """From `floor_units` of an asset in one bucket on, `ppm` of the value is not counted."""

    floor_units: int
    ppm: int


class Asset(Model):
    """A coin; with `debt_in` a positive liability in that coin, with `mirrors` a credit in it.

    haircut: empty where the asset counts for nothing as collateral; debt_cap_units: the most one compartment
    may owe; mirrors: the coin whose units, locked elsewhere, stand behind each unit of this credit; price:
    name under `prices`, None for the numeraire, debts and credits (they are worth their coin).
    """

    decimals: int
    haircut: tuple[HaircutTier, ...] = ()
    debt_in: str | None = None
    mirrors: str | None = None
    debt_cap_units: int | None = None
    interest_ppm_per_year: int | None = None
    price: str | None = None


class Party(Model):
    """Somebody who may own: one party, or with `family` one per member.

    members: the members that the policy itself names, e.g. an institution with a vault of its own.
    """

    kind: Literal["client", "affiliate", "house", "custodian", "venue", "attestor"]
    family: bool = False
    members: tuple[str, ...] = ()


class Entity(Model):
    """A legal person above parties; no gate crosses two entities unless declared."""

    lei: str | None = None
    part_of: str | None = None
    parties: tuple[str, ...] = ()
    compartments: tuple[str, ...] = ()


class Key(Model):
    """Something that signs. `per` makes it a family: one key for each member of that party."""

    per: str | None = None
    held_by: str | None = None
    person: str | None = None
    host: str | None = None
    form: Literal["signature", "bearer", "session"] = "signature"
    signs: Literal["by_hand", "on_evidence"]


class PriceAuthority(Model):
    """Where a price comes from: `agree_count` of `sources` within `agree_ppm`, none older than `stale_ns`."""

    sources: tuple[str, ...]
    agree_count: int
    agree_ppm: int
    stale_ns: int


class Tier(Model):
    """One bracket of an instrument: from `floor_units` of notional on (quote units)."""

    floor_units: int
    maintenance_ppm: int
    leverage_max: int


class Fees(Model):
    """Taker and maker fee in ppm of notional; a negative maker fee is a rebate. `liquidation_ppm` is the
    penalty of a forced closure."""

    taker_ppm: int = 0
    maker_ppm: int = 0
    liquidation_ppm: int = 0


class Funding(Model):
    """Funding of a perpetual: paid every `interval_ns`, the rate capped at `cap_ppm` per interval."""

    interval_ns: int
    cap_ppm: int


class Instrument(Model):
    """What can be traded: its contract, its brackets and its settlement.

    underlying: the coin (or bare symbol) it follows; quote: the asset it settles in; payoff `linear`: one
    contract is `contract_size_e10` / PRICE_SCALE of the underlying, value = contracts x size x price;
    payoff `inverse`: one contract is `contract_size_e10` / PRICE_SCALE quote-currency dollars and its value
    is that over the price, in the coin named by `quote`. tick_e10: the smallest price step (PRICE_SCALE).
    index: the name under `prices` (default `index/<underlying>`).
    """

    kind: Literal["perpetual", "future", "option"]
    payoff: Literal["linear", "inverse"] = "linear"
    underlying: str
    quote: str
    contract_size_e10: int
    tick_e10: int
    tiers: tuple[Tier, ...]
    fees: Fees = Fees()
    funding: Funding | None = None
    settlement_ns: int
    settlement_price: Literal["mark", "index"] = "mark"
    price_band_ppm: int
    index: str
    expires: int | None = None
    strike_e10: int | None = None
    option: Literal["call", "put"] | None = None


# --- keys that must sign, conditions -----------------------------------------------------------


class KeyNeed(Model):
    """One key must sign.

    member: None for the member bound in the source, a variable with its braces (`{a}`), or a member's name.
    """

    key: str
    member: str | None = None


class Quorum(Model):
    """`count` distinct keys of `of` must sign."""

    count: int
    of: tuple["Need", ...]


Need = KeyNeed | Quorum


class Condition(Model):
    """A `when` word of a gate, with its argument: `releasable`, `operator_silent 30 d`, `attested`…"""

    word: str
    length_ns: int | None = None


# --- compartments ------------------------------------------------------------------------------


class BucketLimits(Model):
    """Limits of one bucket: highest leverage, deepest fall from its best equity, most lost in one UTC day."""

    leverage: int | None = None
    drawdown_ppm: int | None = None
    daily_loss: Mapping[str, int] = Field(default_factory=dict)


class Trade(Model):
    """The implied pair of gates bucket <-> clearing for contracts; `instruments` None means all."""

    needs: tuple[Need, ...]
    instruments: tuple[str, ...] | None = None


class Compartment(Model):
    """Value kept behind a wall: a bucket, a pool, clearing, or a place outside."""

    kind: Literal["internal", "external"] = "internal"
    owner: str | None = None
    role: Role | None = None
    accepts: tuple[str, ...] = ()
    vault: Literal["own", "shared"] | None = None
    margin: MarginMode | None = None
    strategy: str | None = None
    goal: str | None = None
    risk_profile: str | None = None
    limits: BucketLimits | None = None
    trade: Trade | None = None
    must_net_to: Literal["zero"] | None = None
    takes_over: Literal["all"] | tuple[str, ...] | None = None
    pinned: bool = False
    cooling_ns: int | None = None
    entity: str | None = None
    member: str | None = None


# --- thresholds, gates, exchanges, waterfalls --------------------------------------------------


class CallLevel(Model):
    """A margin call at `at_ppm` of the requirement, to be cured within `cure_ns`."""

    at_ppm: int
    cure_ns: int


class Thresholds(Model):
    """Levels of equity in ppm of the maintenance requirement; see policy meaning, "thresholds"."""

    free_ppm: int
    warn_ppm: int
    call: CallLevel
    reduce_only_ppm: int
    liquidate_ppm: int
    stop_at_ppm: int


class Gate(Model):
    """The only way between two compartments. Everything not matched by a gate is refused.

    sources x targets are the pairs it opens; `both_ways` is written `between:`. `needs` all must hold.
    `accrual` lists what is owed, if the gate moves exactly that; `computed_by` the services that compute it.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    both_ways: bool = False
    assets: tuple[str, ...]
    needs: tuple[Need, ...]
    on: tuple[Plane, ...]
    limit: Limits = Limits()
    accrual: tuple[str, ...] = ()
    computed_by: tuple[str, ...] = ()
    standing: KeyNeed | None = None
    when: tuple[Condition, ...] = ()
    delay_ns: int | None = None
    cancel: tuple[Need, ...] = ()
    reason: Literal["required", "optional"] | None = None
    reverses: Literal["required", "optional"] | None = None
    crosses_entities: bool = False


class LegPattern(Model):
    """One leg of an exchange: value goes from `source` to `target`."""

    source: str
    target: str


class Exchange(Model):
    """Legs that happen together or not at all."""

    legs: tuple[LegPattern, ...]
    needs: tuple[Need, ...]
    on: tuple[Plane, ...]
    assets: tuple[str, ...] | None = None
    accrual: tuple[str, ...] = ()
    computed_by: tuple[str, ...] = ()
    standing: KeyNeed | None = None
    price: Band | None = None
    limit: Limits = Limits()
    when: tuple[Condition, ...] = ()
    delay_ns: int | None = None
    cancel: tuple[Need, ...] = ()
    crosses_entities: bool = False


class OwnStep(Model):
    """The bucket pays with what it has."""

    step: Literal["own"] = "own"


class CoverStep(Model):
    """A pool pays the shortfall, as far as its gate to clearing lets it."""

    step: Literal["cover"] = "cover"
    compartment: str


class DeleverageStep(Model):
    """Winners of the class give up profit, each at most `cap_ppm` of its equity."""

    step: Literal["deleverage"] = "deleverage"
    method: Literal["pro_rata", "queue"]
    classes: tuple[str, ...]
    cap_ppm: int


Step = OwnStep | CoverStep | DeleverageStep


class Waterfall(Model):
    """Who bears the shortfall of the buckets in `covers`, in order; `last` bears the rest as `record`."""

    covers: tuple[str, ...]
    steps: tuple[Step, ...]
    last: str | None = None
    record: str | None = None


class Halt(Model):
    """Who may stop something (`needs`), and who may lift the stop again (`lift`)."""

    needs: tuple[Need, ...]
    lift: tuple[Need, ...]


# --- services, flows, claims -------------------------------------------------------------------


class Adoption(Model):
    """Who may put another policy in the place of this one in a live book (`needs`), how long whatever widens
    waits before it is in force, and who may cancel it meanwhile: any one of `cancel`."""

    needs: tuple[Need, ...]
    delay_ns: int | None = None
    cancel: tuple[Need, ...] = ()


class Service(Model):
    """A running part of the platform in its zone, the keys it holds, and those it carries signatures of."""

    zone: str
    identity: str
    holds: tuple[str, ...] = ()
    carries: tuple[str, ...] = ()
    uid: int | None = None


class Flow(Model):
    """`sources` may open connections to `targets` on `port`."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    port: int
    protocol: Literal["tcp", "udp"] = "tcp"
    purpose: str | None = None


class Selector(Model):
    """Which compartments a claim speaks of: by name pattern, by owner, by role, or anywhere at all."""

    by: Literal["name", "owner", "role", "anywhere"]
    text: str


class Journey(Model):
    """From the compartments of `source` to those of `target`."""

    source: Selector
    target: Selector


class AtMost(Model):
    """An upper bound: `zero_window` is set for "0 per 1 d" of every asset, else `caps` by asset."""

    zero_window: Window | None = None
    caps: Mapping[str, Cap] = Field(default_factory=dict)


class TradingLoss(Model):
    """A bound on what forged fills or prices can cost: per member, or all together."""

    scope: Literal["each", "all"]
    caps: Mapping[str, Cap]


class Claim(Model):
    """What must hold whatever happens. `kind` says which fields are set.

    never: `journey`, `exceptions`, `without`; moves: `compromised`, `mode`, `planes`, `journey`, `at_most`;
    trading: `compromised`, `mode`, `planes`, `trading_loss`; fewest: `journey`, `count`, `at_least`.
    `members` maps each variable to its family; distinct variables are distinct members.
    """

    kind: Literal["never", "moves", "trading", "fewest"]
    members: Mapping[str, str] = Field(default_factory=dict)
    journey: Journey | None = None
    exceptions: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    compromised: tuple[str, ...] = ()
    mode: Literal["contained", "pivot"] | None = None
    planes: tuple[Plane, ...] = ()
    at_most: AtMost | None = None
    trading_loss: TradingLoss | None = None
    count: Literal["keys", "services", "keys_and_services"] | None = None
    at_least: int | None = None


# --- the whole ---------------------------------------------------------------------------------


class Line(Model):
    """Where a word of the policy stands."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Policy(Model):
    """One policy: every compartment, every gate between them, and what must never happen."""

    ringfence: Literal[1]
    name: str
    numeraire: str
    assets: Mapping[str, Asset]
    parties: Mapping[str, Party] = Field(default_factory=dict)
    entities: Mapping[str, Entity] = Field(default_factory=dict)
    keys: Mapping[str, Key] = Field(default_factory=dict)
    prices: Mapping[str, PriceAuthority] = Field(default_factory=dict)
    instruments: Mapping[str, Instrument] = Field(default_factory=dict)
    compartments: Mapping[str, Compartment]
    thresholds: Thresholds | None = None
    gates: Mapping[str, Gate] = Field(default_factory=dict)
    exchanges: Mapping[str, Exchange] = Field(default_factory=dict)
    waterfalls: Mapping[str, Waterfall] = Field(default_factory=dict)
    halts: Mapping[HaltKind, Halt] = Field(default_factory=dict)
    adoption: Adoption | None = None
    zones: tuple[str, ...] = ()
    externals: tuple[str, ...] = ()
    services: Mapping[str, Service] = Field(default_factory=dict)
    flows: tuple[Flow, ...] = ()
    claims: Mapping[str, Claim] = Field(default_factory=dict)

    _lines: dict[tuple[str, ...], Line] = PrivateAttr(default_factory=dict)

    def line(self, *path: str) -> str:
        """Say where a part stands as `file:line`, e.g. `policy.line("gates", "withdraw")`; "" if unknown."""
        while path and path not in self._lines:
            path = path[:-1]
        return str(self._lines[path]) if path else ""

    @property
    def lines(self) -> Mapping[tuple[str, ...], Line]:
        """Where each part stands, by its path."""
        return self._lines

    def located(self, lines: Mapping[tuple[str, ...], Line]) -> "Policy":
        """Return the same policy with the lines its parts stand on."""
        copy = self.model_copy()
        copy._lines = dict(lines)
        return copy

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.compartments), tuple(self.gates)))


class Finding(Model):
    """One thing that is wrong with a policy (or, as a note, worth knowing).

    rule: the name of the check; where: `file:line`; found: what stands there; right: what would be right.
    """

    level: Literal["error", "note"]
    rule: str
    where: str
    found: str
    right: str

    def __str__(self) -> str:
        return f"{self.where}: {self.found}; {self.right}"
