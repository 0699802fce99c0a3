"""Backup, restore and export, as an operator types them; nothing that was acknowledged is lost unnoticed."""

import csv
import io
import re
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from books import START, begun, fund
from command_line import CommandLine

from ringfence.adapters.book_copy import copy_book
from ringfence.adapters.book_sqlite import open_file
from ringfence.kernel.errors import BadInput, UsageError
from ringfence.kernel.instant import Instant
from ringfence.services.exports import beancount_lines
from ringfence.wiring import embedded, read_book
from ringfence.wiring_files import shipped_policy

CASH, HEDGE = "client/alice/cash", "client/alice/hedge"


@pytest.fixture
def ringfence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    """A book with 1,000 USDC of alice, of which 100.25 are in her hedge."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RINGFENCE_BOOK", "harbour.book")
    monkeypatch.delenv("RINGFENCE_KEYS", raising=False)
    command = CommandLine(monkeypatch, capsys)
    command("book", "open", str(shipped_policy("two-buckets")))
    command("book", "key", "new", "all")
    command("book", "client", "add", "alice")
    command("book", "deposit", CASH, "1000", "USDC", "--reference", "tx-1")
    command("book", "transfer", CASH, HEDGE, "100.25", "USDC")
    return command


def test_a_backup_is_restored_with_proof(ringfence: CommandLine) -> None:
    made = ringfence("book", "backup", "b.book", "--sign-with", "ledger_key", "--json").json
    assert made["signed"] == ["ledger_key"]
    back = ringfence("book", "restore", "b.book", "--at", "r.book", "--signed-head", made["noted"], "--json")
    assert back.code == 0
    assert (back.json["nothing_missing"], back.json["signed"]) == (True, ["ledger_key"])
    again = ringfence("book", "balance", "--at", "r.book", "--json").json
    assert again == ringfence("book", "balance", "--json").json
    moved = ringfence(
        "book", "transfer", CASH, HEDGE, "1", "USDC", "--at", "r.book", "--keys", "harbour.book.keys"
    )
    assert moved.code == 0


def test_what_a_backup_lacks_is_named_and_nothing_is_put_in_place(ringfence: CommandLine) -> None:
    ringfence("book", "backup", "old.book")
    ringfence("book", "transfer", CASH, HEDGE, "1", "USDC")
    newer = ringfence("book", "backup", "new.book", "--json").json
    for noted in (["--head", newer["head"]], ["--signed-head", newer["noted"]]):
        said = ringfence("book", "restore", "old.book", "--at", "r.book", *noted)
        assert said.code == 1
        assert "record 5: is missing; the journal went on to record 5" in said.err
        assert not Path("r.book").exists()
    blind = ringfence("book", "restore", "old.book", "--at", "r.book", "--json").json
    assert (blind["nothing_missing"], blind["reaches"]) == (False, None)


def test_a_restore_says_what_is_still_unknown_and_what_would_tell(ringfence: CommandLine) -> None:
    ringfence("book", "backup", "b.book")
    blind = ringfence("book", "restore", "b.book", "--at", "r.book").out
    assert "whether anything came after its end cannot be known; b.book.head.json lies beside it" in blind
    said = ringfence("book", "restore", "b.book", "--at", "q.book", "--signed-head", "b.book.head.json").out
    assert "nothing is missing up to record" in said
    assert "nobody signed the note" in said


def test_a_signed_head_of_another_book_or_hand_is_refused(ringfence: CommandLine) -> None:
    noted = Path(ringfence("book", "backup", "b.book", "--sign-with", "ledger_key", "--json").json["noted"])
    good = noted.read_text()
    for change in (('"two-buckets"', '"another"'), ('"value": "', '"value": "AAAA')):
        noted.write_text(good.replace(*change))
        said = ringfence("book", "restore", "b.book", "--at", "r.book", "--signed-head", str(noted))
        assert said.code != 0
        assert not Path("r.book").exists()
    assert ringfence("book", "backup", "c.book", "--sign-with", "nobody").code == 2


def test_nothing_is_written_over(ringfence: CommandLine) -> None:
    Path("b.book").write_text("mine")
    assert ringfence("book", "backup", "b.book").code == 2
    assert Path("b.book").read_text() == "mine"
    assert ringfence("book", "restore", "b.book", "--at", "harbour.book").code == 2
    with pytest.raises(BadInput, match="no book here"):
        copy_book(Path("missing"), Path("x"), lambda *_: None)
    with pytest.raises(UsageError, match="is there already"):
        copy_book(Path("harbour.book"), Path("b.book"), lambda *_: None)


def test_a_backup_beside_a_writer_holds_what_was_acknowledged_before_it(tmp_path: Path) -> None:
    path = tmp_path / "busy.book"
    book = begun(open_file(path, may_create=True))
    stop, acknowledged = threading.Event(), []
    numbers = iter(range(100, 10**6))

    def write() -> None:
        while not stop.is_set():
            number = next(numbers)
            book.submit([fund(number, "alice", 1)], Instant(START + number))
            acknowledged.append(book.head.sequence)

    writer = threading.Thread(target=write)
    # SQLite handles belong to the thread that made them: hand the store over by opening it there.
    book.close()
    book = embedded(path)
    book._store._connection.close()
    import sqlite3

    book._store._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.start()
    try:
        for number in range(5):
            before = len(acknowledged)
            copy_book(path, tmp_path / f"copy{number}", lambda *_: None)
            copied = read_book(tmp_path / f"copy{number}")
            if before:
                assert copied.head.sequence >= acknowledged[before - 1]
            copied.state.check_conservation()
            copied.close()
    finally:
        stop.set()
        writer.join()
        book.close()
    assert acknowledged


# --- exports ------------------------------------------------------------------------------------


def test_the_legs_of_a_csv_add_up_to_the_balances(ringfence: CommandLine) -> None:
    rows = list(csv.DictReader(io.StringIO(ringfence("book", "export", "--format", "csv").out)))
    held: dict[tuple[str, str], Decimal] = {}
    for row in rows:
        for side, sign in (("debit", -1), ("credit", 1)):
            key = row[side], row["asset"]
            held[key] = held.get(key, Decimal(0)) + sign * Decimal(row["amount"])
    shown = ringfence("book", "balance", "--json").json
    assert held == {(one["compartment"], one["asset"]): Decimal(one["amount"]) for one in shown}


def test_parquet_holds_the_same_legs(ringfence: CommandLine) -> None:
    assert ringfence("book", "export", "--format", "parquet").code == 2
    said = ringfence("book", "export", "--format", "parquet", "--to", "legs.parquet", "--json")
    table = parquet.read_table("legs.parquet").to_pylist()
    rows = list(csv.DictReader(io.StringIO(ringfence("book", "export", "--format", "csv").out)))
    assert said.json["lines"] == len(table) == len(rows)
    assert [{name: str(value) for name, value in row.items()} for row in table] == rows


def test_the_journal_is_one_document_a_line(ringfence: CommandLine) -> None:
    whole = ringfence("book", "export", "--json").json
    assert ringfence("book", "export", "--to", "j.jsonl", "--json").json["lines"] == len(whole)
    assert len(Path("j.jsonl").read_text().splitlines()) == len(whole)


ACCOUNT = r"(?:Assets|Equity)(?::[A-Z0-9][A-Za-z0-9-]*)+"
COMMODITY = r"[A-Z](?:[A-Z0-9'._-]{0,22}[A-Z0-9])?"


def read_beancount(text: str) -> dict[tuple[str, str], Decimal]:
    """Read a Beancount file by the language's published grammar, and check it as `bean-check` does."""
    held: dict[tuple[str, str], Decimal] = {}
    opened: set[str] = set()
    sums: dict[str, Decimal] = {}
    for line in text.splitlines():
        if leg := re.fullmatch(rf"  ({ACCOUNT})  (-?[0-9.]+) ({COMMODITY})", line):
            account, amount, asset = leg[1], Decimal(leg[2]), leg[3]
            assert account in opened
            held[account, asset] = held.get((account, asset), Decimal(0)) + amount
            sums[asset] = sums.get(asset, Decimal(0)) + amount
            continue
        assert not any(sums.values()), line
        if opening := re.fullmatch(rf"\d{{4}}-\d\d-\d\d open ({ACCOUNT})", line):
            assert opening[1] not in opened
            opened.add(opening[1])
        elif balance := re.fullmatch(
            rf"\d{{4}}-\d\d-\d\d balance ({ACCOUNT})  (-?[0-9.]+) ({COMMODITY})", line
        ):
            # An assertion counts what is in the accounts below, too.
            below = {key: amount for key, amount in held.items() if f"{key[0]}:".startswith(f"{balance[1]}:")}
            assert sum(units for (_, asset), units in below.items() if asset == balance[3]) == Decimal(
                balance[2]
            )
        else:
            assert not line or re.fullmatch(
                r'option "\w+" "[^"]*"|\d{4}-\d\d-\d\d \* "[^"]*" "[0-9a-f]*"', line
            )
    return held


def test_a_beancount_file_balances(ringfence: CommandLine) -> None:
    assert withdraw(ringfence) == 0
    held = read_beancount(ringfence("book", "export", "--format", "beancount").out)
    assert held["Assets:Client:Alice:Hedge", "USDC"] == Decimal("100.25")
    assert held["Equity:Outside:Self", "USDC"] == Decimal(-1000)
    assert held["Equity:Outside:Alice", "USDC"] == Decimal("99.5")


def withdraw(ringfence: CommandLine) -> int:
    """Pay something out to alice, whose place outside lies below the one that deposits come from."""
    return ringfence("book", "transfer", CASH, "outside/alice", "99.5", "USDC").code


def test_names_that_beancount_would_not_tell_apart_stay_apart(tmp_path: Path) -> None:
    from ringfence.adapters.book_memory import MemoryStore

    book = begun(MemoryStore())
    from books import deposit, opening

    book.submit(opening("a.b", "a_b", "-x")[2:], Instant(START + 5))
    for number, member in enumerate(("a.b", "a_b", "-x"), 50):
        book.submit(deposit(number, member, 7), Instant(START + number))
    held = read_beancount("".join(beancount_lines(book)))
    assert sum(account.startswith("Assets:Client") for account, _ in held) == 4


def test_bean_check_accepts_it(ringfence: CommandLine) -> None:
    assert withdraw(ringfence) == 0
    ringfence("book", "export", "--format", "beancount", "--to", "book.beancount")
    check = [sys.executable, "-m", "beancount.scripts.check", "book.beancount"]
    run = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr, run.stdout) == (0, "", "")
    text = Path("book.beancount").read_text()
    Path("book.beancount").write_text(text.replace("  100.25 USDC", "  100.24 USDC", 1))
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0


def test_a_members_name_is_checked_before_a_key_is_made(ringfence: CommandLine) -> None:
    said = ringfence("book", "client", "add", "al ice")
    assert said.code == 2
    assert "'al ice' is no member's name; use 1 to 64 of a-z, 0-9, dot, dash and underscore" in said.err
    assert not any("al ice" in str(file) for file in Path("harbour.book.keys").rglob("*"))
