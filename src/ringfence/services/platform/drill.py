"""A breach drill: what an intruder really got, beside what the analyser said it could get at most.

Reach is counted by the intruder; money is counted in the book and on the chain, which it does not write. A
drill holds where nothing that was measured is over its prediction.
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
    "undeclared connection", "datagram", "forged frame", "forged identity", "forged order", "file", "process",
)  # fmt: skip
"""Attempts that may never get through, whoever makes them."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Units by asset: out of the platform in the book, paid on the chain, from clients to the house, brought
    in from nowhere; lost: numeraire units by member, at the true index."""

    out: Mapping[str, int] = field(default_factory=dict)
    paid: Mapping[str, int] = field(default_factory=dict)
    to_house: Mapping[str, int] = field(default_factory=dict)
    minted: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What a drill of one service, or of one person's laptop, showed.

    reached: services it opened connections to; calls: methods that answered it; differences: what was
    measured over the prediction, a sentence each; remarks: what was not measured.
    """

    target: str
    attempts: tuple[Attempt, ...]
    reached: tuple[str, ...]
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


def equities(state: BookState, members: Sequence[str], index_e10: Mapping[str, int]) -> dict[str, int]:
    """Value everything that each client has, in units of the numeraire, at the true index.

    Coins other than the numeraire are left out: a drill moves none.
    """
    return {
        member: sum(_worth(state, path, index_e10) for path in _paths(state, member)) for member in members
    }


def _paths(state: BookState, member: str) -> set[str]:
    return {
        path
        for path, _, _ in state.balances()
        if f"/{member}/" in f"{path}/" and not _is_outside(state.rules, path)
    }


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
    rules: Rules, requests: Iterable[Request], paid: Mapping[str, int], lost: Mapping[str, int]
) -> Moved:
    """Add up what requests moved over the walls that matter; what was owed counts as trading."""
    out: dict[str, int] = {}
    to_house: dict[str, int] = {}
    minted: dict[str, int] = {}
    for request in requests:
        for link in request.links:
            if isinstance(link, Move):
                _count(rules, link, out, to_house, minted)
    return Moved(out, dict(paid), to_house, minted, dict(lost))


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
) -> DrillReport:
    """Lay what was measured beside what was predicted; permitted: `service.method` that it may call."""
    lines = tuple(_lines(moved, blast, numeraire))
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
        tuple(sorted(calls)),
        lines,
        tuple(differences),
        tuple(remarks),
        blast.services,
        blast.keys,
    )


def _lines(moved: Moved, blast: Blast, numeraire: str) -> Iterable[Line]:
    ledger, vault = blast.planes.get("ledger"), blast.planes.get("vault")
    if ledger is not None:
        yield from _beside("out of the platform, in the book", moved.out, ledger.out["day"], numeraire)
        yield from _beside("from clients to the house", moved.to_house, ledger.to_house["day"], numeraire)
        yield from _beside("brought in from nowhere", moved.minted, ledger.minted["day"], numeraire)
    if vault is not None:
        yield from _beside("paid out on the chain", moved.paid, vault.out["day"], numeraire)
    worst = max(0, *moved.lost.values(), 0)
    yield Line(
        "lost by trading, the client that lost most",
        numeraire,
        worst,
        blast.lost_by_trading["day"].get(numeraire, 0),
    )


def _beside(name: str, measured: Mapping[str, int], most: Amounts, numeraire: str) -> Iterable[Line]:
    for asset in sorted({numeraire, *measured}):
        yield Line(name, asset, measured.get(asset, 0), most.get(asset, 0))


# --- showing -----------------------------------------------------------------------------------


def show_units(policy: Policy, asset: str, units: int | None) -> str:
    """Write an amount of an asset, or that nothing limits it."""
    return "no limit" if units is None else f"{show_decimal(units, policy.assets[asset].decimals)} {asset}"


def draw(policy: Policy, report: DrillReport) -> str:
    """Draw how far it spread, as an SVG document: what was reached is marked."""
    areas = [
        Area(zone, [_box(name, report) for name, one in policy.services.items() if one.zone == zone])
        for zone in policy.zones
    ]
    areas.append(Area("outside", [_box(name, report) for name in policy.externals]))
    money = [
        Place(
            line.name,
            f"{show_units(policy, line.asset, line.measured)} of {show_units(policy, line.asset, line.most)}",
            _tone(line),
        )
        for line in report.lines
        if line.measured or not line.holds
    ]
    if money:
        areas.append(Area("money, measured of predicted", money))
    start = report.target if report.target in policy.services else "internet"
    arrows = [Arrow(start, name, "", "accent") for name in report.reached if name != start]
    words = "within the prediction" if report.holds else "over the prediction"
    title = f"{policy.name}: {report.target} broken into, {report.tried} attempts, {words}"
    return page.picture(
        place_map(title, "Services in their zones; arrows are connections that opened.", areas, arrows)
    )


def _box(name: str, report: DrillReport) -> Place:
    if name == report.target:
        return Place(name, "broken into", "bad")
    return Place(name, "may be called", "accent") if name in report.reached else Place(name, "held", "calm")


def _tone(line: Line) -> Tone:
    return "bad" if not line.holds else "accent"
