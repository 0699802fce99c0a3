"""`ringfence proof`, as an engineer, an auditor and a pull request use it."""

import json
import xml.etree.ElementTree as ElementTree
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from command_line import CommandLine
from platforms import BALANCES, PLATFORM, harbour_text

from ringfence import wiring
from ringfence.kernel.decision import Accepted
from ringfence.kernel.instant import HOUR_NS
from ringfence.planes.ledger.operations import OpenSession, signing_bytes
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.render_nftables import render_hub
from ringfence.planes.network.sites import plan_sites
from ringfence.wiring_files import load_policy

CLIENT_DROPPED = ("needs: [client_key, wallet_key,", "needs: [wallet_key,")
PULLS = ("{from: risk, to: wallet, port: 9000}", "{from: wallet, to: risk, port: 9000}")


@pytest.fixture
def ringfence(monkeypatch, capsys) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the platform, its balances as facts, the same with a pull, and a weakened harbour."""
    (tmp_path / "platform.yaml").write_text(PLATFORM)
    (tmp_path / "pulls.yaml").write_text(PLATFORM.replace(*PULLS))
    facts = [
        {"fact": "supply", "place": name, "asset": "USDT", "units": units} for name, units in BALANCES.items()
    ]
    (tmp_path / "balances.json").write_text(json.dumps(facts))
    (tmp_path / "weak.yaml").write_text(harbour_text(CLIENT_DROPPED))
    (tmp_path / "instruments").symlink_to(Path(__file__).resolve().parents[2] / "policies" / "instruments")
    return tmp_path


def test_every_claim_of_an_example_holds(ringfence):
    said = ringfence("prove", "venue")
    assert said.code == 0
    assert "13 of 13 claims hold" in said.out
    assert "assumes the vault contract" in said.out
    assert "trusts the policy is read as written" in said.out


def test_a_weakened_policy_ends_in_1_with_its_story(ringfence, desk):
    said = ringfence("proof", "claims", str(desk / "weak.yaml"), "--claim", "no_single_break_in_withdraws")
    assert said.code == 1
    for words in (
        "refuted no_single_break_in_withdraws",
        "1. The attacker steals officer_a (alice's) from laptop_a.",
        "2. wallet_key signs on evidence",
        "3. withdraw",
        "the ordinary ledger let every step happen",
    ):
        assert words in said.out
    assert ringfence("prove", "venue", "--claim", "no_single_break_in_withdraws").code == 0


def test_json_has_each_bound_and_story(ringfence, desk):
    said = ringfence("prove", str(desk / "weak.yaml"), "--json")
    assert said.code == 1
    found = {one["claim"]: one for one in said.json["claims"]}
    assert found["one_thief_is_slow"]["planes"][0]["bound_units"]["USDC"] == 200_000 * 10**6
    assert found["no_single_break_in_withdraws"]["planes"][0]["story"]["replayed"] is True


def test_other_engines_may_be_asked_too(ringfence):
    said = ringfence("prove", "two-buckets", "--second", "--seconds", "20")
    assert said.code == 0


def test_a_claim_that_is_not_there_is_named(ringfence):
    said = ringfence("prove", "venue", "--claim", "nothing")
    assert said.code == 2
    assert "no claim `nothing`" in said.err


def test_explain_shows_what_a_verdict_rests_on(ringfence):
    said = ringfence("prove", "venue", "--claim", "one_client_never_pays_for_another", "--explain")
    assert "settle keeps its invariant" in said.out
    assert "never client/{a}/* -> client/{b}/*" in said.out


def test_a_certificate_is_written_checked_and_refused_when_altered(ringfence, tmp_path):
    file = tmp_path / "out.json"
    assert ringfence("prove", "venue", "--certificate", str(file)).code == 0
    assert ringfence("proof", "check", str(file), "--policy", "venue").code == 0
    said = ringfence("proof", "check", str(file), "--json")
    assert said.json["complaints"] == []
    assert "trusts that the checker reads the steps of" in ringfence("proof", "check", str(file)).out
    said = ringfence("proof", "check", str(file), "--second", "--seconds", "20")
    assert (said.code, "were proved again by Z3" in said.out) == (0, True)
    assert ringfence("proof", "check", str(file), "--policy", "custodian").code == 1
    text = bytearray(file.read_bytes())
    text[len(text) // 2] ^= 1
    file.write_bytes(bytes(text))
    said = ringfence("proof", "check", str(file))
    assert said.code == 2
    assert "certificate" in said.err


def test_a_pull_request_gets_sarif_and_markdown(ringfence, desk):
    sarif, markdown = desk / "out.sarif", desk / "out.md"
    ringfence("prove", str(desk / "weak.yaml"), "--sarif", str(sarif), "--markdown", str(markdown))
    run = json.loads(sarif.read_text())["runs"][0]
    errors = {one["ruleId"]: one for one in run["results"] if one["level"] == "error"}
    assert set(errors) == {"all_officers_cannot_empty_a_client", "no_single_break_in_withdraws"}
    place = errors["no_single_break_in_withdraws"]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("weak.yaml")
    assert place["region"]["startLine"] > 300
    text = markdown.read_text()
    assert "### Claims of `harbour`: 11 of 13 hold" in text
    assert "1. The attacker steals officer_a" in text


def test_a_variable_in_a_question_is_answered_with_what_to_name(ringfence):
    said = ringfence("proof", "reach", "venue", "client/{a}/cash -> outside")
    assert said.code == 2
    assert "stands for no member; name one, e.g. `client/alice/cash`" in " ".join(said.err.split())


def test_a_policy_that_cannot_be_read_is_sarif_too(ringfence, desk):
    sarif, torn = desk / "out.sarif", desk / "torn.yaml"
    torn.write_text("ringfence: 1\nname: torn\nassets:\n  USDC: {decimals: six}\n")
    said = ringfence("prove", str(torn), "--sarif", str(sarif))
    assert said.code == 2
    errors = [one for one in json.loads(sarif.read_text())["runs"][0]["results"] if one["level"] == "error"]
    place = errors[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("torn.yaml")
    assert any(one["locations"][0]["physicalLocation"]["region"]["startLine"] == 4 for one in errors)
    assert len({one["partialFingerprints"]["claim/v1"] for one in errors}) == len(errors)
    assert ringfence("prove", str(desk / "away.yaml"), "--sarif", str(sarif)).code == 2
    (gone,) = json.loads(sarif.read_text())["runs"][0]["results"]
    assert (gone["ruleId"], "away.yaml" in gone["message"]["text"]) == ("unreadable", True)


def test_blast_states_both_modes_per_hour_and_day(ringfence, desk):
    facts = ("--facts", str(desk / "balances.json"))
    said = ringfence("blast", str(desk / "platform.yaml"), "web", *facts)
    assert said.code == 0
    assert "web, contained" in said.out
    assert "web, pivot" in said.out
    assert "250 USDT" in said.out
    found = ringfence(
        "proof", "blast", str(desk / "pulls.yaml"), "web", "--mode", "pivot", *facts, "--json"
    ).json
    assert found["blasts"][0]["planes"]["vault"]["out"]["hour"] == {"USDT": 0}


def test_blast_of_nobody_known_is_a_mistake(ringfence):
    said = ringfence("blast", "venue", "nobody")
    assert said.code == 2
    assert "`nobody` is no service, key, host or person" in said.err


def test_diff_tells_what_a_pull_makes_impossible(ringfence, desk):
    words = ("proof", "diff", str(desk / "platform.yaml"), str(desk / "pulls.yaml"))
    said = ringfence(*words, "--facts", str(desk / "balances.json"))
    assert (
        "no longer possible: with web (pivot), on vault: 0 USDT leaves per hour, instead of 250 USDT"
        in said.out
    )
    assert "newly possible: wallet can open connections to risk" in said.out
    assert said.code == 0
    assert ringfence(*words, "--fail-on-new").code == 1
    beside = ringfence("policy", "diff", str(desk / "platform.yaml"), str(desk / "pulls.yaml"), "--meaning")
    assert "newly possible: wallet can open connections to risk" in beside.out
    same = ringfence("proof", "diff", "venue", "venue", "--json")
    assert same.json == {"newly_possible": [], "no_longer_possible": []}


def test_reach_names_the_steps(ringfence):
    way = "client/** -> house/treasury"
    said = ringfence("proof", "reach", "venue", way, "--with", "officer_a", "--with", "officer_b")
    assert "1. adjust moves USDC from client/alice/cash to house/treasury" in said.out
    said = ringfence("proof", "reach", "venue", way, "--with", "officer_a", "--json")
    assert said.json["possible"] is False
    assert "No: nothing gets there" in ringfence("proof", "reach", "venue", way, "--with", "officer_a").out
    assert ringfence("proof", "reach", "venue", "client/** -> anywhere").code == 2
    assert ringfence("proof", "reach", "venue", "client").code == 2
    assert ringfence("proof", "reach", "venue", "nothing -> outside").code == 2


def test_fewest_movers_choke_and_mend(ringfence, desk):
    facts = ("--facts", str(desk / "balances.json"))
    platform = str(desk / "platform.yaml")
    said = ringfence("proof", "fewest", platform, "** -> outside", "--count", "keys", *facts, "--json")
    assert said.json["thefts"] == 2
    assert (
        "2 suffice" in ringfence("proof", "fewest", platform, "** -> outside", "--count", "keys", *facts).out
    )
    assert (
        "lw (contained, vault) moves value out by g7"
        in ringfence("proof", "movers", platform, "client_hot").out
    )
    assert ringfence("proof", "movers", platform, "client_hot", "--json").json["movers"]
    said = ringfence("proof", "choke", platform, "** -> outside", "--from", "web", *facts)
    assert "key liq: nothing gets there without it" in said.out
    assert "flow risk -> wallet" in said.out
    assert ringfence("proof", "choke", "venue", "client/** -> outside", "--json").json["gates"] == [
        "withdraw"
    ]
    said = ringfence("proof", "mend", platform, "client_money_stays_out_of_the_house")
    assert "holds without gate g4; nothing fewer does" in said.out
    assert ringfence("proof", "mend", "venue", "one_thief_is_slow", "--json").json["holds"] is True
    assert ringfence("proof", "mend", "venue", "nothing").code == 2


def test_gates_coverage_and_drift(ringfence):
    assert "block moves BTC, ETH without any cap per time" in ringfence("proof", "gates", "venue").out
    assert ringfence("proof", "gates", "venue", "--json").json["shared_quorums"] == []
    assert "no claim mentions clearing" in ringfence("proof", "coverage", "venue").out
    assert "clearing" in ringfence("proof", "coverage", "venue", "--json").json["uncovered"]
    assert ringfence("proof", "drift", "venue").code == 0
    assert ringfence("proof", "drift", "venue", "--json").json == {"differences": []}


def test_laws_and_the_only_way(ringfence):
    assert (
        "USDC inside: deposit brings it in, withdraw takes it out" in ringfence("proof", "laws", "venue").out
    )
    assert ringfence("proof", "laws", "venue", "--json").json["floor"] == []
    said = ringfence("proof", "only", "venue", "client/** -> outside", "withdraw")
    assert (said.code, "goes through withdraw only" in said.out) == (0, True)
    said = ringfence("proof", "only", "venue", "client/** -> house/treasury", "adjust", "--json")
    assert (said.code, said.json["holds"]) == (1, False)
    assert ringfence("proof", "only", "venue", "client/** -> outside", "nothing").code == 2


def test_rights_that_nobody_used(ringfence, tmp_path):
    book = ("--at", str(tmp_path / "harbour.book"))
    ringfence("book", "open", "two-buckets", *book)
    ringfence("book", "key", "new", "all", *book)
    ringfence("book", "client", "add", "alice", *book)
    ringfence("book", "deposit", "client/alice/cash", "1000", "USDC", "--reference", "tx1", *book)
    found = ringfence("proof", "used", *book, "--json").json
    assert "deposit" not in found["gates"]
    assert "withdraw" in found["gates"]
    assert "client_key" in found["keys"]
    said = ringfence("proof", "used", *book).out
    assert "gate withdraw moved nothing" in said
    ringfence("book", "transfer", "client/alice/cash", "client/alice/bet", "250", "USDC", *book)
    (cap,) = [
        one
        for one in ringfence("proof", "used", *book, "--json").json["caps"]
        if (one["gate"], one["asset"]) == ("fund", "USDC")
    ]
    assert 0 < cap["most_units"] < cap["cap_units"]
    assert " %" in ringfence("proof", "used", *book).out


def test_one_edge_is_explained(ringfence):
    said = ringfence("proof", "explain", "venue", "withdraw")
    assert said.code == 0
    assert "opens with       client_key/{client} and officer_a (alice, on laptop_a)" in said.out
    (found,) = ringfence("proof", "explain", "venue", "gateway -> matching", "--json").json
    assert ["only by it fall", "from gateway: matching, risk"] in found["facts"]
    assert ringfence("proof", "explain", "venue", "nothing").code == 2


def test_what_a_hub_really_opens_is_compared_and_decided_about(ringfence, desk):
    running = load_policy(desk / "platform.yaml")
    declared, loaded = desk / "pulls.yaml", desk / "hub.json"
    sites = plan_sites(compile_flows(running))
    loaded.write_text(json.dumps(render_hub(compile_flows(running), sites)))
    hub, facts = ("--hub", str(loaded)), ("--facts", str(desk / "balances.json"))
    assert ringfence("proof", "drift", str(desk / "platform.yaml"), *hub).code == 0
    said = ringfence("proof", "drift", str(declared), *hub)
    assert said.code == 1
    assert "flow risk -> wallet was observed and is not declared" in said.out
    assert "newly possible: whoever owns web can go on to wallet" in said.out
    found = ringfence("proof", "drift", str(declared), *hub, "--json").json
    assert set(found) == {"differences", "newly_possible", "no_longer_possible"}
    blasts = [
        ringfence("blast", str(declared), "web", "--mode", "pivot", *facts, *more, "--json").json["blasts"]
        for more in ((), hub)
    ]
    assert [one[0]["planes"]["vault"]["out"]["hour"]["USDT"] for one in blasts] == [0, 250]
    loaded.write_text("[]")
    assert ringfence("prove", str(declared), *hub).code == 2


def test_what_a_book_does_is_compared(ringfence, tmp_path):
    book = ("--at", str(tmp_path / "harbour.book"))
    ringfence("book", "open", "two-buckets", *book)
    said = ringfence("proof", "drift", "two-buckets", *book)
    assert said.code == 1
    assert "is declared and not registered" in said.out
    ringfence("book", "key", "new", "all", *book)
    assert "not registered" not in ringfence("proof", "drift", "two-buckets", *book).out


def test_whoever_holds_a_session_of_a_book_has_the_key_in_its_proof(ringfence, tmp_path):
    path, claim = tmp_path / "venue.book", ("--claim", "a_broken_risk_engine_moves_nothing")
    book, certificate = ("--at", str(path)), str(tmp_path / "certificate.json")
    ringfence("book", "open", "venue", *book)
    ringfence("book", "key", "new", "all", *book)
    ringfence("book", "client", "add", "zoe", *book)
    assert ringfence("prove", "venue", *claim, *book).code == 0
    open_session(path, Path(f"{path}.keys"))
    said = ringfence("prove", "venue", *book, "--certificate", certificate)
    assert (said.code, "refuted a_broken_risk_engine_moves_nothing" in said.out) == (1, True)
    check = ("proof", "check", certificate, "--policy", "venue")
    assert ringfence(*check, *book).code == 0
    assert ringfence(*check).code == 1
    assert "holding risk has client_key" in ringfence("proof", "drift", "venue", *book).out


def open_session(path: Path, keys: Path) -> None:
    """Let zoe's key open a trading session that ends at risk."""
    with closing(wiring.embedded(path)) as book:
        expires = wiring.clock().now() + HOUR_NS
        opening = OpenSession(1, "client_key/zoe", "risk", ("client/zoe/hedge",), expires, book.rules.digest)
        signature = wiring.key_ring(keys).sign("client_key/zoe", signing_bytes(opening))
        (outcome,) = book.submit(
            [msgspec.structs.replace(opening, signatures=(signature,))], wiring.clock().now()
        )
        assert outcome.decision == Accepted()


def test_a_picture_marks_the_spread(ringfence):
    said = ringfence("proof", "picture", "venue", "gateway", "--json")
    rooms = {room["name"]: room for room in said.json["rooms"]}
    assert rooms["trading"]["marked"] == {"matching": "falls by gateway", "risk": "falls by matching"}
    assert rooms["books"]["marked"] == {}
    drawing = ElementTree.fromstring(ringfence("proof", "picture", "venue", "gateway").out)
    assert drawing.tag.endswith("svg")
    assert ringfence("proof", "picture", "venue", "--format", "dot").out.startswith("digraph")


@pytest.mark.parametrize("facts", ["{}", '[{"fact": "wish"}]', "not json"])
def test_facts_that_are_none_are_refused(ringfence, tmp_path, facts):
    file = tmp_path / "facts.json"
    file.write_text(facts)
    said = ringfence("prove", "venue", "--facts", str(file))
    assert said.code == 2
    assert "facts" in said.err


def test_a_file_that_is_not_there_is_named(ringfence, tmp_path):
    said = ringfence("proof", "check", str(tmp_path / "none.json"))
    assert said.code == 2
    assert "none.json cannot be read" in said.err
