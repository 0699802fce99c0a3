"""Deciding every claim of a policy: a verdict, what it rests on, and the story where it does not hold.

    proved            nothing of it can happen
    proved assuming   so, as long as what is listed holds; each assumption names what discharges it
    refuted           it happens; the story was replayed on the ordinary ledger
    open              a path is left whose conditions could not be met in a replay
    unknown           a limit was reached before an answer was; never to be read as "fine"
    vacuous           the claim says nothing: a fault of the claim

A claim is decided on each plane it lists and holds if it holds on all of them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ringfence.policy.model import Claim, Policy
from ringfence.policy.phrases import show_journey
from ringfence.proof.adopting import assumed_of_adoption
from ringfence.proof.answers import Answer, answer
from ringfence.proof.questions import Asked, Fault, Grounds, Moves, Never, Trading, ask
from ringfence.proof.story import Story, tell
from ringfence.proof.world import Fact, World

Status = Literal["proved", "proved assuming", "refuted", "open", "unknown", "vacuous"]

WORST_FIRST: tuple[Status, ...] = ("vacuous", "refuted", "open", "unknown", "proved assuming", "proved")

VAULT_ASSUMED = (
    "the vault contract checks what its gates say; none is built, so the wallet does "
    "(discharged by the contract's tests once it is)"
)

SecondOpinion = Callable[[Answer], str]
"""Asks another engine the same question; "" where it agrees, else a sentence: they differ, or no answer."""


@dataclass(frozen=True, slots=True)
class Decided:
    """One question decided. plane: "" where the claim speaks of all gates at once."""

    plane: str
    status: Status
    answer: Answer
    story: Story | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one claim.

    sentence: the claim in words; where: its `file:line`; words: the reason in a sentence; decided: each
    question with its tight bound and evidence; assumptions: what it rests on beyond the trusted base;
    trusted: what every verdict of its kind rests on, each with what discharges it.
    """

    claim: str
    sentence: str
    where: str
    status: Status
    words: str
    decided: tuple[Decided, ...] = ()
    assumptions: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Say whether the claim is proved, with or without assumptions."""
        return self.status in ("proved", "proved assuming")


def prove(
    policy: Policy, facts: Iterable[Fact] = (), second: SecondOpinion | None = None
) -> tuple[Verdict, ...]:
    """Decide every claim of a checked policy, in its order.

    facts: what is known beside the policy, such as balances; second: another engine to ask as well.
    """
    grounds = Grounds(policy, facts)
    return tuple(decide(grounds, name, second) for name in policy.claims)


def decide(grounds: Grounds, name: str, second: SecondOpinion | None = None) -> Verdict:
    """Decide one claim."""
    policy = grounds.policy
    sentence, where = show_claim(policy.claims[name]), policy.line("claims", name)
    try:
        asked = ask(grounds, name)
    except Fault as fault:
        return Verdict(name, sentence, where, "vacuous", str(fault))
    decided = tuple(_decide(grounds, one, second) for one in asked)
    status = min((one.status for one in decided), key=WORST_FIRST.index)
    worst = next(one for one in decided if one.status == status)
    return Verdict(
        claim=name,
        sentence=sentence,
        where=where,
        status=status,
        words=_words(worst),
        decided=decided,
        assumptions=tuple(dict.fromkeys(words for one in decided for words in _assumptions(one))),
        trusted=tuple(dict.fromkeys((*_trusted(decided), assumed_of_adoption(policy)))),
    )


def _decide(grounds: Grounds, asked: Asked, second: SecondOpinion | None) -> Decided:
    found = answer(asked)
    plane = "" if isinstance(asked.question, Never) else asked.question.plane
    if found.outcome == "unknown":
        return Decided(plane, "unknown", found)
    objection = second(found) if second is not None else ""
    if objection:
        return Decided(plane, "unknown", Answer(asked, "unknown", objection, found.bound, found.evidence))
    if found.outcome == "fails":
        story = tell(grounds, found)
        return Decided(plane, "refuted" if story.holds else "open", found, story)
    return Decided(plane, "proved assuming" if plane == "vault" else "proved", found)


def _words(decided: Decided) -> str:
    if decided.status == "open" and decided.story is not None:
        return f"{decided.answer.words}, but a replay stopped: {decided.story.stop}"
    return decided.answer.words


def _assumptions(decided: Decided) -> Iterator[str]:
    if decided.plane == "vault":
        yield VAULT_ASSUMED


# --- the trusted base --------------------------------------------------------------------------

_TRUSTED_BY_ALL = (
    "the policy is read as written: policy.parse (tests/unit/policy), proof.grounding (tests/unit/proof)",
    "evidence is checked by proof.checker over the same world (ringfence proof check)",
)
_TRUSTED_ON_LEDGER = (
    "the ledger refuses what no gate opens: planes.ledger (tests/simulation/test_proof_against_book.py)",
    "a signature cannot be made without its key: Ed25519 (tests/unit/adapters)",
)
_TRUSTED_OF_SERVICES = "the service ledger, which checks this plane, is not among what is compromised"
_TRUSTED_IN_PIVOT = (
    "no service opens a connection that no flow declares: planes.network (tests/unit/planes/network)"
)
_TRUSTED_IN_TRADING = (
    "a fill that passes a daily loss is refused before it is booked: margin.limits (tests/unit/margin)",
    "what the index is, is not said by who prints the fills: prices agree by their sources",
)


def _trusted(decided: Iterable[Decided]) -> Iterator[str]:
    yield from _TRUSTED_BY_ALL
    kept = list(decided)
    if any(one.plane in ("", "ledger") for one in kept):
        yield from _TRUSTED_ON_LEDGER
    for one in kept:
        question = one.answer.asked.question
        if (
            isinstance(question, Moves | Trading)
            and one.plane == "ledger"
            and "ledger" not in question.services
        ):
            yield _TRUSTED_OF_SERVICES
        if isinstance(question, Moves | Trading) and question.mode == "pivot":
            yield _TRUSTED_IN_PIVOT
        if isinstance(question, Trading):
            yield from _TRUSTED_IN_TRADING
        if isinstance(question, Never) and question.exceptions:
            yield from _trusted_exceptions(one.answer.asked.index.world, question)


def _trusted_exceptions(world: World, question: Never) -> Iterator[str]:
    """Say who computes what the claim excepts, and which invariant bounds it."""
    for name in question.exceptions:
        rules = [rule for rule in world.rules if rule.name == name]
        services = dict.fromkeys(world.services[one].name for rule in rules for one in rule.computed_by)
        who = " and ".join(services) or "the ledger"
        kind = rules[0].kind
        what = "equal value within its price band" if kind == "exchange" else "moved is at most owed"
        yield f"{name} keeps its invariant ({what}); {who} do not all lie (proof.exemption)"


# --- claims in words ---------------------------------------------------------------------------


def show_claim(claim: Claim) -> str:
    """Write a claim as a sentence."""
    journey = show_journey(claim.journey) if claim.journey is not None else ""
    attackers = f"with {', '.join(claim.compromised)} ({claim.mode or 'contained'}) "
    if claim.kind == "never":
        except_for = f" except {', '.join(claim.exceptions)}" if claim.exceptions else ""
        without = f" without {', '.join(claim.without)}" if claim.without else ""
        return f"never {journey}{except_for}{without}"
    if claim.kind == "moves":
        return f"{attackers}no more than its bound moves {journey}"
    if claim.kind == "trading":
        return f"{attackers}no more than its bound is lost by trading"
    return f"at least {claim.at_least} {(claim.count or '').replace('_', ' ')} are needed for {journey}"
