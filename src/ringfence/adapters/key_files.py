"""Signing keys in files, for demonstrations and small set-ups on one machine.

A folder holds one file for each key, named like the key: `client_key/alice` is `client_key/alice.key`. A
file is one line, the 32-byte seed in hexadecimal; it can be read by its owner only, and one that others can
read is not used. Keys of several people in one folder are one key: whoever has the folder has all.
"""

import os
import re
from pathlib import Path

from ringfence.adapters.signatures_ed25519 import SEED_SIZE, public_key, sign
from ringfence.kernel.errors import BadInput, UnreachableError, UsageError
from ringfence.planes.ledger.operations import Signature

_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]{0,63}(/[a-z0-9_][a-z0-9._-]{0,63})?")
_OTHERS = 0o077


class KeyFolder:
    """The keys in one folder; the folder is made when the first key is."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self, name: str) -> bytes:
        """Make a new key from the system's randomness and return its public key; never replaces one."""
        file = self._file(name)
        seed = os.urandom(SEED_SIZE)
        try:
            for folder in (self.path, file.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w") as out:
                out.write(seed.hex() + "\n")
        except FileExistsError:
            raise UsageError(f"{file} is there already; a key is never replaced") from None
        except OSError as error:
            raise UnreachableError(f"{file} cannot be written: {error.strerror}") from error
        return public_key(seed)

    def has(self, name: str) -> bool:
        """Say whether the folder holds that key."""
        return self._file(name).exists()

    def public(self, name: str) -> bytes:
        """Return the public key; BadInput where the file is missing, unsafe or no key."""
        return public_key(self._seed(name))

    def replace(self, name: str, other: str) -> None:
        """Let `other` be the key of that name; the old file is kept beside it as NAME.former."""
        old, new = self._file(name), self._file(other)
        try:
            os.replace(old, self._file(f"{name}.former"))
            os.replace(new, old)
        except OSError as error:
            raise UnreachableError(f"{old} cannot be replaced: {error.strerror}") from error

    def sign(self, name: str, message: bytes) -> Signature | None:
        """Sign with a key; None where the folder does not hold it."""
        return Signature(name, sign(self._seed(name), message)) if self.has(name) else None

    def seed(self, name: str) -> bytes:
        """Return the 32-byte seed, to be handed to the one process that signs with it; errors as `public`."""
        return self._seed(name)

    def _seed(self, name: str) -> bytes:
        file = self._file(name)
        try:
            if file.stat().st_mode & _OTHERS:
                raise BadInput(f"{file} can be read by others; the key counts as lost (or: chmod 600 {file})")
            seed = bytes.fromhex(file.read_text(encoding="ascii"))
        except OSError as error:
            raise BadInput(f"{file} cannot be read: {error.strerror}") from error
        except ValueError:
            seed = b""
        if len(seed) != SEED_SIZE:
            raise BadInput(f"{file} is no key: one line of {2 * SEED_SIZE} hexadecimal digits is right")
        return seed

    def _file(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name of a key, such as officer_a or client_key/alice")
        return self.path / f"{name}.key"
