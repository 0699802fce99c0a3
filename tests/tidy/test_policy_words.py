"""Every word of the policy language has a line in the docs and a test row; every policy has a page."""

import json
import re
from pathlib import Path

from ringfence.policy.schema import schema

ROOT = Path(__file__).resolve().parents[2]
POLICIES = sorted((ROOT / "policies").glob("*.yaml"))


def words_below(part: object) -> set[str]:
    """Collect the words that a JSON Schema lets a person write: names of properties, and choices."""
    words: set[str] = set()
    if isinstance(part, dict):
        words.update(part.get("properties", {}))
        words.update(choice for choice in part.get("enum", []) if isinstance(choice, str))
        for inner in part.values():
            words |= words_below(inner)
    elif isinstance(part, list):
        for inner in part:
            words |= words_below(inner)
    return words


WORDS = sorted(words_below(schema()))


def test_the_schema_names_the_words_of_the_language():
    assert {
        "gates",
        "needs",
        "limit",
        "accrual",
        "computed_by",
        "waterfalls",
        "claims",
        "client_money",
    } <= set(WORDS)


def test_every_policy_word_has_a_line_in_the_reference(root):
    pages = "".join(page.read_text() for page in sorted((root / "docs/reference").glob("policy*.md")))
    explained = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`\n]+)`", pages))))
    missing = [word for word in WORDS if not explained.issuperset(re.findall(r"[\w-]+", word))]
    assert not missing, f"explain each in docs/reference/policy*.md, in backticks: {missing}"


def test_every_policy_word_has_a_test_row(test_text):
    missing = [word for word in WORDS if not re.search(rf"\b{re.escape(word)}\b", test_text)]
    assert not missing, f"add for each a test row that reads it: {missing}"


def test_every_policy_has_a_page(docs_text):
    missing = [policy.name for policy in POLICIES if f"policies/{policy.name}" not in docs_text]
    assert not missing, f"write a page that names each: {missing}"


def test_every_policy_is_a_test(test_text):
    missing = [policy.name for policy in POLICIES if not re.search(rf"\b{policy.stem}\b", test_text)]
    assert not missing, f"add a test that opens each: {missing}"


def test_the_schema_is_plain_json():
    assert json.loads(json.dumps(schema())) == schema()
