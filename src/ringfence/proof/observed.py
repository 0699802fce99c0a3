"""A world as it was observed: connections that loaded rules open, and a book as it runs.

What was observed enters the same authority graph as what was declared, as facts beside the policy. So a claim
can be decided about what runs, and drift is told by what it makes possible and not only by what differs.
"""

from collections.abc import Iterable

from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.observe import observe as observe_book
from ringfence.planes.network.observe import Observed
from ringfence.policy.model import Exchange, Gate, Policy
from ringfence.proof.cutoff import cast_for_amounts
from ringfence.proof.difference import Difference, Meaning, compared
from ringfence.proof.drift import drift
from ringfence.proof.grounding import ground
from ringfence.proof.world import AddHolding, Fact, SetFlows, extend


def observed_flows(policy: Policy, seen: Observed) -> SetFlows:
    """Write down which service can open a connection to which, on any port, as rules were read back."""
    pairs = (pair for pair, connections in seen.possible.items() if connections)
    return SetFlows(tuple(sorted(pair for pair in pairs if policy.services.keys() >= set(pair))))


def session_facts(holdings: Iterable[tuple[str, str]]) -> tuple[AddHolding, ...]:
    """Write down which service has whose key because a trading session ends there.

    holdings: (service, concrete key), as a book lists its sessions in force. A question's members stand for
    any member, so one member's session counts as everybody's: more is assumed lost than is, never less.
    """
    families = {(service, key.partition("/")[0]) for service, key in holdings}
    return tuple(AddHolding(service, key) for service, key in sorted(families))


def book_differences(policy: Policy, state: BookState) -> tuple[str, ...]:
    """Say what a running book does not do as the policy says, beside the ways it opens: planes it leaves
    unchecked, gates it keeps shut, keys that nobody registered."""
    seen = observe_book(state)
    rules: tuple[Gate | Exchange, ...] = (*policy.gates.values(), *policy.exchanges.values())
    planes = dict.fromkeys(plane for rule in rules for plane in rule.on)
    unchecked = [plane for plane in planes if plane not in seen.planes]
    found = [f"plane {plane} is declared, and the book leaves it unchecked" for plane in unchecked]
    found += [f"key {name} is declared and not registered" for name in seen.missing_keys]
    shut = dict.fromkeys((way.gate, words) for way in seen.ways for words in way.shut_by)
    found += [
        f"gate {gate} is declared and shut: {words}"
        for gate, words in shut
        if not words.endswith("is not registered")
    ]
    return tuple(found)


def drifted(declared: Policy, running: Policy, facts: Iterable[Fact]) -> tuple[tuple[str, ...], Difference]:
    """Compare what is declared with what runs: row by row, and what each could do that the other cannot.

    running: the policy that the book obeys, or the declared one; facts: what was observed beside it.
    """
    before = ground(declared, cast_for_amounts(declared, {}))
    after = extend(ground(running, cast_for_amounts(running, {})), facts)
    return drift(before, after), compared(Meaning(declared, before), Meaning(running, after))
