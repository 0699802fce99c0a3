"""A folder that holds no manifest is a mistake, not an empty cluster in which nobody may talk."""

import pytest

from ringfence.adapters.kubernetes_files import load_manifests
from ringfence.kernel.errors import BadInput


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match="there is no such file or folder"):
        load_manifests(tmp_path / "nowhere")


def test_a_folder_without_a_manifest_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("not a manifest")
    with pytest.raises(BadInput, match="no YAML or JSON file is there"):
        load_manifests(tmp_path)
    with pytest.raises(BadInput, match="no YAML or JSON file is there"):
        load_manifests(tmp_path / "notes.txt")


def test_one_file_may_be_named_too(tmp_path):
    file = tmp_path / "place.yaml"
    file.write_text("kind: Namespace\n")
    assert [len(found) for found in load_manifests(file)] == [1, 0]
