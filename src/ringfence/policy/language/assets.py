"""The words for what has value (assets, prices, instruments) and who is there (parties, entities, keys)."""

from typing import Any, get_args

from ringfence.kernel.instant import parse_duration, parse_instant, show_duration, show_instant
from ringfence.policy import model, phrases
from ringfence.policy.forms import PATH_NAME, PLAIN_NAME, Choice, Many, Phrase, Truth, Whole
from ringfence.policy.grammar import Block, Decimals, Path, Plain, Reader, Word
from ringfence.policy.source import Table
from ringfence.policy.value_forms import SHARE, AmountOf, Rows, show_amount

LENGTH = Phrase(
    "a length of time such as `30 s`, `4 h` or `1 d`", parse_duration, show_duration, "bad-duration"
)
PRICE = Phrase(
    'a plain decimal in quotes such as `"0.1"`', phrases.parse_price, phrases.show_price, "bad-amount"
)
INSTANT = Phrase(
    'a time in quotes such as `"2025-12-26T08:00:00Z"`', parse_instant, show_instant, "bad-duration"
)
NAMES = Many(PLAIN_NAME, may_stand_alone=True)
PATHS = Many(PATH_NAME, may_stand_alone=True)


# --- assets ------------------------------------------------------------------------------------


class HaircutRow(model.Model):
    """A row of a haircut as written: an amount with its asset, and the share not counted."""

    start: tuple[str, int]
    ppm: int


HAIRCUT_ROW = Block(
    HaircutRow,
    "row of a haircut",
    (
        Word("from", AmountOf(), "From this amount in one bucket on…", "from: 100 BTC", "start"),
        Word("rate", SHARE, "…this share of the value is not counted.", 'rate: "8 %"', "ppm"),
    ),
)


def _finish_asset(reader: Reader, node: Table, path: Path, fields: dict[str, Any]) -> None:
    haircut = fields.get("haircut")
    if isinstance(haircut, int):
        fields["haircut"] = (model.HaircutTier(floor_units=0, ppm=haircut),)
    elif haircut is not None:
        _refuse_other_asset(reader, node, [row.start[0] for row in haircut], path[-1], "haircut")
        fields["haircut"] = tuple(model.HaircutTier(floor_units=row.start[1], ppm=row.ppm) for row in haircut)
    cap = fields.get("debt_cap_units")
    if cap is not None:
        _refuse_other_asset(reader, node, [cap[0]], fields.get("debt_in", path[-1]), "cap")
        fields["debt_cap_units"] = cap[1]


def _refuse_other_asset(reader: Reader, node: Table, found: list[str], wanted: str, word: str) -> None:
    for asset in found:
        if asset != wanted:
            where = next((key.where for key, _ in node.entries if key.text == word), node.where)
            reader.fail("bad-amount", where, f"`{word}` counts in `{asset}`", f"count in `{wanted}`")
            return


def _show_haircut(asset: model.Asset, decimals: Decimals, path: Path) -> Plain | None:
    haircut = asset.haircut
    if not haircut:
        return None
    if len(haircut) == 1 and haircut[0].floor_units == 0:
        return phrases.show_share(haircut[0].ppm)
    rows = tuple(HaircutRow(start=(path[-1], tier.floor_units), ppm=tier.ppm) for tier in haircut)
    return HAIRCUT.show(rows, decimals, path)


def _show_debt_cap(asset: model.Asset, decimals: Decimals, path: Path) -> Plain | None:
    if asset.debt_cap_units is None:
        return None
    return show_amount(asset.debt_cap_units, asset.debt_in or path[-1], decimals)


HAIRCUT = Rows("a share such as `5 %`, or rows of `{from: 100 BTC, rate: 8 %}`", HAIRCUT_ROW, SHARE)

ASSET = Block(
    model.Asset,
    "asset",
    (
        Word("decimals", Whole(0, 36), "Digits after the point of one whole coin.", "decimals: 6"),
        Word(
            "haircut",
            HAIRCUT,
            "The share of the value that is not counted as collateral; rows where it grows with the amount. "
            "Without it the asset counts for nothing.",
            'haircut: "5 %"',
            show=_show_haircut,
        ),
        Word(
            "debt_in",
            PLAIN_NAME,
            "Makes the asset a debt: a positive liability in that coin, never a negative balance.",
            "debt_in: USDC",
        ),
        Word(
            "cap",
            AmountOf(),
            "The most of this debt that one compartment may owe.",
            "cap: 500000 USDC",
            "debt_cap_units",
            show=_show_debt_cap,
        ),
        Word(
            "interest",
            Phrase(
                "a yearly rate such as `8 % per year`",
                phrases.parse_interest,
                phrases.show_interest,
                "bad-share",
            ),
            "What this debt costs; of a coin, what it earns where a gate pays `interest` to it.",
            'interest: "8 % per year"',
            "interest_ppm_per_year",
        ),
        Word(
            "mirrors",
            PLAIN_NAME,
            "Makes the asset a credit whose units stand for units of that coin locked elsewhere.",
            "mirrors: USDC",
        ),
        Word(
            "price",
            PATH_NAME,
            "The price it is valued at; `index/<name>` where there is one of that name.",
            "price: index/BTC",
        ),
    ),
    _finish_asset,
)


# --- parties, entities, keys -------------------------------------------------------------------

PARTY = Block(
    model.Party,
    "party",
    (
        Word(
            "kind",
            Choice(get_args(model.Party.model_fields["kind"].annotation)),
            "What the party is to the platform.",
            "kind: client",
        ),
        Word("family", Truth(), "One party for each member, named `{client}` in names.", "family: true"),
        Word("members", NAMES, "Members that the policy itself names.", "members: [acme]"),
    ),
)

ENTITY = Block(
    model.Entity,
    "entity",
    (
        Word(
            "lei",
            Phrase("an LEI of 20 letters and digits", phrases.parse_lei, str, "bad-lei"),
            "Its legal entity identifier, with correct check digits.",
            "lei: 5493001KJTIIGC8Y1R12",
        ),
        Word("part_of", PLAIN_NAME, "The entity it belongs to.", "part_of: group"),
        Word("parties", NAMES, "Its parties; what they own is its own.", "parties: [house]"),
        Word(
            "compartments", PATHS, "Compartments that are its own whoever owns them.", "compartments: [fund]"
        ),
    ),
)

KEY = Block(
    model.Key,
    "key",
    (
        Word("per", PLAIN_NAME, "One key for each member of this family.", "per: client"),
        Word("held_by", PLAIN_NAME, "The party or service that holds it.", "held_by: risk"),
        Word("person", PLAIN_NAME, "The person who uses it.", "person: alice"),
        Word("host", PLAIN_NAME, "The machine it is on.", "host: laptop_a"),
        Word(
            "form",
            Choice(get_args(model.Key.model_fields["form"].annotation)),
            "A signature, or a bearer token or session: who ends one of those holds the key.",
            "form: signature",
        ),
        Word(
            "signs",
            Choice(get_args(model.Key.model_fields["signs"].annotation)),
            "`by_hand`: must be stolen; `on_evidence`: signs for anyone who meets the other terms.",
            "signs: by_hand",
        ),
    ),
)


# --- prices ------------------------------------------------------------------------------------


def _finish_price(reader: Reader, _node: Table, path: Path, fields: dict[str, Any]) -> None:
    agreement: phrases.Agreement = fields.pop("agree")
    fields.update(agree_count=agreement.wanted, agree_ppm=agreement.ppm)
    if agreement.total != len(fields["sources"]):
        found = f"`agree` speaks of {agreement.total} sources and {len(fields['sources'])} are listed"
        right = f"write `{agreement.wanted} of {len(fields['sources'])} within …`"
        reader.fail("price-quorum", reader.lines[(*path, "agree")], found, right)


def _show_agreement(price: model.PriceAuthority, _decimals: Decimals, _path: Path) -> Plain:
    agreement = phrases.Agreement(price.agree_count, len(price.sources), price.agree_ppm)
    return phrases.show_agreement(agreement)


PRICE_AUTHORITY = Block(
    model.PriceAuthority,
    "price",
    (
        Word("sources", Many(PLAIN_NAME), "Who says the price.", "sources: [v1, v2, v3]"),
        Word(
            "agree",
            Phrase(
                "an agreement such as `2 of 3 within 1 %`",
                phrases.parse_agreement,
                phrases.show_agreement,
                "bad-phrase",
            ),
            "How many must agree, and how closely.",
            'agree: "2 of 3 within 1 %"',
            show=_show_agreement,
            must=True,
        ),
        Word("stale", LENGTH, "A quote older than this does not count.", "stale: 30 s", "stale_ns"),
    ),
    _finish_price,
)


# --- instruments -------------------------------------------------------------------------------


class TierRow(model.Model):
    """A bracket as written: an amount with its asset, maintenance rate and highest leverage."""

    start: tuple[str, int]
    maintenance_ppm: int
    leverage_max: int


TIER_ROW = Block(
    TierRow,
    "bracket",
    (
        Word("from", AmountOf(), "From this notional on, in the quote asset…", "from: 300000 USDC", "start"),
        Word(
            "maintenance",
            SHARE,
            "…each further unit of notional needs this maintenance margin…",
            'maintenance: "0.5 %"',
            "maintenance_ppm",
        ),
        Word(
            "leverage", Whole(1, 1000), "…and this is the highest leverage.", "leverage: 100", "leverage_max"
        ),
    ),
)
TIERS = Rows(
    "rows of `{from: 0 USDC, maintenance: 1 %, leverage: 50}`, or a table's name", TIER_ROW, PLAIN_NAME
)

FEES = Block(
    model.Fees,
    "fees",
    (
        Word("taker", SHARE, "Fee of the side that takes, of notional.", 'taker: "0.055 %"', "taker_ppm"),
        Word(
            "maker",
            SHARE,
            "Fee of the side that was there first; negative is a rebate.",
            'maker: "-0.005 %"',
            "maker_ppm",
        ),
        Word(
            "liquidation",
            SHARE,
            "Penalty of a forced closure, of notional; goes to the bucket's own pool.",
            'liquidation: "0.5 %"',
            "liquidation_ppm",
        ),
    ),
)

FUNDING = Block(
    model.Funding,
    "funding",
    (
        Word("every", LENGTH, "How often funding is paid.", "every: 8 h", "interval_ns"),
        Word("cap", SHARE, "The highest rate of one interval, either way.", 'cap: "2 %"', "cap_ppm"),
    ),
)


def _finish_instrument(reader: Reader, node: Table, path: Path, fields: dict[str, Any]) -> None:
    fields.pop("like", None)
    tiers, quote, underlying = fields["tiers"], fields["quote"], fields["underlying"]
    size_e10, counted_in = fields.pop("contract")
    is_inverse = fields.get("payoff") == "inverse"
    if not is_inverse and counted_in != underlying:
        found = f"a linear contract is counted in `{counted_in}`"
        reader.fail("bad-amount", reader.lines[(*path, "contract")], found, f"count it in `{underlying}`")
    if is_inverse and counted_in != "USD":
        found = f"an inverse contract is counted in `{counted_in}`"
        reader.fail("bad-amount", reader.lines[(*path, "contract")], found, "count it in `USD`")
    _refuse_other_asset(reader, node, [row.start[0] for row in tiers], quote, "tiers")
    settlement_ns, settlement_price = fields.pop("settlement")
    fields.update(
        contract_size_e10=size_e10,
        settlement_ns=settlement_ns,
        settlement_price=settlement_price,
        index=fields.get("index", f"index/{underlying}"),
        tiers=tuple(
            model.Tier(
                floor_units=row.start[1], maintenance_ppm=row.maintenance_ppm, leverage_max=row.leverage_max
            )
            for row in tiers
        ),
    )


def _show_contract(instrument: model.Instrument, _decimals: Decimals, _path: Path) -> Plain:
    counted_in = "USD" if instrument.payoff == "inverse" else instrument.underlying
    return f"{phrases.show_price(instrument.contract_size_e10)} {counted_in}"


def _show_tiers(instrument: model.Instrument, decimals: Decimals, path: Path) -> Plain | None:
    rows = tuple(
        TierRow(
            start=(instrument.quote, tier.floor_units),
            maintenance_ppm=tier.maintenance_ppm,
            leverage_max=tier.leverage_max,
        )
        for tier in instrument.tiers
    )
    return TIERS.show(rows, decimals, path)


def _show_settlement(instrument: model.Instrument, _decimals: Decimals, _path: Path) -> Plain:
    return phrases.show_settlement(instrument.settlement_ns, instrument.settlement_price)


def _show_nothing(_value: Any, _decimals: Decimals, _path: Path) -> None:
    return None


_CONTRACT = Phrase(
    "a contract size such as `0.001 BTC`", phrases.parse_contract, lambda pair: str(pair), "bad-amount"
)
_SETTLEMENT = Phrase(
    "a cycle and a price such as `8 h at mark`",
    phrases.parse_settlement,
    lambda pair: phrases.show_settlement(*pair),
    "bad-duration",
)

INSTRUMENT = Block(
    model.Instrument,
    "instrument",
    (
        Word(
            "like",
            PLAIN_NAME,
            "Takes every word that is not written here from this instrument, which is written out in full.",
            "like: BTC-PERP",
            show=_show_nothing,
        ),
        Word(
            "kind",
            Choice(get_args(model.Instrument.model_fields["kind"].annotation)),
            "What is traded.",
            "kind: perpetual",
        ),
        Word(
            "payoff",
            Choice(get_args(model.Instrument.model_fields["payoff"].annotation)),
            "`linear`: value = contracts × size × price; `inverse`: contracts × size / price, in the coin.",
            "payoff: linear",
        ),
        Word("underlying", PLAIN_NAME, "The coin or symbol it follows.", "underlying: BTC"),
        Word("quote", PLAIN_NAME, "The asset it settles in.", "quote: USDC"),
        Word(
            "contract",
            _CONTRACT,
            "Size of one contract: in the underlying, or in USD for an inverse one.",
            "contract: 0.001 BTC",
            show=_show_contract,
            must=True,
        ),
        Word("tick", PRICE, "The smallest step of its price.", 'tick: "0.1"', "tick_e10"),
        Word(
            "tiers",
            TIERS,
            "Its brackets of maintenance margin and leverage, or the name of a table under `tiers`.",
            "tiers: large",
            show=_show_tiers,
            must=True,
        ),
        Word("fees", FEES, "What a fill costs.", 'fees: {taker: "0.055 %"}'),
        Word("funding", FUNDING, "Funding of a perpetual.", 'funding: {every: 8 h, cap: "2 %"}'),
        Word(
            "settlement",
            _SETTLEMENT,
            "How often positions are re-based and paid, and at which price.",
            "settlement: 8 h at mark",
            show=_show_settlement,
            must=True,
        ),
        Word(
            "price_band",
            SHARE,
            "A fill farther than this from the index is refused.",
            'price_band: "5 %"',
            "price_band_ppm",
        ),
        Word(
            "index",
            PATH_NAME,
            "Its index under `prices`; `index/<underlying>` otherwise.",
            "index: index/BTC",
            must=False,
        ),
        Word("expires", INSTANT, "When a future or option ends.", 'expires: "2025-12-26T08:00:00Z"'),
        Word("strike", PRICE, "Strike of an option.", 'strike: "120000"', "strike_e10"),
        Word("option", Choice(("call", "put")), "Which option it is.", "option: call"),
    ),
    _finish_instrument,
)
