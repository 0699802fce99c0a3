"""A refuted claim as a story: steps that a person can follow, and their replay on a scratch book.

What the attacker takes comes first, then what falls with it, then each move with who signs it. The moves are
asked of the ordinary ledger. If they go through, the claim is refuted; if a condition stands in the way that
the proof passed over, the claim is open, and the ledger's own words say which.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ringfence.kernel.money import show_decimal
from ringfence.policy.model import Policy
from ringfence.proof.answers import Answer
from ringfence.proof.cutoff import cast_of_size, most_variables
from ringfence.proof.evidence import Hop, Route
from ringfence.proof.forging import Forgery
from ringfence.proof.names import hop_of, places, taken
from ringfence.proof.questions import Asked, Fewest, Grounds, Moves, Never, Trading, ask_among
from ringfence.proof.reach import Grip, Index, spread, usable
from ringfence.proof.replaying import Done, Haul, Means, Replay, replay_amount, replay_route
from ringfence.proof.scratch import Scratch, signers
from ringfence.proof.world import Rule, World

_CAUSES = ("taken", "held", "derived", "given")

MEMBERS_TRIED = (3, 12, 48)
"""How many other members an amount is tried with: it may only add up over many."""


BINDINGS_MAX = 5_000
"""Ways to bind one rule's members beyond which no more members are tried."""


@dataclass(frozen=True, slots=True)
class Story:
    """What happens, step by step.

    assumed: what the replay took for granted; holds: the ordinary ledger let it happen; stop: what it refused
    and why, where it did not.
    """

    steps: tuple[str, ...]
    assumed: tuple[str, ...]
    holds: bool
    stop: str = ""


def tell(grounds: Grounds, answer: Answer) -> Story:
    """Tell why an answer fails, and replay it."""
    policy = grounds.policy
    question, hops = answer.asked.question, _hops(answer)
    if isinstance(question, Never) and hops:
        return _never_story(policy, answer.asked.index, question, hops)
    if isinstance(question, Fewest) and hops:
        return _fewest_story(policy, answer, question, hops)
    if isinstance(question, Moves):
        return _moves_story(grounds, answer)
    if isinstance(question, Trading):
        return _trading_story(grounds, answer, question)
    return Story((), (), False, "there is no route to tell")


def _hops(answer: Answer) -> tuple[Hop, ...]:
    return answer.evidence.hops if isinstance(answer.evidence, Route) else ()


# --- one story for each kind of claim ----------------------------------------------------------


def _never_story(policy: Policy, index: Index, question: Never, hops: tuple[Hop, ...]) -> Story:
    """Nobody attacks here: all keys but those that the claim leaves out may sign."""
    world = index.world
    keys = frozenset(number for number, key in enumerate(world.keys) if key.name not in question.without)
    scratch = Scratch(policy, world, "", waits=True)
    means = Means(keys)
    replay = replay_route(scratch, world, hops, means)
    return _story(policy, scratch, replay, means, Grip())


def _fewest_story(policy: Policy, answer: Answer, question: Fewest, hops: tuple[Hop, ...]) -> Story:
    index = answer.asked.index
    route = answer.evidence
    services, keys = (route.services, route.keys) if isinstance(route, Route) else ((), ())
    grip = spread(index, taken(index.world, services, keys), "contained")
    scratch = Scratch(policy, index.world, question.plane, waits=True)
    means = _means(grip, usable(index, grip, question.plane).voided)
    return _story(policy, scratch, replay_route(scratch, index.world, hops, means), means, grip)


def _moves_story(grounds: Grounds, answer: Answer) -> Story:
    """Amounts are replayed with real members in place of the one that stands for all, and with more of them
    where something moved but not enough."""
    story = Story((), (), False, "nothing was tried")
    variables = max(most_variables(grounds.policy).values(), default=1)
    for others in MEMBERS_TRIED:
        if others**variables > BINDINGS_MAX:
            break
        asked = _same_question(grounds, answer, others)
        story = _moves_among(grounds.policy, asked, answer.over)
        if story.holds or not story.steps:
            break
    return story


def _moves_among(policy: Policy, asked: Asked, over: str) -> Story:
    question = asked.question
    if not isinstance(question, Moves):
        return Story((), (), False, "nothing moves")
    index = asked.index
    world = index.world
    grip = spread(index, taken(world, question.services, question.keys), question.mode)
    can_use = usable(index, grip, question.plane)
    most_units, horizon_ns = question.caps[over]
    sinks = None if question.sinks is None else places(world, question.sinks)
    asset = world.assets.index(over)
    haul = Haul(places(world, question.sources), sinks, asset, most_units, horizon_ns)
    scratch, means = Scratch(policy, world, question.plane), _means(grip, can_use.voided)
    return _story(policy, scratch, replay_amount(scratch, world, can_use, means, haul), means, grip)


def _trading_story(grounds: Grounds, answer: Answer, question: Trading) -> Story:
    """Forge fills at the edge of the band until one member lost more than is claimed."""
    members = grounds.policy.claims[answer.asked.claim].members
    index = grounds.index(cast_of_size(grounds.policy, members, 2))
    world = index.world
    grip = spread(index, taken(world, question.services, question.keys), question.mode)
    most_units, horizon_ns = question.caps[answer.over]
    is_index_false = any(service in grip.owned for service in world.pricers)
    scratch = Scratch(grounds.policy, world, "ledger")
    forged = Forgery(scratch, grounds.policy, answer.over, most_units, horizon_ns, is_index_false).replay()
    lost = sum(one.units for one in forged)
    stop = next((one.stop for one in forged if one.stop), f"only {lost} units were lost")
    decimals = grounds.policy.assets[answer.over].decimals
    steps = [*_attack(world, grip, _means(grip, frozenset()), (), (), also=grip.owned)]
    steps += [
        f"{one.words}; that loses {show_decimal(one.units, decimals)} {answer.over}."
        for one in forged
        if one.words
    ]
    if is_index_false:
        steps.append("The index itself is false, so no daily loss is seen.")
    return Story(tuple(steps), (), lost > most_units, "" if lost > most_units else stop)


def _same_question(grounds: Grounds, answer: Answer, others: int) -> Asked:
    """Ask the same with so many real members besides the named ones."""
    claim = grounds.policy.claims[answer.asked.claim]
    plane = "" if isinstance(answer.asked.question, Never) else answer.asked.question.plane
    asked = ask_among(grounds, answer.asked.claim, cast_of_size(grounds.policy, claim.members, others))
    return next(one for one in asked if isinstance(one.question, Never) or one.question.plane == plane)


def _means(grip: Grip, voided: frozenset[int]) -> Means:
    return Means(frozenset(grip.had), frozenset(grip.owned), voided)


# --- words -------------------------------------------------------------------------------------


def _story(policy: Policy, scratch: Scratch, replay: Replay, means: Means, grip: Grip) -> Story:
    world = scratch.world
    if not replay.done:
        return Story((), (), replay.passed, replay.stop)
    used = dict.fromkeys(key for done in replay.done for key in done.keys)
    ways = [way for done in replay.done for way in done.ways]
    attack = _attack(world, grip, means, used, ways) if grip.had else _signing(world, used)
    moves = (step for done in replay.done for step in _moves(policy, world, done, means))
    rules = dict.fromkeys(hop_of(world, way).rule for way in ways if way not in means.voided)
    assumed = tuple(words for rule in rules for words in scratch.assumptions(rule))
    return Story((*attack, *moves), assumed, replay.passed, replay.stop)


def _attack(
    world: World,
    grip: Grip,
    means: Means,
    used: Iterable[int],
    ways: Iterable[int],
    also: Iterable[int] = (),
) -> Iterator[str]:
    """Tell what is taken, then how each key that signs came to be had. also: services told in any case."""
    keys = sorted(used, key=lambda key: _CAUSES.index(grip.had[key].how))
    wanted = set(also) | {
        service for key in keys if grip.had[key].how == "held" for service in grip.had[key].by
    }
    for way in ways:
        rule = world.rules[world.ways[way].rule]
        if way in means.voided:
            wanted |= {world.verifiers[plane] for plane in rule.planes}
        elif _is_lie(rule, means):
            wanted |= set(rule.computed_by)
    for service in _fallen_in_order(grip, wanted):
        cause = grip.owned[service]
        name = world.services[service].name
        if cause.how == "taken":
            yield f"The attacker breaks into {name}."
        else:
            yield f"{world.services[cause.by[0]].name} can open connections to {name}, so {name} falls too."
    for key in keys:
        yield _came_by(world, grip, key)


def _is_lie(rule: Rule, means: Means) -> bool:
    """Say whether everyone who computes an accrual is the attacker's."""
    return bool(rule.accrual and rule.computed_by) and means.services.issuperset(rule.computed_by)


def _fallen_in_order(grip: Grip, services: set[int]) -> list[int]:
    """List services with those they fell through, in the order they fell."""
    wanted = set(services)
    for service in reversed(grip.owned):
        if service in wanted:
            wanted.update(grip.owned[service].by)
    return [service for service in grip.owned if service in wanted]


def _came_by(world: World, grip: Grip, key: int) -> str:
    row, cause = world.keys[key], grip.had[key]
    if cause.how == "taken":
        where = f" from {row.host}" if row.host else ""
        whose = f" ({row.person}'s)" if row.person else ""
        return f"The attacker steals {row.name}{whose}{where}."
    if cause.how == "held":
        return f"{world.services[cause.by[0]].name} holds {row.name}."
    if cause.how == "derived":
        known = " and ".join(world.keys[one].name for one in cause.by)
        return f"{row.name} follows from {known}."
    return f"{row.name} signs on evidence: whoever meets the other terms gets its signature."


def _signing(world: World, used: Iterable[int]) -> Iterator[str]:
    for key in used:
        how = "signs on evidence" if world.keys[key].given else "signs by hand"
        yield f"{world.keys[key].name} {how}; the claim does not leave it out."


def _moves(policy: Policy, world: World, done: Done, means: Means) -> Iterator[str]:
    for way in done.ways:
        row = world.ways[way]
        rule, hop = world.rules[row.rule], hop_of(world, way)
        amount = f"{show_decimal(done.units, policy.assets[hop.asset].decimals)} {hop.asset}"
        where = f" ({rule.line})" if rule.line else ""
        signed = [world.keys[key].name for key in signers(world, row.needs, means.keys) or ()]
        words = f"{rule.name}{where} moves {amount} from {hop.source} to {hop.target}"
        if signed and way not in means.voided:
            words += f", signed by {' and '.join(signed)}"
        if way in means.voided:
            words += "; everyone who checks it is owned, so no key and no limit counts"
        elif _is_lie(rule, means):
            liars = " and ".join(world.services[one].name for one in rule.computed_by)
            words += f"; {liars} say together that it is owed"
        elif rule.accrual:
            words += f", as owed ({', '.join(rule.accrual)})"
        yield f"{words}."
