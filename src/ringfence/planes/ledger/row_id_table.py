"""The ids that rows used, in memory: open addressing over plain words, for the compiled kernels.

A large table grows where it lies: the system gives its mapping more room, and the ids are spread out over it
from the last to the first. So growing asks for no more new memory than there will be, and copies little.
"""

import contextlib
import mmap
import sys
from collections.abc import Mapping

import numpy as np

from ringfence.kernel.limbs import LIMB_BITS, LIMB_MAX
from ringfence.planes.ledger.batch_kernel import Words
from ringfence.planes.ledger.row_kernel import (
    CONTENT_MASK,
    ID_WORDS,
    IDS_IN_BLOCK,
    code_in,
    find_slot,
    first_gap,
    id_word,
    longest_run,
    move_ids,
    spread_ids,
)

SLOTS_MIN = 1 << 12
_MAPPED_FROM = 1 << 16
_SLOT_SIZE = 8 * ID_WORDS
_IN_HEAD = 8
"""An eighth of the table is put aside while the rest is spread out; see `spread_ids`."""


class IdTable:
    """Ids with what became of their requests. `words`: the slots, shape (n, `ID_WORDS`); n a power of two.

    Nobody may keep a view of `words` over `make_room`.
    """

    def __init__(self, slots: int = SLOTS_MIN, mapped_from: int = _MAPPED_FROM) -> None:
        """Begin with nothing, in two blocks of slots or more; mapped_from: so many grow where they lie."""
        self.words: Words = np.zeros((slots, ID_WORDS), np.uint64)
        self.count = 0
        self._mapped_from = mapped_from
        self._mapping: mmap.mmap | None = None

    def make_room(self, count: int) -> None:
        """Keep the table loose enough to be fast, with `count` ids more."""
        size = len(self.words)
        while (self.count + count) * 8 > size * 5:
            size *= 2
        if size > len(self.words) and not self._grow_in_place(size):
            self._grow_elsewhere(size)

    def code(self, identifier: int) -> int | None:
        """Return the answer to a request made by rows; None where there was none."""
        return code_in(int(self.words[self._slot(identifier), 2]))

    def keep(self, identifier: int, code: int) -> None:
        """Spend the id of an ordinary request, where it is not spent already."""
        self.make_room(1)
        slot = self._slot(identifier)
        if not self.words[slot, 2]:
            self.count += 1
            self.words[slot] = (identifier >> LIMB_BITS, identifier & LIMB_MAX, id_word(0, code))

    def keep_all(self, answers: Mapping[int, tuple[bytes, int]]) -> None:
        """Spend the ids of ordinary requests, each with its answer, where they are not spent already."""
        fresh = [one for one in answers if not self.count or not self.words[self._slot(one), 2]]
        words = np.zeros((len(fresh), ID_WORDS), np.uint64)
        words[:, 0] = [identifier >> LIMB_BITS for identifier in fresh]
        words[:, 1] = [identifier & LIMB_MAX for identifier in fresh]
        words[:, 2] = [id_word(0, answers[identifier][1]) for identifier in fresh]
        self._take(words)

    def written(self) -> bytes:
        """Write out the ids of rows in their order, little-endian."""
        ids = self.words[self.words[:, 2] & CONTENT_MASK != 0]
        content: bytes = ids[np.lexsort((ids[:, 1], ids[:, 0]))].astype("<u8").tobytes()
        return content

    def take(self, content: bytes) -> None:
        """Take ids that `written` wrote, none of which is here."""
        self._take(np.frombuffer(content, "<u8").reshape(-1, ID_WORDS).astype(np.uint64))

    def _take(self, ids: Words) -> None:
        self.make_room(len(ids))
        move_ids(ids, self.words)
        self.count += len(ids)

    def _slot(self, identifier: int) -> int:
        high, low = identifier >> LIMB_BITS & LIMB_MAX, identifier & LIMB_MAX
        return int(find_slot(self.words, np.uint64(high), np.uint64(low)))

    def _grow_elsewhere(self, size: int) -> None:
        larger = self._room(size)
        move_ids(self.words, larger)
        self.words = larger

    def _room(self, size: int) -> Words:
        """Return empty slots, in a mapping where there are many."""
        self._mapping = None
        if size < self._mapped_from or sys.platform != "linux":
            return np.zeros((size, ID_WORDS), np.uint64)
        self._mapping = mmap.mmap(-1, size * _SLOT_SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):
            # Fewer and larger pages, where the system has them.
            self._mapping.madvise(mmap.MADV_HUGEPAGE)
        return _words_in(self._mapping)

    def _grow_in_place(self, size: int) -> bool:
        """Give the mapping more room and spread its ids; False where that cannot be done."""
        mapping, before = self._mapping, len(self.words)
        if mapping is None:
            return False
        head = first_gap(self.words, before // _IN_HEAD)
        if longest_run(self.words) + IDS_IN_BLOCK > head:
            return False
        aside = self.words[:head].copy()
        # A mapping that is looked at cannot change its size.
        self.words = aside
        try:
            mapping.resize(size * _SLOT_SIZE)
        finally:
            self.words = _words_in(mapping)
        self.words[:head] = 0
        spread_ids(self.words, head, before)
        move_ids(aside, self.words)
        return True


def _words_in(mapping: mmap.mmap) -> Words:
    return np.frombuffer(mapping, np.uint64).reshape(-1, ID_WORDS)
