"""The tables of a book: what is put, taken back and added up again, each to the unit."""

from typing import Any

import pytest

from ringfence.kernel.errors import ViolationError
from ringfence.planes.ledger.tables import FORMS, Tables

BET, BOB, PERP = "client/alice/bet", "client/bob/bet", "BTC-PERP"
FEES = ("fees", BET, "house/fees", "USDC")


@pytest.fixture
def tables() -> Tables:
    """Two compartments with coins, and a position between them, all committed."""
    tables = Tables()
    tables.move("outside", BET, "USDC", 7)
    tables.move(BOB, BET, PERP, 2)
    tables.set_session(BET, PERP, 30)
    tables.set_session(BOB, PERP, -30)
    tables.commit()
    return tables


def test_nothing_is_known_at_first() -> None:
    tables = Tables()
    assert tables.content() == {name: [] for name in ("balances", "sessions", "windows", "members", *FORMS)}
    assert tables.answer(7) is None
    assert (tables.rows, tables.changed) == (b"", None)


def test_everything_known_is_told_in_order(tables: Tables) -> None:
    tables.rows = b"\x07\xff"
    tables.put(tables.windows, ("fund", "each", ("alice",), "USDC"), (1, 2))
    tables.put(tables.members, ("client", "alice"), 5)
    tables.put(tables.funded, "b", 1)
    tables.put(tables.funded, "a", 2)
    empty = {name: [] for name in FORMS if name not in ("totals", "session_totals", "funded")}
    assert tables.content() == {
        "rows": "07ff",
        "balances": [
            ((BET, PERP), (0, 2)),
            ((BET, "USDC"), (0, 7)),
            ((BOB, PERP), (2, 0)),
            (("outside", "USDC"), (7, 0)),
        ],
        "sessions": [(PERP, {BET: 30, BOB: -30})],
        "windows": [(("fund", "each", ("alice",), "USDC"), (1, 2))],
        "members": [(("client", "alice"), 5)],
        "totals": [(PERP, (2, 2)), ("USDC", (7, 7))],
        "session_totals": [(PERP, 0)],
        "funded": [("a", 2), ("b", 1)],
        **empty,
    }
    assert tables.bucket_content(BET, ["USDC", PERP, "ETH"]) == {
        "compartment": BET,
        "balances": {"USDC": [0, 7], PERP: [0, 2]},
        "sessions": {PERP: 30},
    }


def test_what_was_begun_is_taken_back_to_what_it_was(tables: Tables) -> None:
    before = tables.content()
    for units in (5, 6):
        tables.move("outside", BET, "USDC", units)
        tables.put(tables.funded, "a", units)
        tables.owe(FEES, units)
        tables.set_session(BET, PERP, units)
    tables.drop(tables.session_totals, PERP)
    tables.rollback()
    assert tables.content() == before


def test_what_could_not_be_put_is_taken_back_all_the_same(tables: Tables) -> None:
    class Full(dict[str, int]):
        def __setitem__(self, key: str, value: int) -> None:
            raise OverflowError

    tables.put(tables.funded, "a", 1)
    with pytest.raises(OverflowError):
        tables.put(Full(), "a", 1)
    tables.rollback()
    assert tables.funded == {}


def test_what_was_changed_is_kept_for_a_row_lane(tables: Tables) -> None:
    tables.changed = []
    for key in ("a", "b"):
        tables.put(tables.funded, key, 1)
        tables.commit()
    assert tables.changed == [(tables.funded, "a"), (tables.funded, "b")]


@pytest.mark.parametrize(("identifier", "answer"), [(7, (b"own", 1)), (8, (b"row", 8)), (9, None)])
def test_what_was_judged_before_is_known_or_asked_of_the_rows(identifier: int, answer: Any) -> None:
    tables = Tables()
    tables.put(tables.ids, 7, (b"own", 1))
    tables.row_answer = lambda asked: (b"row", asked) if asked in (7, 8) else None
    assert tables.answer(identifier) == answer


@pytest.mark.parametrize(
    ("value", "contracts", "left"),
    [(0, 0, {BOB: -30}), (0, 2, {BET: 0, BOB: -30}), (1, 0, {BET: 1, BOB: -30}), (1, 1, {BET: 1, BOB: -30})],
)
def test_a_flat_position_worth_nothing_is_forgotten(
    tables: Tables, value: int, contracts: int, left: dict[str, int]
) -> None:
    if contracts < 2:
        tables.move(BET, BOB, PERP, 2 - contracts)
    tables.set_session(BET, PERP, value)
    assert dict(tables.sessions.of(PERP).items()) == left
    assert tables.session_totals == {PERP: value - 30}


def test_what_is_owed_is_added_up_and_nothing_owed_is_not_kept() -> None:
    tables = Tables()
    tables.owe(FEES, 5)
    tables.owe(FEES, 2)
    assert list(tables.owed_by(BET)) == [("USDC", 7)]
    tables.owe(FEES, -6)
    assert tables.owed == {FEES: 1}
    tables.owe(FEES, -1)
    assert tables.owed == {}


@pytest.mark.parametrize(
    ("table", "key", "value", "words"),
    [
        ("balances", (BET, "USDC"), (0, 8), "USDC does not balance: 7 debits, 8 credits, (7, 7)"),
        ("balances", (BET, "USDC"), (1, 8), "USDC does not balance: 8 debits, 8 credits, (7, 7)"),
        ("totals", "USDC", (8, 8), "USDC does not balance: 7 debits, 7 credits, (8, 8)"),
        ("sessions", BET, 31, f"the session values of {PERP} sum to 1, not 0"),
    ],
)
def test_what_does_not_add_up_is_said(tables: Tables, table: str, key: Any, value: Any, words: str) -> None:
    tables.check_conservation()
    tables.put(tables.sessions.of(PERP) if table == "sessions" else getattr(tables, table), key, value)
    with pytest.raises(ViolationError) as violation:
        tables.check_conservation()
    assert str(violation.value) == words
