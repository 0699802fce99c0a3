"""Who pays what a bucket cannot: how a payment is spread over what is owed, to the unit."""

import pytest
from harbour import TEXT, Harbour, rules_of

from ringfence.planes.ledger.shortfall import (
    PAYABLE,
    bears,
    coins_of,
    has_coins,
    pay_for,
    pay_shortfall,
    payable_units,
    pools_of,
    shortfall_units,
)

BET, BOB, POOL = "client/alice/directional", "client/bob/directional", "insurance/directional"
TREASURY, FEES = "house/treasury", "house/fees"


@pytest.fixture
def harbour():
    return Harbour()


def owe(tables, bucket, *units):
    for accrual, part in zip(PAYABLE, units, strict=False):
        tables.owe((accrual, bucket, "clearing", "USDC"), part)


@pytest.mark.parametrize(
    ("units", "paid", "left"),
    [(0, 0, [5, 7]), (4, 4, [1, 7]), (5, 5, [0, 7]), (6, 6, [0, 6]), (12, 12, [0, 0]), (13, 12, [0, 0])],
)
def test_one_word_is_paid_after_the_other(harbour, units, paid, left):
    tables = harbour.state.ledger.tables
    owe(tables, BET, 5, 7)
    assert pay_for(tables, BET, "clearing", "USDC", units) == paid
    assert [tables.owed.get((word, BET, "clearing", "USDC"), 0) for word in PAYABLE[:2]] == left
    assert payable_units(tables, BET, "clearing", "USDC") == 12 - paid


@pytest.mark.parametrize(
    ("units", "left_over", "own", "others"),
    [
        (3, 0, 1, [10, 20]),
        (4, 0, 0, [10, 20]),
        (7, 0, 0, [9, 18]),
        (34, 0, 0, [0, 0]),
        (35, 1, 0, [0, 0]),
    ],
)
def test_a_pool_pays_its_own_first_and_then_for_all_in_proportion(harbour, units, left_over, own, others):
    rules, tables = harbour.state.rules, harbour.state.ledger.tables
    pool, owing = rules.place(POOL), [rules.place(BET), rules.place(BOB)]
    tables.owe(("shortfall", POOL, "clearing", "USDC"), 4)
    owe(tables, BET, 10)
    owe(tables, BOB, 20)
    assert shortfall_units(rules, tables, pool, "clearing", "USDC", owing) == 34
    assert pay_shortfall(rules, tables, pool, "clearing", "USDC", units, owing) == left_over
    assert tables.owed.get(("shortfall", POOL, "clearing", "USDC"), 0) == own
    assert [payable_units(tables, path, "clearing", "USDC") for path in (BET, BOB)] == others


def test_a_pool_pays_for_nobody_who_has_coins_left(harbour):
    rules, tables = harbour.state.rules, harbour.state.ledger.tables
    bet = rules.place(BET)
    owe(tables, BET, 10)
    assert not has_coins(rules, tables, bet)
    tables.move("outside", BET, "USDC", 1)
    assert has_coins(rules, tables, bet)
    assert shortfall_units(rules, tables, rules.place(POOL), "clearing", "USDC", [bet]) == 0


def test_coins_are_what_a_compartment_accepts_without_debts(harbour):
    rules = harbour.state.rules
    assert list(coins_of(rules, rules.place("client/alice/hedge"))) == ["BTC", "ETH", "USDC"]
    assert list(coins_of(rules, rules.place(BET))) == ["USDC"]
    assert list(coins_of(rules, rules.place("outside"))) == ["BTC", "ETH", "USDC"]


@pytest.mark.parametrize("units", [0, 3, 30])
def test_a_pool_that_took_nothing_over_pays_for_others_only(harbour, units):
    rules, tables = harbour.state.rules, harbour.state.ledger.tables
    owe(tables, BET, 0, 30)
    assert pay_shortfall(rules, tables, rules.place(POOL), "clearing", "USDC", units, [rules.place(BET)]) == 0
    assert payable_units(tables, BET, "clearing", "USDC") == 30 - units
    assert pay_for(tables, BET, "clearing", "USDC", 31) == 30 - units
    assert tables.owed == {}


@pytest.mark.parametrize(
    ("payer", "bucket", "is_turn"),
    [
        (POOL, BET, True),
        ("insurance/hedge", BET, False),
        (FEES, BET, False),
        # Whoever stands last pays for a bucket against a debt only, which another rule judges.
        (TREASURY, BET, False),
        # And it pays for its pools, not for anybody else.
        (TREASURY, POOL, True),
        (TREASURY, FEES, False),
        (FEES, POOL, False),
        ("insurance/hedge", POOL, False),
    ],
)
def test_whose_turn_it_is_to_pay(harbour, payer, bucket, is_turn):
    rules, tables = harbour.state.rules, harbour.state.ledger.tables
    ends = (rules.place(payer), rules.place(bucket))
    owe(tables, bucket, 7)
    assert bears(rules, tables, *ends, "USDC") is is_turn
    assert shortfall_units(rules, tables, ends[0], "clearing", "USDC", [ends[1]]) == 7 * is_turn
    # Nobody pays for whoever can.
    harbour.endow(bucket, 1)
    assert not bears(rules, tables, *ends, "USDC")
    assert shortfall_units(rules, tables, ends[0], "clearing", "USDC", [ends[1]]) == 0
    assert pay_shortfall(rules, tables, ends[0], "clearing", "USDC", 7, [ends[1]]) == 7


def test_a_pool_of_a_family_pays_for_its_own_member():
    text = TEXT.replace("cover: insurance/directional", 'cover: "insurance/{client}"', 1)
    text = text.replace(
        "[insurance/directional, insurance/hedge], to: clearing",
        '["insurance/{client}", insurance/hedge], to: clearing',
        1,
    )
    text = text.replace(
        "  insurance/hedge:",
        '  "insurance/{client}": {owner: house, role: insurance, accepts: [USDC]}\n  insurance/hedge:',
        1,
    )
    rules = rules_of(text)
    assert pools_of(rules.place(BET)) == ("insurance/alice",)
    assert pools_of(rules.place(TREASURY)) == ()
