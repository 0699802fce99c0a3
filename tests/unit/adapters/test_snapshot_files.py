"""Snapshots in a folder: the two newest are kept, and none is kept where there is no room."""

import os
import resource
from pathlib import Path

import pytest

from ringfence.adapters.snapshot_files import SnapshotFolder


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "harbour.book"


def test_the_two_newest_are_kept(book: Path) -> None:
    folder = SnapshotFolder(book)
    assert folder.kept() == ()
    for sequence in (3, 20, 100):
        folder.keep(sequence, b"%d" % sequence)
    assert SnapshotFolder(book).kept() == (100, 20)
    assert [folder.read(sequence) for sequence in (100, 20, 3)] == [b"100", b"20", b""]


def test_only_the_owner_can_read_them(book: Path) -> None:
    SnapshotFolder(book).keep(3, b"content")
    folder = book.with_name("harbour.book-snapshots")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in folder.iterdir()] == [0o600]


def test_other_files_in_the_folder_are_none(book: Path) -> None:
    SnapshotFolder(book).keep(3, b"content")
    folder = book.with_name("harbour.book-snapshots")
    for name in ("x.snapshot", "-7.snapshot", "8.unfinished", "9"):
        (folder / name).write_bytes(b"")
    assert SnapshotFolder(book).kept() == (3,)


def test_a_full_disk_keeps_the_older_ones(book: Path) -> None:
    folder = SnapshotFolder(book)
    folder.keep(3, b"small")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limit[1]))
    try:
        folder.keep(4, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert folder.kept() == (3,)
    assert os.listdir(book.with_name("harbour.book-snapshots")) == ["3.snapshot"]


def test_a_folder_that_cannot_be_made_keeps_none(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path / "nowhere" / "harbour.book")
    folder.keep(3, b"content")
    assert folder.kept() == ()
