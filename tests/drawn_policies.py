"""Policies drawn at random: every word of the language, valued within what its form can say."""

from hypothesis import strategies as st

from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.policy import model
from ringfence.policy.language.walls import ACCRUALS
from ringfence.policy.phrases import LENGTH_OF_CONDITION

WORDS = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "USDC",
    "BTC",
    "1000PEPE",
    "on",
    "no",
    "null",
    "1e5",
    "a.b-c_d",
    "7",
)
NAMES = st.sampled_from(WORDS)
PATHS = st.sampled_from(
    ("cash", "client/{client}/cash", "client/{a}/hedge", "pool/x", "client/acme/vault", "no", "1/2")
)
LENGTHS = st.sampled_from((1_000_000, 30_000_000_000, HOUR_NS, 90 * HOUR_NS, DAY_NS, 30 * DAY_NS))
UNITS = st.one_of(st.integers(0, 10), st.integers(0, 2**127 - 1))
PPM = st.integers(0, 1_000_000)
TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn", "Zl", "Zp"), exclude_characters="\ufeff"),
    min_size=1,
    max_size=20,
)


def some(item, least=0, most=2):
    return st.lists(item, min_size=least, max_size=most, unique_by=repr).map(tuple)


def by_name(value, least=0, most=2, name=NAMES):
    return st.dictionaries(name, value, min_size=least, max_size=most)


def maybe(value):
    return st.none() | value


WINDOWS = st.builds(model.Window, kind=st.sampled_from(("fixed", "refill", "rolling")), length_ns=LENGTHS)
CAPS = st.builds(model.Cap, units=UNITS, window=WINDOWS)
KEY_NEEDS = st.builds(
    model.KeyNeed,
    key=st.sampled_from(("client_key", "officer_a", "7")),
    member=st.sampled_from((None, "{a}", "acme")),
)
NEED = st.recursive(
    KEY_NEEDS,
    lambda inner: st.builds(model.Quorum, count=st.integers(1, 99), of=some(inner, 1)),
    max_leaves=4,
)
NEEDS = some(NEED, 1)
CONDITIONS = st.sampled_from(tuple(LENGTH_OF_CONDITION)).flatmap(
    lambda word: st.builds(
        model.Condition,
        word=st.just(word),
        length_ns={True: LENGTHS, False: st.none(), None: maybe(LENGTHS)}[LENGTH_OF_CONDITION[word]],
    )
)
BANDS = st.builds(model.Band, ppm=PPM, of=st.sampled_from(("index", "mark")))
HAIRCUTS = some(st.builds(model.HaircutTier, floor_units=UNITS, ppm=PPM))
PRICES = st.builds(
    model.PriceAuthority,
    sources=some(NAMES, 1),
    agree_count=st.integers(1, 9),
    agree_ppm=PPM,
    stale_ns=LENGTHS,
)
PRICE_E10 = st.integers(1, 10**22)
TIERS = some(
    st.builds(model.Tier, floor_units=UNITS, maintenance_ppm=PPM, leverage_max=st.integers(1, 1000)), 1
)
FEES = st.builds(model.Fees, taker_ppm=PPM, maker_ppm=st.integers(-1_000_000, 1_000_000), liquidation_ppm=PPM)
LIMITS = st.deferred(
    lambda: st.builds(
        model.Limits,
        each_transfer=by_name(UNITS, name=ASSET_NAMES),
        each=by_name(CAPS, name=ASSET_NAMES),
        all=by_name(CAPS, name=ASSET_NAMES),
        valued_in=maybe(NAMES),
    )
)
ASSET_NAMES = st.sampled_from(("USDC", "BTC", "on"))
PLANES = some(st.sampled_from(("ledger", "vault")), 1)


def assets():
    coin = st.builds(
        model.Asset,
        decimals=st.integers(0, 36),
        haircut=HAIRCUTS,
        price=maybe(st.just("index/x")),
        mirrors=maybe(NAMES),
    )
    debt = st.builds(
        model.Asset,
        decimals=st.just(6),
        debt_in=st.just("USDC"),
        debt_cap_units=maybe(UNITS),
        interest_ppm_per_year=maybe(PPM),
    )
    coins = st.fixed_dictionaries({"BTC": coin, "on": coin})
    stable = st.builds(model.Asset, decimals=st.just(6), haircut=HAIRCUTS)
    return st.builds(lambda rest, usdc, owed: {**rest, "USDC": usdc, "USDC-debt": owed}, coins, stable, debt)


def instruments():
    kinds = st.sampled_from(("perpetual", "future", "option"))
    return st.builds(
        model.Instrument,
        kind=kinds,
        payoff=st.sampled_from(("linear", "inverse")),
        underlying=NAMES,
        quote=ASSET_NAMES,
        contract_size_e10=PRICE_E10,
        tick_e10=PRICE_E10,
        tiers=TIERS,
        fees=FEES,
        funding=maybe(st.builds(model.Funding, interval_ns=LENGTHS, cap_ppm=PPM)),
        settlement_ns=LENGTHS,
        settlement_price=st.sampled_from(("mark", "index")),
        price_band_ppm=PPM,
        index=st.sampled_from(("index/x", "x")),
        expires=maybe(st.integers(0, 4 * 10**18).map(Instant)),
        strike_e10=maybe(PRICE_E10),
        option=st.sampled_from((None, "call", "put")),
    )


def compartments():
    limits = st.builds(
        model.BucketLimits,
        leverage=maybe(st.integers(1, 1000)),
        drawdown_ppm=maybe(PPM),
        daily_loss=by_name(UNITS, name=ASSET_NAMES),
    )
    return st.builds(
        model.Compartment,
        kind=st.sampled_from(("internal", "external")),
        owner=maybe(NAMES),
        role=st.sampled_from((None, "client_money", "collateral", "custody", "escrow")),
        accepts=some(NAMES),
        vault=st.sampled_from((None, "own", "shared")),
        margin=st.sampled_from((None, "isolated", "cross", "portfolio")),
        strategy=maybe(NAMES),
        goal=maybe(NAMES),
        risk_profile=maybe(NAMES),
        limits=maybe(limits),
        trade=maybe(st.builds(model.Trade, needs=NEEDS, instruments=maybe(some(NAMES)))),
        must_net_to=st.sampled_from((None, "zero")),
        takes_over=st.one_of(st.none(), st.just("all"), some(NAMES, 1)),
        pinned=st.booleans(),
        cooling_ns=maybe(LENGTHS),
        entity=maybe(NAMES),
        member=maybe(NAMES),
    )


WAY_WORDS = {
    "needs": NEEDS,
    "on": PLANES,
    "limit": LIMITS,
    "accrual": some(st.sampled_from(ACCRUALS)),
    "computed_by": some(NAMES),
    "standing": maybe(KEY_NEEDS),
    "when": some(CONDITIONS),
    "delay_ns": maybe(LENGTHS),
    "cancel": some(NEED),
    "crosses_entities": st.booleans(),
}


def gates():
    asked = st.sampled_from((None, "required", "optional"))
    return st.builds(
        model.Gate,
        sources=some(PATHS, 1),
        targets=some(PATHS, 1),
        both_ways=st.booleans(),
        assets=some(NAMES),
        reason=asked,
        reverses=asked,
        **WAY_WORDS,
    )


def exchanges():
    return st.builds(
        model.Exchange,
        legs=some(st.builds(model.LegPattern, source=PATHS, target=PATHS)),
        assets=maybe(some(NAMES)),
        price=maybe(BANDS),
        **WAY_WORDS,
    )


def waterfalls():
    step = st.one_of(
        st.builds(model.OwnStep),
        st.builds(model.CoverStep, compartment=PATHS),
        st.builds(
            model.DeleverageStep,
            method=st.sampled_from(("pro_rata", "queue")),
            classes=some(PATHS, 1),
            cap_ppm=PPM,
        ),
    )
    return st.builds(
        model.Waterfall, covers=some(PATHS, 1), steps=some(step), last=maybe(PATHS), record=maybe(NAMES)
    )


def thresholds():
    return st.builds(
        model.Thresholds,
        free_ppm=PPM,
        warn_ppm=PPM,
        call=st.builds(model.CallLevel, at_ppm=PPM, cure_ns=LENGTHS),
        reduce_only_ppm=PPM,
        liquidate_ppm=PPM,
        stop_at_ppm=PPM,
    )


SELECTORS = st.one_of(
    st.builds(
        model.Selector,
        by=st.just("name"),
        text=st.sampled_from(("client/{a}/*", "**", "client/**", "outside", "no", "client/acme/cash")),
    ),
    st.builds(model.Selector, by=st.sampled_from(("owner", "role")), text=NAMES),
)
JOURNEYS = st.builds(
    model.Journey,
    source=SELECTORS,
    target=SELECTORS | st.just(model.Selector(by="anywhere", text="")),
)


def claims():
    members = by_name(NAMES, name=st.sampled_from(("a", "b")))
    attack = {
        "members": members,
        "compromised": some(st.sampled_from(("risk", "client_key/{a}", "on")), 1),
        "mode": st.sampled_from(("contained", "pivot")),
        "planes": PLANES,
    }
    caps = by_name(CAPS, least=1, name=ASSET_NAMES)
    bound = st.builds(model.AtMost, caps=caps) | st.builds(model.AtMost, zero_window=WINDOWS)
    loss = st.builds(model.TradingLoss, scope=st.sampled_from(("each", "all")), caps=caps)
    return st.one_of(
        st.builds(
            model.Claim,
            kind=st.just("never"),
            members=members,
            journey=JOURNEYS,
            exceptions=some(NAMES),
            without=some(st.sampled_from(("client_key", "client_key/{a}", "no"))),
        ),
        st.builds(model.Claim, kind=st.just("moves"), journey=JOURNEYS, at_most=bound, **attack),
        st.builds(model.Claim, kind=st.just("trading"), trading_loss=loss, **attack),
        st.builds(
            model.Claim,
            kind=st.just("fewest"),
            members=members,
            journey=JOURNEYS,
            count=st.sampled_from(("keys", "services", "keys_and_services")),
            planes=PLANES,
            at_least=st.integers(1, 1000),
        ),
    )


def policies() -> st.SearchStrategy[model.Policy]:
    """Draw a whole policy; it can be written, but it need not make sense."""
    return st.builds(
        model.Policy,
        ringfence=st.just(1),
        name=NAMES,
        numeraire=st.just("USDC"),
        assets=assets(),
        parties=by_name(
            st.builds(
                model.Party,
                kind=st.sampled_from(("client", "affiliate", "house", "custodian", "venue", "attestor")),
                family=st.booleans(),
                members=some(NAMES),
            )
        ),
        entities=by_name(
            st.builds(
                model.Entity,
                lei=st.sampled_from((None, "999900NRTHLGHTGRP063")),
                part_of=maybe(NAMES),
                parties=some(NAMES),
                compartments=some(PATHS),
            )
        ),
        keys=by_name(
            st.builds(
                model.Key,
                per=maybe(NAMES),
                held_by=maybe(NAMES),
                person=maybe(NAMES),
                host=maybe(NAMES),
                form=st.sampled_from(("signature", "bearer", "session")),
                signs=st.sampled_from(("by_hand", "on_evidence")),
            )
        ),
        prices=by_name(PRICES, name=st.sampled_from(("x", "index/x"))),
        instruments=by_name(instruments(), name=st.sampled_from(("BTC-PERP", "7-PERP", "no"))),
        compartments=by_name(compartments(), name=PATHS),
        thresholds=maybe(thresholds()),
        gates=by_name(gates()),
        exchanges=by_name(exchanges()),
        waterfalls=by_name(waterfalls()),
        halts=by_name(
            st.builds(model.Halt, needs=NEEDS, lift=NEEDS),
            name=st.sampled_from(("freeze", "withdrawals", "cancel_only", "reduce_only", "stop")),
        ),
        adoption=maybe(st.builds(model.Adoption, needs=NEEDS, delay_ns=maybe(LENGTHS), cancel=some(NEED))),
        zones=some(NAMES),
        externals=some(NAMES),
        services=by_name(
            st.builds(
                model.Service,
                zone=NAMES,
                identity=TEXT,
                holds=some(NAMES),
                carries=some(NAMES),
                uid=maybe(st.integers(1, 2**31)),
            )
        ),
        flows=some(
            st.builds(
                model.Flow,
                sources=some(NAMES, 1),
                targets=some(NAMES, 1),
                port=st.integers(1, 65_535),
                protocol=st.sampled_from(("tcp", "udp")),
                purpose=maybe(TEXT),
            )
        ),
        claims=by_name(claims()),
    )
