"""A breach drill: what an intruder really got, beside what the analyser said it could get at most.

Reach is counted by the intruder; money is counted on the chain, and in the book as a follower believes it who
judges every record again. Where the ledger itself is broken into, what it wrote is counted beside that: its
file is its own, and what others believe of it is what counts. A drill holds where nothing that was measured
is over its prediction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ringfence.drawing import page
from ringfence.drawing.charts import Tone
from ringfence.drawing.maps import Area, Arrow, Place, place_map
from ringfence.kernel.money import show_decimal
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.operations import Move, Request
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.settlement import fill_value
from ringfence.policy.model import Policy
from ringfence.proof.blast import Amounts, Blast
from ringfence.services.platform.intruder import Attempt

CALLS = ("call", "unapproved withdrawal", "unapproved payment", "false price", "hostile request", "order")
"""Attempts by a method that a peer serves; they may get through where the policy lets the service call it."""

NEVER = (
    "undeclared connection", "datagram", "forged frame", "forged identity", "replayed recording",
    "forged order", "replayed order", "forged record", "file", "process",
)  # fmt: skip
"""Attempts that may never get through, whoever makes them."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Units by asset: out of the platform in the book, paid on the chain, from clients to the house, brought
    in from nowhere; lost and at_stake: numeraire units by member, at the true index: what its buckets that
    trade lost, and what they were worth before."""

    out: Mapping[str, int] = field(default_factory=dict)
    paid: Mapping[str, int] = field(default_factory=dict)
    to_house: Mapping[str, int] = field(default_factory=dict)
    minted: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    at_stake: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a drill beside its bound; most is None where nothing limits it."""

    name: str
    asset: str
    measured: int
    most: int | None

    @property
    def holds(self) -> bool:
        """Say whether what was measured is within what was predicted."""
        return self.most is None or self.measured <= self.most


LOST = "lost by trading, the client that lost most"
WROTE = "as the broken ledger wrote it and nobody believes"


@dataclass(frozen=True, slots=True)
class OwnBook:
    """The book of a ledger that was broken into: all that it wrote as accepted, believed or not.

    believed: what is predicted of a book whose followers verify everything: all that the ledger's own keys
    open, and not that it decides by itself what is signed.
    """

    written: Moved
    believed: Blast


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What a drill of one service, or of one person's laptop, showed.

    reached: services it opened connections to, of those that flows permit it to (may_reach); calls: methods
    that answered it; differences: what was measured over the prediction, a sentence each; remarks: what the
    figures do not say.
    """

    target: str
    attempts: tuple[Attempt, ...]
    reached: tuple[str, ...]
    may_reach: tuple[str, ...]
    calls: tuple[str, ...]
    lines: tuple[Line, ...]
    differences: tuple[str, ...]
    remarks: tuple[str, ...]
    predicted_services: tuple[str, ...]
    predicted_keys: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Say whether everything measured is within the prediction."""
        return not self.differences

    @property
    def tried(self) -> int:
        """How many attempts there were."""
        return sum(one.tried for one in self.attempts)


# --- measuring ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Worth:
    """What each client's compartments are worth in units of the numeraire, at the true index.

    own: by member, each compartment at nothing at least; in_trade: the part of it in buckets that trade;
    unpaid: what buckets owe over what they have, which pools and the treasury would bear.
    """

    own: Mapping[str, int]
    in_trade: Mapping[str, int]
    unpaid: int


def worth_of(state: BookState, members: Sequence[str], index_e10: Mapping[str, int]) -> Worth:
    """Value everything that each client has. Coins other than the numeraire are left out: a drill moves none.

    A client loses at most what a bucket has: the wall behind it keeps the rest.
    """
    found = {
        member: {path: _worth(state, path, index_e10) for path in _paths(state, member)} for member in members
    }
    return Worth(
        {member: sum(max(0, units) for units in by_path.values()) for member, by_path in found.items()},
        {
            member: sum(max(0, units) for path, units in by_path.items() if _trades(state, path))
            for member, by_path in found.items()
        },
        -sum(min(0, units) for by_path in found.values() for units in by_path.values()),
    )


def _paths(state: BookState, member: str) -> set[str]:
    return {
        path
        for path, _, _ in state.balances()
        if f"/{member}/" in f"{path}/" and not _is_outside(state.rules, path)
    }


def _trades(state: BookState, path: str) -> bool:
    place = state.rules.place(path)
    return place is not None and bool(place.rule.trades)


def _worth(state: BookState, path: str, index_e10: Mapping[str, int]) -> int:
    rules = state.rules
    worth = state.balance(path, rules.numeraire)
    worth -= sum(
        state.balance(path, name) for name, one in rules.assets.items() if one.debt_in == rules.numeraire
    )
    for name, position in state.positions_of(path).items():
        instrument = rules.instruments[name]
        price = index_e10.get(instrument.index)
        if price is not None and instrument.quote == rules.numeraire:
            decimals = rules.assets[instrument.quote].decimals
            worth += fill_value(instrument, position.contracts, price, decimals) - position.session_value
    return worth


def moved_by(
    rules: Rules, requests: Iterable[Request], paid: Mapping[str, int], before: Worth, after: Worth
) -> Moved:
    """Add up what requests moved over the walls that matter; what was owed counts as trading.

    before, after: what clients' compartments were worth; what they lost besides by transfers is trading too.
    """
    out: dict[str, int] = {}
    to_house: dict[str, int] = {}
    minted: dict[str, int] = {}
    for request in requests:
        for link in request.links:
            if isinstance(link, Move):
                _count(rules, link, out, to_house, minted)
    lost = {member: units - after.own.get(member, 0) for member, units in before.own.items()}
    return Moved(out, dict(paid), to_house, minted, lost, before.in_trade)


def _count(
    rules: Rules, move: Move, out: dict[str, int], to_house: dict[str, int], minted: dict[str, int]
) -> None:
    gate = rules.gates.get(move.gate)
    is_owed = gate is not None and bool(gate.accrual)
    source, target = _is_outside(rules, move.source), _is_outside(rules, move.target)
    if target and not source:
        out[move.asset] = out.get(move.asset, 0) + move.units
    if source and not target:
        minted[move.asset] = minted.get(move.asset, 0) + move.units
    if (
        not is_owed
        and _role(rules, move.target) == "house_money"
        and _role(rules, move.source) != "house_money"
    ):
        to_house[move.asset] = to_house.get(move.asset, 0) + move.units


def _is_outside(rules: Rules, path: str) -> bool:
    place = rules.place(path)
    return place is None or rules.policy.compartments[place.rule.pattern].kind == "external"


def _role(rules: Rules, path: str) -> str | None:
    place = rules.place(path)
    return place.rule.role if place is not None else None


# --- judging -----------------------------------------------------------------------------------


def judge(
    target: str,
    attempts: Sequence[Attempt],
    moved: Moved,
    blast: Blast,
    permitted: frozenset[str],
    numeraire: str,
    remarks: Sequence[str] = (),
    may_reach: Sequence[str] = (),
    own_book: OwnBook | None = None,
) -> DrillReport:
    """Lay what was measured beside what was predicted.

    permitted: `service.method` that it may call; may_reach: services that flows lead to; own_book: where the
    ledger was broken into, what it wrote and what its followers were predicted to believe at most.
    """
    lines = tuple(_lines(moved, blast, numeraire, own_book))
    differences = [
        f"{line.name}: {line.measured} units of {line.asset} were measured, and at most {line.most} predicted"
        for line in lines
        if not line.holds
    ]
    for one in attempts:
        if one.through and one.kind in NEVER:
            differences.append(
                f"{one.kind} got through to {one.target}, {one.through} of {one.tried} times {one.words}"
            )
        elif one.through and one.kind in CALLS and "." in one.target and one.target not in permitted:
            differences.append(f"{one.target} answered, and no flow of the policy permits that call")
    calls = {one.target for one in attempts if one.through and one.kind in CALLS and "." in one.target}
    reached = {one.target for one in attempts if one.through and one.kind == "declared connection"}
    return DrillReport(
        target,
        tuple(attempts),
        tuple(sorted(reached)),
        tuple(sorted(may_reach)),
        tuple(sorted(calls)),
        lines,
        tuple(differences),
        tuple(remarks),
        blast.services,
        blast.keys,
    )


def _lines(moved: Moved, blast: Blast, numeraire: str, own_book: OwnBook | None) -> Iterable[Line]:
    believed = own_book.believed if own_book is not None else blast
    ledger, vault = believed.planes.get("ledger"), blast.planes.get("vault")
    if ledger is not None:
        yield from _beside("out of the platform, in the book", moved.out, ledger.out["day"], numeraire)
        yield from _beside("from clients to the house", moved.to_house, ledger.to_house["day"], numeraire)
        yield from _beside("brought in from nowhere", moved.minted, ledger.minted["day"], numeraire)
    if vault is not None:
        yield from _beside("paid out on the chain", moved.paid, vault.out["day"], numeraire)
    yield _lost(moved, blast.lost_by_trading["day"].get(numeraire, 0), numeraire)
    wrote = blast.planes.get("ledger")
    if own_book is not None and wrote is not None:
        to_house, minted = own_book.written.to_house, own_book.written.minted
        yield from _beside(f"from clients to the house, {WROTE}", to_house, wrote.to_house["day"], numeraire)
        yield from _beside(f"brought in from nowhere, {WROTE}", minted, wrote.minted["day"], numeraire)


def _lost(moved: Moved, most: int | None, numeraire: str) -> Line:
    """Say what the client lost that lost most over its bound: what its buckets had, and less if the policy
    limits the loss of a day."""
    bounds = {
        member: moved.at_stake.get(member, 0) if most is None else min(most, moved.at_stake.get(member, most))
        for member in moved.lost
    }
    lost = {member: max(0, units) for member, units in moved.lost.items()}
    worst = max(lost, key=lambda member: (lost[member] - bounds[member], lost[member]), default="")
    if not any(lost.values()):
        return Line(LOST, numeraire, 0, most if most is not None else max(bounds.values(), default=0))
    most_lost = max(lost, key=lambda member: lost[member])
    member = worst if lost[worst] > bounds[worst] else most_lost
    return Line(LOST, numeraire, lost[member], bounds[member])


def _beside(name: str, measured: Mapping[str, int], most: Amounts, numeraire: str) -> Iterable[Line]:
    for asset in sorted({numeraire, *measured}):
        yield Line(name, asset, measured.get(asset, 0), most.get(asset, 0))


# --- showing -----------------------------------------------------------------------------------


def show_units(policy: Policy, asset: str, units: int | None) -> str:
    """Write an amount of an asset, or that nothing limits it."""
    return "no limit" if units is None else f"{show_decimal(units, policy.assets[asset].decimals)} {asset}"


def draw(policy: Policy, report: DrillReport) -> str:
    """Draw how far it spread, as an SVG document: what was broken into, what let itself be called, what held,
    and every figure beside its bound."""
    numeraire = report.lines[0].asset if report.lines else "money"
    zones = {name: f"zone {service.zone}" for name, service in policy.services.items()}
    everybody = zones | dict.fromkeys(policy.externals, "outside")
    keys = [name for name, key in policy.keys.items() if report.target in (key.host, key.person)]
    begun = zones.get(report.target) or f"holds {', '.join(keys)}"
    others = [name for name in everybody if name != report.target]
    reached = [Place(name, everybody[name], "accent") for name in others if name in report.reached]
    held = [Place(name, everybody[name], "calm") for name in others if name not in report.reached]
    words = "within the prediction" if report.holds else "OVER THE PREDICTION"
    figures = [
        Place(_IN_SHORT.get(line.name, line.name), _beside_most(policy, line), _tone(line))
        for line in report.lines
    ]
    areas = [
        Area("broken into", [Place(report.target, begun, "bad")]),
        Area("lets itself be called", reached),
        Area("held", held),
        Area(f"{numeraire}, in a day" if report.holds else f"{numeraire}: OVER", figures),
    ]
    arrows = [Arrow(report.target, place.name, "", "accent") for place in reached]
    title = f"{policy.name}: {report.target} broken into, {report.tried} attempts, {words}"
    return page.picture(
        place_map(title, "Arrows are connections that opened; each is a declared flow.", areas, arrows)
    )


_IN_SHORT = {
    "out of the platform, in the book": "out, in the book",
    "from clients to the house": "clients to house",
    "brought in from nowhere": "from nowhere",
    "paid out on the chain": "out, on the chain",
    LOST: "lost by trading",
    f"from clients to the house, {WROTE}": "written: to house",
    f"brought in from nowhere, {WROTE}": "written: out of air",
}
"""The figures in the few words that a box of the picture has room for."""


def _beside_most(policy: Policy, line: Line) -> str:
    if not line.measured and line.most == 0:
        return "nothing, as predicted"
    measured, most = (_in_short(policy, line.asset, units) for units in (line.measured, line.most))
    return f"{measured} of {most}" if line.most is not None else measured


def _in_short(policy: Policy, asset: str, units: int | None) -> str:
    """Write an amount for a box: from a thousand on without its decimals."""
    if units is None:
        return "no limit"
    whole = 10 ** policy.assets[asset].decimals
    return (
        f"{units // whole:,}"
        if units >= 1_000 * whole
        else show_decimal(units, policy.assets[asset].decimals)
    )


def _tone(line: Line) -> Tone:
    if not line.holds:
        return "bad"
    return "accent" if line.measured else "good"
