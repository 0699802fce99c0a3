"""Adopting another policy: judged like any other operation, under the policy that is still in force.

    adopt      what narrows is in force at once; what is left waits for its delay, where there is one
    complete   what waited is in force, if the book can still keep all that it holds
    cancel     what waits is given up

Who must sign, how long it waits and who may cancel are the words of `adoption` in the policy in force. Where
it has none, whoever may write to the book may narrow it, as with freezing, and nobody may widen it.
"""

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.ids import ID_MAX, show_id
from ringfence.kernel.instant import Instant, show_instant
from ringfence.planes.ledger.adoption import AdoptionPlan, carried, plan_adoption, unkept
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.interest import accrue_all
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.needs import names_for, show_need, unmet
from ringfence.planes.ledger.operations import (
    AdoptPolicy,
    CancelAdoption,
    CompleteAdoption,
    signing_bytes,
)
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier, signers_of
from ringfence.planes.ledger.tables import Waiting
from ringfence.policy.model import Line, Policy
from ringfence.policy.parse import parse

UNKEPT_SHOWN = 4
"""How many things without a place a refusal names."""


def adopt(ledger: Ledger, adoption: AdoptPolicy, at: Instant, verify: Verifier) -> Refused | bool | None:
    """Adopt what narrows, and let the rest wait; True where that was done before."""
    content, tables = signing_bytes(adoption), ledger.tables
    earlier = _judge_id(ledger, adoption.id, content)
    if earlier is not None:
        return earlier
    refused = _judge_time(ledger, adoption, at)
    if refused is not None:
        return refused
    policy = policy_of(adoption)
    if policy is None:
        return Refused(
            Reason.POLICY_NOT_ADOPTABLE, "its text has errors; `ringfence policy check` lists them"
        )
    plan = plan_adoption(tables, ledger.rules, policy)
    refused = (
        _judge_notes(plan, adoption)
        or _judge_plan(plan)
        or _judge_signers(ledger, adoption, content, at, verify, plan)
    )
    if refused is not None:
        return refused
    tables.put(tables.ids, adoption.id, (content, 0))
    if plan.waits:
        due = Instant(at + plan.delay_ns)
        tables.put(tables.adopting, adoption.id, Waiting(adoption, content, due))
        if plan.at_once:
            _follow(ledger, plan.narrowed, at)
    else:
        _follow(ledger, plan.target, at)
    return None


def complete(ledger: Ledger, completion: CompleteAdoption, at: Instant) -> Refused | None:
    """Put the waiting policy in force; nobody signs again, since those who must have signed it."""
    waiting = ledger.tables.adopting.get(completion.adoption)
    if waiting is None:
        return Refused(Reason.ADOPTION_NOT_WAITING, f"no adoption {show_id(completion.adoption)} waits")
    if at < waiting.due:
        words = f"it may be in force from {show_instant(Instant(waiting.due))} on"
        return Refused(Reason.ADOPTION_NOT_DUE, words)
    policy = policy_of(waiting.adoption)
    if policy is None:
        return Refused(Reason.POLICY_NOT_ADOPTABLE, "its text has errors")
    target = compile_policy(policy, ledger.rules.planes)
    refused = _judge_unkept((*unkept(ledger.tables, ledger.rules, target),))
    if refused is not None:
        return refused
    ledger.tables.drop(ledger.tables.adopting, completion.adoption)
    _follow(ledger, target, at)
    return None


def cancel(
    ledger: Ledger, cancelling: CancelAdoption, at: Instant, verify: Verifier
) -> Refused | bool | None:
    """Give up what waits; True where that was done before."""
    rules, tables = ledger.rules, ledger.tables
    content = signing_bytes(cancelling)
    earlier = _judge_id(ledger, cancelling.id, content)
    if earlier is not None:
        return earlier
    if cancelling.adoption not in tables.adopting:
        return Refused(Reason.ADOPTION_NOT_WAITING, f"no adoption {show_id(cancelling.adoption)} waits")
    found = signers_of(cancelling.signatures, content, ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    words = rules.policy.adoption
    allowed = words.cancel if words else ()
    name_of = names_for(rules.keys, None, None)
    if all(unmet((need,), found, name_of) for need in allowed):
        names = ", ".join(show_need(need, name_of) for need in allowed) or "nobody"
        return Refused(Reason.NEEDS_NOT_MET, f"one of [{names}] may cancel an adoption, and none signed")
    tables.put(tables.ids, cancelling.id, (content, 0))
    tables.drop(tables.adopting, cancelling.adoption)
    return None


def policy_of(adoption: AdoptPolicy) -> Policy | None:
    """Read the policy that is to be adopted; None where it has errors."""
    policy = parse(adoption.policy, "policy of the adoption").policy
    if policy is None:
        return None
    return policy.located({line.path: Line(file=line.file, line=line.line) for line in adoption.lines})


def _follow(ledger: Ledger, rules: Rules, at: Instant) -> None:
    """Obey other rules from now on; the last step, since it cannot be taken back."""
    old, tables = ledger.rules, ledger.tables
    accrue_all(ledger, at)  # What time made owed until now, it made owed at the old rates.
    for key, counter in carried(tables, old, rules, at).items():
        if counter is None:
            tables.drop(tables.windows, key)
        else:
            tables.put(tables.windows, key, counter)
    tables.put(tables.replaced, old.digest.hex(), (old.name, at))
    tables.drop(tables.replaced, rules.digest.hex())
    ledger.follow(rules)


def _judge_id(ledger: Ledger, identifier: int, content: bytes) -> Refused | bool | None:
    """Refuse an id that cannot be or was used otherwise; True where this was done before."""
    if not 0 < identifier <= ID_MAX:
        return Refused(Reason.ID_NOT_POSSIBLE, f"the id was {identifier}; it is positive and below 2^128")
    earlier = ledger.tables.answer(identifier)
    if earlier is None:
        return None
    if earlier == (content, 0):
        return True
    words = f"id {show_id(identifier)} was used with other content; take a new id"
    return Refused(Reason.ID_USED_WITH_OTHER_CONTENT, words)


def _judge_time(ledger: Ledger, adoption: AdoptPolicy, at: Instant) -> Refused | None:
    if adoption.replaces != ledger.rules.digest:
        words = f"it would replace {ledger.other_policy(adoption.replaces)}"
        return Refused(Reason.POLICY_DIGEST_DIFFERS, words)
    if adoption.expires < at:
        words = f"it was good until {show_instant(Instant(adoption.expires))}"
        return Refused(Reason.REQUEST_EXPIRED, words)
    for identifier, waiting in ledger.tables.adopting.items():
        words = f"adoption {show_id(identifier)} is due at {show_instant(Instant(waiting.due))}"
        return Refused(Reason.ADOPTION_ALREADY_WAITS, f"{words}; complete or cancel it first")
    return None


def _judge_plan(plan: AdoptionPlan) -> Refused | None:
    if not plan.at_once and not plan.later:
        return Refused(Reason.POLICY_NOT_ADOPTABLE, "the policy in force means the same already")
    if plan.later and not plan.may_widen:
        first = plan.later[0]
        words = f"the policy in force names nobody under `adoption`, and this is no narrowing: {first.words}"
        return Refused(Reason.ADOPTION_NOT_DECLARED, words, first.where)
    return _judge_unkept(plan.unkept)


def _judge_notes(plan: AdoptionPlan, adoption: AdoptPolicy) -> Refused | None:
    """Refuse a proposal whose signers read something else about what is not enforced."""
    notes = {str(note) for note in plan.target.notes}
    for words in sorted(notes.symmetric_difference(adoption.not_enforced)):
        found = f"this book and the proposal differ about what is not enforced: {words}"
        return Refused(Reason.POLICY_NOT_ADOPTABLE, found)
    return None


def _judge_unkept(found: tuple[str, ...]) -> Refused | None:
    if not found:
        return None
    more = f"; and {len(found) - UNKEPT_SHOWN} more" if len(found) > UNKEPT_SHOWN else ""
    return Refused(Reason.ADOPTION_DROPS_WHAT_IS_HELD, "; ".join(found[:UNKEPT_SHOWN]) + more)


def _judge_signers(
    ledger: Ledger,
    adoption: AdoptPolicy,
    content: bytes,
    at: Instant,
    verify: Verifier,
    plan: AdoptionPlan,
) -> Refused | None:
    found = signers_of(adoption.signatures, content, ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    missing = unmet(plan.needs, found, names_for(ledger.rules.keys, None, None))
    if missing:
        return Refused(Reason.NEEDS_NOT_MET, f"an adoption needs {missing}, which did not sign")
    return None
