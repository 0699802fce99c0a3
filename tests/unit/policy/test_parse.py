"""From files to a policy: examples, includes, likenesses, tables, defaults, and the lines of everything."""

from decimal import Decimal

import pytest

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import HOUR_NS
from ringfence.policy.digest import digest
from ringfence.policy.parse import parse, read
from ringfence.wiring_files import SHIPPED_POLICIES, load_policy, read_policy, shipped_policy

NOTES = {"venue": ["unused-family"]}
"""What the examples are noted for: the family `staff` of the venue owns nothing yet, on purpose."""


@pytest.mark.parametrize("name", SHIPPED_POLICIES)
def test_each_example_is_accepted_with_its_notes_only(name):
    parsed = read_policy(shipped_policy(name))
    assert parsed.errors == ()
    assert parsed.policy is not None
    assert parsed.policy.name == ("harbour" if name == "venue" else name)
    assert [finding.rule for finding in parsed.findings] == NOTES.get(name, [])


def test_the_note_of_the_venue_names_the_idle_family():
    path = shipped_policy("venue")
    (note,) = read_policy(path).findings
    line = next(n for n, text in enumerate(path.read_text().split("\n"), 1) if text.startswith("  staff:"))
    assert (note.level, note.where) == ("note", f"{path}:{line}")
    assert "`staff`" in note.found


# --- includes ----------------------------------------------------------------------------------

MAIN = """\
ringfence: 1
name: main
assets: {USDC: {decimals: 6}}
compartments: {}
prices:
  index/BTC: {sources: [v1], agree: "1 of 1 within 1 %", stale: 30 s}
instruments:
  include: parts/one.yaml
  OWN-PERP: {like: BTC-PERP, tick: "0.5"}
"""
PART = """\
tiers:
  small:
    - {from: 0 USDC, maintenance: "1 %", leverage: 50}
instruments:
  BTC-PERP:
    kind: perpetual
    underlying: BTC
    quote: USDC
    contract: 0.001 BTC
    tick: "0.1"
    tiers: small
    settlement: 8 h
    price_band: "5 %"
"""


def read_with(part, main=MAIN, file="folder/main.yaml"):
    return read(main, file, lambda path: {"parts/one.yaml": part, "parts/two.yaml": ""}[path])


def test_an_included_file_joins_the_sections_of_the_policy():
    policy = read_with(PART).policy
    assert set(policy.instruments) == {"BTC-PERP", "OWN-PERP"}
    assert policy.line("instruments", "BTC-PERP") == "folder/parts/one.yaml:5"
    assert policy.line("instruments", "OWN-PERP") == "folder/main.yaml:9"


def test_a_likeness_takes_what_is_not_written():
    policy = read_with(PART).policy
    own, other = policy.instruments["OWN-PERP"], policy.instruments["BTC-PERP"]
    assert own.tick_e10 == 5 * other.tick_e10
    assert own.model_copy(update={"tick_e10": other.tick_e10}) == other


@pytest.mark.parametrize(
    ("part", "where", "says"),
    [
        (PART + "gates: {}\n", "folder/parts/one.yaml:14", "tiers, prices, instruments"),
        (PART + "  include: parts/two.yaml\n", "folder/parts/one.yaml:14", "include it from the policy"),
        (PART + "  OWN-PERP: {like: BTC-PERP}\n", "folder/parts/one.yaml:14", "folder/main.yaml:9"),
        (PART.replace("tiers: small", "tiers: smal"), "folder/parts/one.yaml:11", "did you mean `small`?"),
        (PART.replace("1 %", "1"), "folder/parts/one.yaml:3", "15 %"),
        (PART.replace("kind: perpetual", "kind perpetual"), "folder/parts/one.yaml", "not YAML"),
        ("", "folder/parts/one.yaml:1", "the file is empty"),
    ],
)
def test_what_is_wrong_with_an_included_file_is_found_there(part, where, says):
    findings = read_with(part).findings
    assert any(one.where.startswith(where) and says in str(one) for one in findings), findings


def test_a_table_that_is_wrong_is_found_once_and_not_for_each_instrument():
    findings = read_with(PART.replace("1 %", "1")).findings
    assert [one.rule for one in findings] == ["bad-share"]


@pytest.mark.parametrize(
    ("include", "says"),
    [
        ("/etc/passwd", "below it"),
        ("../one.yaml", "below it"),
        ("parts/../../one.yaml", "below it"),
        ("./one.yaml", "below it"),
        ("parts//one.yaml", "below it"),
        ('""', "below it"),
        ("~", "no value"),
        (f"[{', '.join(['parts/one.yaml'] * 17)}]", "at most 16"),
    ],
)
def test_an_include_stays_in_its_folder(include, says):
    def never(path):
        raise AssertionError(path)

    findings = read(MAIN.replace("parts/one.yaml", include), "main.yaml", never).findings
    assert any(says in str(one) for one in findings), findings


def test_several_files_may_be_included():
    main = MAIN.replace("parts/one.yaml", "[parts/one.yaml, parts/three.yaml]")
    more = "instruments: {X-PERP: {like: BTC-PERP}}"
    parsed = read(main, "m.yaml", {"parts/one.yaml": PART, "parts/three.yaml": more}.__getitem__)
    assert set(parsed.policy.instruments) == {"BTC-PERP", "X-PERP", "OWN-PERP"}


def test_without_a_folder_nothing_is_included():
    assert [one.rule for one in parse(MAIN, "main.yaml").findings][:1] == ["include"]


def test_an_include_that_cannot_be_read_is_a_finding():
    def fails(path):
        raise BadInput(f"{path}: the file cannot be read (it is not there)")

    findings = read(MAIN, "main.yaml", fails).findings
    assert (findings[0].rule, findings[0].where) == ("include", "main.yaml:8")


@pytest.mark.parametrize("like", ["OWN-PERP", "NO-PERP", "THIRD-PERP"])
def test_a_likeness_is_to_an_instrument_written_out(like):
    main = MAIN.replace("like: BTC-PERP", f"like: {like}") + "  THIRD-PERP: {like: BTC-PERP}\n"
    findings = read_with(PART, main).findings
    assert [(one.rule, one.where) for one in findings] == [("unknown-name", "folder/main.yaml:9")]


# --- defaults ----------------------------------------------------------------------------------


def test_the_one_coin_without_a_price_is_what_everything_is_valued_in():
    assert read_with(PART).policy.numeraire == "USDC"
    assert load_policy(shipped_policy("venue")).numeraire == "USDC"


def test_a_coin_has_the_price_of_its_name():
    venue = load_policy(shipped_policy("venue"))
    assert {name: asset.price for name, asset in venue.assets.items()} == {
        "USDC": None,
        "BTC": "index/BTC",
        "ETH": "index/ETH",
        "USDC-debt": None,
    }


def test_a_price_with_a_variable_serves_every_index_without_a_line():
    main = MAIN.replace("index/BTC: {sources: [v1]", '"index/{coin}": {sources: [v1]')
    policy = read_with(PART, main).policy
    assert set(policy.prices) == {"index/BTC"}
    assert policy.line("prices", "index/BTC") == "folder/main.yaml:6"


def test_a_line_of_its_own_comes_before_the_family():
    venue = load_policy(shipped_policy("venue"))
    assert set(venue.prices) == {one.index for one in venue.instruments.values()}
    assert venue.line("prices", "index/BTC").endswith("venue.yaml:28")
    assert "perpetuals.yaml" in venue.line("prices", "index/SOL")


# --- lines -------------------------------------------------------------------------------------


def test_every_part_knows_its_line():
    path = shipped_policy("venue")
    venue, lines = load_policy(path), path.read_text().split("\n")
    for section in ("assets", "parties", "keys", "gates", "exchanges", "waterfalls", "services", "claims"):
        for name in getattr(venue, section):
            file, _, line = venue.line(section, name).rpartition(":")
            assert file == str(path)
            assert lines[int(line) - 1].strip().strip('"').startswith(name)
    assert lines[int(venue.line("gates", "withdraw", "delay").rpartition(":")[2]) - 1] == "    delay: 1 h"
    assert "wallet, watcher, ledger" in lines[int(venue.line("flows", "11").rpartition(":")[2]) - 1]


def test_a_part_without_a_line_has_that_of_what_it_is_part_of():
    venue = load_policy(shipped_policy("venue"))
    assert venue.line("gates", "sweep", "nothing") == venue.line("gates", "sweep")
    assert venue.line("nothing") == ""


# --- the instruments of the examples -----------------------------------------------------------


def test_the_example_has_an_instrument_for_every_coin_of_the_data(data_dir):
    import pyarrow.parquet

    instruments = load_policy(shipped_policy("venue")).instruments
    for file in ("bybit_30m_50coins_2025-10.parquet", "binance_perp_5m_2025-03_2025-04.parquet"):
        table = pyarrow.parquet.read_table(data_dir / file, columns=["symbol", "close"])
        digits: dict[str, int] = {}
        for symbol, close in zip(*(column.to_pylist() for column in table.columns), strict=True):
            exponent = Decimal(repr(close)).normalize().as_tuple().exponent
            digits[symbol] = max(digits.get(symbol, 0), -int(exponent))
        for symbol, places in digits.items():
            tick_e10 = instruments[f"{symbol.removesuffix('USDT')}-PERP"].tick_e10
            assert 10 ** (10 - places) % tick_e10 == 0, f"{symbol} is priced in finer steps than its tick"


def test_the_brackets_are_the_published_ones():
    """The deductions that Binance publishes follow from our brackets: (USDT notional, deduction)."""
    instruments = load_policy(shipped_policy("venue")).instruments
    published = {
        "BTC-PERP": [0, 300, 1_500, 12_000, 132_000, 482_000, 2_982_000, 14_482_000, 26_482_000, 41_482_000],
        "SOL-PERP": [0, 75, 1_475, 11_475, 31_475, 231_475, 2_231_475, 4_231_475, 16_731_475, 66_731_475],
        "DOGE-PERP": [0, 280, 655, 6_280, 16_280, 116_280],
    }
    for name, deductions in published.items():
        cum = 0
        tiers = instruments[name].tiers
        for number, expected in enumerate(deductions):
            if number:
                step = tiers[number].maintenance_ppm - tiers[number - 1].maintenance_ppm
                cum += tiers[number].floor_units * step
            assert cum == expected * 10**6 * 10**6, (name, number)


def test_funding_and_settlement_follow_the_instrument():
    instruments = load_policy(shipped_policy("venue")).instruments
    assert instruments["ENA-PERP"].funding.interval_ns == 4 * HOUR_NS
    assert instruments["LAYER-PERP"].funding.interval_ns == HOUR_NS
    assert instruments["BTC-26DEC25"].funding is None
    assert {one.settlement_ns for one in instruments.values()} == {8 * HOUR_NS}
    assert instruments["BTC-USD-PERP"].payoff == "inverse"


# --- loading -----------------------------------------------------------------------------------


def test_loading_a_broken_policy_lists_every_error(tmp_path):
    text = shipped_policy("two-buckets").read_text()
    broken = tmp_path / "p.yaml"
    broken.write_text(text.replace("margin: cross", "margn: cross").replace("to: treasury\n", "to: x\n"))
    with pytest.raises(BadInput) as caught:
        load_policy(broken)
    assert str(caught.value).count("\n") == 1
    assert "margn" in str(caught.value)
    assert "`x`" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"#" * (4 * 1_048_576 + 1), "too large"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_policy_ends_in_one_sentence(tmp_path, content, says):
    path = tmp_path / "p.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=says):
        read_policy(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_policy(tmp_path)


def test_an_example_is_found_by_its_name():
    assert shipped_policy("venue").name == "venue.yaml"
    with pytest.raises(BadInput, match="two-buckets, trading-desk, venue, custodian"):
        shipped_policy("nothing")


def test_the_digest_is_not_where_the_file_is(tmp_path):
    original = shipped_policy("two-buckets")
    copy = tmp_path / "copy.yaml"
    copy.write_text("# elsewhere\n\n" + original.read_text())
    assert load_policy(copy) == load_policy(original)
    assert digest(load_policy(copy)) == digest(load_policy(original))
