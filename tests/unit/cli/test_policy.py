"""`ringfence policy`: what each command prints, in text and in JSON, and how it ends."""

import json

import pytest
from typer.testing import CliRunner

from ringfence.cli import policy as commands
from ringfence.cli.main import app
from ringfence.kernel.errors import BadInput
from ringfence.policy.digest import digest
from ringfence.policy.findings import LAWS
from ringfence.policy.parse import parse
from ringfence.policy.schema import schema
from ringfence.wiring_files import SHIPPED_POLICIES, load_policy, shipped_policy

GOLDEN = "policy_check_finds_every_mistake"


@pytest.fixture
def run(monkeypatch, root):
    monkeypatch.chdir(root / "tests/golden")
    monkeypatch.setattr(commands.console, "width", 400)

    def invoke(*words):
        return CliRunner().invoke(app, list(words))

    return invoke


def test_policy_check_finds_every_mistake(run, root):
    answer = run("policy", "check", f"{GOLDEN}/policy.yaml")
    assert answer.exit_code == 1
    assert answer.stdout == (root / f"tests/golden/{GOLDEN}/check.txt").read_text()


def test_policy_check_in_json_names_the_law(run):
    answer = run("policy", "check", f"{GOLDEN}/policy.yaml", "--json")
    assert answer.exit_code == 1
    data = json.loads(answer.stdout)
    assert (data["ok"], data["errors"], data["notes"]) == (False, len(data["findings"]), 0)
    assert {"level", "rule", "where", "found", "right", "law"} == set(data["findings"][0])
    assert all(one["law"] == LAWS[one["rule"]] for one in data["findings"])


@pytest.mark.parametrize("name", SHIPPED_POLICIES)
def test_policy_check_accepts_the_examples(run, name):
    answer = run("policy", "check", name)
    assert answer.exit_code == 0
    assert f"{name}: accepted, 0 errors, {1 if name == 'venue' else 0} note" in answer.stdout
    assert json.loads(run("policy", "check", name, "--json").stdout)["ok"] is True


def test_policy_show_prints_what_reads_back(run):
    answer = run("policy", "show", "two-buckets")
    assert answer.exit_code == 0
    loaded = load_policy(shipped_policy("two-buckets"))
    assert parse(answer.stdout, "again.yaml").policy == loaded
    assert json.loads(run("policy", "show", "two-buckets", "--json").stdout)["name"] == "two-buckets"


def test_policy_digest_names_what_it_means(run):
    expected = digest(load_policy(shipped_policy("two-buckets"))).hex()
    assert run("policy", "digest", "two-buckets").stdout == f"{expected}\n"
    answer = json.loads(run("policy", "digest", "two-buckets", "--json").stdout)
    assert answer == {"policy": "two-buckets", "digest": expected}


def test_policy_diff_says_what_widens(run, tmp_path):
    text = shipped_policy("two-buckets").read_text()
    wider, narrower = tmp_path / "wider.yaml", tmp_path / "narrower.yaml"
    wider.write_text(text.replace('{each: {USDC: "100000 per 1 d"}', '{each: {USDC: "250000 per 1 d"}'))
    narrower.write_text(text.replace('{each: {USDC: "100000 per 1 d"}', '{each: {USDC: "1 per 1 d"}'))
    sentence = "gate withdraw 100000 → 250000 USDC per day (each member)"
    assert f"widens: {sentence}" in run("policy", "diff", "two-buckets", str(wider)).stdout
    (change,) = json.loads(run("policy", "diff", "two-buckets", str(wider), "--json").stdout)
    assert (change["direction"], change["words"]) == ("widens", sentence)
    assert change["where"].startswith(f"{wider}:")
    assert run("policy", "diff", "two-buckets", str(wider)).exit_code == 0
    assert run("policy", "diff", "two-buckets", str(wider), "--fail-on-widening").exit_code == 1
    assert run("policy", "diff", "two-buckets", str(narrower), "--fail-on-widening").exit_code == 0
    assert "mean the same" in run("policy", "diff", "two-buckets", "two-buckets").stdout


def test_policy_schema_is_for_editors(run):
    assert json.loads(run("policy", "schema").stdout) == schema()
    assert json.loads(run("policy", "schema", "--json").stdout) == schema()


def test_a_policy_that_is_not_there_is_said_in_one_sentence(run):
    answer = run("policy", "check", "nowhere.yaml")
    assert isinstance(answer.exception, BadInput)
    assert "nowhere.yaml: the file cannot be read" in str(answer.exception)
    broken = run("policy", "show", f"{GOLDEN}/policy.yaml")
    assert isinstance(broken.exception, BadInput)
    assert "margn" in str(broken.exception)
