"""A log of refusals that a flood cannot fill: each sentence is written once, then at each tenfold of it."""

from collections.abc import Callable

SENTENCES_MAX = 1_000
"""How many different sentences are told apart; what is beyond counts as others."""


class RefusalLog:
    """Counts sentences and writes each when it comes for the 1st, 10th, 100th... time."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._counts: dict[str, int] = {}

    @property
    def total(self) -> int:
        """How many refusals there were."""
        return sum(self._counts.values())

    def __call__(self, sentence: str) -> None:
        """Take note of one refusal."""
        if sentence not in self._counts and len(self._counts) >= SENTENCES_MAX:
            sentence = "others, of more kinds than are told apart"
        count = self._counts.get(sentence, 0) + 1
        self._counts[sentence] = count
        if str(count).strip("0") == "1":
            self._write(sentence if count == 1 else f"{sentence} ({count} times)")
