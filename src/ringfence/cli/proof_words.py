"""How the proof speaks to people: verdicts, stories and blast radii as tables and sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from ringfence.cli.output import console, print_json
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ringfence.policy.model import Policy
    from ringfence.proof.blast import Amounts, Blast
    from ringfence.proof.certificate import Certificate
    from ringfence.proof.claims import Verdict
    from ringfence.proof.difference import Difference
    from ringfence.proof.evidence import Hop
    from ringfence.proof.explaining import Explained
    from ringfence.proof.laws import Conservation
    from ringfence.proof.rights import Rights
    from ringfence.proof.weakspots import Choke, Mend, Mover

Moved = dict[str, dict[str, int]]
"""Units by gate and asset."""

_COLOURS = {
    "proved": "green",
    "proved assuming": "green",
    "refuted": "red",
    "open": "yellow",
    "unknown": "yellow",
    "vacuous": "magenta",
}


def load(policy: Path) -> "Policy":
    """Load a policy file, or an example by its name."""
    from ringfence.wiring_files import load_policy

    return load_policy(policy)


@contextmanager
def faults_as_usage() -> Iterator[None]:
    """Turn a question that means nothing into an error of whoever asked it."""
    from ringfence.proof.questions import Fault, UnboundVariable

    try:
        yield
    except UnboundVariable as fault:
        member = fault.text.replace(fault.part, "alice")
        words = f"`{fault.part}` in `{fault.text}` stands for no member; name one, e.g. `{member}`"
        raise UsageError(words) from None
    except Fault as fault:
        raise UsageError(str(fault)) from None


def print_sentence(words: str) -> None:
    """Print one line, its brackets as they are."""
    console.print(escape(words), highlight=False, soft_wrap=True)


def print_findings(lines: "Sequence[str]", nothing: str) -> None:
    """Print findings one a line, or that there is none."""
    for line in lines:
        print_sentence(line)
    if not lines:
        print_sentence(f"{nothing[:1].upper()}{nothing[1:]}.")


# --- verdicts ----------------------------------------------------------------------------------


def print_verdicts(
    policy: "Policy", verdicts: "Sequence[Verdict]", moved: "Moved | None", *, explain: bool
) -> None:
    """Print each verdict with its bound, the story of what fails, and at the end how many hold.

    moved: what each gate moved so far, where a book was read.
    """
    for verdict in verdicts:
        _print_verdict(policy, verdict, explain=explain)
    _print_exceptions(policy, verdicts, moved)
    held = sum(verdict.holds for verdict in verdicts)
    colour = "green" if held == len(verdicts) else "red"
    console.print(f"[{colour}]{held} of {len(verdicts)} claims hold[/]", highlight=False)
    if not explain:
        _print_rest("assumes", [words for verdict in verdicts for words in verdict.assumptions])
        _print_rest("trusts", [words for verdict in verdicts for words in verdict.trusted])


def _print_exceptions(policy: "Policy", verdicts: "Sequence[Verdict]", moved: "Moved | None") -> None:
    """Print once for each excepted name what it may still move, and what it moved so far."""
    from ringfence.proof.exemption import may_move
    from ringfence.proof.output import show_units

    names = (name for verdict in verdicts for name in policy.claims[verdict.claim].exceptions)
    for name in dict.fromkeys(names):
        words = f"    except {name} may move {may_move(policy, name)}"
        if moved is not None:
            sums = [show_units(policy.assets, asset, units) for asset, units in moved.get(name, {}).items()]
            words += f"; so far {', '.join(sums) or 'nothing'}"
        print_sentence(words)


def _print_rest(verb: str, lines: "Sequence[str]") -> None:
    for words in dict.fromkeys(lines):
        print_sentence(f"    {verb} {words}")


def _print_verdict(policy: "Policy", verdict: "Verdict", *, explain: bool) -> None:
    from ringfence.proof.output import show_bound

    bounds = dict.fromkeys(filter(None, (show_bound(policy, one) for one in verdict.decided)))
    tail = f" ({'; '.join(bounds)})" if bounds else ""
    colour = _COLOURS[verdict.status]
    label = f"[{colour}]{verdict.status}[/] [bold]{verdict.claim}[/]"
    console.print(f"{label}: {escape(verdict.words + tail)}", highlight=False, soft_wrap=True)
    if not verdict.holds or explain:
        print_sentence(f"    {verdict.where}: {verdict.sentence}")
    for decided in verdict.decided:
        for remark in decided.answer.remarks:
            print_sentence(f"    note: {remark}")
    _print_story(verdict)
    if explain:
        _print_grounds(verdict)


def _print_story(verdict: "Verdict") -> None:
    """Print the first story; the other planes' stories are the same gates."""
    story = next((one.story for one in verdict.decided if one.story is not None and one.story.steps), None)
    if story is None:
        return
    for number, step in enumerate(story.steps, 1):
        print_sentence(f"    {number}. {step}")
    for words in story.assumed:
        print_sentence(f"       assuming that {words}")
    if story.holds:
        print_sentence("    Replayed on a scratch book: the ordinary ledger let every step happen.")
    else:
        print_sentence(f"    A replay on a scratch book stopped: {story.stop}")


def _print_grounds(verdict: "Verdict") -> None:
    _print_rest("assumes", verdict.assumptions)
    _print_rest("trusts", verdict.trusted)


def print_check(certificate: "Certificate", wrong: "Sequence[str]", *, second: bool) -> None:
    """Print what the checker found. second: Z3 proved the invariants again."""
    for words in wrong:
        print_sentence(f"not shown: {words}")
    count = len(certificate.entries)
    said = "does not check" if wrong else "checks: every entry is shown by its evidence"
    print_sentence(f"The certificate of {certificate.policy} ({count} entries) {said}.")
    for fault in certificate.faults:
        print_sentence(f"vacuous: {fault.claim}: {fault.words}")
    names = ", ".join(exceptions_in(certificate))
    if names and second:
        print_sentence(f"    the invariants of {names} were proved again by Z3")
    elif names:
        print_sentence(
            f"    trusts that the checker reads the steps of {names} rightly (--second: Z3 proves them too)"
        )


def exceptions_in(certificate: "Certificate") -> tuple[str, ...]:
    """Name the exceptions that a certificate keeps an invariant of."""
    from ringfence.proof.evidence import Closed

    closed = [entry.evidence for entry in certificate.entries if isinstance(entry.evidence, Closed)]
    return tuple(dict.fromkeys(kept.exception for one in closed for kept in one.invariants))


# --- blast radius ------------------------------------------------------------------------------


def plain_blast(found: "Blast") -> dict[str, Any]:
    """Write a blast radius as plain data; amounts are whole units, null where nothing limits them."""
    return asdict(found)


def print_blast(policy: "Policy", found: "Blast") -> None:
    """Print a blast radius: what falls, and per plane how much moves in an hour and a day."""
    console.print(f"[bold]{escape(', '.join(found.start))}[/], {found.mode}", highlight=False)
    print_sentence(f"    services that fall: {', '.join(found.services) or 'none'}")
    print_sentence(f"    keys that are had: {', '.join(found.keys) or 'none'}")
    table = Table("plane", "what", "per hour", "per day", box=None, pad_edge=False)
    for plane, moved in found.planes.items():
        print_sentence(f"    gates that open on {plane}: {', '.join(moved.gates) or 'none'}")
        for what, amounts in (
            ("leaves the platform", moved.out),
            ("clients to house", moved.to_house),
            ("comes in as new", moved.minted),
        ):
            table.add_row(plane, what, _amounts(policy, amounts["hour"]), _amounts(policy, amounts["day"]))
    lost = found.lost_by_trading
    table.add_row(
        "ledger", "lost by trading, each", _amounts(policy, lost["hour"]), _amounts(policy, lost["day"])
    )
    console.print(table)
    if found.adopts:
        print_sentence(f"    {found.adopts}")
    if found.channels:
        print_sentence(f"    lost by trading through {', '.join(found.channels)}")


def _amounts(policy: "Policy", amounts: "Amounts") -> str:
    from ringfence.proof.output import show_units

    shown = [show_units(policy.assets, name, units) for name, units in amounts.items() if units != 0]
    return ", ".join(shown) or "0"


# --- other questions ---------------------------------------------------------------------------


def plain_hops(hops: "Sequence[Hop]") -> list[dict[str, str]]:
    """Write steps as plain data."""
    return [
        {"rule": one.rule, "source": one.source, "target": one.target, "asset": one.asset} for one in hops
    ]


def print_laws(conserved: "Conservation", below: "Sequence[str]") -> None:
    """Print what changes each sum, and what could empty a bucket."""
    for asset in conserved.comes_in:
        ways_in = ", ".join(conserved.comes_in[asset]) or "nothing"
        ways_out = ", ".join(conserved.leaves[asset]) or "nothing"
        print_sentence(
            f"{asset} inside: {ways_in} brings it in, {ways_out} takes it out, nothing else changes it."
        )
    print_findings(below, "no gate takes a margined bucket below what it must hold")


def print_route(policy: "Policy", way: str, hops: "Sequence[Hop]") -> None:
    """Print the steps of a way, or that there is none."""
    if not hops:
        print_sentence(f"No: nothing gets there ({way}).")
        return
    for number, hop in enumerate(hops, 1):
        where = (
            policy.line("gates", hop.rule) if hop.rule in policy.gates else policy.line("exchanges", hop.rule)
        )
        words = f"{number}. {hop.rule} moves {hop.asset} from {hop.source} to {hop.target}"
        print_sentence(f"{words} ({where})" if where else words)


def print_explained(found: "Sequence[Explained]") -> None:
    """Print what is to be known of edges, label by label."""
    for one in found:
        console.print(f"[bold]{escape(one.edge)}[/] {escape(one.where)}", highlight=False, soft_wrap=True)
        last = ""
        for label, words in one.facts:
            shown = "" if label == last else label
            print_sentence(f"    {shown:16} {words}")
            last = label


def print_movers(place: str, found: "Sequence[Mover]") -> None:
    """Print who alone can move value out of a place."""
    for one in found:
        print_sentence(f"{one.start} ({one.mode}, {one.plane}) moves value out by {', '.join(one.gates)}")
    if not found:
        print_sentence(f"No single service or key moves anything out of {place}.")


def print_choke(way: str, found: "Choke") -> None:
    """Print what every attack must pass."""
    flows = [f"{source} -> {target}" for source, target in found.flows]
    for what, names in (
        ("gate", found.gates),
        ("key", found.keys),
        ("service", found.services),
        ("flow", flows),
    ):
        for name in names:
            print_sentence(f"{what} {name}: nothing gets there without it")
    if not (found.gates or found.keys or found.services or found.flows):
        print_sentence(f"There is no single thing that every attack must pass ({way}).")


def print_mend(claim: str, found: "Mend") -> None:
    """Print the smallest change that makes a claim hold."""
    if found.holds:
        print_sentence(f"{claim} holds already.")
        return
    removed = [f"gate {name}" for name in found.gates]
    removed += [f"flow {source} -> {target}" for source, target in found.flows]
    if not removed:
        print_sentence(f"Taking gates and flows away does not make {claim} hold.")
        return
    print_sentence(f"{claim} holds without {' and '.join(removed)}; nothing fewer does.")


def print_difference(found: "Difference") -> None:
    """Print both sides of a change."""
    for words in found.newly_possible:
        console.print(f"[red]newly possible[/]: {escape(words)}", highlight=False, soft_wrap=True)
    for words in found.no_longer_possible:
        console.print(f"[green]no longer possible[/]: {escape(words)}", highlight=False, soft_wrap=True)
    if not (found.newly_possible or found.no_longer_possible):
        print_sentence("The two policies allow the same.")


def print_rights(policy: "Policy", found: "Rights") -> None:
    """Print rights that nobody used, then how far each cap was used."""
    from ringfence.policy.phrases import show_cap
    from ringfence.proof.output import show_units

    lines = [f"gate {name} moved nothing" for name in found.unused_gates]
    lines += [f"key {name} signed nothing" for name in found.unused_keys]
    print_findings(lines, "every gate and every key was used")
    table = Table("gate", "cap for", "granted", "used at most", "", box=None, pad_edge=False)
    for use in found.caps:
        if use.gate not in found.unused_gates:
            granted = f"{show_cap(use.cap, policy.assets[use.asset].decimals)} {use.asset}"
            part = f"{100 * use.most_units / use.cap.units:.3g} %" if use.cap.units else ""
            most = show_units(policy.assets, use.asset, use.most_units)
            table.add_row(use.gate, use.scope, granted, most, part)
    if table.row_count:
        console.print(table)


def show_drift(found: "Sequence[str]", difference: "Difference | None", *, as_json: bool) -> None:
    """Print what differs between what is declared and what runs, and what that makes possible."""
    if as_json:
        plain: dict[str, Any] = {"differences": found}
        if difference is not None:
            plain |= asdict(difference)
        print_json(plain)
        return
    print_findings(found, "what runs is what the proof is about")
    if found and difference is not None:
        print_difference(difference)
