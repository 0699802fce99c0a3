"""The facts that proofs are given beside a policy: from a file, from a book, from what a hub has loaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.kernel.errors import BadInput

if TYPE_CHECKING:
    from ringfence.policy.model import Policy
    from ringfence.proof.rights import Dated
    from ringfence.proof.world import Fact

Facts = Annotated[
    Path | None, typer.Option("--facts", help="A JSON list of facts beside the policy, such as balances.")
]
Hub = Annotated[
    Path | None,
    typer.Option("--hub", help="What `nft -j list ruleset` printed at the hub: the flows that are open."),
]


def carried_out(at: Path) -> "tuple[Policy, list[Dated]]":
    """Read the policy of a book and every request that was carried out, oldest first."""
    from ringfence import wiring
    from ringfence.cli.book_reading import opened
    from ringfence.proof.rights import Dated
    from ringfence.services.history import requests_carried_out

    with opened(at, wiring.read_book) as book:
        return book.rules.policy, [Dated(*done) for done in requests_carried_out(book.lines())]


def session_facts_of(at: Path | None) -> "tuple[Fact, ...]":
    """Read from a book which service has whose key, because a trading session ends there; () without one."""
    if at is None:
        return ()
    from ringfence import wiring
    from ringfence.cli.book_reading import opened
    from ringfence.proof.observed import session_facts

    with opened(at, wiring.read_book) as book:
        return session_facts(wiring.sessions_of(book))


def observed(policy: "Policy", hub: Path | None) -> "tuple[Fact, ...]":
    """Read which connections the rules loaded at a hub really open; () without a hub."""
    if hub is None:
        return ()
    from ringfence import wiring_files
    from ringfence.planes.network.compile import compile_flows
    from ringfence.planes.network.observe_nftables import observe_hub
    from ringfence.planes.network.sites import plan_sites
    from ringfence.proof.observed import observed_flows

    seen = observe_hub(wiring_files.read_json(hub), plan_sites(compile_flows(policy)), str(hub))
    wrong = [str(finding) for finding in seen.findings if finding.level == "error"]
    if wrong:
        raise BadInput("\n".join(wrong))
    return (observed_flows(policy, seen),)


def observed_book(policy: "Policy", at: Path) -> "tuple[Policy, tuple[str, ...]]":
    """Read the policy that a book obeys, and what it does not do of the declared one."""
    from ringfence import wiring
    from ringfence.cli.book_reading import opened
    from ringfence.proof.observed import book_differences

    with opened(at, wiring.read_book) as book:
        return book.rules.policy, book_differences(policy, book.state)


def facts_of(
    path: Path | None, policy: "Policy | None" = None, hub: Path | None = None
) -> "tuple[Fact, ...]":
    """Read facts beside a policy, and what the rules loaded at a hub open."""
    seen = observed(policy, hub) if policy is not None else ()
    if path is None:
        return seen
    from ringfence.proof.world import read_facts

    return (*seen, *read_facts(read_bytes(path)))


def read_bytes(path: Path) -> bytes:
    """Read a file whole; BadInput where that cannot be."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
