"""Whatever the text: findings, never a crash, and never a policy that was not meant."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringfence.policy.parse import parse
from ringfence.policy.source import CHARACTERS_MAX, DEPTH_MAX, FINDINGS_MAX, read_source
from ringfence.wiring_files import shipped_policy

SMALL = shipped_policy("two-buckets").read_text()
VENUE = shipped_policy("venue").read_text()
PERPETUALS = (shipped_policy("venue").parent / "instruments" / "perpetuals.yaml").read_text()
PIECES = (
    *(
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        ",",
        "-",
        "- ",
        "#",
        "&a ",
        "*a",
        "!!int ",
        "|",
        ">",
        "'",
        '"',
        "---",
        "...",
    ),
    *("%YAML 1.1", "?", "? ", "\t", "\n", "\x00", "\ufeff", "\u2028", "\x85", "\ud800", "~", "null", "yes"),
    *("1e400", ".nan", "0x", "{{", "<<: ", "9" * 5000, '"\\x4', '"\\U00110000"', "\\", "` ", "@"),
    *("per", "of [", "->", "*/", "**"),
)


def parsed(text: str, include: str = "") -> None:
    answer = parse(text, "p.yaml", lambda _: include)
    assert (answer.policy is None) == any(finding.level == "error" for finding in answer.findings)
    for finding in answer.findings:
        assert finding.found
        assert finding.right
        assert len(str(finding)) < 700


@given(st.text(max_size=200))
@example("\ud800")
@example('a: "\\ud800"')
@example("%YAML 1.\n---\na: 1")
@example("%TAG ! tag:x\n---\na: !b 1")
@example("a: !<\n")
@example("? [a\n: b")
def test_any_text_gives_findings(text):
    parsed(text)


@given(st.binary(max_size=200))
def test_any_bytes_give_findings(data):
    parsed(data.decode("latin-1"))


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_pieces_of_yaml_give_findings(text):
    parsed(text)
    parsed(f"ringfence: 1\nname: x\nassets: {text}\n")


@settings(max_examples=150)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_a_damaged_policy_gives_findings(dice, count):
    parsed(damaged(SMALL, dice, count))


@settings(max_examples=25)
@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_a_damaged_include_gives_findings(dice, count):
    parsed(VENUE, damaged(PERPETUALS, dice, count))


def damaged(text: str, dice: random.Random, count: int) -> str:
    """Cut, double, swap or replace pieces of a text."""
    for _ in range(count):
        start = dice.randrange(len(text))
        end = min(len(text), start + dice.choice((1, 1, 2, 5, 20, 100)))
        piece = dice.choice(
            ("", text[start:end] * 2, dice.choice(PIECES), text[start:end][::-1], text[end : end + 30])
        )
        text = text[:start] + piece + text[end:]
    return text


WRONG = ("[]", "{}", "[[1]]", "{a: b}", "yes", "1.5", "~", '""', "-1", "no such thing")


def each_value_replaced() -> list[str]:
    """Put a wrong thing in the place of each value of the small policy, one at a time."""
    lines = SMALL.split("\n")
    words = [(number, line.partition(": ")[0]) for number, line in enumerate(lines) if ": " in line]
    return [
        "\n".join([*lines[:number], f"{word}: {wrong}", *lines[number + 1 :]])
        for number, word in words
        for wrong in WRONG
    ]


def test_a_wrong_thing_in_any_place_gives_findings():
    dice = random.Random(7)
    for text in dice.sample(each_value_replaced(), 120):
        parsed(text)


# --- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: 1\n" * (CHARACTERS_MAX // 5 + 1), "too-large"),
        ("a: " + "[" * 1000 + "]" * 1000, "too-deep"),
        ("a: " + "{b: " * 1000, "too-deep"),
        ("- " * 1000, "too-deep"),
        ("? " * 1000, "too-deep"),
        ("a: [" + "1, " * 20_000, "yaml-syntax"),
    ],
    ids=["large", "lists", "mappings", "dashes", "keys", "endless"],
)
def test_texts_beyond_any_policy_end_in_one_sentence(text, rule):
    assert [finding.rule for finding in parse(text, "p.yaml").findings] == [rule]


def test_the_deepest_text_that_is_read():
    inner = DEPTH_MAX - 1
    assert read_source("a: " + "[" * inner + "]" * inner, "p.yaml").findings == ()
    deeper = read_source("a: " + "[" * (inner + 1) + "]" * (inner + 1), "p.yaml")
    assert [finding.rule for finding in deeper.findings] == ["too-deep"]


def test_the_longest_text_that_is_read():
    filling = "#" * (CHARACTERS_MAX - 5)
    assert read_source(f"a: 1\n{filling}", "p.yaml").findings == ()
    assert [one.rule for one in read_source(f"a: 1\n{filling}#", "p.yaml").findings] == ["too-large"]


def test_one_mistake_repeated_ends_the_reading():
    findings = read_source("a: 1\n" * 10_000, "p.yaml").findings
    assert len(findings) == FINDINGS_MAX + 1
