"""Every reason for a refusal has a sentence in the docs and a test that meets it."""

import re

from ringfence.kernel.decision import Reason


def test_every_reason_has_a_meaning_in_the_docs(root):
    page = (root / "docs/reference/reasons.md").read_text()
    missing = [
        reason.name
        for reason in Reason
        if f"| {reason.value} | `{reason.name}` | {reason.meaning} |" not in page
    ]
    assert not missing, f"run `make docs`: {missing}"


def test_every_meaning_is_a_sentence():
    assert [reason.name for reason in Reason if not re.fullmatch(r"[A-Z].*\.", reason.meaning)] == []


def test_every_reason_has_a_test_row(test_text):
    # test_decision.py pins numbers; that is no row in which a request is refused for the reason.
    rows = re.sub(r"assert Reason\.[A-Z_]+ == \d+", "", test_text)
    named = set(re.findall(r"\b[A-Z][A-Z_]+\b", rows))
    missing = [reason.name for reason in Reason if reason.name not in named]
    assert not missing, f"add for each a test row in which only it refuses: {missing}"
