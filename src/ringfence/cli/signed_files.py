"""Signed records in files, which people hand to each other: an order, a rotation, a proposal."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ringfence.kernel.errors import BadInput

if TYPE_CHECKING:
    import msgspec

Record = TypeVar("Record", bound="msgspec.Struct")


def read_signed(file: Path, record: type[Record], noun: str, command: str) -> Record:
    """Read a record; BadInput where there is none, which names the command that writes one."""
    import msgspec

    try:
        return msgspec.json.decode(file.read_bytes(), type=record)
    except OSError as error:
        words = f"{file} cannot be read: {error.strerror}; `ringfence book {command}` writes the {noun}"
        raise BadInput(words) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{file} is no {noun}: {error}; `ringfence book {command}` writes one") from None


def write_signed(file: Path, record: "msgspec.Struct") -> None:
    """Write a record for people to look at; BadInput where that cannot be."""
    import msgspec

    try:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}") from None
