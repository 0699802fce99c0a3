"""How `ringfence net` says what is in force: for people in tables, for programs as plain data."""

from collections.abc import Iterator, Sequence
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from ringfence.cli.output import console
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.planes.network.compile import Flow, Rules
    from ringfence.planes.network.connections import Protocol
    from ringfence.services.canary import CanaryRound
    from ringfence.services.enforced import Attempt, PlaceStatus


LINES_SHOWN = 10


def parse_port(text: str) -> "tuple[Protocol, int]":
    """Read `8080`, `udp/53` or `53/udp`; UsageError where it is none of these."""
    words = text.upper().split("/")
    protocols: dict[str, Protocol] = {"TCP": "TCP", "UDP": "UDP", "SCTP": "SCTP"}
    named = [protocols[word] for word in words if word in protocols]
    numbers = [int(word) for word in words if word.isascii() and word.isdigit()]
    if len(numbers) != 1 or len(words) != 1 + len(named) or len(named) > 1 or not 0 < numbers[0] < 65_536:
        raise UsageError(f"port was {text!r}; write 8080, udp/53 or sctp/9003")
    return named[0] if named else "TCP", numbers[0]


def flow_of(source: str, target: str, port: str) -> "Flow":
    """Read a flow of a policy from its words; UsageError where the port is none of TCP or UDP."""
    from ringfence.planes.network.compile import Flow

    protocol, number = parse_port(port)
    if protocol == "SCTP":
        raise UsageError("flows of a policy are TCP or UDP")
    return Flow(source, target, "tcp" if protocol == "TCP" else "udp", number)


def kept_flow(text: str) -> "Flow":
    """Read SOURCE:TARGET:PORT; UsageError where it is not that."""
    parts = text.split(":")
    if len(parts) != 3:
        raise UsageError(f"--keep was {text!r}; write SOURCE:TARGET:PORT, such as internet:gateway:443")
    return flow_of(*parts)


def plain_status(place: "PlaceStatus") -> dict[str, object]:
    """Write the status of a place as plain data."""
    return {
        "place": place.place,
        "holds": place.holds,
        "generation": place.loaded.generation,
        "digest": place.loaded.digest,
        "mode": place.mode,
        "quarantined": list(place.loaded.quarantined),
        "passed": {str(flow): packets for flow, packets in place.loaded.passed.items()},
        "missing": list(place.missing),
        "excess": list(place.excess),
    }


def plain_attempt(attempt: "Attempt") -> dict[str, object]:
    """Write an attempt as plain data."""
    return {
        "flow": str(attempt.flow),
        "packets": attempt.packets,
        "passed": attempt.passed,
        "words": attempt.words,
    }


def print_status(places: "Sequence[PlaceStatus]", rules: "Rules") -> None:
    """Print what is in force at each place, and below it what each flow let through."""
    table = Table("place", "generation", "mode", "")
    for place in places:
        table.add_row(place.place, str(place.loaded.generation or "-"), place.mode, _verdict(place))
    console.print(table)
    cut_off = sorted({end for place in places for end in place.loaded.quarantined})
    if cut_off:
        console.print(f"in quarantine: {', '.join(cut_off)}")
    passed: dict[Flow, int] = {}
    for place in places:
        for flow, packets in place.loaded.passed.items():
            passed[flow] = max(packets, passed.get(flow, 0))
    for flow, packets in sorted(passed.items()):
        permission = rules.flows.get(flow)
        print(f"{packets:>9} new  {flow}  ({permission.rule if permission else 'not in the policy'})")


def _verdict(place: "PlaceStatus") -> str:
    if place.holds:
        return "[green]as declared[/]"
    if not place.loaded.generation:
        return "[red]none of our rules is loaded[/]"
    faults = [
        *(f"{words} is declared and closed" for words in place.missing),
        *(f"{words} is open and not declared" for words in place.excess),
    ]
    more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"[red]{escape(faults[0])}{more}[/]"


def print_attempts(attempts: "Sequence[Attempt]") -> None:
    """Print what was tried without a flow: what passed and would break, then what was closed."""
    for passed, words in (
        (True, "passed because its ends are only watched, and would break"),
        (False, "closed"),
    ):
        listed = [attempt for attempt in attempts if attempt.passed is passed]
        if listed:
            print(f"{words}:")
            for attempt in listed[:LINES_SHOWN]:
                print(f"  {attempt.packets} x {attempt.words}")
            if len(listed) > LINES_SHOWN:
                print(f"  and {len(listed) - LINES_SHOWN} more; --json lists all")


def paced(found: "Iterator[CanaryRound]", every: float, rounds: int) -> "Iterator[CanaryRound]":
    """Take rounds with a pause between two; `rounds` of them, or with 0 without end."""
    for one in islice(found, rounds or None):
        yield one
        if one.number != rounds:
            sleep(every)


def plain_round(one: "CanaryRound") -> dict[str, object]:
    """Write a round of a canary as plain data."""
    return {"round": one.number, "asked": one.asked, "wrong": list(one.wrong), "unproven": one.unproven}


def say_round(one: "CanaryRound") -> None:
    """Print a round of a canary, each fault on a line of its own."""
    home = f", {one.unproven} unproven: nobody answers there at home, either" if one.unproven else ""
    more = len(one.wrong) - LINES_SHOWN
    shown = [*one.wrong[:LINES_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    print(f"round {one.number}: {one.asked} asked{home}", *shown, sep="\n  ", flush=True)
