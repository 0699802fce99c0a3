"""The one file where services and adapters meet: everything that is opened from outside starts here."""

from pathlib import Path

from ringfence.adapters.kubernetes_files import load_manifests
from ringfence.adapters.policy_files import include_beside, read_text
from ringfence.kernel.errors import BadInput
from ringfence.planes.network.kubernetes.model import Cluster
from ringfence.planes.network.kubernetes.read import read_cluster
from ringfence.policy.model import Finding, Policy
from ringfence.policy.parse import Parsed, parse

SHIPPED_POLICIES = ("two-buckets", "trading-desk", "venue", "custodian")
"""The example policies that come with ringfence, smallest first."""


def read_policy(path: str | Path) -> Parsed:
    """Read a policy file with everything it includes; what is wrong with it is in the findings.

    Raises BadInput where the file itself cannot be read.
    """
    file = Path(path)
    return parse(read_text(file), str(file), include_beside(file))


def load_policy(path: str | Path) -> Policy:
    """Read a policy file that must be without errors; BadInput lists every error that it has."""
    parsed = read_policy(path)
    if parsed.policy is None:
        raise BadInput("\n".join(str(finding) for finding in parsed.errors))
    return parsed.policy


def shipped_policy(name: str) -> Path:
    """Return the path of an example policy, in the checkout or in the installed package."""
    package = Path(__file__).resolve().parent
    for folder in (package / "policies", package.parents[1] / "policies"):
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise BadInput(f"there is no example policy {name!r}; there are {', '.join(SHIPPED_POLICIES)}")


def read_manifests(folder: str | Path) -> tuple[Cluster, tuple[Finding, ...]]:
    """Read the Kubernetes manifests of a folder, with every finding; BadInput where there is no folder."""
    documents, unreadable = load_manifests(Path(folder))
    cluster, findings = read_cluster(documents)
    return cluster, (*unreadable, *findings)
