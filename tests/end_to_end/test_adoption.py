"""`ringfence book adoption` and `policy impact`, as two officers type them."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine

from ringfence.wiring_files import shipped_policy

WORDS = (
    'adoption: {needs: "2 of [officer_a, officer_b]", delay: 24 h, cancel: [officer_a, officer_b]}\ngates:'
)
TEXT = shipped_policy("two-buckets").read_text().replace("gates:", WORDS, 1)
LESS = TEXT.replace('limit: {each: {USDC: "1000000 per 1 d"}}', 'limit: {each: {USDC: "50 per 1 d"}}', 1)
MORE = LESS.replace("delay: 24 h", "delay: 25 h").replace("leverage: 20", "leverage: 25")


@pytest.fixture
def ringfence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RINGFENCE_BOOK", "harbour.book")
    monkeypatch.delenv("RINGFENCE_KEYS", raising=False)
    for name, text in (("old", TEXT), ("less", LESS), ("more", MORE)):
        Path(f"{name}.yaml").write_text(text)
    command = CommandLine(monkeypatch, capsys)
    command("book", "open", "old.yaml")
    command("book", "key", "new", "all")
    command("book", "client", "add", "alice")
    command("book", "deposit", "client/alice/cash", "1000", "USDC", "--reference", "tx-1")
    command("book", "transfer", "client/alice/cash", "client/alice/hedge", "60", "USDC")
    return command


def test_two_officers_adopt_a_policy(ringfence: CommandLine) -> None:
    plan = ringfence("book", "adoption", "plan", "more.yaml", "--json")
    assert plan.code == 0
    assert [one["direction"] for one in plan.json["at_once"]] == ["narrows", "narrows"]
    assert [one["words"].split(" limits ")[-1] for one in plan.json["later"]] == ["leverage 20 → 25"]
    impact = ringfence("policy", "impact", "more.yaml", "--book", "harbour.book", "--json").json
    assert impact["limits"][0] == {
        "gate": "fund",
        "scope": "each",
        "members": ["alice"],
        "asset": "USDC",
        "used": "60",
        "before": "1000000",
        "after": "50",
        "left": "0",
    }
    # Each officer signs on a machine that has one key.
    keys = Path("harbour.book.keys")
    for officer in ("officer_a", "officer_b"):
        folder = Path(officer)
        folder.mkdir(mode=0o700)
        for file in keys.iterdir():
            if file.name.startswith(officer):
                copy = folder / file.name
                copy.write_bytes(file.read_bytes())
                copy.chmod(0o600)
    made = ringfence(
        "book", "adoption", "propose", "more.yaml", "--to", "p.json", "--keys", "officer_a", "--json"
    )
    assert made.json["signed"] == ["officer_a"]
    assert made.json["missing"] == "2 of [officer_a, officer_b]"
    assert ringfence("book", "adoption", "adopt", "p.json", "--json").json["reason"] == "NEEDS_NOT_MET"
    said = ringfence("book", "adoption", "sign", "p.json", "--keys", "officer_b")
    assert "everybody who must sign has signed" in said.out
    done = ringfence("book", "adoption", "adopt", "p.json", "--json")
    assert done.code == 0
    assert len(done.json["waiting"]) == 1
    late = ringfence("book", "adoption", "complete", "--json")
    assert (late.code, late.json["reason"]) == (1, "ADOPTION_NOT_DUE")
    refused = ringfence("book", "transfer", "client/alice/cash", "client/alice/hedge", "1", "USDC", "--json")
    assert refused.json[0]["reason"] == "GATE_LIMIT_EXCEEDED"
    assert ringfence("book", "adoption", "cancel", "second thoughts").code == 0
    assert ringfence("book", "adoption", "complete").code == 2
    verified = ringfence("book", "verify", "--json").json
    assert verified["verified"] is True
    assert verified["policy"] == done.json["in_force"]
    assert "cancel adoption" in ringfence("book", "history").out


def test_a_plan_that_would_be_refused_says_so(ringfence: CommandLine) -> None:
    dropped = TEXT.replace("  USDC: {decimals: 6,", "  USDC: {decimals: 7,").replace(
        "USDC-debt: {debt_in: USDC, decimals: 6}", "USDC-debt: {debt_in: USDC, decimals: 7}"
    )
    Path("other.yaml").write_text(dropped)
    said = ringfence("book", "adoption", "plan", "other.yaml")
    assert said.code == 1, said.out
    assert "USDC is booked with decimals 6, and the new policy says 7" in said.out


def test_the_impact_tells_what_is_felt_at_once_from_what_is_felt_later(ringfence: CommandLine) -> None:
    # The limit is lowered at once; the gate that goes with the wider limits of leverage waits for its delay.
    found = ringfence("policy", "impact", "more.yaml", "--book", "harbour.book", "--json").json
    assert [one["after"] for one in found["at_once"]["limits"]] == ["50"]
    assert found["refused"] == []
    said = ringfence("policy", "impact", "more.yaml", "--book", "harbour.book").out
    assert said.index("at once, while the rest waits") < said.index("when all of it is in force")


def test_the_impact_and_the_plan_agree_that_a_gate_would_be_gone(ringfence: CommandLine) -> None:
    before, _, after = TEXT.partition("  fund:\n")
    Path("shut.yaml").write_text(before + after[after.index("  release:\n") :])
    plan = ringfence("book", "adoption", "plan", "shut.yaml", "--json").json
    assert any("fund" in one["words"] for one in plan["at_once"])
    found = ringfence("policy", "impact", "shut.yaml", "--book", "harbour.book", "--json").json
    (used,) = found["limits"]
    assert (used["gate"], used["used"], used["after"]) == ("fund", "60", "shut")
    assert ("client/alice/cash", "940") not in [(one["compartment"], one["after"]) for one in found["frozen"]]


def test_what_would_be_refused_is_said_wherever_it_is_looked_at(ringfence: CommandLine) -> None:
    dropped = TEXT.replace("  USDC: {decimals: 6,", "  USDC: {decimals: 7,").replace(
        "USDC-debt: {debt_in: USDC, decimals: 6}", "USDC-debt: {debt_in: USDC, decimals: 7}"
    )
    Path("other.yaml").write_text(dropped)
    words = "USDC is booked with decimals 6, and the new policy says 7"
    for command in (
        ("policy", "impact", "other.yaml", "--book", "harbour.book"),
        ("book", "adoption", "propose", "other.yaml", "--to", "p.json"),
        ("book", "adoption", "sign", "p.json"),
    ):
        said = ringfence(*command)
        assert (said.code, f"would be refused: {words}" in said.out) == (1, True), said.out


def test_nothing_is_proposed_that_changes_nothing(ringfence: CommandLine) -> None:
    Path("same.yaml").write_text(TEXT)
    said = ringfence("book", "adoption", "propose", "same.yaml", "--to", "p.json")
    assert (said.code, Path("p.json").exists()) == (2, False)
    assert "means the same as same.yaml already" in said.err


def test_a_proposal_that_cannot_be_written_is_named(ringfence: CommandLine) -> None:
    said = ringfence("book", "adoption", "propose", "more.yaml", "--to", "nowhere/p.json")
    assert (said.code, "nowhere/p.json cannot be written" in said.err) == (2, True)


def test_a_file_that_is_no_proposal_is_refused(ringfence: CommandLine) -> None:
    assert ringfence("book", "adoption", "adopt", "nothing.json").code == 2
    assert "proposal" in ringfence("book", "adoption", "adopt", ".").err
    Path("bad.json").write_text(json.dumps({"id": 1}))
    said = ringfence("book", "adoption", "adopt", "bad.json")
    assert said.code == 2
    assert "bad.json is no proposal" in said.err
