"""What one service's process decides before and beside its work: its user, and why something failed."""

import os
from dataclasses import replace

import pytest

from ringfence import wiring_platform
from ringfence.adapters.service_process import _ServiceProcess, ready_for_user, sandbox_of
from ringfence.kernel.errors import UnreachableError
from ringfence.wiring_files import load_policy, shipped_policy


@pytest.fixture(scope="module")
def beginning(tmp_path_factory):
    folder = tmp_path_factory.mktemp("platform")
    made = wiring_platform.platform(load_policy(shipped_policy("venue")), folder, "loopback")
    found = made.beginning("gateway")
    found.folder.mkdir()
    return found


def test_what_the_sandbox_refuses_is_said_with_the_line_of_the_service(beginning):
    process = _ServiceProcess(beginning, None)
    said = process._words(PermissionError(13, "Permission denied", "/etc/shadow"))
    assert "/etc/shadow is no file of gateway" in said
    assert "venue.yaml:" in said
    assert str(beginning.folder) in said
    assert "venue.yaml:" in process._words(PermissionError(1, "Operation not permitted"))
    assert process._words(UnreachableError("away")) == "away"


def test_without_a_user_of_its_own_nothing_is_missing(beginning):
    profile = sandbox_of(beginning)
    assert profile.uid is None
    assert ready_for_user(profile, beginning.folder) == (profile, ())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_user_that_cannot_get_to_what_it_needs_is_not_become(beginning):
    """What pytest makes is for its owner only, as root's home is."""
    profile = replace(sandbox_of(beginning), uid=3_001, reads=())
    kept, missing = ready_for_user(profile, beginning.folder)
    assert kept.uid is None
    assert "user 3001 may not enter" in missing[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_user_that_can_is_given_the_folder(beginning, tmp_path):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o711)
        folder = Path(parent, "gateway")
        folder.mkdir(mode=0o700)
        (folder / "gateway.log").touch()
        others = tmp_path / "others"
        others.touch()
        (folder / "link").symlink_to(others)
        profile = replace(sandbox_of(beginning), uid=3_001, reads=("/usr/lib",))
        assert ready_for_user(profile, folder) == (profile, ())
        assert {path.stat().st_uid for path in (folder, folder / "gateway.log")} == {3_001}
        assert others.stat().st_uid == 0
