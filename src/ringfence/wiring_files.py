"""Where files of policies are read: the adapters that every command needs, and nothing heavier."""

import json
from pathlib import Path

from ringfence.adapters.policy_files import include_beside, read_text
from ringfence.kernel.errors import BadInput
from ringfence.policy.model import Policy
from ringfence.policy.parse import Parsed, parse

SHIPPED_POLICIES = ("two-buckets", "trading-desk", "venue", "custodian")
"""The example policies that come with ringfence, smallest first."""


def read_policy(path: str | Path) -> Parsed:
    """Read a policy file with everything it includes; what is wrong with it is in the findings.

    path: a file, or the name of an example where no file has that name. BadInput where it cannot be read.
    """
    is_example = str(path) in SHIPPED_POLICIES and not Path(path).exists()
    file = shipped_policy(str(path)) if is_example else Path(path)
    return parse(read_text(file), str(file), include_beside(file))


def load_policy(path: str | Path) -> Policy:
    """Read a policy, as `read_policy` does, that must be without errors; BadInput lists all it has."""
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


def read_json(path: str | Path) -> object:
    """Read a JSON file; BadInput where it cannot be read or is none."""
    try:
        return json.loads(read_text(Path(path)))
    except (ValueError, RecursionError) as fault:
        raise BadInput(f"{path} is no JSON: {fault}") from None
