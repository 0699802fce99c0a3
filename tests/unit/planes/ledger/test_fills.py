"""What one fill is judged by and what it books: forced closings that share a request, edges, lines."""

import msgspec
import pytest
from harbour import EVIDENCE, TEXT, USDC, Harbour, allow, e10

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.conditions import NO_CONDITIONS, ClosingFact, Conditions
from ringfence.planes.ledger.operations import Closing, Fill, Freeze

ALICE, BOB, CAROL = (f"client/{name}/directional" for name in ("alice", "bob", "carol"))
POOL, OTHER_POOL = "insurance/directional", "insurance/hedge"
ALLOWED = allow(ALICE, BOB, CAROL)


@pytest.fixture
def harbour():
    """Bob is short 10 contracts that alice is long, at 100,000."""
    harbour = Harbour()
    for member in ("alice", "bob", "carol"):
        harbour.fund(member, "directional", 100 * USDC)
    harbour.price("BTC", 100_000)
    harbour.trade(ALICE, BOB, 10, 100_000)
    return harbour


def forced(contracts, **words):
    """What margin says: bob may be closed by force, and carol may trade."""
    return Conditions(trade={CAROL: 0}, closing={BOB: {"BTC-PERP": ClosingFact(contracts, **words)}})


def liquidation(harbour, contracts, price=100_000, bucket=BOB):
    sell = harbour.order(CAROL, "sell", contracts, price)
    return Fill("BTC-PERP", contracts, e10(price), Closing(bucket, "liquidation"), sell)


def fill_of(harbour, buy, sell, contracts=1, price=100_000):
    return harbour.request(Fill("BTC-PERP", contracts, e10(price), buy, sell), *EVIDENCE)


def refusal(harbour, request, conditions=NO_CONDITIONS):
    decision = harbour.do(request, conditions).decision
    assert isinstance(decision, Refused), decision
    return decision


# --- forced closings that share a request ------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "leg"), [((4,), None), ((2, 1, 1), None), ((5,), 0), ((2, 3), 1), ((2, 1, 2), 2)]
)
def test_every_forced_closing_of_a_request_counts_against_what_margin_asks_for(harbour, parts, leg):
    links = [liquidation(harbour, part) for part in parts]
    found = harbour.do(harbour.request(links, *EVIDENCE), forced(4)).decision
    if leg is None:
        assert not isinstance(found, Refused), found
    else:
        assert (found.reason, found.leg) == (Reason.ENTITLEMENT_EXCEEDED, leg)


@pytest.mark.parametrize("penalty_max", [0, 1_500_000, 3_500_000, 4_000_000])
def test_penalties_of_a_request_are_cut_together_to_what_margin_allows(harbour, penalty_max):
    """One percent of 100 USDC for each contract, as far as that goes."""
    links = [liquidation(harbour, part) for part in (2, 1, 1)]
    harbour.move(links, *EVIDENCE, conditions=forced(4, penalty_max=penalty_max))
    assert harbour.state.owed("liquidation_surplus", BOB, POOL, "USDC") == penalty_max


def test_a_takeover_costs_no_penalty_and_a_sale_stands_beside_it_where_margin_says_what_it_costs(harbour):
    take = Fill("BTC-PERP", 4, e10(110_000), Closing(BOB, "takeover"), Closing(POOL, "takeover"))
    both = [take, liquidation(harbour, 1)]
    passes = forced(5, price_e10=e10(110_000), penalty_max=None)
    refused = refusal(harbour, harbour.request(both, *EVIDENCE), passes)
    line = harbour.state.rules.place(BOB).rule.line
    assert (refused.reason, refused.rule) == (Reason.TAKEOVER_IS_DUE, line)
    harbour.move(both, *EVIDENCE, conditions=forced(5, price_e10=e10(110_000), penalty_max=500_000))
    assert harbour.state.owed("liquidation_surplus", BOB, POOL, "USDC") == 500_000


def test_a_deleveraging_leaves_the_whole_penalty_of_a_sale_beside_it(harbour):
    """Nobody who is deleveraged pays a penalty for that."""
    closing = {
        BOB: {"BTC-PERP": ClosingFact(10, e10(110_000))},
        ALICE: {"BTC-PERP": ClosingFact(10, penalty_max=500_000)},
    }
    shared = Fill("BTC-PERP", 4, e10(110_000), Closing(BOB, "deleveraging"), Closing(ALICE, "deleveraging"))
    buy = harbour.order(CAROL, "buy", 1, 100_000)
    sale = Fill("BTC-PERP", 1, e10(100_000), buy, Closing(ALICE, "liquidation"))
    harbour.move([shared, sale], *EVIDENCE, conditions=Conditions(trade={CAROL: 0}, closing=closing))
    assert harbour.state.owed("liquidation_surplus", ALICE, POOL, "USDC") == 500_000


@pytest.mark.parametrize(("taker", "ppm"), [("0.0001 %", 1), ("0 %", 0)])
def test_the_smallest_fee_is_charged(taker, ppm):
    harbour = Harbour(TEXT.replace('taker: "0.05 %", maker: "-0.01 %"', f'taker: "{taker}", maker: "0 %"', 1))
    for member in ("alice", "bob"):
        harbour.fund(member, "directional", 100 * USDC)
    harbour.price("BTC", 100_000)
    harbour.trade(ALICE, BOB, 1, 100_000)
    assert harbour.state.all_owed() == ({("fees", ALICE, "house/fees", "USDC"): 100} if ppm else {})


# --- edges -------------------------------------------------------------------------------------


def test_a_closing_whose_request_was_forged_says_so(harbour):
    request = harbour.request(liquidation(harbour, 1), *EVIDENCE)
    forged = msgspec.structs.replace(request, reason="other words")
    assert harbour.refuses(forged, forced(1)) == Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(("contracts", "reason"), [(1, None), (2, Reason.BALANCE_TOO_LARGE)])
def test_contracts_fill_a_running_total_to_its_end(harbour, contracts, reason):
    harbour.state.ledger.tables.balances[CAROL, "BTC-PERP"] = (2**128 - 2, 2**128 - 2)
    buy = harbour.order(ALICE, "buy", 2, 100_000)
    request = fill_of(harbour, buy, harbour.order(CAROL, "sell", 2, 100_000), contracts)
    found = harbour.do(request, ALLOWED).decision
    assert (found.reason if isinstance(found, Refused) else None) == reason
    if reason:
        assert found.words == f"{CAROL}: a total of BTC-PERP would pass 2^128 - 1"


def test_the_most_contracts_are_not_too_many_in_themselves(harbour):
    buy, sell = harbour.order(ALICE, "buy", 1, 1), harbour.order(CAROL, "sell", 1, 1)
    assert refusal(harbour, fill_of(harbour, buy, sell, UNITS_MAX), ALLOWED).reason != Reason.AMOUNT_TOO_LARGE


def test_without_clearing_nothing_is_traded(harbour):
    harbour.obey(clearing=None)
    buy, sell = harbour.order(ALICE, "buy", 1, 100_000), harbour.order(CAROL, "sell", 1, 100_000)
    refused = refusal(harbour, fill_of(harbour, buy, sell), ALLOWED)
    assert (refused.reason, refused.words) == (
        Reason.NO_GATE_BETWEEN_COMPARTMENTS,
        "the policy declares no clearing to trade through",
    )


@pytest.mark.parametrize("cause", ["takeover", "deleveraging", "liquidation"])
@pytest.mark.parametrize("price", [0.0, 110_000.0])
def test_a_forced_side_that_is_nowhere_is_refused_for_that(harbour, cause, price):
    fact = {"BTC-PERP": ClosingFact(1, e10(price))}
    facts = Conditions(closing={BOB: fact, "moon/x": fact})
    for sides in ((BOB, "moon/x"), ("moon/x", BOB)):
        request = fill_of(harbour, *(Closing(side, cause) for side in sides), price=110_000)
        assert refusal(harbour, request, facts).reason == Reason.COMPARTMENT_UNKNOWN


def test_two_stated_prices_are_both_named(harbour):
    closing = {
        BOB: {"BTC-PERP": ClosingFact(1, e10(110_000))},
        ALICE: {"BTC-PERP": ClosingFact(1, e10(120_000))},
    }
    request = fill_of(harbour, Closing(BOB, "deleveraging"), Closing(ALICE, "deleveraging"))
    refused = refusal(harbour, request, Conditions(closing=closing))
    assert (refused.reason, refused.words) == (
        Reason.PRICE_OUTSIDE_BAND,
        "100000 is not the bankruptcy price 110000 and 120000",
    )


# --- where a refusal points --------------------------------------------------------------------


def buys(bucket):
    return lambda h: h.order(bucket, "buy", 1, 100_000)


def closes(bucket, cause="liquidation"):
    return lambda _: Closing(bucket, cause)


LINES = {
    "an order of what trades nothing": (
        buys("client/alice/cash"),
        Reason.TRADE_NOT_ALLOWED,
        "client/alice/cash may not trade BTC-PERP",
        "compartments/client/{client}/cash",
    ),
    "a closing of what holds nothing": (
        closes("client/alice/cash"),
        Reason.TRADE_NOT_ALLOWED,
        "client/alice/cash holds no BTC-PERP",
        "compartments/client/{client}/cash",
    ),
    "a closing of what margin has not named": (
        closes(BOB),
        Reason.CONDITION_NOT_MET,
        f"margin does not ask for a liquidation of {BOB}",
        "compartments/client/{client}/directional",
    ),
    "a closing that would make it larger": (
        closes(ALICE),
        Reason.REDUCE_ONLY,
        f"a liquidation may only reduce the position of 10 in {ALICE}",
        "compartments/client/{client}/directional",
    ),
    "an order that margin was not asked about": (
        buys("client/bob/hedge"),
        Reason.CONDITION_NOT_MET,
        "margin did not judge the fills of client/bob/hedge",
        "compartments/client/{client}/hedge",
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_a_refused_side_points_at_the_line_of_its_compartment(harbour, name):
    side, reason, words, where = LINES[name]
    may_close = {ALICE: {"BTC-PERP": ClosingFact(1)}}
    request = fill_of(harbour, side(harbour), harbour.order(CAROL, "sell", 1, 100_000))
    refused = refusal(harbour, request, Conditions(trade={CAROL: 0}, closing=may_close))
    section, _, pattern = where.partition("/")
    line = harbour.state.rules.policy.line(section, pattern)
    assert (refused.reason, refused.words, refused.rule) == (reason, words, line)


def test_a_halted_bucket_points_at_its_line(harbour):
    harbour.must(Freeze(f"compartment/{CAROL}", "drill", kind="reduce_only"))
    buy, sell = harbour.order(ALICE, "buy", 1, 100_000), harbour.order(CAROL, "sell", 1, 100_000)
    refused = refusal(harbour, fill_of(harbour, buy, sell), ALLOWED)
    line = harbour.state.rules.place(CAROL).rule.line
    assert (refused.reason, refused.rule) == (Reason.REDUCE_ONLY, line)


@pytest.mark.parametrize(
    ("failed", "bearer", "cause", "line"),
    [(BOB, OTHER_POOL, "takeover", "directional"), (OTHER_POOL, POOL, "takeover", "")],
)
def test_who_is_not_named_by_a_waterfall_is_told_its_line(harbour, failed, bearer, cause, line):
    facts = Conditions(closing={failed: {"BTC-PERP": ClosingFact(1, e10(110_000))}})
    request = fill_of(harbour, Closing(failed, cause), Closing(bearer, cause), price=110_000)
    refused = refusal(harbour, request, facts)
    assert (refused.reason, refused.words, refused.rule) == (
        Reason.WATERFALL_DOES_NOT_NAME_IT,
        f"the waterfall of {failed} has no {cause} by {bearer}",
        harbour.state.rules.waterfalls[line].line if line else "",
    )
