"""Certificates: whatever is true is shown, whatever is altered is refused with the reason."""

import json

import msgspec
import pytest
from drawn_platforms import Sizes, drawn_with_claims
from platforms import RING, SUPPLIES, harbour, harbour_text, include, platform, read

from ringfence.kernel.errors import BadInput
from ringfence.policy import parse as parsing
from ringfence.policy.digest import digest
from ringfence.proof.answers import answer, ways_without
from ringfence.proof.certificate import (
    Certificate,
    certify,
    differences,
    read_certificate,
    seal,
    write_certificate,
)
from ringfence.proof.checker import complaints
from ringfence.proof.claims import prove
from ringfence.proof.evidence import Closed, Cover, Covers, Cut, Cuts, Fallen, Hop, Item
from ringfence.proof.exemption import exempt, invariant_of
from ringfence.proof.names import named_nodes, places
from ringfence.proof.names import nodes as node_list
from ringfence.proof.questions import Asked, Grounds, ask
from ringfence.proof.reach import Index, reach
from ringfence.proof.world import Cap, Need

CLIENT_DROPPED = ("needs: [client_key, wallet_key,", "needs: [wallet_key,")


@pytest.fixture(scope="module")
def certificate():
    policy = harbour()
    return certify(policy.name, digest(policy), prove(policy))


def test_every_verdict_on_harbour_is_shown(certificate):
    assert {entry.status for entry in certificate.entries} == {"proved", "proved assuming"}
    assert complaints(certificate) == ()


def test_refuted_claims_are_shown_too():
    policy = harbour(CLIENT_DROPPED)
    certificate = certify(policy.name, digest(policy), prove(policy))
    assert {entry.status for entry in certificate.entries} == {"proved", "proved assuming", "refuted"}
    assert complaints(certificate) == ()


def test_supplies_are_shown():
    policy = platform()
    certificate = certify(policy.name, digest(policy), prove(policy, SUPPLIES))
    assert complaints(certificate) == ()


def test_it_reads_back_the_same(certificate):
    text = write_certificate(certificate)
    assert read_certificate(text) == certificate
    assert read_certificate(text + b"\n") == certificate


def each_altered(text, step):
    """Go through a text with one byte altered, at every `step`-th place, in two ways."""
    for place in range(0, len(text), step):
        for altered in (text[place] ^ 1, text[place] ^ 32):
            yield text[:place] + bytes([altered]) + text[place + 1 :]


def refuse_each_altered(text, step):
    for changed in each_altered(text, step):
        with pytest.raises(BadInput):
            read_certificate(changed)


def test_one_byte_altered_is_refused(certificate):
    refuse_each_altered(write_certificate(certificate), 97)


def test_any_one_byte_altered_is_refused():
    policy = read(RING, "ring.yaml")
    refuse_each_altered(write_certificate(certify(policy.name, digest(policy), prove(policy))) + b"\n", 1)


@pytest.mark.nightly
def test_any_one_byte_of_harbours_altered_is_refused(certificate):
    refuse_each_altered(write_certificate(certificate) + b"\n", 5)


@pytest.mark.parametrize("altered", [b"", b"{}", b"[]", b"null", b"\xff\xfe"])
def test_what_is_no_certificate_is_refused(altered):
    with pytest.raises(BadInput):
        read_certificate(altered)


def test_spaces_added_are_refused(certificate):
    text = write_certificate(certificate)
    with pytest.raises(BadInput, match="not written as certificates are"):
        read_certificate(json.dumps(json.loads(text)).encode())


# --- altered and sealed again: the evidence itself must not bear it ------------------------------


def believed(text):
    """Seal an altered text again, and return the certificate if it is one and the checker believes it."""
    try:
        found = seal(msgspec.json.decode(text, type=Certificate))
        found = read_certificate(write_certificate(found))
    except (msgspec.MsgspecError, UnicodeDecodeError, BadInput):
        return None
    return None if complaints(found) else found


def check_each_altered(policy, facts, step):
    """Whatever is believed although a byte was altered must be true of the altered question and world."""
    certificate = certify(policy.name, digest(policy), prove(policy, facts))
    told = 0
    for changed in each_altered(write_certificate(certificate), step):
        found = believed(changed)
        for entry in found.entries if found else ():
            if entry not in certificate.entries or found.worlds != certificate.worlds:
                told += 1
                assert_true(found, entry)
    return told


def assert_true(certificate, entry):
    """Ask the engines what an altered entry says, names and all."""
    found = answer(Asked(entry.claim, entry.question, Index(certificate.worlds[entry.world])))
    assert (found.outcome == "holds") == entry.status.startswith("proved"), entry
    if entry.bound:
        assert entry.bound == found.bound, entry


def test_a_byte_altered_and_sealed_again_is_seen_or_true():
    assert check_each_altered(platform(), SUPPLIES, 7) > 0
    assert check_each_altered(read(RING, "ring.yaml"), (), 7) > 0


@pytest.mark.nightly
def test_any_byte_altered_and_sealed_again_is_seen_or_true():
    check_each_altered(platform(), SUPPLIES, 1)
    check_each_altered(read(RING, "ring.yaml"), (), 1)
    check_each_altered(harbour(), (), 211)


def resealed(certificate, claim, **changes):
    """Change one entry's evidence and seal the file again, as whoever wants to deceive would."""
    entries = tuple(
        msgspec.structs.replace(
            entry, **{name: change(getattr(entry, name)) for name, change in changes.items()}
        )
        if entry.claim == claim
        else entry
        for entry in certificate.entries
    )
    return seal(msgspec.structs.replace(certificate, entries=entries))


def evidence(**changes):
    def change(found):
        return msgspec.structs.replace(
            found, **{name: edit(getattr(found, name)) for name, edit in changes.items()}
        )

    return change


def test_a_node_taken_from_a_closed_set_is_missed(certificate):
    claim = "client_money_never_becomes_house_money"
    nodes = next(entry for entry in certificate.entries if entry.claim == claim).evidence.nodes
    for dropped in nodes:
        forged = resealed(
            certificate,
            claim,
            evidence=evidence(nodes=lambda all_, one=dropped: tuple(n for n in all_ if n != one)),
        )
        assert any(claim in words for words in complaints(forged)), dropped


def test_a_target_put_into_a_closed_set_is_seen(certificate):
    claim = "client_money_never_becomes_house_money"
    forged = resealed(
        certificate, claim, evidence=evidence(nodes=lambda nodes: (*nodes, ("house/fees", "USDC")))
    )
    assert "where it must never get" in complaints(forged)[0]


def test_an_item_taken_from_a_cut_is_missed(certificate):
    claim = "one_thief_is_slow"

    def shorter(cuts):
        return tuple(msgspec.structs.replace(cut, items=cut.items[1:]) for cut in cuts)

    forged = resealed(certificate, claim, evidence=evidence(cuts=shorter))
    assert any(claim in words and "adds up to" in words for words in complaints(forged))
    cheaper = resealed(
        certificate, claim, evidence=evidence(cuts=shorter), bound=lambda _: {"USDC": 0, "BTC": 0, "ETH": 0}
    )
    assert any(claim in words and "round the cut" in words for words in complaints(cheaper))


def test_an_item_that_is_named_twice_or_counts_otherwise_is_seen(certificate):
    claim = "one_thief_is_slow"

    def twice(cuts):
        return tuple(msgspec.structs.replace(cut, items=(*cut.items, *cut.items)) for cut in cuts)

    def doubled(bound):
        return {asset: 2 * units for asset, units in bound.items()}

    forged = resealed(certificate, claim, evidence=evidence(cuts=twice), bound=doubled)
    assert any("names an item twice" in words for words in complaints(forged))

    def lighter(cuts):
        items = (msgspec.structs.replace(item, units=1) for cut in cuts for item in cut.items)
        return tuple(msgspec.structs.replace(cut, items=(next(items),)) for cut in cuts)

    forged = resealed(certificate, claim, evidence=evidence(cuts=lighter))
    assert any("counts 1 for withdraw" in words for words in complaints(forged))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "each", "rule": "sweep"}, "sweep has no cap for each"),
        ({"kind": "each", "rule": "nothing"}, "names a cap of nothing that is none"),
        ({"kind": "some"}, "names a cap of withdraw that is none"),
        ({"kind": "supply", "who": "nowhere"}, "no compartment is called nowhere"),
        ({"kind": "supply", "who": "client/alice/cash"}, "holds without end"),
    ],
)
def test_an_item_that_is_none_is_seen(certificate, change, reason):
    def other(cuts):
        return tuple(
            msgspec.structs.replace(cut, items=(msgspec.structs.replace(cut.items[0], **change),))
            for cut in cuts
        )

    forged = resealed(certificate, "one_thief_is_slow", evidence=evidence(cuts=other))
    assert any(reason in words for words in complaints(forged))


def test_a_cut_or_bound_too_many_or_too_few_is_seen(certificate):
    claim = "one_thief_is_slow"
    for change in (
        {"evidence": evidence(cuts=lambda cuts: cuts[1:])},
        {"evidence": evidence(cuts=lambda cuts: (*cuts, cuts[0]))},
        {"bound": lambda bound: {**bound, "EUR": 1}},
    ):
        found = complaints(resealed(certificate, claim, **change))
        assert any("not one cut and one bound" in words for words in found)
    losses = "fills_by_a_broken_matching_engine"
    forged = resealed(certificate, losses, bound=lambda bound: {**bound, "EUR": 1})
    assert any("not one bound for each" in words for words in complaints(forged))
    forged = resealed(certificate, "no_single_break_in_withdraws", bound=lambda bound: {**bound, "EUR": 1})
    assert any("no one bound" in words for words in complaints(forged))


@pytest.mark.parametrize(
    ("claim", "change"),
    [
        ("client_money_never_becomes_house_money", {"without": ("nobody",)}),
        ("client_money_never_becomes_house_money", {"exceptions": ("nobody",)}),
        ("client_money_never_becomes_house_money", {"targets": ("nobody",)}),
        ("one_thief_is_slow", {"keys": ("nobody",)}),
        ("one_thief_is_slow", {"services": ("nobody",)}),
        ("one_thief_is_slow", {"sinks": ("nobody",)}),
        ("one_thief_is_slow", {"caps": {"nobody": (0, 1)}}),
        ("fills_by_a_broken_matching_engine", {"services": ("nobody",)}),
        ("no_single_break_in_withdraws", {"sources": ("nobody",)}),
    ],
)
def test_a_question_about_what_is_not_there_shows_nothing(certificate, claim, change):
    forged = resealed(
        certificate, claim, question=lambda question: msgspec.structs.replace(question, **change)
    )
    assert any("nobody, which its world does not have" in words for words in complaints(forged))


def test_a_plane_that_is_not_the_questions_is_seen(certificate):
    forged = resealed(certificate, "a_broken_wallet_mints_nothing", plane=lambda _: "vault")
    assert any("its question is about `ledger`" in words for words in complaints(forged))


@pytest.mark.parametrize("world", [-1, 99])
def test_a_world_that_is_not_there_is_seen(certificate, world):
    forged = resealed(certificate, "one_thief_is_slow", world=lambda _: world)
    assert any(f"there is no world {world}" in words for words in complaints(forged))


def one_wider(world):
    """Let one direction of `settle`, or one leg of an exchange, have a cap that the others do not."""
    number = next(number for number, rule in enumerate(world.rules) if rule.lane)
    wider = msgspec.structs.replace(world.rules[number], all={0: Cap(1, "fixed", 1)})
    return msgspec.structs.replace(world, rules=(*world.rules[:number], wider, *world.rules[number + 1 :]))


def bottomless(world):
    first = len(world.needs)
    chain = tuple(Need(1, (), (first + number - 1,)) for number in range(1, 65))
    return msgspec.structs.replace(world, needs=(*world.needs, Need(1), *chain))


def endless(world):
    rule = msgspec.structs.replace(world.rules[0], name="odd", all={0: Cap(1, "fixed", 0)})
    return msgspec.structs.replace(world, rules=(*world.rules, rule))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda world: msgspec.structs.replace(world, keys=(*world.keys, world.keys[0])), "two keys called"),
        (one_wider, "other caps, which they share"),
        (endless, "or in no time"),
        (bottomless, "more than 64 deep"),
        (
            lambda world: msgspec.structs.replace(world, needs=(Need(1, (), (0,)), *world.needs[1:])),
            "built from a later one",
        ),
    ],
)
def test_a_world_that_is_none_is_refused(certificate, change, reason):
    first, *others = certificate.worlds
    forged = seal(msgspec.structs.replace(certificate, worlds=(change(first), *others)))
    with pytest.raises(BadInput, match=reason):
        read_certificate(write_certificate(forged))


# --- invariants ----------------------------------------------------------------------------------

PAYS = "one_client_never_pays_for_another"


def test_an_exception_without_its_invariant_is_none(certificate):
    forged = resealed(certificate, PAYS, evidence=evidence(invariants=lambda kept: kept[1:]))
    assert any("the set is not closed: settle" in words for words in complaints(forged))


def test_a_step_left_out_of_an_invariant_is_missed(certificate):
    def shorter(kept):
        return tuple(msgspec.structs.replace(one, steps=one.steps[1:]) for one in kept)

    forged = resealed(certificate, PAYS, evidence=evidence(invariants=shorter))
    assert any("are not those that touch its compartments" in words for words in complaints(forged))


def test_an_invariant_of_what_the_claim_does_not_except_is_seen(certificate):
    def fewer(question):
        return msgspec.structs.replace(question, exceptions=question.exceptions[1:])

    forged = resealed(certificate, PAYS, question=fewer)
    assert any("does not except settle" in words for words in complaints(forged))


def forged_exceptions(*changes):
    """Certify a policy as if every exception stood, as a forger who knows the form would."""
    policy = parsing.read(harbour_text(*changes), "policies/venue.yaml", include).policy
    certificate = certify(policy.name, digest(policy), prove(policy))
    entry = next(one for one in certificate.entries if one.claim == PAYS)
    assert entry.status in ("refuted", "open")
    asked = ask(Grounds(policy), PAYS)[0]
    world, question = asked.index.world, asked.question
    ends = places(world, question.sources), places(world, question.targets)
    invariants = tuple(invariant_of(world, one) for one in exempt(world, question.exceptions, *ends))
    kept = [way for way in world.ways if world.rules[way.rule].name not in question.exceptions]
    met = ways_without(asked.index, question.without, ())
    allowed = [number for number in met if world.ways[number] in kept]
    found = named_nodes(world, reach(world, allowed, node_list(world, ends[0])).by)
    nodes = tuple(node for node in found if node[0] not in question.targets)
    return complaints(
        resealed(certificate, PAYS, status=lambda _: "proved", evidence=lambda _: Closed(nodes, invariants))
    )


LIMIT = 'assets: [USDC], needs: [risk_key], on: [ledger], limit: {each: {USDC: "1 per 1 d"}}'
INTO_CLEARING = f'  in: {{from: "client/{{client}}/cash", to: clearing, {LIMIT}}}\n'
TO_ANOTHER = f'  gift: {{from: "client/{{a}}/cash", to: "client/{{b}}/hedge", {LIMIT}}}\n'
OWED = "    accrual: {}\n    computed_by: [risk, ledger]\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("  withdraw:\n", f"{INTO_CLEARING}  withdraw:\n"), "in breaks the invariant of settle at clearing"),
        (("  withdraw:\n", f"{TO_ANOTHER}  withdraw:\n"), "gift breaks the invariant of settle at client/"),
        (
            (OWED.format("fees"), '    limit: {each: {USDC: "1000 per 1 d"}}\n'),
            "fee moves what is not owed",
        ),
        (
            (OWED.format("debt_repayment") + '    price: "within 1 % of index"\n', ""),
            "convert breaks the invariant of settle at client/",
        ),
    ],
)
def test_an_exception_that_keeps_no_invariant_is_not_believed(change, reason):
    assert any(reason in words for words in forged_exceptions(change))


def test_a_lower_bound_is_missed(certificate):
    forged = resealed(certificate, "one_thief_is_slow", bound=lambda bound: {**bound, "USDC": 1})
    assert any("adds up to" in words for words in complaints(forged))
    forged = resealed(certificate, "fills_by_a_broken_matching_engine", bound=lambda bound: {"USDC": 1})
    assert any("can be lost" in words for words in complaints(forged))


def test_a_cover_taken_away_is_missed(certificate):
    claim = "no_single_break_in_withdraws"
    forged = resealed(certificate, claim, evidence=evidence(covers=lambda covers: covers[1:]))
    assert any("not shown to be needed" in words for words in complaints(forged))


def test_a_cover_that_is_none_is_seen(certificate):
    claim = "no_single_break_in_withdraws"

    def smaller(covers):
        return tuple(
            msgspec.structs.replace(cover, keys=cover.keys[:0], services=cover.services[:0])
            for cover in covers
        )

    forged = resealed(certificate, claim, evidence=evidence(covers=smaller))
    assert complaints(forged)


def test_a_claim_asked_of_less_is_another_question(certificate):
    """A forger may ask an easier question; the policy says which was meant."""

    def easier(question):
        return msgspec.structs.replace(question, sources=question.sources[:1])

    forged = resealed(certificate, "a_stolen_key_stays_at_home", question=easier)
    assert differences(certificate, harbour()) == ()
    assert any("a_stolen_key_stays_at_home" in words for words in differences(forged, harbour()))


def test_a_certificate_of_another_policy_is_seen(certificate):
    changed = harbour(CLIENT_DROPPED)
    assert differences(certificate, changed)


def test_more_worlds_and_kinds_of_evidence_do_not_pass_for_each_other(certificate):
    kinds = {entry.claim: entry.evidence for entry in certificate.entries}
    forged = resealed(
        certificate, "one_thief_is_slow", evidence=lambda _: kinds["one_client_never_pays_for_another"]
    )
    assert any("another kind" in words for words in complaints(forged))


def test_an_attacker_who_ends_up_with_less_is_seen(certificate):
    nobody = Fallen((), ())
    for claim in ("a_broken_gateway_moves_nothing", "fills_by_a_broken_matching_engine"):
        forged = resealed(certificate, claim, evidence=evidence(fallen=lambda _: nobody))
        assert any(claim in words and "ends up with something else" in words for words in complaints(forged))


def test_fewer_thefts_than_claimed_are_seen(certificate):
    forged = resealed(certificate, "no_single_break_in_withdraws", bound=lambda _: {"thefts": 1})
    assert any("fewer than the 2 that are claimed" in words for words in complaints(forged))


def test_a_cover_of_nothing_where_value_gets_through_is_seen(certificate):
    """Everything inside is closed, of course; but then the sink is inside too."""
    entry = next(one for one in certificate.entries if one.claim == "no_single_break_in_withdraws")
    world = certificate.worlds[entry.world]
    everything = tuple((place.name, asset) for place in world.places for asset in world.assets)
    fallen = Fallen(tuple(s.name for s in world.services), tuple(key.name for key in world.keys))
    empty = Covers((Cover((), (), fallen, everything),))
    forged = resealed(certificate, "no_single_break_in_withdraws", evidence=lambda _: empty)
    assert any("value gets to where it must not" in words for words in complaints(forged))


def test_a_cap_for_each_of_any_number_of_members_bounds_nothing():
    policy = harbour(
        ('moves: "client/{a}/* -> outside"', 'moves: "client/** -> outside"'),
        ('      all: {USDC: "2000000 per 1 d", BTC: "40 per 1 d", ETH: "800 per 1 d"}\n', ""),
        (
            'for: {a: client}\n    compromised: ["client_key/{a}", officer_a]',
            "compromised: [client_key, officer_a]",
        ),
    )
    found = certify(policy.name, digest(policy), prove(policy))
    entry = next(one for one in found.entries if one.claim == "one_thief_is_slow")
    assert (entry.status, entry.bound) == ("refuted", {})  # A route shows no amount.
    keys = [key.name for key in found.worlds[entry.world].keys if key.name != "officer_b"]
    fallen = Fallen((), tuple(keys))
    places = tuple(one.name for one in found.worlds[entry.world].places if not one.external)
    members = [member.name for member in found.worlds[entry.world].members if member.party == "client"]
    items = tuple(Item("each", "withdraw", name, 200_000 * 10**6) for name in members)
    cuts = tuple(Cut(asset, items, places) for asset in entry.question.caps)
    forged = resealed(
        found,
        "one_thief_is_slow",
        status=lambda _: "proved",
        bound=lambda _: dict.fromkeys(entry.question.caps, 200_000 * 10**6),
        evidence=lambda _: Cuts(fallen, cuts),
    )
    assert any("for each of any number of members" in words for words in complaints(forged))


# --- refutations that are none -----------------------------------------------------------------


@pytest.fixture(scope="module")
def refuted():
    policy = platform()
    return certify(policy.name, digest(policy), prove(policy))


NEVER = "client_money_stays_out_of_the_house"


def hops(change):
    return evidence(hops=change)


def test_a_route_that_breaks_off_is_seen(refuted):
    g7 = Hop("g7", 0, "client_hot", "margin", "USDT")
    g3 = Hop("g3", 0, "margin", "insurance", "USDT")
    forged = resealed(refuted, NEVER, evidence=hops(lambda found: (g7, g3, *found)))
    assert any("breaks off at insurance" in words for words in complaints(forged))
    longer = resealed(refuted, NEVER, evidence=hops(lambda found: (g7, *found)))
    assert complaints(longer) == ()


def test_a_route_that_opens_nowhere_or_ends_elsewhere_is_seen(refuted):
    unknown = resealed(refuted, NEVER, evidence=hops(lambda _: (Hop("g9", 0, "margin", "house", "USDT"),)))
    assert any("does not open" in words for words in complaints(unknown))
    elsewhere = resealed(
        refuted, NEVER, evidence=hops(lambda _: (Hop("g3", 0, "margin", "insurance", "USDT"),))
    )
    assert any("does not lead from a source" in words for words in complaints(elsewhere))
    empty = resealed(refuted, NEVER, evidence=hops(lambda _: ()))
    assert any("no route" in words for words in complaints(empty))


def test_a_route_of_as_many_thefts_as_are_claimed_refutes_nothing(refuted):
    claim = "two_keys_are_needed"
    forged = resealed(refuted, claim, evidence=evidence(keys=lambda keys: (*keys, "api")))
    assert any("as many thefts as are claimed" in words for words in complaints(forged))


def test_a_route_with_other_thefts_than_the_claims_refutes_nothing():
    policy = harbour(CLIENT_DROPPED)
    found = certify(policy.name, digest(policy), prove(policy))
    forged = resealed(
        found,
        "all_officers_cannot_empty_a_client",
        evidence=evidence(keys=lambda keys: (*keys, "client_key")),
    )
    assert any("starts with other thefts" in words for words in complaints(forged))


# --- random policies ---------------------------------------------------------------------------


def test_every_verdict_on_a_drawn_policy_is_shown():
    statuses = set()
    for seed in range(60):
        policy = drawn_with_claims(seed, Sizes(wide=False))
        certificate = certify(policy.name, b"", prove(policy))
        statuses |= {entry.status for entry in certificate.entries}
        assert complaints(certificate) == (), seed
    # Open where a way has a cap of nothing: it is a way, and nothing can be replayed on it.
    assert statuses == {"proved", "proved assuming", "refuted", "open"}


def test_no_refutation_on_a_drawn_policy_fails_its_replay():
    for seed in range(60, 120):
        policy = drawn_with_claims(seed, Sizes(exchanges=0))
        for verdict in prove(policy):
            assert verdict.status != "open", (seed, verdict.claim, verdict.words)


def test_a_search_that_is_stopped_past_what_is_claimed_proves_the_claim(monkeypatch):
    """Not how few thefts suffice, but that fewer than claimed do not; covers show it as they always do."""
    officers = [f"o{number}" for number in range(14)]
    keys = "".join(
        f"  {name}: {{person: p{name}, host: h{name}, form: signature, signs: by_hand}}\n"
        for name in officers
    )
    quorum = f'needs: [client_key, wallet_key, "7 of [{", ".join(officers)}]"]'
    policy = harbour(
        ("  risk_key:", f"{keys}  risk_key:"),
        ('needs: [client_key, wallet_key, "1 of [officer_a, officer_b]"]', quorum),
    )
    monkeypatch.setattr("ringfence.proof.answers.TESTS_MAX", 400)
    found = [one for one in prove(policy) if one.claim == "no_single_break_in_withdraws"]
    assert found[0].holds, found[0].words
    assert "the fewest was not found in 400 attacks" in found[0].words
    certificate = certify(policy.name, b"", tuple(found))
    assert complaints(certificate) == ()
    thefts = certificate.entries[0].bound["thefts"]
    assert thefts is not None
    assert thefts >= 2
    more = msgspec.structs.replace(certificate.entries[0], bound={"thefts": thefts + 1})
    assert complaints(msgspec.structs.replace(certificate, entries=(more,)))
