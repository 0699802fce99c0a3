"""Verdicts as a team reads them: SARIF as its format asks for, Markdown that shows what it says."""

import json
import re

import pytest
from platforms import harbour, harbour_text, include

from ringfence.policy.parse import read
from ringfence.proof.claims import prove
from ringfence.proof.gates import weak_gates
from ringfence.proof.output import show_markdown, show_sarif

CLIENT_DROPPED = ("needs: [client_key, wallet_key,", "needs: [wallet_key,")


def sarif_of(policy):
    """Write SARIF and read it back, as a review tool would."""
    return json.loads(json.dumps(show_sarif("1.2.3", prove(policy), weak_gates(policy))))


@pytest.fixture(scope="module")
def weak():
    return sarif_of(harbour(CLIENT_DROPPED))


def check_place(place):
    physical = place["physicalLocation"]
    uri = physical["artifactLocation"]["uri"]
    assert re.fullmatch(r"(file:///)?[A-Za-z0-9._~/%-]+", uri), uri
    assert physical["region"]["startLine"] >= 1


def check_log(log):
    """Check what SARIF 2.1.0 requires of a log (3.13), a run (3.14), rules (3.49) and results (3.27)."""
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    driver = run["tool"]["driver"]
    assert driver["name"] == "ringfence"
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids))
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    prints = []
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
        prints.append(tuple(result["partialFingerprints"].items()))
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
        for place in result.get("locations", []):
            check_place(place)
        for place in result.get("relatedLocations", []):
            check_place(place)
            assert place["message"]["text"]
    assert len(prints) == len(set(prints))


def test_it_is_as_the_format_asks(weak):
    check_log(weak)
    check_log(sarif_of(harbour()))


def test_what_holds_is_no_result_and_what_fails_stands_at_its_line(weak):
    errors = {one["ruleId"]: one for one in weak["runs"][0]["results"] if one["level"] == "error"}
    assert set(errors) == {"all_officers_cannot_empty_a_client", "no_single_break_in_withdraws"}
    result = errors["no_single_break_in_withdraws"]
    line = result["locations"][0]["physicalLocation"]["region"]["startLine"]
    assert "no_single_break_in_withdraws:" in harbour_text(CLIENT_DROPPED).splitlines()[line - 1]
    assert "steals officer_a" in result["message"]["text"]
    (gate,) = result["relatedLocations"]
    line = gate["physicalLocation"]["region"]["startLine"]
    assert "withdraw:" in harbour_text(CLIENT_DROPPED).splitlines()[line - 1]
    assert "withdraw moves USDC" in gate["message"]["text"]
    assert not [one for one in sarif_of(harbour())["runs"][0]["results"] if one["level"] != "note"]


def test_a_result_is_known_again_when_its_words_change(weak):
    wider = sarif_of(
        harbour(CLIENT_DROPPED, ('USDC: "100000 per 1 d", BTC: "2', 'USDC: "90000 per 1 d", BTC: "2'))
    )
    prints = [
        {
            one["partialFingerprints"]["claim/v1"]
            for one in log["runs"][0]["results"]
            if one["level"] == "error"
        }
        for log in (weak, wider)
    ]
    assert prints[0] == prints[1]


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("policies/venue.yaml", "policies/venue.yaml"),
        ("/home/me/venue.yaml", "file:///home/me/venue.yaml"),
        ("my drafts/venue #2.yaml", "my%20drafts/venue%20%232.yaml"),
    ],
)
def test_a_file_is_written_as_an_address(file, uri):
    policy = read(harbour_text(CLIENT_DROPPED), file, include).policy
    log = sarif_of(policy)
    check_log(log)
    places = [one["locations"][0]["physicalLocation"] for one in log["runs"][0]["results"]]
    assert {place["artifactLocation"]["uri"] for place in places} == {uri}


def test_open_and_vacuous_have_their_levels():
    silent = (
        'needs: [client_key, wallet_key, "1 of [officer_a, officer_b]"]',
        "needs: [wallet_key]\n    when: operator_silent 30 d",
    )
    odd = ("claims:\n", 'claims:\n  odd: {never: "client/** -> owner:client"}\n')
    policy = read(harbour_text(silent, odd), "venue.yaml", include).policy
    levels = {one["ruleId"]: one["level"] for one in sarif_of(policy)["runs"][0]["results"]}
    assert levels["all_officers_cannot_empty_a_client"] == "warning"
    assert levels["odd"] == "error"


def test_markdown_has_a_row_for_each_claim_and_a_story_for_each_that_fails():
    policy = harbour(CLIENT_DROPPED)
    text = show_markdown(policy, prove(policy))
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(policy.claims)
    assert all(row.count("|") == 4 for row in rows)
    assert text.count("#### ") == 2
    assert "1. The attacker steals officer_a (alice's) from laptop_a." in text
    assert "   - assuming that the delay of withdraw, 1 h, passes and nobody cancels" in text
    assert "### Claims of `harbour`: 13 of 13 hold" in show_markdown(harbour(), prove(harbour()))
