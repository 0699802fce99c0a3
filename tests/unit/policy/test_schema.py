"""The JSON Schema knows every word, and accepts what the language accepts."""

import json

import pytest

from ringfence.policy.language import POLICY
from ringfence.policy.model import Policy
from ringfence.policy.schema import schema
from ringfence.policy.show import show_data
from ringfence.wiring_files import SHIPPED_POLICIES, load_policy, shipped_policy


def accepts(part, value):
    """Check a value against the few keywords that the schema uses."""
    if "anyOf" in part:
        return any(accepts(one, value) for one in part["anyOf"])
    if "const" in part:
        return value == part["const"]
    if "enum" in part and value not in part["enum"]:
        return False
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    kind = kinds[part["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return False
    if kind is int:
        return part.get("minimum", value) <= value <= part.get("maximum", value)
    if kind is list:
        return all(accepts(part["items"], one) for one in value)
    return kind is not dict or accepts_object(part, value)


def accepts_object(part, value):
    words = part.get("properties", {})
    others = part.get("additionalProperties", True)
    if any(word not in value for word in part.get("required", [])):
        return False
    for name, one in value.items():
        if name in words:
            if not accepts(words[name], one):
                return False
        elif others is False or (isinstance(others, dict) and not accepts(others, one)):
            return False
    return True


@pytest.mark.parametrize("name", SHIPPED_POLICIES)
def test_each_example_follows_the_schema(name):
    data = show_data(load_policy(shipped_policy(name)))
    assert accepts(schema(), data)
    broken = json.loads(json.dumps(data))
    next(iter(broken["gates"].values()))["nedds"] = "x"
    assert not accepts(schema(), broken)


def test_the_schema_names_every_section_with_its_meaning():
    sections = schema()["properties"]
    assert set(sections) == set(Policy.model_fields) | {"tiers"}
    assert sections["gates"]["description"] == POLICY.by_name["gates"].meaning


def test_an_instrument_that_is_like_another_need_not_be_whole():
    instruments = schema()["properties"]["instruments"]
    assert accepts(instruments, {"include": "x.yaml", "ETH-PERP": {"like": "BTC-PERP", "underlying": "ETH"}})
    assert not accepts(instruments, {"ETH-PERP": {"likes": "BTC-PERP"}})
