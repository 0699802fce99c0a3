"""The exceptions of ringfence: for a broken outside world, never for a refused request.

RingfenceError
  UsageError            the caller asked for something that cannot be (exit code 2)
    BadInput            a file or frame cannot be read; carries where and what would be right
  ViolationError        a law that must hold does not (exit code 1)
    JournalBroken       the journal's chain or content is not what was written
  UnreachableError      another process, file or store cannot be used now (exit code 3)
    StoreFailed         a store refused a write; the book has stopped
    StoreBusy           another writer holds the book
"""


class RingfenceError(Exception):
    """Anything that stops a command; the message is one sentence for the person who typed it."""

    exit_code = 2


class UsageError(RingfenceError):
    """The request cannot be meant as written."""


class BadInput(UsageError):
    """Something outside could not be read: where, what was found, what would be right."""


class ViolationError(RingfenceError):
    """A law that must always hold was found broken."""

    exit_code = 1


class JournalBroken(ViolationError):
    """A record of the journal is not what was written; `sequence` names the first bad one."""

    def __init__(self, sequence: int, words: str) -> None:
        super().__init__(f"journal record {sequence}: {words}")
        self.sequence = sequence


class UnreachableError(RingfenceError):
    """Something the command needs is not there now."""

    exit_code = 3


class StoreFailed(UnreachableError):
    """The store could not make a write durable; the book stops and recovers by replay."""


class StoreBusy(UnreachableError):
    """Another process already writes to this book."""
