"""One way to turn plain data into bytes, and bytes into a digest.

Canonical bytes are JSON with sorted keys, no spaces and integers written in full, so that two programs in two
languages write the same bytes for the same data. Every digest is SHA-256 under a domain tag: bytes signed or
hashed for one purpose can never be taken for another.
"""

import hashlib
import json

DIGEST_SIZE = 32


def canonical_bytes(data: object) -> bytes:
    """Write plain data (dict, list, str, int, bool, None) in its one canonical form.

    Raises TypeError on a float or any other type: a digest must not depend on how a number is printed.
    """
    _refuse_floats(data)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def tagged_digest(tag: str, *parts: bytes | memoryview) -> bytes:
    """Return SHA-256 over the tag and the length-prefixed parts."""
    state = hashlib.sha256()
    for part in (tag.encode(), *parts):
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.digest()


def _refuse_floats(data: object) -> None:
    if isinstance(data, dict):
        for key, value in data.items():
            if not isinstance(key, str):
                raise TypeError(f"a canonical key must be text, and {key!r} is not")
            _refuse_floats(value)
    elif isinstance(data, list | tuple):
        for value in data:
            _refuse_floats(value)
    elif not (data is None or isinstance(data, str | int)):
        raise TypeError(f"{type(data).__name__} has no canonical form")
