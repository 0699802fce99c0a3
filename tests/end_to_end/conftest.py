"""What several stories need: network namespaces, or a sentence that says why not."""

import os
from collections.abc import Callable

import pytest

from ringfence.adapters.namespaces import entered_command
from ringfence.kernel.errors import UnreachableError


@pytest.fixture(scope="module")
def lab_is_possible(needs_program: Callable[[str, str], str]) -> None:
    """Skip with a sentence where no network namespaces can be made; fail where a CI run must have them."""
    for program, package in (("ip", "iproute2"), ("nft", "nftables"), ("conntrack", "conntrack")):
        needs_program(program, package)
    try:
        entered_command(["true"])
    except UnreachableError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
