"""What runs against what was declared: loaded network rules and a running book in one authority graph."""

from harbour import NOON
from platforms import SUPPLIES, harbour, platform

from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.operations import OpenMember, RegisterKey
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.observe_nftables import observe_hub
from ringfence.planes.network.render_nftables import render_hub
from ringfence.planes.network.sites import plan_sites
from ringfence.proof.blast import blast
from ringfence.proof.claims import prove
from ringfence.proof.observed import book_differences, drifted, observed_flows, observed_keys
from ringfence.proof.world import AddDerivation, AddFlow, SetFlows, read_facts

PUSHED = ("{from: risk, to: wallet, port: 9000}", "{from: wallet, to: risk, port: 9000}")


def loaded(policy, running):
    """Read back the rules of a hub that runs another policy's flows."""
    sites = plan_sites(compile_flows(policy))
    return observed_flows(policy, observe_hub(render_hub(compile_flows(running), sites), sites))


def test_a_hub_that_runs_the_policy_differs_in_nothing():
    for policy in (platform(), harbour()):
        rows, difference = drifted(policy, policy, [loaded(policy, policy)])
        assert (rows, difference.newly_possible, difference.no_longer_possible) == ((), (), ())


def test_a_hub_that_still_pushes_is_told_by_what_it_makes_possible():
    declared = platform(PUSHED)
    rows, difference = drifted(declared, declared, [loaded(declared, platform()), *SUPPLIES])
    assert rows == (
        "flow wallet -> risk is declared and was not observed",
        "flow risk -> wallet was observed and is not declared",
    )
    found = " ".join(difference.newly_possible)
    assert "with web (pivot), on vault: 250 USDT leaves per hour, instead of 0 USDT" in found


def test_a_claim_is_decided_about_the_flows_that_are_open():
    policy = harbour()
    pushed = ("{from: ledger, to: gateway, port: 7003", "{from: gateway, to: ledger, port: 7003")
    claims = {one.claim: one for one in prove(policy, [loaded(policy, harbour(pushed))])}
    assert claims["a_broken_gateway_moves_nothing"].status == "refuted"
    assert claims["a_broken_wallet_pays_nothing_out"].holds
    assert all(one.holds for one in prove(policy, [loaded(policy, policy)]))


def test_observed_flows_stand_for_all_and_flows_known_beside_are_added():
    closed = blast(platform(), ["web"], "pivot", [AddFlow("web", "wallet"), SetFlows(())])
    assert closed.services == ("web", "wallet")
    (fact,) = read_facts(b'[{"fact": "flows", "pairs": [["web", "match"]]}]')
    assert blast(platform(), ["web"], "pivot", [fact]).services == ("web", "match")


# --- a running book ----------------------------------------------------------------------------


def running(policy, **publics):
    """A book of harbour with every key registered, some with a public half of the test's choice."""
    state = BookState(compile_policy(policy, ("ledger",)))

    def public(name):
        return publics.get(name.replace("/", "_"), name.encode().ljust(32))

    def known(_public, _content, _signature):
        return True

    state.apply(OpenMember("client", "alice", {"client_key": public("client_key/alice")}), NOON, known)
    for name, key in policy.keys.items():
        if key.per is None:
            state.apply(RegisterKey(name, public(name)), NOON, known)
    return state


def test_a_book_whose_keys_are_its_own_shares_none():
    assert observed_keys(running(harbour())) == ()


def test_two_names_of_one_key_are_one_key():
    one = b"the same key under two names".ljust(32)
    facts = observed_keys(running(harbour(), officer_a=one, officer_b=one))
    assert facts == (
        AddDerivation(("officer_a",), "officer_b"),
        AddDerivation(("officer_b",), "officer_a"),
    )
    rows, difference = drifted(harbour(), harbour(), facts)
    assert rows == (
        "key officer_b follows from officer_a was observed and is not declared",
        "key officer_a follows from officer_b was observed and is not declared",
    )
    assert any(
        "with officer_a (contained)" in words and "goes from clients to the house" in words
        for words in difference.newly_possible
    )


def test_a_client_who_registers_an_officers_key_is_seen():
    one = b"a key of a client and an officer".ljust(32)
    facts = observed_keys(running(harbour(), officer_a=one, client_key_alice=one))
    rows, difference = drifted(harbour(), harbour(), facts)
    assert "key client_key/alice follows from officer_a was observed and is not declared" in rows
    assert any("with officer_a (contained)" in words for words in difference.newly_possible)


def test_what_a_book_leaves_unchecked_or_shut_is_named():
    found = book_differences(harbour(), running(harbour()))
    assert "plane vault is declared, and the book leaves it unchecked" in found
    assert not [words for words in found if "registered" in words]


def test_keys_that_nobody_registered_and_gates_that_are_frozen_are_named():
    state = BookState(compile_policy(harbour(), ("ledger",)))
    assert "key officer_a is declared and not registered" in book_differences(harbour(), state)
