"""`ringfence margin`: every command answers in text and in JSON, from a file and from a book."""

import json
from pathlib import Path

import pytest
from harbour import NOON, USDC, Harbour, policy_of
from typer.testing import CliRunner

from ringfence import wiring
from ringfence.cli import margin_words
from ringfence.cli.margin import app
from ringfence.kernel.errors import BadInput, UsageError
from ringfence.margin.reading import bucket_in, prices_in
from ringfence.margin.terms import compile_terms

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


def test_a_bucket_of_a_book(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = Harbour()
    venue.price("BTC", 60_000)
    venue.fund("bob", "directional", 2_000 * USDC)
    venue.fund("carol", "hedge", 500_000 * USDC)
    bob = "client/bob/directional"
    venue.trade(bob, "client/carol/hedge", 1_000, 60_000)
    subject = margin_words.Subject(
        bob, bucket_in(venue.state, bob), prices_in(venue.state, NOON), compile_terms(policy_of())
    )
    monkeypatch.setattr(margin_words, "from_book", lambda path, compartment: subject)
    found = answer("explain", bob, "--at", "some.book")
    assert (found["equity"], found["maintenance"], found["mode"]) == ("1970", "600", "isolated")


def test_a_bucket_is_read_from_the_file_of_a_book(tmp_path: Path) -> None:
    path = tmp_path / "harbour.book"
    wiring.embedded(path, policy_of()).close()
    found = answer("explain", "client/alice/hedge", "--at", str(path))
    assert (found["equity"], found["state"], found["positions"]) == ("0", "free", [])
    with pytest.raises(BadInput, match="margin: none"):
        run("price", "client/alice/cash", "--at", str(path))
