"""`ringfence book stops`: what is stopped in a book now, since when and why."""

from typing import TYPE_CHECKING, Any

from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, print_rows
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.policy.model import HaltKind
    from ringfence.services.ledger import Book


def stops(at: At, as_json: Json = False) -> None:
    """List every stop in force: its scope and kind, as `book resume` takes them, why, and since when."""
    from ringfence import wiring

    with opened(at, wiring.read_book) as book:
        found = _in_force(book)
    headings = ("scope", "kind", "since", "reason")
    print_rows(
        found, as_json, headings, lambda one: [one[name] or "" for name in headings], "nothing is stopped"
    )


def expect_stop(book: "Book", kind: "HaltKind", scope: str) -> None:
    """Refuse to lift what is not in force; UsageError names what is."""
    from ringfence.planes.ledger.stopping import halt_key, is_scope, split_key

    in_force = book.state.frozen()
    if halt_key(kind, scope) in in_force or not is_scope(book.rules, scope):
        return  # of a scope that the policy does not have, the book itself says what may be named
    found = [f"{scope} ({kind})" for kind, scope in map(split_key, sorted(in_force))]
    raise UsageError(f"no {kind} of {scope} is in force; in force: {', '.join(found) or 'nothing'}")


def _in_force(book: "Book") -> list[dict[str, Any]]:
    """Write each stop as plain data; `since` is None where the book stopped it itself, on a broken law."""
    from ringfence.kernel.instant import show_instant
    from ringfence.planes.ledger.stopping import split_key

    since = _stopped_at(book)
    found = []
    for key, reason in sorted(book.state.frozen().items()):
        kind, scope = split_key(key)
        at = since.get(key)
        found.append(
            {
                "scope": scope,
                "kind": kind,
                "reason": reason,
                "since": None if at is None else show_instant(at),
            }
        )
    return found


def _stopped_at(book: "Book") -> "dict[str, Any]":
    """Find when each stop that somebody asked for began; asked for again, it goes on from the first time."""
    from ringfence.planes.ledger.operations import Freeze, Resume
    from ringfence.planes.ledger.stopping import halt_key

    since: dict[str, Any] = {}
    for dated in book.lines():
        operation = dated.line.operation
        if not isinstance(operation, Freeze | Resume) or dated.line.refused is not None:
            continue
        key = halt_key(operation.kind, operation.scope)
        if isinstance(operation, Freeze):
            since.setdefault(key, dated.at)
        else:
            since.pop(key, None)
    return since
