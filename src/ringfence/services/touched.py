"""What one request does to each margined bucket that it touches, read before anything happens."""

from dataclasses import dataclass, field
from typing import Final, Literal

from ringfence.planes.ledger.holds import moves_meant
from ringfence.planes.ledger.operations import Closing, Fill, Move, Post, Request, Void
from ringfence.planes.ledger.rules import TOPPING, GateRule, Rules
from ringfence.planes.ledger.tables import Tables

Direction = Literal["buy", "sell"]

DIRECTIONS: Final[tuple[Direction, ...]] = ("buy", "sell")

RELEASABLE: Final = "releasable"
"""The condition of a gate through which value leaves on margin's word."""


@dataclass(slots=True)
class Touch:
    """What one request does to one bucket.

    fills: of its signed orders, with its side; releases: assets that leave on margin's word; topped: assets
    that come under a mandate; mixes: something else happens too, so that what may leave cannot be said
    beforehand; flows: units by asset that people move in (positive) or out, nothing that is owed; passed:
    contracts it gets at the mark, or gives (below zero) by instrument; forced_e10: the worst price of
    its forced fills, by instrument; causes: why those are forced.
    """

    fills: list[tuple[Fill, Direction]] = field(default_factory=list)
    releases: set[str] = field(default_factory=set)
    topped: set[str] = field(default_factory=set)
    mixes: bool = False
    flows: dict[str, int] = field(default_factory=dict)
    passed: list[tuple[str, int]] = field(default_factory=list)
    forced_e10: dict[str, int] = field(default_factory=dict)
    causes: set[str] = field(default_factory=set)


def read_touches(rules: Rules, tables: Tables, request: Request) -> dict[str, Touch]:
    """Say what a request does to each margined bucket, by its path; tables: as they are before it."""
    touched: dict[str, Touch] = {}
    for link in request.links:
        if isinstance(link, Fill):
            _read_fill(rules, touched, link)
        elif isinstance(link, Move | Post):
            for move in moves_meant(tables, link):
                if move.asset in rules.instruments:
                    _read_position(rules, tables, touched, move)
                else:
                    _read_move(rules, touched, move)
    if not all(isinstance(link, Move | Post | Void) for link in request.links):
        for touch in touched.values():
            touch.mixes = True
    return touched


def _read_move(rules: Rules, touched: dict[str, Touch], move: Move) -> None:
    gate = _gate(rules, move)
    if gate is None:
        return
    for path, units in ((move.source, -move.units), (move.target, move.units)):
        if not _is_margined(rules, path):
            continue
        touch = touched.setdefault(path, Touch())
        if units < 0 and RELEASABLE in gate.conditions:
            touch.releases.add(move.asset)
        elif units < 0:
            touch.mixes = True
        if units > 0 and TOPPING in gate.accrual:
            touch.topped.add(move.asset)
        if not gate.accrual or TOPPING in gate.accrual:
            touch.flows[move.asset] = touch.flows.get(move.asset, 0) + units


def _read_position(rules: Rules, tables: Tables, touched: dict[str, Touch], move: Move) -> None:
    if _gate(rules, move) is None or move.units < 1 or rules.instruments[move.asset].kind == "option":
        return
    contracts = move.units if tables.balance(move.source, move.asset) > 0 else -move.units
    for path, sign in ((move.source, -1), (move.target, 1)):
        if _is_margined(rules, path):
            touched.setdefault(path, Touch()).passed.append((move.asset, sign * contracts))


def _read_fill(rules: Rules, touched: dict[str, Touch], fill: Fill) -> None:
    instrument = rules.instruments.get(fill.instrument)
    if instrument is None or instrument.kind == "option" or fill.contracts < 1 or fill.price_e10 < 1:
        return  # No fill that could be carried out: the ledger says why.
    for direction in DIRECTIONS:
        side = fill.buy if direction == "buy" else fill.sell
        if not _is_margined(rules, side.bucket):
            continue
        touch = touched.setdefault(side.bucket, Touch())
        if isinstance(side, Closing):
            worse = min if direction == "sell" else max
            before_e10 = touch.forced_e10.get(fill.instrument, fill.price_e10)
            touch.forced_e10[fill.instrument] = worse(before_e10, fill.price_e10)
            touch.causes.add(side.cause)
        else:
            touch.fills.append((fill, direction))


def _gate(rules: Rules, move: Move) -> GateRule | None:
    source, target = rules.place(move.source), rules.place(move.target)
    way = rules.way(move.gate, source, target) if source and target else None
    return way.gate if way else None


def _is_margined(rules: Rules, path: str) -> bool:
    place = rules.place(path)
    return place is not None and place.rule.margined
