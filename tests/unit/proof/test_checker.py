"""The checker against the engines, kind by kind: what is true passes, and what is one off does not."""

from random import Random

import msgspec
import pytest
from drawn_platforms import Sizes, drawn_with_claims
from platforms import GATES, SUPPLIES, gate, harbour, harbour_text, include, platform

from ringfence.kernel.instant import DAY_NS, HOUR_NS
from ringfence.policy.parse import read
from ringfence.proof import exemption, trading
from ringfence.proof.certificate import Certificate, Entry, certify, seal
from ringfence.proof.checker import THEFTS_MAX, complaints, shows_closed
from ringfence.proof.claims import prove
from ringfence.proof.cutoff import cast_for_amounts, cast_of_size
from ringfence.proof.evidence import Closed, Cut, Cuts, Fallen, Item, Losses, NoEvidence
from ringfence.proof.grounding import ground
from ringfence.proof.names import named_grip
from ringfence.proof.questions import Grounds, Moves, Trading, ask
from ringfence.proof.reach import Index, Start, reach, spread, usable
from ringfence.proof.world import AddSupply, Cap, extend


def wrong_with(world, question, evidence, bound, status="proved"):
    """Say what the checker finds wrong with one entry."""
    plane = getattr(question, "plane", "")
    entry = Entry("one", plane, status, 0, question, bound, evidence)
    return complaints(seal(Certificate("ringfence certificate 1", "p", "", (world,), (entry,))))


# --- caps --------------------------------------------------------------------------------------

NOBODY_FALLS = Fallen((), ("hot", "liq"))


def cut_of(window, horizon_ns, units, claimed):
    """Ask of the platform how much leaves by g1, whose cap is 250 in a window of some kind."""
    policy = platform((GATES["g1"], gate("g1", "client_hot", "outside", "[hot, liq]", 250, window)))
    world = ground(policy, cast_for_amounts(policy, {}))
    caps = {"USDT": (claimed, horizon_ns)}
    question = Moves((), ("hot", "liq"), "contained", "vault", ("client_hot",), ("outside",), caps)
    item = Item("all", "g1", "", units)
    inside = ("client_hot", "margin", "insurance", "house")
    cut = Cut("USDT", (item,), inside)
    return wrong_with(world, question, Cuts(NOBODY_FALLS, (cut,)), {"USDT": units})


TIMES = [
    # What 250 comes to in a time: rolling ⌈H/W⌉ times, fixed once more, refill once full and as it refills.
    ("rolling 1 h", HOUR_NS, 250),
    ("rolling 1 h", HOUR_NS + 1, 500),
    ("rolling 1 h", 1, 250),
    ("rolling 1 d", HOUR_NS, 250),
    ("per 1 h", HOUR_NS, 500),
    ("per 1 h", HOUR_NS + 1, 750),
    ("per 1 d", HOUR_NS, 500),
    ("refill 1 h", HOUR_NS, 500),
    ("refill 1 h", HOUR_NS // 2, 375),
    ("refill 1 h", 1, 251),
]


@pytest.mark.parametrize(("window", "horizon_ns", "units"), TIMES)
def test_a_cap_counts_as_often_as_its_window_can_fall(window, horizon_ns, units):
    assert cut_of(window, horizon_ns, units, units) == ()
    for other in (units - 1, units + 1):
        assert "counts" in cut_of(window, horizon_ns, other, 10**9)[0]
    assert "over the" in cut_of(window, horizon_ns, units, units - 1)[0]


# --- trading -----------------------------------------------------------------------------------

HARBOUR = harbour()
TRADING = ("matching", "marks", "ledger", "risk", "gateway")


def drawn_trading(seed):
    """Draw who falls, what buckets hold, the time and the scope of a question about trading."""
    random = Random(seed)
    policy = HARBOUR
    facts = [
        AddSupply(place, "USDC", random.choice([0, 7_000_000, 10**12]))
        for place in ("client/{client}/hedge", "client/alice/hedge", "client/{client}/directional")
        if random.random() < 0.5
    ]
    cast = random.choice(
        [cast_for_amounts(policy, {"a": "client"}), cast_of_size(policy, {"a": "client"}, 2)]
    )
    index = Index(extend(ground(policy, cast), facts))
    services = tuple(random.sample(TRADING, random.choice([0, 1, 2])))
    keys = ("client_key/alice",) if random.random() < 0.4 else ()
    horizon_ns = random.choice([1, HOUR_NS, DAY_NS, DAY_NS + 1, 5 * DAY_NS])
    return index, services, keys, horizon_ns, random.choice(["each", "all"])


def test_losses_by_trading_are_what_the_engine_says_and_no_other():
    kinds = set()
    for seed in range(150):
        index, services, keys, horizon_ns, scope = drawn_trading(seed)
        world = index.world
        numbers = {row.name: number for number, row in enumerate(world.services)}
        known = {row.name: number for number, row in enumerate(world.keys)}
        start = Start(frozenset(numbers[one] for one in services), frozenset(known[one] for one in keys))
        grip = spread(index, start, "contained")
        found = trading.losses(index, grip, horizon_ns)
        units = trading.worst(world, found, world.assets.index("USDC"), scope)
        kinds.add("none" if units is None else "some" if units else "nothing")
        evidence = Losses(named_grip(world, grip))

        def asked(most, services=services, keys=keys, scope=scope, horizon_ns=horizon_ns):
            return Trading(services, keys, "contained", "ledger", scope, {"USDC": (most, horizon_ns)})

        most = 2**100 if units is None else units
        status, other = ("refuted", "proved") if units is None else ("proved", "refuted")
        assert wrong_with(world, asked(most), evidence, {"USDC": units}, status) == (), seed
        assert wrong_with(world, asked(most), evidence, {"USDC": units}, other), seed
        assert wrong_with(world, asked(most), evidence, {"USDC": (units or 0) + 1}, status), seed
        if units:
            assert wrong_with(world, asked(units - 1), evidence, {"USDC": units}, "refuted") == (), seed
            assert wrong_with(world, asked(units - 1), evidence, {"USDC": units}), seed
        fewer = Losses(Fallen(evidence.fallen.services, evidence.fallen.keys[1:]))
        assert "something else" in wrong_with(world, asked(most), fewer, {"USDC": units}, status)[0]
    assert kinds == {"none", "some", "nothing"}


# --- what else a claim may be ------------------------------------------------------------------

MORE_CLAIMS = """claims:
  a_mandate_counts:
    for: {a: client}
    never: "client/{a}/cash -> client/{a}/hedge"
    except: [settle]
    without: [client_key, officer_a, officer_b]
  the_house_pays_slowly:
    compromised: [officer_a, officer_b]
    mode: contained
    plane: [ledger]
    moves: "house/treasury -> anywhere"
    at_most: {USDC: "100 per 1 d"}
  fees_are_safe:
    compromised: [risk]
    mode: pivot
    plane: [ledger]
    moves: "role:insurance -> anywhere"
    at_most: "0 per 1 d"
  prices_lie:
    compromised: [matching, marks]
    mode: contained
    plane: ledger
    lost_by_trading_at_most: {all: {USDC: "5 per 1 d"}}
"""


def more(facts=()):
    text, _, _ = harbour_text().partition("claims:\n")
    policy = read(text + MORE_CLAIMS, "more.yaml", include).policy
    return certify(policy.name, b"", prove(policy, facts))


def test_claims_of_every_kind_are_shown():
    found = more()
    assert complaints(found) == ()
    assert {entry.claim: entry.status for entry in found.entries} == {
        "a_mandate_counts": "proved",
        "the_house_pays_slowly": "refuted",
        "fees_are_safe": "proved",
        "prices_lie": "refuted",
    }


def test_what_the_house_holds_bounds_what_it_pays():
    """A compartment of nobody's counts once, however many members there are."""
    found = more((AddSupply("house/treasury", "USDC", 40_000_000),))
    entry = next(one for one in found.entries if one.claim == "the_house_pays_slowly")
    assert (entry.status, entry.bound) == ("proved", {"USDC": 40_000_000})
    assert complaints(found) == ()


def test_a_way_to_anywhere_that_the_cut_leaves_out_is_seen():
    found = more((AddSupply("house/treasury", "USDC", 40_000_000),))
    entry = next(one for one in found.entries if one.claim == "the_house_pays_slowly")
    world = found.worlds[entry.world]
    none = Cuts(entry.evidence.fallen, (Cut("USDC", (), ("house/treasury",)),))
    assert "leaves house/treasury round the cut" in wrong_with(world, entry.question, none, {"USDC": 0})[0]
    absent = Cuts(entry.evidence.fallen, (Cut("USDC", (), ()),))
    assert (
        "is a source that the certificate leaves out"
        in wrong_with(world, entry.question, absent, {"USDC": 0})[0]
    )


def test_a_verdict_of_unknown_carries_nothing():
    found = more()
    entry = found.entries[0]
    world = found.worlds[entry.world]
    assert wrong_with(world, entry.question, NoEvidence(), {}, "unknown") == ()
    assert "is no verdict" in wrong_with(world, entry.question, entry.evidence, {}, "unknown")[0]
    assert "is no verdict" in wrong_with(world, entry.question, NoEvidence(), {}, "fine")[0]
    assert "another kind" in wrong_with(world, entry.question, NoEvidence(), {})[0]


def test_a_refutation_by_a_route_says_no_bound():
    policy = harbour(("needs: [client_key, wallet_key,", "needs: [wallet_key,"))
    found = certify(policy.name, b"", prove(policy))
    entry = next(
        one
        for one in found.entries
        if one.claim == "all_officers_cannot_empty_a_client" and one.status == "refuted"
    )
    world = found.worlds[entry.world]
    assert wrong_with(world, entry.question, entry.evidence, {}, "refuted") == ()
    assert "no route can show" in wrong_with(world, entry.question, entry.evidence, {"USDC": 1}, "refuted")[0]


# --- many thefts -------------------------------------------------------------------------------


def needing(count):
    """The platform with a vault that so many keys open, and the claim that it takes as many."""
    names = [f"k{number}" for number in range(count)]
    keys = "".join(f"  {name}: {{person: {name}, host: {name}, signs: by_hand}}\n" for name in names)
    only = gate("g1", "client_hot", "outside", f'["{count} of [{", ".join(names)}]"]', 250)
    return platform(
        ("  cold1:", f"{keys}  cold1:"),
        (GATES["g1"], only),
        (GATES["g5"] + "\n", ""),
        ("at_least: 2", f"at_least: {count}"),
    )


@pytest.mark.parametrize("count", [THEFTS_MAX, THEFTS_MAX + 1])
def test_covers_of_as_many_thefts_as_can_be_tried_are_checked(count):
    policy = needing(count)
    assert complaints(certify(policy.name, b"", prove(policy, SUPPLIES))) == ()


def test_covers_of_more_thefts_are_refused_and_not_believed():
    policy = needing(THEFTS_MAX + 2)
    (words,) = complaints(certify(policy.name, b"", prove(policy, SUPPLIES)))
    assert f"sets of {THEFTS_MAX + 1} thefts are too many to try" in words


def test_what_a_cover_leaves_the_attacker_with_is_checked():
    policy = platform()
    found = certify(policy.name, b"", prove(policy, SUPPLIES))
    entry = next(one for one in found.entries if one.claim == "two_keys_are_needed")
    for name in ("services", "keys"):
        first, *others = entry.evidence.covers
        fallen = msgspec.structs.replace(first.fallen, **{name: (*getattr(first.fallen, name), "odd")})
        changed = msgspec.structs.replace(first, fallen=fallen)
        evidence = msgspec.structs.replace(entry.evidence, covers=(changed, *others))
        wrong = wrong_with(found.worlds[entry.world], entry.question, evidence, entry.bound, entry.status)
        assert "a cover leaves the attacker with something else" in wrong[0]


# --- a closed set of an observed book ----------------------------------------------------------


def test_a_closed_set_is_one_exactly_if_nothing_leaves_it():
    seen = set()
    for seed in range(60):
        policy = drawn_with_claims(seed, Sizes(families=False, exchanges=0))
        whole = ground(policy, cast_for_amounts(policy, {}))
        world = msgspec.structs.replace(whole, ways=tuple(way for way in whole.ways if way.asset == 0))
        index = Index(world)
        service = seed % len(world.services)
        can_use = usable(index, spread(index, Start(frozenset({service})), "pivot"), "vault")
        inside = {
            world.places[node // len(world.assets)].name
            for node in reach(world, can_use.ways, [world.node(2, 0)]).by
        }
        owner = [world.services[service].name]
        assert shows_closed(world, owner, "pivot", "vault", inside)
        left = {
            world.places[world.ways[way].target].name
            for way in can_use.ways
            if world.places[world.ways[way].source].name in inside
        }
        for name in left - {world.places[2].name}:
            sources = {
                world.places[world.ways[way].source].name
                for way in can_use.ways
                if world.places[world.ways[way].target].name == name
            }
            is_left = bool(
                sources & (inside - {name} - {place.name for place in world.places if place.external})
            )
            seen.add(is_left)
            assert shows_closed(world, owner, "pivot", "vault", inside - {name}) == (not is_left)
    assert True in seen


def test_what_left_to_the_outside_and_comes_back_is_new_value():
    back = gate("back", "outside", "house", "[tk]", 1)
    policy = platform((GATES["g7"], GATES["g7"] + "\n" + back))
    world = ground(policy, cast_for_amounts(policy, {}))
    assert shows_closed(world, ["treasury"], "contained", "vault", {"outside"})
    assert not shows_closed(world, ["treasury"], "contained", "vault", {"house"})


def test_an_end_of_the_claim_need_not_be_paid_only_what_is_owed():
    """What the claim itself speaks of is followed by the closed set, not by the invariant."""
    limit = 'limit: {each: {USDC: "1 per 1 d"}}'
    ends = 'from: "client/{a}/cash", to: "client/{b}/cash"'
    gift = f'{{{ends}, assets: [USDC], needs: ["client_key/{{a}}"], on: [ledger], {limit}}}'
    text = harbour_text(("  withdraw:\n", f"  gift: {gift}\n  withdraw:\n"))
    policy = read(text, "venue.yaml", include).policy
    found = certify(policy.name, b"", prove(policy))
    assert complaints(found) == ()
    asked = ask(Grounds(policy), "one_client_never_pays_for_another")[0]
    entry = next(one for one in found.entries if one.question == asked.question)
    assert isinstance(entry.evidence, Closed)


def test_a_member_who_pays_for_others_is_seen_where_the_engine_is_blind(monkeypatch):
    monkeypatch.setattr(exemption, "_pays_for_others", lambda rule, source: False)
    pools = "  cover:\n    from: [insurance/directional, insurance/hedge"
    text = harbour_text(
        ("      - cover: insurance/directional\n", '      - cover: "client/{client}/hedge"\n'),
        (f"{pools}]", f'{pools}, "client/{{client}}/hedge"]'),
    )
    found = prove(read(text, "venue.yaml", include).policy)
    claim = "a_strategy_never_drains_another"
    assert [one.status for one in found if one.claim == claim] == ["proved"]
    assert any(claim in words for words in complaints(certify("venue", b"", found)))


def test_a_cap_of_nothing_bounds_any_number_of_members():
    world = ground(harbour(), cast_for_amounts(harbour(), {}))
    name = next(member.name for member in world.members if member.others)
    rules = tuple(
        msgspec.structs.replace(rule, each={0: Cap(0, "fixed", DAY_NS)}, all={})
        if rule.name == "withdraw"
        else rule
        for rule in world.rules
    )
    world = msgspec.structs.replace(world, rules=rules)
    keys = (f"client_key/{name}", "officer_a")
    question = Moves(
        (), keys, "contained", "vault", (f"client/{name}/cash",), (f"outside/{name}",), {"USDC": (0, DAY_NS)}
    )
    had = Fallen((), (*keys, *(key.name for key in world.keys if key.given)))
    inside = tuple(place.name for place in world.places if not place.external)
    cut = Cut("USDC", (Item("each", "withdraw", name, 0),), inside)
    assert wrong_with(world, question, Cuts(had, (cut,)), {"USDC": 0}) == ()
