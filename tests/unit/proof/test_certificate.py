"""Certificates: whatever is true is shown, whatever is altered is refused with the reason."""

import json

import msgspec
import pytest
from drawn_platforms import Sizes, drawn_with_claims
from platforms import SUPPLIES, harbour, platform

from ringfence.kernel.errors import BadInput
from ringfence.policy.digest import digest
from ringfence.proof.certificate import certify, differences, read_certificate, seal, write_certificate
from ringfence.proof.checker import complaints
from ringfence.proof.claims import prove
from ringfence.proof.evidence import Cover, Covers, Cut, Cuts, Fallen, Hop, Item

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


def test_one_byte_altered_is_refused(certificate):
    text = write_certificate(certificate)
    for place in range(0, len(text), 97):
        for altered in (text[place] ^ 1, text[place] ^ 32):
            changed = text[:place] + bytes([altered]) + text[place + 1 :]
            with pytest.raises(BadInput):
                read_certificate(changed)


@pytest.mark.parametrize("altered", [b"", b"{}", b"[]", b"null", b"\xff\xfe"])
def test_what_is_no_certificate_is_refused(altered):
    with pytest.raises(BadInput):
        read_certificate(altered)


def test_spaces_added_are_refused(certificate):
    text = write_certificate(certificate)
    with pytest.raises(BadInput, match="not written as certificates are"):
        read_certificate(json.dumps(json.loads(text)).encode())


# --- altered and sealed again: the evidence itself must not bear it ------------------------------


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
    forged = resealed(certificate, "one_thief_is_slow", world=lambda _: 99)
    assert complaints(forged)


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
    assert entry.bound["USDC"] is None
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
        bound=lambda bound: dict.fromkeys(bound, 200_000 * 10**6),
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
