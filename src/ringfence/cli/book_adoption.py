"""`ringfence book adoption`: put another policy in the place of the one a live book obeys.

A proposal is a file that each of those who must sign gets to see and sign, on a machine of their own; the
book checks the signatures itself. See docs/how-to/adopt-a-policy.md.
"""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ringfence.cli.arguments import PolicyFile
from ringfence.cli.book_desk import Keys, desk_to_read
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, console, print_json, progress
from ringfence.cli.signed_files import read_signed, write_signed
from ringfence.kernel.errors import BadInput, UsageError

if TYPE_CHECKING:
    from ringfence.planes.ledger.adoption import AdoptionPlan
    from ringfence.planes.ledger.operations import Adoption, AdoptPolicy
    from ringfence.services.ledger import Book

app = typer.Typer(no_args_is_help=True, help="Adopt another policy: plan, sign, adopt, complete, cancel.")

File = Annotated[Path, typer.Argument(help="The file of the proposal.")]
Book_ = Annotated[Path, typer.Option("--at", "--book", envvar="RINGFENCE_BOOK", help="The file of the book.")]

EXPIRY_DAYS = 7


@app.command()
def plan(policy: PolicyFile, at: At, as_json: Json = False) -> None:
    """Say what adopting a policy would do to a book: at once, later, and what it would have no place for."""
    from ringfence import wiring, wiring_files
    from ringfence.planes.ledger.adoption import plan_adoption

    new = wiring_files.load_policy(policy)
    with opened(at, wiring.read_book) as book:
        found = plan_adoption(book.state.ledger.tables, book.rules, new)
    if as_json:
        print_json(_plain_plan(found))
    else:
        _print_plan(found)
    if _faults(found):
        raise typer.Exit(1)


@app.command()
def propose(
    policy: PolicyFile,
    at: At,
    to: Annotated[Path, typer.Option("--to", help="The file to write the proposal to.")],
    days: Annotated[int, typer.Option("--days", min=1, help="For how long it may be adopted.")] = EXPIRY_DAYS,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Write a proposal to a file, signed with every key at hand that must sign.

    Where the book would refuse it as it stands, it says so, and the exit code is 1.
    """
    from ringfence import wiring_files
    from ringfence.kernel.instant import DAY_NS, Instant
    from ringfence.policy.digest import digest
    from ringfence.services import instructions

    new = wiring_files.load_policy(policy)
    with desk_to_read(at, keys) as desk:
        rules, expires = desk.book.rules, Instant(desk.now + days * DAY_NS)
        made = instructions.adoption(rules, new, desk.sign, identifier=desk.new_id(), expires=expires)
        if made.replaces == digest(new):
            raise UsageError(f"the book obeys a policy that means the same as {policy} already")
        found = _proposal(desk.book, made)
    write_signed(to, made)
    _say_proposal(to, found, as_json=as_json)


@app.command()
def sign(file: File, at: At, keys: Keys = None, as_json: Json = False) -> None:
    """Add the signatures of the keys at hand to a proposal."""
    from ringfence.services import instructions

    with desk_to_read(at, keys) as desk:
        made = instructions.countersigned(desk.book.rules, _read(file), desk.sign)
        found = _proposal(desk.book, made)
    write_signed(file, made)
    _say_proposal(file, found, as_json=as_json)


@app.command()
def adopt(file: File, at: At, as_json: Json = False) -> None:
    """Hand a signed proposal to the book: what narrows is in force at once, what widens waits."""
    _submit(at, _read(file), as_json=as_json)


@app.command()
def complete(at: At, as_json: Json = False) -> None:
    """Put the policy in force that has waited for its delay."""
    from ringfence.planes.ledger.operations import CompleteAdoption

    _submit(at, CompleteAdoption(_waiting_id(at)), as_json=as_json)


@app.command()
def cancel(
    why: Annotated[str, typer.Argument(help="The reason, in words; it is journalled.")],
    at: At,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Give up the policy that waits; what narrowed already stays in force."""
    from ringfence.services import instructions

    number = _waiting_id(at)
    with desk_to_read(at, keys) as desk:
        order = instructions.cancellation(desk.book.rules, number, why, desk.new_id(), desk.sign)
    _submit(at, order, as_json=as_json)


def impact(policy: PolicyFile, book: Book_, as_json: Json = False) -> None:
    """Say what a new policy would cost the people in a book: calls, liquidations, frozen capital, limits.

    First what is felt at once, while the rest waits, then what is felt when all of it is in force. The exit
    code is 1 where the book would refuse to adopt it.
    """
    from ringfence import wiring, wiring_files
    from ringfence.cli.impact_words import plain_impact, print_impact
    from ringfence.margin.impact import impact as compute
    from ringfence.margin.reading import buckets_in
    from ringfence.planes.ledger.adoption import plan_adoption

    new = wiring_files.load_policy(policy)
    with opened(book, wiring.read_book) as live:
        found, now = plan_adoption(live.state.ledger.tables, live.rules, new), wiring.clock().now()
        steps = [found.narrowed, found.target] if found.waits and found.at_once else [found.target]
        with progress("valuing buckets", len(steps) * len(buckets_in(live.state))) as step:
            felt = [plain_impact(live.rules, rules, compute(live.state, rules, now, step)) for rules in steps]
    plain = {**felt[-1], "at_once": felt[0] if len(felt) > 1 else None, "refused": _faults(found)}
    if as_json:
        print_json(plain)
    else:
        print_impact(plain)
    if plain["refused"]:
        raise typer.Exit(1)


def _faults(found: "AdoptionPlan") -> list[str]:
    """Say why the book would refuse to adopt a policy as it stands."""
    nobody = "the policy in force names nobody under `adoption` who may widen it"
    return [*([nobody] if found.later and not found.may_widen else []), *found.unkept]


# --- proposals in files ------------------------------------------------------------------------


def _read(file: Path) -> "AdoptPolicy":
    from ringfence.planes.ledger.operations import AdoptPolicy

    return read_signed(file, AdoptPolicy, "proposal", "adoption propose")


def _proposal(book: "Book", made: "AdoptPolicy") -> dict[str, Any]:
    """Describe a proposal: its id, who signed, who is still missing, and its plan."""
    from ringfence.kernel.ids import show_id
    from ringfence.planes.ledger.adopting import policy_of
    from ringfence.planes.ledger.adoption import plan_adoption
    from ringfence.planes.ledger.needs import names_for, unmet

    policy = policy_of(made)
    if policy is None:
        raise BadInput("the policy of the proposal has errors")
    found = plan_adoption(book.state.ledger.tables, book.rules, policy)
    signers = frozenset(one.key for one in made.signatures)
    return {
        "id": show_id(made.id),
        "replaces": made.replaces.hex(),
        "signed": sorted(signers),
        "missing": unmet(found.needs, signers, names_for(book.rules.keys, None, None)),
        "plan": _plain_plan(found),
    }


def _say_proposal(file: Path, found: dict[str, Any], *, as_json: bool) -> None:
    refused = found["plan"]["refused"]
    if as_json:
        print_json({"file": str(file), **found})
    else:
        needs, missing = found["plan"]["needs"], found["missing"]
        signed = f"signed by {', '.join(found['signed'])}" if found["signed"] else "not signed yet"
        console.print(
            f"{escape(str(file))}: proposal {found['id']}, {signed if needs else 'no signature needed'}"
        )
        if missing:
            console.print(f"still needed: {escape(missing)}", highlight=False)
        elif needs:
            console.print("everybody who must sign has signed")
        _say_refused(refused)
    if refused:
        raise typer.Exit(1)


# --- the book ----------------------------------------------------------------------------------


def _submit(at: Path, operation: "Adoption", *, as_json: bool) -> None:
    from ringfence import wiring
    from ringfence.cli.book_words import plain_answer, print_answer
    from ringfence.kernel.ids import show_id
    from ringfence.kernel.instant import Instant, show_instant
    from ringfence.planes.ledger.journal import answered

    with opened(at, wiring.embedded) as book:
        outcome = book.adopt(operation, wiring.clock().now())
        answer = plain_answer(book.rules, answered(operation, outcome.decision))
        answer["in_force"] = book.rules.digest.hex()
        answer["waiting"] = [
            {"id": show_id(one.adoption.id), "due": show_instant(Instant(one.due))}
            for one in book.state.waiting()
        ]
    if as_json:
        print_json(answer)
    else:
        print_answer(answer)
        console.print(f"in force: policy {answer['in_force'][:16]}…", highlight=False)
        for one in answer["waiting"]:
            console.print(
                f"the rest waits until {one['due']}; then `book adoption complete`", highlight=False
            )
    if not answer["accepted"]:
        raise typer.Exit(1)


def _waiting_id(at: Path) -> int:
    from ringfence import wiring

    with closing(wiring.read_book(at)) as book:
        waiting = book.state.waiting()
    if not waiting:
        raise UsageError("no adoption waits in this book; `ringfence book adoption adopt` begins one")
    return waiting[0].adoption.id


# --- plans -------------------------------------------------------------------------------------


def _plain_plan(found: "AdoptionPlan") -> dict[str, Any]:
    from ringfence.planes.ledger.needs import names_for, show_need

    name_of = names_for(found.target.keys, None, None)
    fields = ("direction", "words", "where")
    listed = {
        name: [{field: getattr(one, field) for field in fields} for one in changes]
        for name, changes in (("at_once", found.at_once), ("later", found.later), ("ways", found.ways))
    }
    return {
        "digest": found.target.digest.hex(),
        **listed,
        "unkept": list(found.unkept),
        "needs": [show_need(need, name_of) for need in found.needs],
        "delay_seconds": found.delay_ns // 10**9,
        "may_widen": found.may_widen,
        "refused": _faults(found),
        "not_enforced": [str(note) for note in found.target.notes],
    }


def _print_plan(found: "AdoptionPlan") -> None:
    from ringfence.kernel.instant import show_duration

    plain = _plain_plan(found)
    if not plain["at_once"] and not plain["later"]:
        console.print("the book obeys a policy that means the same already")
        return
    table = Table("when", "which way", "what", "where")
    wait = f"after {show_duration(found.delay_ns)}" if found.delay_ns else "with the signatures"
    wait = wait if found.may_widen else "never"
    for when, changes in (("at once", plain["at_once"]), (wait, plain["later"])):
        for one in changes:
            table.add_row(when, one["direction"], escape(one["words"]), escape(one["where"]))
    console.print(table)
    console.print(f"must sign: {escape(', '.join(plain['needs']) or 'nobody')}", highlight=False)
    _say_refused(plain["refused"])


def _say_refused(faults: list[str]) -> None:
    for words in faults:
        console.print(f"[red]would be refused:[/] {escape(words)}", highlight=False, soft_wrap=True)
