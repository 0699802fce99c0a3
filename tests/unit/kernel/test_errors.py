import pytest

from ringfence.kernel.errors import (
    BadInput,
    JournalBroken,
    RingfenceError,
    StoreBusy,
    StoreFailed,
    UnreachableError,
    UsageError,
    ViolationError,
)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ViolationError("x"), 1),
        (JournalBroken(7, "x"), 1),
        (UsageError("x"), 2),
        (BadInput("x"), 2),
        (UnreachableError("x"), 3),
        (StoreFailed("x"), 3),
        (StoreBusy("x"), 3),
    ],
)
def test_each_error_ends_the_command_with_its_own_code(error, exit_code):
    assert isinstance(error, RingfenceError)
    assert error.exit_code == exit_code


def test_a_broken_journal_names_its_first_bad_record():
    error = JournalBroken(7, "the chain does not fit")
    assert error.sequence == 7
    assert str(error) == "journal record 7: the chain does not fit"
