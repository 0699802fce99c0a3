"""Packed numbers and the tables over them behave as dictionaries do, whatever rests just then."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.planes.ledger.packed import RESTED_AT_ONCE, Packed
from ringfence.planes.ledger.tables import Tables

EDGES = [number + change for number in (0, 1 << 63, 1 << 64, 1 << 127, 1 << 128) for change in (-1, 0, 1)] + [
    -(1 << 63),
    -(1 << 63) - 1,
    -(1 << 127),
    1 << 200,
]
NUMBERS = st.one_of(st.integers(-5, 5), st.sampled_from(EDGES))
GROUPS = st.sampled_from(["client/alice/bet", "client/bob/bet", "clearing", "outside", ""])
NAMES = st.sampled_from([("balance", "USDC"), ("balance", "BTC"), ("session", "BTC-PERP"), ("client",)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), GROUPS, NAMES, st.lists(NUMBERS, max_size=4).map(tuple)),
        st.tuples(st.just("put at rest"), GROUPS, NAMES, st.lists(NUMBERS, max_size=4).map(tuple)),
        st.tuples(st.just("drop"), GROUPS, NAMES),
        st.tuples(st.just("find"), GROUPS, NAMES),
        st.tuples(st.just("rest")),
        st.tuples(st.just("reopen")),
    ),
    max_size=40,
)
Content = dict[str, dict[tuple[str, ...], tuple[int, ...]]]


def packed_of(content: Content) -> Packed:
    packed = Packed()
    for group, rows in content.items():
        for name, numbers in rows.items():
            packed.put(group, name, numbers)
    return packed


def played(steps: list[tuple[Any, ...]]) -> tuple[Packed, Content]:
    """Take the same steps in packed numbers, two groups of which are in use at most, and in a dictionary."""
    packed, content = Packed(open_max=2), Content()
    for kind, *step in steps:
        match kind:
            case "put":
                packed.put(*step)
                content.setdefault(step[0], {})[step[1]] = step[2]
            case "put at rest":
                packed.put_at_rest(*step)
                content.setdefault(step[0], {})[step[1]] = step[2]
            case "drop" if step[1] in content.get(step[0], {}):
                packed.drop(*step)
                del content[step[0]][step[1]]
            case "drop":
                with pytest.raises(KeyError):
                    packed.drop(*step)
            case "find":
                assert packed.glance(*step) == content.get(step[0], {}).get(step[1])
                assert packed.find(*step) == content.get(step[0], {}).get(step[1])
            case "rest":
                packed.rest()
            case "reopen":
                written, packed = packed.written(), Packed(open_max=2)
                packed.restore(written)
    return packed, {group: rows for group, rows in content.items() if rows}


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_packed_numbers_are_a_dictionary_of_dictionaries(steps: list[tuple[Any, ...]]) -> None:
    packed, content = played(steps)
    assert dict(packed.groups()) == content
    assert {group: packed.group(group) for group in content} == content
    names = [name for rows in content.values() for name in rows]
    assert packed.counts() == {name: names.count(name) for name in names}


@settings(max_examples=100, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_equal_contents_are_written_alike_whatever_happened_before(
    steps: list[tuple[Any, ...]], chance: Any
) -> None:
    packed, content = played(steps)
    groups = list(content.items())
    chance.shuffle(groups)
    assert packed.written() == packed_of(dict(groups)).written()
    restored = Packed()
    restored.restore(packed.written())
    assert dict(restored.groups()) == content
    assert restored.written() == packed.written()


def test_what_was_dropped_from_a_group_in_use_is_not_read_from_its_rest() -> None:
    packed = packed_of({"clearing": {("balance", "USDC"): (1, 2)}})
    packed.rest()
    packed.drop("clearing", ("balance", "USDC"))
    assert packed.group("clearing") == {}
    assert packed.find("clearing", ("balance", "USDC")) is None
    assert packed.glance("clearing", ("balance", "USDC")) is None
    assert list(packed.groups()) == []
    packed.rest()
    assert (packed.group("clearing"), packed.counts()) == ({}, {})
    with pytest.raises(KeyError, match="USDC"):
        packed.drop("clearing", ("balance", "USDC"))


def test_of_too_many_groups_in_use_the_first_are_put_to_rest() -> None:
    packed = Packed(open_max=RESTED_AT_ONCE + 3)
    names = [f"client/m{number}/bet" for number in range(RESTED_AT_ONCE + 4)]
    for name in names[:-1]:
        packed.put(name, ("balance", "USDC"), (1, 2))
    assert list(packed.open) == names[:-1]
    packed.put(names[-1], ("balance", "USDC"), (1, 2))
    assert list(packed.open) == names[-4:]


def test_only_numbers_that_have_no_room_are_written_as_text() -> None:
    edges = (1 << 64, (1 << 64) - 1, 7, -(1 << 63), -(1 << 63) - 1)
    written = packed_of({"clearing": {("balance", "USDC"): edges}}).written()
    (record,) = msgspec.msgpack.decode(written)[3]
    assert msgspec.msgpack.decode(record, type=Any, strict=True) == [
        {0: [str(1 << 64), (1 << 64) - 1, 7, -(1 << 63), str(-(1 << 63) - 1)]}
    ]


def test_names_may_come_into_a_group_in_any_order() -> None:
    usdc, btc = ("balance", "USDC"), ("balance", "BTC")
    first = packed_of({"clearing": {btc: (1,), usdc: (2,)}, "outside": {usdc: (3,), btc: (4,)}})
    other = packed_of({"clearing": {usdc: (2,), btc: (1,)}, "outside": {btc: (4,), usdc: (3,)}})
    assert first.written() == other.written()
    first.put("clearing", ("balance", "ADA"), (5,))
    other.put("clearing", ("balance", "ADA"), (5,))
    other.put("clearing", ("balance", "ZEC"), (6,))
    other.drop("clearing", ("balance", "ZEC"))
    assert first.written() == other.written()


@pytest.mark.parametrize("number", EDGES)
def test_numbers_of_any_size_come_back(number: int) -> None:
    packed = packed_of({"clearing": {("balance", "USDC"): (number, 7), ("balance", "BTC"): (1, 2)}})
    packed.rest()
    assert packed.find("clearing", ("balance", "USDC")) == (number, 7)
    assert packed.find("clearing", ("balance", "BTC")) == (1, 2)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(([["a"]], [], ["g"], [b"\x80"])),
        msgspec.msgpack.encode(([["a"]], [1], ["g"], [])),
        msgspec.msgpack.encode(([["a"]], [1], ["g"], ["no bytes"])),
    ],
)
def test_what_is_no_packed_numbers_is_not_taken(content: bytes) -> None:
    with pytest.raises((ValueError, msgspec.DecodeError)):
        Packed().restore(content)


# --- tables -------------------------------------------------------------------------------------

KEYS: dict[str, list[Any]] = {
    "balances": [("client/alice/bet", "USDC"), ("client/alice/bet", "BTC-PERP"), ("outside", "USDC")],
    "windows": [
        ("bring", "each", ("alice",), "USDC"),
        ("bring", "all", (), "USDC"),
        ("a", "each", ("x", "y"), "B"),
    ],
    "members": [("client", "alice"), ("affiliate", "alice"), ("client", "bob")],
    "BTC-PERP": ["client/alice/bet", "client/bob/bet"],
    "ETH-PERP": ["client/alice/bet"],
}
VALUES: dict[str, Any] = {
    "balances": st.tuples(NUMBERS, NUMBERS),
    "windows": st.lists(NUMBERS, max_size=4).map(tuple),
    "members": NUMBERS,
    "BTC-PERP": NUMBERS,
    "ETH-PERP": NUMBERS,
}
CHANGES = st.lists(
    st.one_of(
        *(st.tuples(st.just("put"), st.just(t), st.sampled_from(KEYS[t]), VALUES[t]) for t in KEYS),
        *(st.tuples(st.just("drop"), st.just(t), st.sampled_from(KEYS[t])) for t in KEYS),
        st.sampled_from([("commit",), ("rollback",), ("look",)]),
    ),
    max_size=40,
)


def small_tables() -> Tables:
    """Make tables that spread two groups out at most, so that the rest rest all the time."""
    tables = Tables()
    for packed in tables.packed.values():
        packed._open_max = 2
    return tables


def table_of(tables: Tables, name: str) -> Any:
    return tables.sessions.of(name) if "-" in name else getattr(tables, name)


@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_packed_tables_are_dictionaries_that_can_be_rolled_back(changes: list[tuple[Any, ...]]) -> None:
    tables = small_tables()
    kept: dict[str, dict[Any, Any]] = {name: {} for name in KEYS}
    now = {name: dict(rows) for name, rows in kept.items()}
    for kind, *change in changes:
        match kind:
            case "put":
                tables.put(table_of(tables, change[0]), change[1], change[2])
                now[change[0]][change[1]] = change[2]
            case "drop":
                tables.drop(table_of(tables, change[0]), change[1])
                now[change[0]].pop(change[1], None)
            case "commit":
                tables.commit()
                kept = {name: dict(rows) for name, rows in now.items()}
            case "rollback":
                tables.rollback()
                now = {name: dict(rows) for name, rows in kept.items()}
            case "look":
                _expect_equal(tables, now)
    tables.rollback()
    _expect_equal(tables, kept)


def _expect_equal(tables: Tables, rows: dict[str, dict[Any, Any]]) -> None:
    for name, expected in rows.items():
        table = table_of(tables, name)
        assert dict(table.items()) == expected
        assert {key: table[key] for key in table} == expected
        assert len(table) == len(expected)
        assert all((key in table) == (key in expected) for key in KEYS[name])
        assert all(table.get(key, "none") == expected.get(key, "none") for key in KEYS[name])
    sessions = {name: rows[name] for name in ("BTC-PERP", "ETH-PERP") if rows[name]}
    assert {name: dict(table.items()) for name, table in tables.sessions.items()} == sessions
    assert len(tables.sessions) == len(sessions)
    for bucket in KEYS["BTC-PERP"]:
        held = {name: table[bucket] for name, table in sessions.items() if bucket in table}
        assert tables.sessions.in_bucket(bucket) == held
        assert all(
            tables.session_value(bucket, name) == held.get(name, 0) for name in ("BTC-PERP", "ETH-PERP")
        )


@pytest.mark.parametrize("name", KEYS)
def test_a_packed_table_is_a_dictionary(name: str) -> None:
    tables = small_tables()
    table = table_of(tables, name)
    rows = {
        key: number if name in ("members", "BTC-PERP", "ETH-PERP") else (number, 9)
        for number, key in enumerate(KEYS[name])
    }
    for place, (key, value) in enumerate(rows.items()):
        if place:
            table[key] = value
        else:
            assert [table.put_at_rest(key, value) for _ in range(2)] == [None, value]
        assert (key, value) in table.items()
    for packed in tables.packed.values():
        packed.rest()
    assert dict(table.items()) == rows
    assert len(table.items()) == len(table) == len(rows)
    gone = KEYS[name][0]
    del table[gone]
    with pytest.raises(KeyError) as missing:
        table[gone]
    assert missing.value.args == (gone,)


def test_an_instrument_in_which_nobody_has_a_session_value_has_no_table() -> None:
    with pytest.raises(KeyError, match="BTC-PERP"):
        small_tables().sessions["BTC-PERP"]


def test_buckets_are_listed_once_however_often_they_come_and_go() -> None:
    tables = small_tables()
    table = tables.sessions.of("BTC-PERP")
    tables.put(table, "client/alice/bet", 1)
    assert tables.sessions.buckets("BTC-PERP") == ["client/alice/bet"]
    tables.put(table, "client/bob/bet", 2)
    assert tables.sessions.buckets("BTC-PERP") == ["client/alice/bet", "client/bob/bet"]
    tables.drop(table, "client/alice/bet")
    assert tables.sessions.buckets("BTC-PERP") == ["client/bob/bet"]
    tables.put(table, "client/alice/bet", 3)
    tables.drop(table, "client/bob/bet")
    tables.put(table, "client/bob/bet", 4)
    assert sorted(table.items()) == [("client/alice/bet", 3), ("client/bob/bet", 4)]
    tables.drop(table, "client/alice/bet")
    tables.put(table, "client/alice/bet", 5)
    tables.drop(table, "client/bob/bet")
    listed = tables.sessions.buckets("BTC-PERP")
    assert listed == ["client/alice/bet"]
    tables.put(table, "client/alice/bet", 6)
    assert tables.sessions.buckets("BTC-PERP") is listed  # nobody came or went, so nobody is looked for
    tables.put(tables.sessions.of("ETH-PERP"), "client/bob/bet", 7)
    assert tables.sessions.buckets("ETH-PERP") == ["client/bob/bet"]
    assert tables.sessions.buckets("BTC-USD") == []


def test_a_move_that_is_taken_back_leaves_no_trace() -> None:
    tables = small_tables()
    tables.move("outside", "client/alice/bet", "USDC", 5)
    tables.rollback()
    assert (dict(tables.balances.items()), tables.totals, tables.packed["compartments"].counts()) == (
        {},
        {},
        {},
    )


def test_a_table_may_be_read_while_it_is_gone_through() -> None:
    tables = small_tables()
    for number in range(20):
        tables.move("outside", f"client/m{number}/bet", "USDC", number + 1)
    tables.commit()
    seen = {path: tables.balance(path, asset) for (path, asset), _ in tables.balances.items()}
    assert seen == {f"client/m{number}/bet": number + 1 for number in range(20)} | {"outside": -210}
    tables.check_conservation()


def test_putting_at_rest_says_what_was_there_and_wakes_nobody() -> None:
    packed = Packed()
    assert packed.put_at_rest("clearing", ("balance", "USDC"), (1, 2)) is None
    assert packed.put_at_rest("clearing", ("balance", "BTC"), ()) is None
    assert packed.put_at_rest("clearing", ("balance", "USDC"), (1 << 200, 3)) == (1, 2)
    assert packed.put_at_rest("clearing", ("balance", "BTC"), (4,)) == ()
    assert packed.open == {}
    assert packed.put("clearing", ("balance", "USDC"), (5, 6)) == (1 << 200, 3)
    assert packed.put_at_rest("clearing", ("balance", "USDC"), (7, 8)) == (5, 6)
    assert packed.counts() == {("balance", "USDC"): 1, ("balance", "BTC"): 1}
    assert packed.group("clearing") == {("balance", "USDC"): (7, 8), ("balance", "BTC"): (4,)}
