# ruff: noqa: E501 (one row, one line: a table is read by its columns)
"""The example of the policy language as it was set down before the code: accepted, opened, and broken.

The text is read out of `policy.md` beside the vectors, with the instruments of this repository beside it.
"""

import re
from pathlib import Path

import pytest

from ringfence.adapters.policy_files import include_beside
from ringfence.policy.parse import Parsed, parse
from ringfence.policy.show import show
from ringfence.wiring import embedded
from ringfence.wiring_files import shipped_policy


@pytest.fixture(scope="module")
def example(vectors_dir: Path) -> str:
    """The YAML block of section 1."""
    page = vectors_dir.parent / "policy.md"
    if not page.is_file():
        pytest.skip(f"{page} is not there; it is the page that set the language down")
    block = re.search(r"^```yaml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert block is not None
    return block[1]


def read(text: str) -> Parsed:
    return parse(text, "harbour.yaml", include_beside(shipped_policy("venue")))


def line_of(text: str, piece: str) -> int:
    return text[: text.index(piece)].count("\n") + 1


def test_the_example_is_accepted_with_one_note_on_its_unused_family(example: str) -> None:
    parsed = read(example)
    assert parsed.policy is not None
    assert [(one.level, one.rule, one.where) for one in parsed.findings] == [
        ("note", "unused-family", f"harbour.yaml:{line_of(example, '  staff:')}")
    ]
    assert parse(show(parsed.policy), "shown.yaml").policy == parsed.policy


def test_a_book_opens_under_it_on_the_ledger_and_says_what_it_does_not_enforce(example: str) -> None:
    policy = read(example).policy
    assert policy is not None
    book = embedded(None, policy)
    told = [re.sub(r"^harbour\.yaml:[0-9]+: ", "", words) for words in book.genesis.not_enforced]
    lines = [int(words.split(":")[1]) for words in book.genesis.not_enforced]
    book.close()
    assert book.genesis.planes == ("ledger",)
    checked_on_vault = re.findall(r"^  (\w+): +\{.* on: \[ledger, vault\]", example, re.MULTILINE)
    for gate in checked_on_vault:
        assert f"{gate} is also checked on vault; this book enforces ledger only" in told
    assert any(words.startswith("outside/{client} is pinned or cooling") for words in told)
    gates = {name: line_of(example, f"\n  {name}:") + 1 for name in ("withdraw", "top_up", *checked_on_vault)}
    named = [(words.split()[0], line) for words, line in zip(told, lines, strict=True)]
    assert all(gates[name] == line for name, line in named if name in gates)


ROWS = [
    # the text
    ("duplicate-word", "ETH:  {decimals: 18,", "ETH:  {decimals: 18, decimals: 18,", "second time"),
    ("unknown-word", "{owner: house, role: clearing, accepts", "{owner: house, roll: clearing, accepts", "did you mean `role`?"),
    ("float", "limits: {leverage: 5,", "limits: {leverage: 5.5,", "a whole number"),
    ("float", "limit: {all: {USDC: \"50000 per 1 d\"}}", "limit: {all: {USDC: 50000.0}}", "in quotes"),
    ("implicit-boolean", "{kind: affiliate, family: true}", "{kind: affiliate, family: yes}", "true or false"),
    ("empty-value", 'limit: {all: {USDC: "50000 per 1 d"}}', "limit: {all: {USDC: 50,000 per 1 d}}", "quote the value"),
    ("bad-amount", 'each: {USDC: "20000 per 1 d"}}}\n  settle', 'each: {USDC: "2e4 per 1 d"}}}\n  settle', "plain decimal"),
    ("include", "instruments/perpetuals.yaml", "../perpetuals.yaml", "below it"),
    # names and keys
    ("unknown-name", 'sweep:    {from: house/fees, to: house/treasury, assets: [USDC], needs: ["2 of [officer_a, officer_b]"]', 'sweep:    {from: house/fees, to: house/treasury, assets: [USDC], needs: ["2 of [officer_a, officer_c]"]', "`officer_c`"),
    ("quorum", 'to: house/treasury, assets: [USDC], needs: ["2 of', 'to: house/treasury, assets: [USDC], needs: ["3 of', "at most 2"),
    ("shared-holder", "{person: bob, ", "{person: alice, ", "the person `alice`", "  sweep:"),
    ("member", 'needs: ["client_key/{a}", "client_key/{b}"]', "needs: [client_key]", "client_key/{a}"),
    ("price-quorum", 'index/ETH: {sources: [v1, v2, v3], agree: "2 of 3', 'index/ETH: {sources: [v1, v2, v3], agree: "4 of 3', "at most 3"),
    # compartments and gates
    ("debt", "{debt_in: USDC, decimals: 6}", "{debt_in: USDC, decimals: 8}", "decimals: 6"),
    ("compartment", "accepts: [USDC, BTC, ETH], must_net_to: zero}", "accepts: [USDC, BTC, ETH]}", "must net to zero"),
    ("threshold-order", 'warn: "120 %"', 'warn: "160 %"', "`warn` is above `free`"),
    ("no-limit", ', on: [ledger], limit: {all: {USDC: "1000000 per 1 d"}}}\n  fill_pool', ", on: [ledger]}\n  fill_pool", "no limit for `USDC`"),
    ("no-limit", 'when: releasable, on: [ledger, vault], limit: {each: {USDC: "1000000 per 1 d", BTC: "20 per 1 d", ETH: "400 per 1 d"}}', 'when: releasable, on: [ledger, vault], limit: {each: {USDC: "1000000 per 1 d", BTC: "20 per 1 d"}}', "no limit for `ETH`"),
    ("destination", "{kind: external, pinned: true, cooling: 24 h}", "{kind: external}", "pinned: true", "  withdraw:"),
    ("gate-moves-nothing", "fee:      {from: [\"client/{client}/hedge\", \"client/{client}/directional\"], to: house/fees, assets: [USDC]", "fee:      {from: [\"client/{client}/hedge\", \"client/{client}/directional\"], to: house/fees, assets: [BTC]", "no pair of ends"),
    ("accrual-reaches-client-money", 'fee:      {from: ["client/{client}/hedge", "client/{client}/directional"]', 'fee:      {from: "client/{client}/*"', "client/{client}/cash"),
    ("valued-in", 'reason: required, reverses: optional, on: [ledger], limit: {each', 'reason: required, reverses: optional, on: [ledger, vault], limit: {valued_in: USDC, each', "on: ledger"),
    ("accrual", "accrual: fees, computed_by: [risk, ledger]", "accrual: fees", "computed_by"),
    # waterfalls, services, claims
    ("no-last-owner", "{cover: insurance/hedge}], last: house/treasury, record", "{cover: insurance/hedge}], record", "write `last: …`"),
    ("flow", "{from: internet, to: gateway, port: 443}", "{from: internet, to: chain, port: 443}", "must be a service"),
    ("unknown-name", "{from: ledger, to: marks,    port", "{from: ledger, to: trading,    port", "a zone grants nothing"),
    ("identity", "spiffe://harbour/marks", "spiffe://harbour/risk", "its own", "  risk:     {zone"),
    ("exemption", 'role:house_money", except: [fee, convert', 'role:house_money", except: [fee, sweep, convert', "`sweep`"),
    ("claim-matches-nothing", "client/{a}/hedge -> client/{a}/directional", "client/{a}/hedge -> client/{a}/directive", "did you mean"),
]  # fmt: skip
"""The law, what is replaced by what, what the finding says, and a text of its line where another is meant."""


@pytest.mark.parametrize(("rule", "before", "after", "says", "at"), [(*row, *row[1:2])[:5] for row in ROWS])
def test_a_broken_example_is_found_out_in_its_line(
    example: str, rule: str, before: str, after: str, says: str, at: str
) -> None:
    assert before in example
    parsed = read(example.replace(before, after, 1))
    assert parsed.policy is None
    found = [one for one in parsed.errors if one.rule == rule and says in f"{one.found}; {one.right}"]
    assert found, [str(one) for one in parsed.findings]
    assert f"harbour.yaml:{line_of(example, at)}" in {one.where for one in found}, [str(one) for one in found]
