"""Keys in files: only their owner can read them, none is replaced, and a damaged one is no key."""

from pathlib import Path

import pytest

from ringfence.adapters.key_files import KeyFolder
from ringfence.adapters.signatures_ed25519 import verify
from ringfence.kernel.errors import BadInput, UnreachableError, UsageError


@pytest.fixture
def ring(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "harbour.keys")


def test_a_new_key_signs_and_its_public_half_verifies(ring: KeyFolder) -> None:
    public = ring.make("client_key/alice")
    signature = ring.sign("client_key/alice", b"message")
    assert signature is not None
    assert signature.key == "client_key/alice"
    assert verify(public, b"message", signature.value)
    assert not verify(public, b"another", signature.value)
    assert ring.public("client_key/alice") == public


def test_no_two_keys_are_the_same(ring: KeyFolder) -> None:
    assert len({ring.make(f"officer_{number}") for number in range(20)}) == 20


def test_only_the_owner_can_read_a_key(ring: KeyFolder) -> None:
    ring.make("client_key/alice")
    assert (ring.path / "client_key/alice.key").stat().st_mode & 0o777 == 0o600
    assert ring.path.stat().st_mode & 0o777 == 0o700
    assert (ring.path / "client_key").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_read_is_not_used(ring: KeyFolder, mode: int) -> None:
    ring.make("officer_a")
    (ring.path / "officer_a.key").chmod(mode)
    with pytest.raises(BadInput, match="can be read by others"):
        ring.sign("officer_a", b"message")


def test_a_key_is_never_replaced(ring: KeyFolder) -> None:
    public = ring.make("officer_a")
    with pytest.raises(UsageError, match="is there already; a key is never replaced"):
        ring.make("officer_a")
    assert ring.public("officer_a") == public


def test_a_key_that_is_not_there_signs_nothing(ring: KeyFolder) -> None:
    assert not ring.has("officer_a")
    assert ring.sign("officer_a", b"message") is None
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        ring.public("officer_a")


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff" * 64])
def test_a_damaged_file_is_no_key(ring: KeyFolder, content: bytes) -> None:
    ring.make("officer_a")
    (ring.path / "officer_a.key").write_bytes(content)
    with pytest.raises(BadInput, match="is no key: one line of 64 hexadecimal digits is right"):
        ring.sign("officer_a", b"message")


@pytest.mark.parametrize("name", ["", "../officer", "a/b/c", "/etc/passwd", "Officer", "a//b", "..", "a/.."])
def test_a_name_never_leads_out_of_the_folder(ring: KeyFolder, name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a key"):
        ring.make(name)


def test_a_key_takes_the_place_of_another_and_the_old_one_is_kept(ring: KeyFolder) -> None:
    old, new = ring.make("client_key/alice"), ring.make("client_key/alice.next")
    ring.replace("client_key/alice", "client_key/alice.next")
    assert ring.public("client_key/alice") == new
    assert ring.public("client_key/alice.former") == old
    assert not ring.has("client_key/alice.next")
    with pytest.raises(UnreachableError, match="cannot be replaced"):
        ring.replace("client_key/bob", "client_key/bob.next")
