"""`ringfence margin`: every command answers in text and in JSON, from a file and from a book."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from harbour import NOON, USDC, Harbour, policy_of
from typer.testing import CliRunner

from ringfence import wiring
from ringfence.cli import book_reading
from ringfence.cli.margin import app
from ringfence.kernel.errors import BadInput, UsageError

BUCKET = """{
  "balances": {"USDC": "2000", "BTC": "0.5", "USDC-debt": "100"},
  "positions": [{"instrument": "BTC-PERP", "contracts": 3000, "entry": "60000"}],
  "marks": {"BTC-PERP": "59000.1"}, "prices": {"BTC": "59000"}
}"""


@pytest.fixture
def written(tmp_path: Path) -> list[str]:
    path = tmp_path / "bob.json"
    path.write_text(BUCKET)
    return ["--policy", "venue", "--bucket", str(path)]


def run(*words: str) -> str:
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def answer(*words: str) -> dict:
    return json.loads(run(*words, "--json"))


def test_tiers_show_the_derived_deduction() -> None:
    rows = answer("tiers", "venue", "BTC-PERP")["tiers"]
    assert rows[2] == {"from": "800000 USDC", "maintenance": "0.65 %", "leverage": 75, "cum": "1500 USDC"}
    assert "421482000 USDC" in run("tiers", "venue", "BTC-PERP")
    assert answer("tiers", "venue", "BTC-USD-PERP")["tiers"][1]["cum"] == "0.005 BTC"


def test_explain_shows_every_term_and_the_terms_add_up(written: list[str]) -> None:
    found = answer("explain", *written)
    assert found["equity"] == "26925.3"
    assert [coin["value"] for coin in found["coins"]] == ["-1099.7", "28025"]
    (position,) = found["positions"]
    assert (position["notional"], position["maintenance_rate"], position["cum"]) == ("177000.3", "0.4 %", "0")
    assert (position["maintenance"], position["initial"]) == ("708.0012", "1180.002")
    assert found["state"] == "free"
    assert found["states"][-1] == {"state": "liquidate", "below": "100 %", "equity": "708.0012"}
    assert found["releasable"]["USDC"] == "1900"
    assert not found["is_neutral"]
    text = run("explain", *written)
    assert "maintenance 708.0012 = 177000.3 x 0.4 % - 0" in text
    assert "releasable: 1900 USDC" in text


def test_price_shows_the_range_and_what_moves_matters(written: list[str]) -> None:
    (row,) = answer("price", *written)["prices"]
    assert row["bankruptcy"]["above"] is None
    (alone,) = answer("price", *written, "--alone")["prices"]
    assert float(alone["liquidation"]["below"]) < float(row["liquidation"]["below"]) < 59_000
    (dearer,) = answer("price", *written, "--with-fee")["prices"]
    assert float(dearer["liquidation"]["below"]) > float(row["liquidation"]["below"])
    assert f"from {row['liquidation']['below']}" in run("price", *written)


def test_another_price_asks_what_would_be(written: list[str]) -> None:
    fallen = answer("explain", *written, "--mark", "BTC-PERP=51000", "--price", "BTC=51000")
    assert fallen["state"] == "liquidate"
    assert fallen["equity"] == "-875"


def test_a_bucket_without_positions_has_no_prices(tmp_path: Path) -> None:
    path = tmp_path / "calm.json"
    path.write_text('{"balances": {"USDC": "5"}}')
    given = ["--policy", "venue", "--bucket", str(path)]
    assert "no open position" in run("price", *given)
    assert answer("explain", *given)["health"] is None


@pytest.mark.parametrize(
    "words",
    [
        ["explain"],
        ["explain", "client/bob/hedge"],
        ["price", "--policy", "venue"],
        ["explain", "client/bob/hedge", "--policy", "venue", "--bucket", "x.json"],
    ],
)
def test_a_bucket_must_be_named_one_way(words: list[str]) -> None:
    with pytest.raises(UsageError, match="name a bucket"):
        CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.parametrize("price", ["BTC-PERP", "BTC-PERP=", "=5", "BTC-PERP=0", "BTC-PERP=1e5"])
def test_a_price_that_is_none(written: list[str], price: str) -> None:
    with pytest.raises(UsageError, match="is no price such as"):
        run("explain", *written, "--mark", price)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        run("explain", "--policy", "venue", "--bucket", str(tmp_path / "absent.json"))


BOB = "client/bob/directional"


@pytest.fixture
def venue() -> Harbour:
    """Bob has bought 1 BTC from alice's bets at 60,000; his pool holds 100."""
    venue = Harbour()
    venue.price("BTC", 60_000)
    venue.fund("bob", "directional", 2_000 * USDC)
    venue.fund("alice", "directional", 5_000 * USDC)
    venue.trade(BOB, "client/alice/directional", 1_000, 60_000)
    venue.endow("insurance/directional", 100 * USDC)
    return venue


@pytest.fixture
def book(venue: Harbour, monkeypatch: pytest.MonkeyPatch) -> Harbour:
    """Let the commands find that state in any book."""
    found = SimpleNamespace(state=venue.state, rules=venue.state.rules, head=SimpleNamespace(at=NOON))

    @contextmanager
    def opened(path: Path, open_book: object) -> Iterator[SimpleNamespace]:
        yield found

    monkeypatch.setattr(book_reading, "opened", opened)
    return venue


def test_a_bucket_of_a_book(book: Harbour) -> None:
    found = answer("explain", BOB, "--at", "some.book")
    assert (found["equity"], found["maintenance"], found["mode"]) == ("1970", "600", "isolated")


def test_close_plans_and_says_who_would_bear_the_loss(book: Harbour) -> None:
    healthy = answer("close", BOB, "--at", "some.book")
    assert (healthy["outcome"], healthy["closures"], healthy["borne"]) == ("healthy", [], [])
    # At 57,000 bob lacks 1,030: one per contract and three cents. The pool takes 97 contracts, alice gives up
    # a tenth of her 8,000: 776 contracts.
    found = answer("close", BOB, "--at", "some.book", "--mark", "BTC-PERP=57000")
    assert found["outcome"] == "bankrupt"
    assert [(row["contracts"], row["price"], row["share"]) for row in found["takeovers"]] == [
        (1000, "58030", "-1030")
    ]
    (row,) = found["borne"]
    assert (row["deficit"], row["profit_forgone"], row["debt"]) == ("1030", "799.28", "130.72")
    assert [(share["step"], share["amount"], share["contracts"]) for share in row["shares"]] == [
        ("cover", "100", 97),
        ("deleverage", "799.28", 776),
        ("last", "130.72", 127),
    ]
    assert row["naked_contracts"] == 0
    text = run("close", BOB, "--at", "some.book", "--mark", "BTC-PERP=57000")
    assert "cover: 100 USDC by insurance/directional with 97 contracts" in text
    assert "equity -1030 USDC before, 0 USDC after" in text


def test_close_sells_in_the_market_while_it_can(book: Harbour) -> None:
    found = answer("close", BOB, "--at", "some.book", "--mark", "BTC-PERP=58600", "--slippage", "0.5 %")
    assert found["outcome"] == "closed"
    (row,) = found["closures"]
    # Down half a per cent to the tick below; what fee and slippage leave of 570 is the penalty.
    assert (row["contracts"], row["price"], row["fee"]) == (-1000, "58307", "29.1535 USDC")
    assert row["penalty"] == "247.8465 USDC"
    assert "sells 1000 BTC-PERP at 58307" in run(
        "close", BOB, "--at", "some.book", "--mark", "BTC-PERP=58600", "--slippage", "0.5 %"
    )


def test_a_slippage_that_is_none(book: Harbour) -> None:
    with pytest.raises(UsageError, match="not a share"):
        run("close", BOB, "--at", "some.book", "--slippage", "much")


def test_buckets_stand_riskiest_first(book: Harbour) -> None:
    rows = answer("buckets", "--at", "some.book", "--mark", "BTC-PERP=58600")["buckets"]
    assert [(row["bucket"], row["state"], row["equity"]) for row in rows] == [
        (BOB, "liquidate", "570"),
        ("client/alice/directional", "free", "6400"),
    ]
    assert rows[0]["is_short_of_initial"]
    assert "liquidate" in run("buckets", "--at", "some.book", "--mark", "BTC-PERP=58600")


def test_buckets_need_a_mark(book: Harbour) -> None:
    book.state.ledger.tables.prices.clear()
    with pytest.raises(BadInput, match="no fresh mark for BTC-PERP"):
        run("buckets", "--at", "some.book")


def test_venues_stand_side_by_side() -> None:
    asked = ["venues", "--side", "long", "--entry", "60000", "--leverage", "10", "--mark", "54100"]
    prices = {row["venue"]: row["liquidation_price"] for row in answer(*asked)["venues"]}
    # 54,000 over 0.995, over 0.9945, and 60,000 x (1 - 0.1 + 0.005).
    assert prices == {
        "Binance": "54271.36",
        "Gate, OKX": "54298.64",
        "Bybit": "54300.00",
        "Bybit inverse": "54794.52",
        "dYdX": "54271.36",
        "Drift": "54271.36",
        "Vega": "54271.36",
    }
    assert "closes 70.0%" in run(*asked)
    calm = answer(*asked[:-1], "60000")["venues"]
    assert calm[4]["at_mark"] == calm[5]["at_mark"] == "not liquidated"
    assert calm[6]["at_mark"].endswith("held")
    short = ["venues", "--side", "short", "--entry", "60000", "--leverage", "10", "--mark", "66000"]
    assert answer(*short)["venues"][0]["liquidation_price"] == "65671.64"


@pytest.mark.parametrize(
    "words",
    [["--entry", "0"], ["--entry", "x"], ["--leverage", "200"], ["--size", "0"], ["--maintenance", "half"]],
)
def test_a_position_that_cannot_be_compared(words: list[str]) -> None:
    asked = {"--side": "long", "--entry": "60000", "--leverage": "10", "--mark": "54100"} | dict([words])
    with pytest.raises(UsageError):
        run("venues", *(word for pair in asked.items() for word in pair))


def test_a_bucket_is_read_from_the_file_of_a_book(tmp_path: Path) -> None:
    path = tmp_path / "harbour.book"
    wiring.embedded(path, policy_of()).close()
    assert "no bucket with margin" in run("buckets", "--at", str(path))
    found = answer("explain", "client/alice/hedge", "--at", str(path))
    assert (found["equity"], found["state"], found["positions"]) == ("0", "free", [])
    with pytest.raises(BadInput, match="margin: none"):
        run("price", "client/alice/cash", "--at", str(path))
