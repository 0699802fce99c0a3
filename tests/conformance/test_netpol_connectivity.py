"""The connections that np-guard's netpol-analyzer expects for 89 folders of manifests, line for line."""

import re
import tarfile
from pathlib import Path

import pytest

from ringfence.adapters.kubernetes_files import load_manifests
from ringfence.planes.network.kubernetes.evaluate import Connectivity
from ringfence.planes.network.kubernetes.read import read_cluster

NOT_READ = {
    "Ingress": "connections through an ingress controller are not analysed",
    "Route": "connections through a router are not analysed",
    "UserDefinedNetwork": "networks beside the pod network are not analysed",
    "ClusterUserDefinedNetwork": "networks beside the pod network are not analysed",
    "NetworkAttachmentDefinition": "networks beside the pod network are not analysed",
    "VirtualMachine": "virtual machines are not analysed",
}
NETWORK_POLICY_FOLDERS = 27
ADMIN_FOLDERS = 33
ADMIN_KINDS = {"AdminNetworkPolicy", "BaselineAdminNetworkPolicy"}


@pytest.fixture(scope="module")
def folders(vectors_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    top = tmp_path_factory.mktemp("netpol")
    with tarfile.open(vectors_dir / "netpol_connectivity.tar.gz") as archive:
        archive.extractall(top, filter="data")
    return sorted(folder.parent for folder in top.rglob("expected_connections.txt"))


def test_network_policy_folders_give_every_expected_line_and_no_other(folders: list[Path]) -> None:
    chosen = [folder for folder in folders if not kinds_of(folder) & (ADMIN_KINDS | NOT_READ.keys())]

    assert [folder.name for folder in chosen if lines_of(folder) != expected_lines(folder)] == []
    assert len(chosen) >= NETWORK_POLICY_FOLDERS


def test_admin_policy_folders_give_every_expected_line_and_no_other(folders: list[Path]) -> None:
    chosen = [
        folder
        for folder in folders
        if kinds_of(folder) & ADMIN_KINDS and not kinds_of(folder) & NOT_READ.keys()
    ]

    assert [folder.name for folder in chosen if lines_of(folder) != expected_lines(folder)] == []
    assert len(chosen) >= ADMIN_FOLDERS


def test_every_folder_that_is_left_out_holds_a_kind_that_is_said_not_to_be_read(folders: list[Path]) -> None:
    for folder in folders:
        if kinds_of(folder) & NOT_READ.keys():
            documents, _ = load_manifests(folder / "input")
            _, findings = read_cluster(documents)
            assert "kind-not-read" in {finding.rule for finding in findings}, folder.name


def lines_of(folder: Path) -> list[str]:
    documents, findings = load_manifests(folder / "input")
    cluster, more = read_cluster(documents)
    assert [str(finding) for finding in (*findings, *more) if finding.level == "error"] == []
    return sorted(str(link) for link in Connectivity(cluster).links())


def expected_lines(folder: Path) -> list[str]:
    text = (folder / "expected_connections.txt").read_text(encoding="utf-8")
    return sorted(line for line in text.splitlines() if line.strip())


def kinds_of(folder: Path) -> set[str]:
    files = [file for file in (folder / "input").rglob("*") if file.is_file()]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return set(re.findall(r"""^\s*"?kind"?\s*:\s*"?([A-Za-z]+)""", text, re.MULTILINE))
