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
