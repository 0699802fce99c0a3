"""Signed statements about the whole book: that its assets are there, that it agrees with what is outside.

    attested D      a key that an attestor holds said so, as of an instant at most D ago
    reconciled D    likewise, or a service said so that sees arrivals for the book, the ledger itself left out

The latest statement of a kind counts, a bad one too: when something is found wrong, what asks for the word is
shut at once. A statement is worth what its signer is worth; when the key is revoked it counts no longer.
"""

from typing import Final, get_args

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant, show_duration, show_instant
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.operations import Statement, StatementWord, signing_bytes
from ringfence.planes.ledger.records import RECEIPTS, VERIFIER
from ringfence.planes.ledger.rules import GateRule, Rules
from ringfence.planes.ledger.signing import Verifier, signers_of, those_that_count

STATEMENT_WORDS: Final[tuple[str, ...]] = get_args(StatementWord)


def witnesses(rules: Rules, word: str) -> frozenset[str]:
    """List the keys of which one must sign a statement."""
    services = [name for name in rules.computed_by.get(RECEIPTS, ()) if name != VERIFIER]
    held = {key for service in services for key in rules.holders.get(service, ())}
    return rules.attestors | (held if word == "reconciled" else frozenset())


def state(ledger: Ledger, statement: Statement, at: Instant, verify: Verifier) -> Refused | bool | None:
    """Take a statement; True where it was taken before."""
    content, tables = signing_bytes(statement), ledger.tables
    if statement.as_of > at:
        words = f"the statement is as of {show_instant(Instant(statement.as_of))}, which is still to come"
        return Refused(Reason.CLOCK_WENT_BACK, words)
    latest = tables.statements.get(statement.word)
    if latest is not None and latest.as_of >= statement.as_of:
        if signing_bytes(latest) == content:
            return True
        words = f"a statement as of {show_instant(Instant(latest.as_of))} is known; make one as of later"
        return Refused(Reason.CLOCK_WENT_BACK, words)
    found = signers_of(statement.signatures, content, ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    may = witnesses(ledger.rules, statement.word)
    if not may.intersection(found):
        names = ", ".join(sorted(may)) or "nobody: the policy has no attestor with a key"
        return Refused(Reason.NOT_ASKED_TO_SIGN, f"who may say {statement.word} is {names}")
    tables.put(tables.statements, statement.word, statement)
    return None


def fault_of_statements(ledger: Ledger, gate: GateRule, at: Instant, verify: Verifier) -> Refused | None:
    """Say which statement a gate asks for is missing, too old, bad or void; None where all count."""
    for word, length_ns in gate.statements:
        fault = _fault(ledger, word, length_ns, at, verify)
        if fault:
            words = f"{gate.name} opens when {word}, and {fault}"
            return Refused(Reason.CONDITION_NOT_MET, words, gate.line)
    return None


def _fault(ledger: Ledger, word: str, length_ns: int | None, at: Instant, verify: Verifier) -> str:
    latest = ledger.tables.statements.get(word)
    if latest is None:
        return "nobody ever said so"
    if not latest.holds:
        return f"the last word is that it does not hold: {latest.reference}"
    if length_ns is not None and at - latest.as_of > length_ns:
        when = show_instant(Instant(latest.as_of))
        return f"it was last said as of {when}, over {show_duration(length_ns)} ago"
    known = ledger.known_keys(at)
    signed = those_that_count(latest.signatures, signing_bytes(latest), known, verify)
    if not witnesses(ledger.rules, word).intersection(signed):
        return "who said so no longer counts"
    return ""
