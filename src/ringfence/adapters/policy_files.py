"""Policy files: their text, within limits, and the files they include."""

from pathlib import Path

from ringfence.kernel.errors import BadInput
from ringfence.policy.expand import Include

BYTES_MAX = 4 * 1_048_576
"""A policy file over this size is refused before it is read."""


def read_text(path: Path) -> str:
    """Read a policy file; BadInput where it is missing, too large or not UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
        if len(content) > BYTES_MAX:
            raise BadInput(f"{path}: the file is too large; a policy has at most {BYTES_MAX:,} bytes")
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: byte {error.start} is not UTF-8; write the policy as UTF-8 text") from None
    except OSError as error:
        raise BadInput(f"{path}: the file cannot be read ({error.strerror}); name a policy file") from None


def include_beside(path: Path) -> Include:
    """Give the texts of files in the folder of a policy, or below it, by their path as written."""
    folder = path.parent

    def include(name: str) -> str:
        return read_text(folder / name)

    return include
