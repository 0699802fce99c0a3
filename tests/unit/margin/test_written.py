"""A bucket written as JSON: read exactly, and what cannot be meant refused with where and why."""

import pytest
from margins import BTC, USDC, e10, terms

from ringfence.kernel.errors import BadInput
from ringfence.margin.bucket import Bucket, Position, RestingOrder
from ringfence.margin.marks import Prices
from ringfence.margin.written import CHARACTERS_MAX, parse_bucket

GOOD = """{
  "mode": "isolated",
  "balances": {"USDC": "2000.5", "BTC": "0.1", "USDC-debt": "7"},
  "positions": [{"instrument": "BTC-PERP", "contracts": -1000, "entry": "60000"},
                {"instrument": "ETH-PERP", "contracts": 0, "session_value": "-12.25"}],
  "orders": [{"instrument": "BTC-PERP", "contracts": -500, "limit": "61000.1"}],
  "marks": {"BTC-PERP": "60000.1"},
  "prices": {"BTC": "60000"}
}"""


def test_a_bucket_is_read_exactly() -> None:
    bucket, prices = parse_bucket(GOOD, terms(), "bob.json")
    assert bucket == Bucket(
        "isolated",
        {"USDC": 2_000 * USDC + 500_000, "BTC": BTC // 10, "USDC-debt": 7 * USDC},
        (Position("BTC-PERP", -1_000, -60_000 * USDC), Position("ETH-PERP", 0, -12_250_000)),
        (RestingOrder("BTC-PERP", -500, e10("61000.1")),),
    )
    assert prices == Prices({"BTC": e10(60_000)}, {"BTC-PERP": e10("60000.1")})


def test_only_balances_must_be_there() -> None:
    assert parse_bucket('{"balances": {}}', terms(), "x")[0] == Bucket("cross", {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "x: Expecting value"),
        ("[]", "x: Expected `object`"),
        ("{}", "missing required field `balances`"),
        ('{"balances": {}, "leverage": 5}', "unknown field `leverage`"),
        ('{"balances": {"USDC": "1", "USDC": "2"}}', "'USDC' was written twice"),
        ('{"balances": {"USDC": 1.5}}', "Expected `str`, got `float`"),
        ('{"balances": {"USDC": "1e3"}}', "x: USDC: '1e3' is not a plain decimal"),
        ('{"balances": {"USDC": "0.0000001"}}', "at most 6 are possible"),
        ('{"balances": {"USDC": "-1"}}', "what is owed is a debt asset"),
        ('{"balances": {"DOGE": "1"}}', "DOGE is no coin or debt"),
        ('{"balances": {}, "mode": "portfolio"}', "Invalid enum value 'portfolio'"),
        ('{"balances": {}, "marks": {"BTC-PERP": "0"}}', "price of BTC-PERP was 0"),
        (
            '{"balances": {}, "positions": [{"instrument": "X", "contracts": 1, "entry": "1"}]}',
            "X is no perp",
        ),
        ('{"balances": {}, "positions": [{"instrument": "BTC-PERP", "contracts": 1}]}', "one of them"),
        (
            '{"balances": {}, "positions": [{"instrument": "BTC-PERP", "contracts": 1, "entry": "1", '
            '"session_value": "1"}]}',
            "one of them",
        ),
        (
            '{"balances": {}, "positions": [{"instrument": "BTC-PERP", "contracts": 1, "entry": "1"}, '
            '{"instrument": "BTC-PERP", "contracts": 1, "entry": "1"}]}',
            "has two positions",
        ),
        ("[" * 100_000, "nested too deep"),
        (" " * (CHARACTERS_MAX + 1), "at most 1000000"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_bucket(text, terms(), "x")
