import hashlib
import json
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.digest import DIGEST_SIZE, canonical_bytes, tagged_digest

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("data", "written"),
    [
        (None, b"null"),
        (True, b"true"),
        (1, b"1"),
        (-(2**127), b"-170141183460469231731687303715884105728"),
        ("", b'""'),
        ("é", '"é"'.encode()),
        ('"\\\n', b'"\\"\\\\\\n"'),
        ([], b"[]"),
        ({}, b"{}"),
        ({"b": 1, "a": [2, {"d": 3, "c": None}]}, b'{"a":[2,{"c":null,"d":3}],"b":1}'),
        ((1, 2), b"[1,2]"),
        (Colour.RED, b"1"),
    ],
)
def test_plain_data_has_one_spelling(data, written):
    assert canonical_bytes(data) == written


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (1.0, "float"),
        ([1, 2.5], "float"),
        ({"a": {"b": float("nan")}}, "float"),
        (b"x", "bytes"),
        ({1: "a"}, "key must be text"),
        ({"a": {None: 1}}, "key must be text"),
        ({1, 2}, "set"),
        (object(), "object"),
    ],
)
def test_what_has_no_single_spelling_is_refused(data, words):
    with pytest.raises(TypeError, match=words):
        canonical_bytes(data)


@given(plain)
def test_canonical_bytes_are_read_back_as_the_same_data(data):
    assert json.loads(canonical_bytes(data)) == data


@given(st.dictionaries(texts, plain, max_size=6))
def test_the_order_of_keys_does_not_matter(data):
    assert canonical_bytes(dict(reversed(data.items()))) == canonical_bytes(data)


@given(plain, plain)
def test_different_data_has_different_bytes(one, other):
    assert (canonical_bytes(one) == canonical_bytes(other)) == (_typed(one) == _typed(other))


def test_a_digest_is_sha256_over_lengths_and_parts():
    by_hand = b"\0" * 7 + b"\3tag" + b"\0" * 7 + b"\2ab" + b"\0" * 8
    assert tagged_digest("tag", b"ab", b"") == hashlib.sha256(by_hand).digest()
    assert len(tagged_digest("tag")) == DIGEST_SIZE


@given(
    st.text(st.characters(codec="ascii"), max_size=3),
    st.lists(st.binary(max_size=3), max_size=3),
    st.text(st.characters(codec="ascii"), max_size=3),
    st.lists(st.binary(max_size=3), max_size=3),
)
def test_no_two_sets_of_parts_share_a_digest(tag, parts, other_tag, other_parts):
    same = (tag, parts) == (other_tag, other_parts)
    assert (tagged_digest(tag, *parts) == tagged_digest(other_tag, *other_parts)) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [((b"ab", b"c"), (b"a", b"bc")), ((b"",), ()), ((b"a", b""), (b"", b"a"))],
)
def test_parts_cannot_flow_into_each_other(one, other):
    assert tagged_digest("t", *one) != tagged_digest("t", *other)


def _typed(data: object) -> object:
    """Tell 1 from True, which Python takes for equal, and (1,) not from [1]."""
    if isinstance(data, dict):
        return {key: _typed(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_typed(value) for value in data]
    return (type(data).__name__, data)
