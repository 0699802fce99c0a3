"""The ids that rows used, as a snapshot keeps them: sorted, and asked without waking the row lane."""

from bisect import bisect_left

SIZE = 24
"""Bytes of one id: high limb, low limb, and its answer beside 48 bits of what it asked, little-endian."""

_CODE_MASK = (1 << 15) - 1


class RestingIds:
    """Ids written out by `RowLane.rest`, in their order."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __len__(self) -> int:
        return len(self._content) // SIZE

    def __getitem__(self, place: int) -> int:
        high, low, _ = self._words(place)
        return high << 64 | low

    def answer(self, identifier: int) -> tuple[bytes, int] | None:
        """Return what became of a request made by rows, as the tables keep it of ordinary ones."""
        place = bisect_left(self, identifier)
        if place == len(self) or self[place] != identifier:
            return None
        return b"", self._words(place)[2] & _CODE_MASK

    def _words(self, place: int) -> tuple[int, int, int]:
        start = place * SIZE
        words = self._content[start : start + SIZE]
        high, low, word = (int.from_bytes(words[at : at + 8], "little") for at in (0, 8, 16))
        return high, low, word
