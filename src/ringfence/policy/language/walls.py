"""The words for walls and ways: compartments, thresholds, gates, exchanges, waterfalls, halts, adoption."""

from dataclasses import dataclass
from typing import Any, get_args

from ringfence.policy import model, phrases
from ringfence.policy.forms import PATH_NAME, PATH_OR_WILDCARD, PLAIN_NAME, Choice, Many, Phrase, Truth, Whole
from ringfence.policy.grammar import Block, Decimals, Path, Plain, Reader, Word
from ringfence.policy.language.assets import LENGTH, NAMES, PATHS
from ringfence.policy.source import Listing, Node, Scalar, Table
from ringfence.policy.value_forms import AMOUNTS, CAPS, SHARE, AllOr, AmountsListed

ACCRUALS = (
    "receipts",
    "variation",
    "funding",
    "premium",
    "fees",
    "maker_rebate",
    "liquidation_surplus",
    "shortfall",
    "residue",
    "margin_shortfall",
    "debt_draw",
    "debt_repayment",
    "interest",
    "closing",
    "mirror",
)
"""What can be owed; the ledger recomputes each from the journal."""

NEED = Phrase(
    'a key such as `client_key`, or a quorum in quotes such as `"2 of [a, b]"`',
    phrases.parse_need,
    phrases.show_need,
    "bad-need",
)
NEEDS = Many(NEED, may_stand_alone=True)
ONE_KEY = Phrase("a key such as `client_key`", phrases.parse_key_need, phrases.show_need, "bad-need")
PLANES = Many(Choice(get_args(model.Plane)), may_stand_alone=True)
CONDITIONS = Many(
    Phrase(
        "a condition such as `releasable` or `operator_silent 30 d`",
        phrases.parse_condition,
        phrases.show_condition,
        "bad-condition",
    ),
    may_stand_alone=True,
)
BAND = Phrase(
    "a price band such as `within 1 % of index` or `at mark`",
    phrases.parse_band,
    phrases.show_band,
    "bad-phrase",
)
ENDS = Many(PATH_OR_WILDCARD, may_stand_alone=True)
SAID_OR_NOT = Choice(("required", "optional"))


# --- compartments ------------------------------------------------------------------------------

BUCKET_LIMITS = Block(
    model.BucketLimits,
    "limits of a bucket",
    (
        Word("leverage", Whole(1, 1000), "Highest notional over equity.", "leverage: 5"),
        Word(
            "drawdown",
            SHARE,
            "Deepest fall from the bucket's best equity.",
            'drawdown: "15 %"',
            "drawdown_ppm",
        ),
        Word(
            "daily_loss",
            AmountsListed(),
            "Most that trading may lose in one UTC day; checked before each fill.",
            "daily_loss: 5000 USDC",
        ),
    ),
)


def _show_traded(trade: model.Trade, decimals: Decimals, path: Path) -> Plain | None:
    return "all" if trade.instruments is None else NAMES.show(trade.instruments, decimals, path)


TRADE = Block(
    model.Trade,
    "trade",
    (
        Word("needs", NEEDS, "Who must sign an order.", "needs: client_key"),
        Word(
            "instruments",
            AllOr(NAMES, None),
            "What may be traded; `all` where it is not said.",
            "instruments: [BTC-PERP]",
            show=_show_traded,
        ),
    ),
)

COMPARTMENT = Block(
    model.Compartment,
    "compartment",
    (
        Word(
            "kind",
            Choice(("internal", "external")),
            "`external`: outside the platform; value that went there and comes back is other value.",
            "kind: external",
        ),
        Word("owner", PLAIN_NAME, "The party it belongs to; the member named in its name.", "owner: client"),
        Word("role", Choice(get_args(model.Role)), "What it is for.", "role: collateral"),
        Word(
            "accepts",
            NAMES,
            "Coins and debts that may be in it; contracts go unlisted. An external one accepts everything.",
            "accepts: [USDC, BTC]",
        ),
        Word(
            "vault",
            Choice(("own", "shared")),
            "Where its coins lie on the chain: a vault of its own, or one it shares.",
            "vault: own",
        ),
        Word(
            "margin",
            Choice(get_args(model.MarginMode)),
            "How positions in it are margined: each alone, together, or by scenario.",
            "margin: cross",
        ),
        Word("strategy", PLAIN_NAME, "The strategy it serves.", "strategy: delta_neutral"),
        Word("goal", PLAIN_NAME, "What the money is for.", "goal: long_term"),
        Word("risk_profile", PLAIN_NAME, "The risk the owner agreed to.", "risk_profile: cautious"),
        Word("limits", BUCKET_LIMITS, "Limits of the bucket itself.", 'limits: {drawdown: "15 %"}'),
        Word(
            "trade",
            TRADE,
            "Opens the pair of gates to clearing for contracts.",
            "trade: {needs: client_key, instruments: all}",
        ),
        Word(
            "must_net_to",
            Choice(("zero",)),
            "Nothing may be left in it after a settlement.",
            "must_net_to: zero",
        ),
        Word(
            "takes_over",
            AllOr(NAMES, "all"),
            "Contracts this pool may receive at the bankruptcy price.",
            "takes_over: all",
        ),
        Word("pinned", Truth(), "Only addresses that were registered before.", "pinned: true"),
        Word(
            "cooling",
            LENGTH,
            "A newly registered address waits so long before it is used.",
            "cooling: 24 h",
            "cooling_ns",
        ),
        Word("entity", PLAIN_NAME, "The legal person it belongs to.", "entity: fund_one"),
        Word("member", PLAIN_NAME, "The one member of its owner's family it is for.", "member: acme"),
    ),
)


# --- thresholds --------------------------------------------------------------------------------

CALL = Block(
    model.CallLevel,
    "call",
    (
        Word("at", SHARE, "Level of the margin call.", 'at: "110 %"', "at_ppm"),
        Word("cure", LENGTH, "Time to bring it back above.", "cure: 4 h", "cure_ns"),
    ),
)
THRESHOLDS = Block(
    model.Thresholds,
    "thresholds",
    (
        Word("free", SHARE, "Must still hold after a release.", 'free: "150 %"', "free_ppm"),
        Word("warn", SHARE, "Below it the owner is warned.", 'warn: "120 %"', "warn_ppm"),
        Word("call", CALL, "Below it the owner is called.", 'call: {at: "110 %", cure: 4 h}'),
        Word(
            "reduce_only",
            SHARE,
            "Below it only orders that reduce risk.",
            'reduce_only: "105 %"',
            "reduce_only_ppm",
        ),
        Word("liquidate", SHARE, "Below it positions are closed.", 'liquidate: "100 %"', "liquidate_ppm"),
        Word("stop_at", SHARE, "A partial liquidation stops here.", 'stop_at: "110 %"', "stop_at_ppm"),
    ),
)


# --- gates and exchanges -----------------------------------------------------------------------

LIMITS = Block(
    model.Limits,
    "limit",
    (
        Word("each_transfer", AMOUNTS, "Most in one transfer.", "each_transfer: {USDC: 5000 USDC}"),
        Word("each", CAPS, "Most for each member in a window.", 'each: {USDC: "1000 per 1 d"}'),
        Word("all", CAPS, "Most for the whole family in a window.", 'all: {USDC: "10000 rolling 1 d"}'),
        Word(
            "valued_in",
            PLAIN_NAME,
            "Value every amount in this asset first; on the ledger plane only.",
            "valued_in: USDC",
        ),
    ),
)


@dataclass(frozen=True)
class Between:
    """`[A, B]`, each a compartment or a list: the gate opens from A to B and from B to A."""

    words: str = "the two sides, such as `[clearing, house/rounding]`"

    def read(self, reader: Reader, node: Node, path: Path) -> tuple[Any, Any] | None:
        """Read the two sides."""
        if not isinstance(node, Listing) or len(node.items) != 2:
            reader.fail("wrong-type", node.where, "two sides should stand here", f"write {self.words}")
            return None
        sides = tuple(ENDS.read(reader, item, (*path, str(n))) for n, item in enumerate(node.items))
        return None if None in sides else (sides[0], sides[1])

    def show(self, value: tuple[Any, Any], decimals: Decimals, path: Path) -> Plain | None:
        """Write the two sides."""
        return [ENDS.show(side, decimals, path) or [] for side in value]

    def schema(self) -> dict[str, Any]:
        """Describe the two sides."""
        return {"type": "array", "items": ENDS.schema(), "minItems": 2, "maxItems": 2}


BETWEEN = Between()


def _finish_gate(reader: Reader, node: Table, path: Path, fields: dict[str, Any]) -> None:
    between = fields.pop("between", None)
    is_one_way = "sources" in fields or "targets" in fields
    if between is not None and not is_one_way:
        fields.update(sources=between[0], targets=between[1], both_ways=True)
    elif between is not None or not ("sources" in fields and "targets" in fields):
        found = f"gate `{path[-1]}` does not say from where to where"
        reader.fail("missing-word", node.where, found, "write `from` and `to`, or `between`, and not both")


def _show_source(gate: model.Gate, decimals: Decimals, path: Path) -> Plain | None:
    return None if gate.both_ways else ENDS.show(gate.sources, decimals, path)


def _show_target(gate: model.Gate, decimals: Decimals, path: Path) -> Plain | None:
    return None if gate.both_ways else ENDS.show(gate.targets, decimals, path)


def _show_between(gate: model.Gate, decimals: Decimals, path: Path) -> Plain | None:
    return BETWEEN.show((gate.sources, gate.targets), decimals, path) if gate.both_ways else None


_ASSETS = Word("assets", NAMES, "What may pass.", "assets: [USDC, BTC]")
_NEEDS = Word(
    "needs",
    NEEDS,
    "Who must sign; all of the list. `client_key` is the key of the member bound in the source.",
    'needs: [client_key, "1 of [officer_a, officer_b]"]',
)
_ON = Word("on", PLANES, "The planes that check it.", "on: [ledger, vault]")
_LIMIT = Word("limit", LIMITS, "How much may pass.", 'limit: {each: {USDC: "1000 per 1 d"}}')
_ACCRUAL = Word(
    "accrual",
    Many(Choice(ACCRUALS), may_stand_alone=True),
    "It moves exactly what is owed of this kind.",
    "accrual: fees",
)
_COMPUTED_BY = Word(
    "computed_by",
    NAMES,
    "The services that compute what is owed; a lie needs all of them.",
    "computed_by: [risk, ledger]",
)
_STANDING = Word(
    "standing", ONE_KEY, "A signed, revocable, capped mandate of this key.", "standing: client_key"
)
_WHEN = Word("when", CONDITIONS, "What must be true.", "when: releasable")
_DELAY = Word(
    "delay", LENGTH, "Waits so long; everything is checked again at firing.", "delay: 1 h", "delay_ns"
)
_CANCEL = Word("cancel", NEEDS, "Who may cancel while it waits; any of the list.", "cancel: [client_key]")
_CROSSES = Word(
    "crosses_entities",
    Truth(),
    "Declares that it passes between two legal persons.",
    "crosses_entities: true",
)

GATE = Block(
    model.Gate,
    "gate",
    (
        Word("from", ENDS, "Where value leaves.", "from: house/fees", "sources", show=_show_source),
        Word("to", ENDS, "Where value arrives.", "to: house/treasury", "targets", show=_show_target),
        Word("between", BETWEEN, "Both ways.", "between: [clearing, house/rounding]", show=_show_between),
        _ASSETS,
        _NEEDS,
        _ON,
        _LIMIT,
        _ACCRUAL,
        _COMPUTED_BY,
        _STANDING,
        _WHEN,
        _DELAY,
        _CANCEL,
        Word("reason", SAID_OR_NOT, "Whether words must be given.", "reason: required"),
        Word("reverses", SAID_OR_NOT, "Whether it must name the transfer it corrects.", "reverses: optional"),
        _CROSSES,
    ),
    _finish_gate,
)

LEG = Phrase(
    'a leg in quotes such as `"client/{a}/cash -> client/{b}/cash"`',
    phrases.parse_leg,
    phrases.show_leg,
    "bad-leg",
)
EXCHANGE = Block(
    model.Exchange,
    "exchange",
    (
        Word(
            "legs",
            Many(LEG),
            "What happens together or not at all.",
            'legs: ["client/{a}/cash -> client/{b}/cash", "client/{b}/cash -> client/{a}/cash"]',
        ),
        Word("assets", NAMES, "What may pass; otherwise whatever both ends accept.", "assets: [USDC, BTC]"),
        _NEEDS,
        _ON,
        _LIMIT,
        _ACCRUAL,
        _COMPUTED_BY,
        _STANDING,
        Word("price", BAND, "How close to the index or mark.", 'price: "within 1 % of index"'),
        _WHEN,
        _DELAY,
        _CANCEL,
        _CROSSES,
    ),
)


# --- waterfalls --------------------------------------------------------------------------------

DELEVERAGE = Block(
    model.DeleverageStep,
    "deleverage step",
    (
        Word(
            "deleverage",
            Choice(("pro_rata", "queue")),
            "How winners give up profit.",
            "deleverage: pro_rata",
            "method",
        ),
        Word("class", PATHS, "The buckets it may reach.", 'class: ["client/{client}/bets"]', "classes"),
        Word(
            "cap",
            Phrase(
                "a cap such as `10 % of equity`",
                phrases.parse_equity_cap,
                phrases.show_equity_cap,
                "bad-share",
            ),
            "The most one bucket gives up.",
            'cap: "10 % of equity"',
            "cap_ppm",
        ),
    ),
)
COVER = Block(
    model.CoverStep,
    "cover step",
    (Word("cover", PATH_NAME, "The pool that pays.", "cover: insurance/bets", "compartment"),),
)


@dataclass(frozen=True)
class StepForm:
    """One step of a waterfall: `own`, `{cover: pool}` or `{deleverage: pro_rata, class: […], cap: …}`."""

    words: str = "`own`, `{cover: …}` or `{deleverage: …, class: …, cap: …}`"
    cover: Block = COVER
    deleverage: Block = DELEVERAGE

    def read(self, reader: Reader, node: Node, path: Path) -> Any:
        """Read a step by its first word."""
        if isinstance(node, Scalar) and node.text == "own":
            return model.OwnStep()
        if isinstance(node, Table) and node.get("deleverage") is not None:
            return self.deleverage.read(reader, node, path)
        if isinstance(node, Table) and node.get("cover") is not None:
            return self.cover.read(reader, node, path)
        reader.fail("wrong-type", node.where, "this is no step of a waterfall", f"write {self.words}")
        return None

    def show(self, value: model.Step, decimals: Decimals, path: Path) -> Plain | None:
        """Write a step."""
        if isinstance(value, model.OwnStep):
            return "own"
        block = self.cover if isinstance(value, model.CoverStep) else self.deleverage
        return block.show(value, decimals, path)

    def schema(self) -> dict[str, Any]:
        """Describe the three steps."""
        return {"anyOf": [{"const": "own"}, self.cover.schema(), self.deleverage.schema()]}


WATERFALL = Block(
    model.Waterfall,
    "waterfall",
    (
        Word("for", PATHS, "Whose shortfall it bears.", 'for: ["client/{client}/bets"]', "covers"),
        Word(
            "steps",
            Many(StepForm()),
            "Who pays, in order; `own` is what the bucket itself has.",
            "steps: [own, {cover: insurance/bets}]",
        ),
        Word("last", PATH_NAME, "Who bears the rest.", "last: house/treasury"),
        Word("record", PLAIN_NAME, "The debt asset it is recorded as.", "record: USDC-debt"),
    ),
)

HALT = Block(
    model.Halt,
    "halt",
    (
        Word("needs", NEEDS, "Who may stop.", "needs: risk_key"),
        Word("lift", NEEDS, "Who may lift the stop.", 'lift: "2 of [officer_a, officer_b]"'),
    ),
)

ADOPTION = Block(
    model.Adoption,
    "adoption",
    (
        Word("needs", NEEDS, "Who may adopt another policy.", 'needs: "2 of [officer_a, officer_b]"'),
        Word("delay", LENGTH, "How long what widens waits.", "delay: 24 h", "delay_ns"),
        Word("cancel", NEEDS, "Who may cancel it meanwhile; any one of them.", "cancel: [officer_a]"),
    ),
)
