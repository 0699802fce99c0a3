import ast
from pathlib import Path

import pytest

import ringfence

PUBLIC = [
    "Accepted",
    "BadInput",
    "Book",
    "Bucket",
    "Finding",
    "Instant",
    "Move",
    "OpenMember",
    "Policy",
    "Prices",
    "Reason",
    "Refused",
    "Request",
    "RingfenceError",
    "Signature",
    "diff",
    "embedded",
    "health",
    "load_policy",
    "parse",
    "parse_decimal",
    "parse_instant",
    "shipped_policy",
    "show",
    "show_decimal",
    "signing_bytes",
]


def test_the_public_names_are_these_and_no_others():
    # A name that is taken away breaks somebody's program; one that is added is promised for good.
    assert sorted(ringfence.__all__) == PUBLIC
    assert dir(ringfence) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name):
    assert getattr(ringfence, name) is not None


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(ringfence.__file__).read_text())
    imports = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "typing"
    ]
    homes = {f"{node.module}.{alias.asname}" for node in imports for alias in node.names if alias.asname}
    assert homes == {f"ringfence.{home}.{name}" for name, home in ringfence._HOMES.items()}


def test_any_other_name_is_no_part_of_it():
    with pytest.raises(AttributeError, match="no public name 'secret'"):
        _ = ringfence.secret  # type: ignore[attr-defined]
