"""The table of flows cannot fall behind: its commands, its sections and its tests are there."""

import re
from pathlib import Path
from typing import get_args

import pytest

from ringfence.planes.ledger.operations import Link, Operation

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "flows.md"
FLOWS, OPERATIONS = (
    [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| flow ", "| operation "))
    ]
    for part in PAGE.read_text().split("## Every operation")
)
SAID = """
    deposit linked whole part void expire band debt interest convert standing top-up correction reverses
    own buckets give-up block two signatures opened closed frozen named member entities entity mirrored
    premium silence staff variation funding fees rebates surplus inflow payout deleveraging withdrawal sweep
    lending
    cancel-only reduce-only
"""
"""What a policy has to be able to express, by the words of its reference; each has a row."""


def rows(table: list[list[str]]) -> list[object]:
    return [pytest.param(row, id=row[0]) for row in table]


def commands_in(cell: str) -> set[str]:
    return set(re.findall(r"`(book [a-z -]+)`", cell))


def sections(page: Path) -> dict[str, str]:
    """Return what stands under each heading, code taken along, by the anchor that links to it use."""
    text = re.sub(
        r"^```.*?^```$", lambda code: code[0].replace("\n#", "\n "), page.read_text(), flags=re.M | re.S
    )
    parts = re.split(r"^#+ (.+)$", text, flags=re.M)[1:]
    return {anchor(title): body for title, body in zip(parts[::2], parts[1::2], strict=True)}


def anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_every_flow_has_a_row():
    named = " ".join(row[0] for row in FLOWS).lower()
    assert [word for word in SAID.split() if word not in named] == []


@pytest.mark.parametrize("row", rows(FLOWS))
def test_a_flow_is_shown_where_its_row_says(row):
    _, typed, shown, _ = row
    page, _, wanted = re.search(r"\((.+?)\)", shown)[1].partition("#")
    here = sections((PAGE.parent / page).resolve())
    assert wanted in here, f"no such section; there are {', '.join(here)}"
    whole = (PAGE.parent / page).read_text()
    assert re.search(r"^```(console|python)$", whole, re.M)
    if "```python" not in here[wanted]:
        missing = [one for one in commands_in(typed) if f"ringfence {one}" not in whole]
        assert not missing, f"the page does not type {missing}"


@pytest.mark.parametrize("row", rows(FLOWS))
def test_a_flow_is_tested_where_its_row_says(row):
    file, _, name = row[3].strip("`").partition("::")
    assert f"def {name}(" in (ROOT / "tests" / file).read_text()


@pytest.mark.parametrize("row", rows(FLOWS + OPERATIONS))
def test_what_is_typed_for_it_is_a_command(row, generate):
    known = {name for name, _ in generate.commands()}
    assert {f"ringfence {one}" for one in commands_in(row[1])} <= known


def test_every_operation_has_a_verb():
    records = {record.__name__ for record in (*get_args(Operation), *get_args(Link))}
    made = {row[0].strip("`"): commands_in(row[1]) for row in OPERATIONS}
    assert made.keys() == records
    assert all(made.values())
