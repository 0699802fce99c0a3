"""A disk in memory that loses power, tears sectors, fails calls and lies, under a real SQLite.

What a program wrote is seen by it at once, and is safe only after a sync. When the power goes, each 512-byte
sector of an unsynced write is lost half of the time and torn now and then, in no order. A file that was
never synced may be gone altogether, and a deleted one be back. `Faults` says what goes wrong and when; calls
are counted from 1.

A disk also keeps a diary of everything that changed it. `lives` tells the diary again and stops after every
entry, so that one run of a program is cut at each of its writes, many times, without running it again.
"""

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import apsw

from ringfence.adapters.book_sqlite import Driver, SqliteStore

SECTOR = 512
PATH = "/disk/harbour.book"


class PowerIsOff(apsw.IOError):
    """The machine has no power any more."""


@dataclass
class Faults:
    """Power goes at call `cut_at`, calls in `failing` fail, and a disk that lies syncs nothing."""

    cut_at: int | None = None
    failing: range = range(0)
    lies: bool = False


@dataclass
class DiskFile:
    """seen: what the program reads; safe: what a power cut leaves; unsynced: changes since the last sync."""

    seen: bytearray = field(default_factory=bytearray)
    safe: bytearray | None = None
    unsynced: list[tuple[int, bytes] | int] = field(default_factory=list)


Entry = Callable[["Disk"], None]
"""One change of a disk, to be made again on another one."""


class Disk:
    """Files by path, the calls made on them, and the diary of what changed them."""

    def __init__(self, images: dict[str, bytes] | None = None, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.calls = 0
        self.has_power = True
        self.files = {
            path: DiskFile(bytearray(image), bytearray(image)) for path, image in (images or {}).items()
        }
        self.unsafely_deleted: dict[str, DiskFile] = {}
        self.diary: list[Entry] = []

    def call(self) -> None:
        """Count one call; lose power or fail where the faults say so."""
        self.calls += 1
        if self.calls == self.faults.cut_at:
            self.has_power = False
        if not self.has_power:
            raise PowerIsOff("the power is off")
        if self.calls in self.faults.failing:
            raise apsw.IOError("this call fails")

    def write(self, path: str, offset: int, content: bytes) -> None:
        """Write, seen at once and not yet safe."""
        file = self.files[path]
        _write(file.seen, offset, content)
        file.unsynced.append((offset, content))

    def truncate(self, path: str, size: int) -> None:
        """Shorten a file, seen at once and not yet safe."""
        file = self.files[path]
        del file.seen[size:]
        file.unsynced.append(size)

    def sync(self, path: str) -> None:
        """Make what a file holds safe, or say so."""
        if not self.faults.lies:
            file = self.files[path]
            file.safe = bytearray(file.seen)
            file.unsynced.clear()

    def create(self, path: str) -> None:
        """Make an empty file where there is none."""
        self.files.setdefault(path, DiskFile())

    def delete(self, path: str, is_safe: bool) -> None:
        """Delete a file, for good or until the power goes."""
        file = self.files.pop(path, None)
        if file and not is_safe:
            self.unsafely_deleted[path] = file

    def change(self, entry: Entry) -> None:
        """Make a change and keep it in the diary."""
        self.diary.append(entry)
        entry(self)

    def images(self) -> dict[str, bytes]:
        """Return what the files hold while the power is on."""
        return {path: bytes(file.seen) for path, file in self.files.items()}

    def images_after_power_cut(self, chance: random.Random) -> dict[str, bytes]:
        """Return what is left of the files after the power went."""
        back = {path: file for path, file in self.unsafely_deleted.items() if chance.random() < 0.5}
        left = {}
        for path, file in (back | self.files).items():
            if file.safe is None and chance.random() < 0.5:
                continue
            image = bytearray(file.safe or b"")
            for change in file.unsynced:
                _half_apply(image, change, chance)
            left[path] = bytes(image)
        return left


def lives(images: dict[str, bytes], diary: list[Entry], *, lies: bool = False) -> Iterator[Disk]:
    """Live a diary again on a disk of these images, stopping before the first entry and after each."""
    disk = Disk(images, Faults(lies=lies))
    yield disk
    for entry in diary:
        entry(disk)
        yield disk


def _half_apply(image: bytearray, change: tuple[int, bytes] | int, chance: random.Random) -> None:
    if isinstance(change, int):
        if chance.random() < 0.5:
            del image[change:]
        return
    offset, written = change
    for start in range(0, len(written), SECTOR):
        fate = chance.random()
        if fate < 0.5:
            continue
        sector = written[start : start + SECTOR]
        if fate < 0.55:
            sector = sector[: chance.randrange(len(sector))]
        _write(image, offset + start, sector)


def _write(image: bytearray, offset: int, written: bytes) -> None:
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(written)] = written


class _OpenFile:
    """One handle of SQLite on a file of the disk."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._file = disk.files[path]

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.call()
        return bytes(self._file.seen[offset : offset + amount])

    def xWrite(self, written: bytes, offset: int) -> None:
        self._disk.call()
        path, content = self._path, bytes(written)
        self._disk.change(lambda disk: disk.write(path, offset, content))

    def xTruncate(self, size: int) -> None:
        self._disk.call()
        path = self._path
        self._disk.change(lambda disk: disk.truncate(path, size))

    def xSync(self, flags: int) -> None:
        self._disk.call()
        path = self._path
        self._disk.change(lambda disk: disk.sync(path))

    def xFileSize(self) -> int:
        self._disk.call()
        return len(self._file.seen)

    def xLock(self, level: int) -> None:
        """Nobody else uses the disk."""

    def xUnlock(self, level: int) -> None:
        """Nobody else uses the disk."""

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, operation: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None:
        """Closing costs nothing and saves nothing."""


class _FileSystem(apsw.VFS):
    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, base="")

    def xOpen(self, name: object, flags: list[int]) -> _OpenFile:
        self._disk.call()
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        flags[1] = flags[0]
        if path not in self._disk.files:
            self._disk.change(lambda disk: disk.create(path))
        return _OpenFile(self._disk, path)

    def xDelete(self, path: str, syncdir: bool) -> None:
        self._disk.call()
        self._disk.change(lambda disk: disk.delete(path, syncdir))

    def xAccess(self, path: str, flags: int) -> bool:
        self._disk.call()
        return path in self._disk.files

    def xFullPathname(self, path: str) -> str:
        return path


class Careless:
    """A connection that leaves out the statements which make SQLite wait for the disk."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Iterable[tuple[object, ...]]:
        return self._connection.execute(sql.replace("synchronous = FULL", "synchronous = OFF"), parameters)

    def close(self) -> None:
        self._connection.close()


_NUMBERS = itertools.count()


@contextmanager
def sqlite_on(disk: Disk, *pragmas: str) -> Iterator[Driver]:
    """Give a driver whose SQLite works on `disk`; `pragmas` run on each connection after those it needs."""
    name = f"fault-disk-{next(_NUMBERS)}"
    system = _FileSystem(name, disk)

    def connect() -> apsw.Connection:
        connection = apsw.Connection(PATH, vfs=name)
        # Without shared memory a write-ahead log needs the exclusive lock, when opened again too.
        for pragma in ("locking_mode = exclusive", *pragmas):
            list(connection.execute(f"PRAGMA {pragma}"))
        return connection

    try:
        yield Driver(connect, (apsw.Error,))
    finally:
        system.unregister()


@contextmanager
def book_on(disk: Disk, *pragmas: str, careless: bool = False) -> Iterator[Callable[[], SqliteStore]]:
    """Give a function that opens the one book on `disk` for writing; careless: it waits for no disk."""
    with sqlite_on(disk, *pragmas) as driver:
        used = Driver(lambda: Careless(driver.connect()), driver.errors) if careless else driver
        yield lambda: SqliteStore(used, "harbour.book")
