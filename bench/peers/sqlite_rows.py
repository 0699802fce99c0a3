"""A ledger as most people write it: SQLite, one row a transfer, two indexes, two balance updates.

WAL and synchronous=FULL, one commit a batch, so that it promises the same as the book does.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

_SCHEMA = """
create table account (id integer primary key, balance integer not null check (balance >= 0));
create table transfer (
    id blob primary key, source integer not null, target integer not null,
    amount integer not null check (amount > 0)
) without rowid;
create index transfer_source on transfer (source, id);
create index transfer_target on transfer (target, id);
"""

Row = tuple[bytes, int, int, int]
"""id (16 bytes), source, target, amount."""


def transfer_rows(folder: Path, accounts: int, opening: int, batches: Sequence[Sequence[Row]]) -> float:
    """Book every batch in one transaction each; the answer is in seconds."""
    connection = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
    try:
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=full")
        connection.executescript(_SCHEMA)
        connection.execute("begin")
        connection.executemany("insert into account values (?, ?)", ((n, opening) for n in range(accounts)))
        connection.execute("commit")
        start = perf_counter()
        for batch in batches:
            _book(connection, batch)
        return perf_counter() - start
    finally:
        connection.close()


def _book(connection: sqlite3.Connection, batch: Sequence[Row]) -> None:
    connection.execute("begin immediate")
    connection.executemany("insert into transfer values (?, ?, ?, ?)", batch)
    connection.executemany(
        "update account set balance = balance - ? where id = ?", ((row[3], row[1]) for row in batch)
    )
    connection.executemany(
        "update account set balance = balance + ? where id = ?", ((row[3], row[2]) for row in batch)
    )
    connection.execute("commit")
