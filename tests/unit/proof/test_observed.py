"""What runs against what was declared: loaded network rules and a running book in one authority graph."""

from harbour import NOON, seed
from platforms import SUPPLIES, harbour, platform

from ringfence.adapters.signatures_ed25519 import public_key, verify
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.operations import RegisterKey
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.observe_nftables import observe_hub
from ringfence.planes.network.render_nftables import render_hub
from ringfence.planes.network.sites import plan_sites
from ringfence.proof.blast import blast
from ringfence.proof.claims import prove
from ringfence.proof.observed import book_differences, drifted, observed_flows, session_facts
from ringfence.proof.world import AddFlow, AddHolding, SetFlows, read_facts

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


def running(policy):
    """A book of harbour with every key registered."""
    state = BookState(compile_policy(policy, ("ledger",)))
    for name, key in policy.keys.items():
        if key.per is None:
            state.apply(RegisterKey(name, public_key(seed(name))), NOON, verify)
    return state


def test_what_a_book_leaves_unchecked_or_shut_is_named():
    found = book_differences(harbour(), running(harbour()))
    assert "plane vault is declared, and the book leaves it unchecked" in found
    assert not [words for words in found if "registered" in words]


def test_keys_that_nobody_registered_and_gates_that_are_frozen_are_named():
    state = BookState(compile_policy(harbour(), ("ledger",)))
    assert "key officer_a is declared and not registered" in book_differences(harbour(), state)


def test_a_book_of_another_policy_is_told_by_what_it_makes_possible():
    other = harbour(("needs: [client_key, wallet_key,", "needs: [wallet_key,"))
    _, difference = drifted(harbour(), other, ())
    assert "withdraw opens with officer_a" in difference.newly_possible
    assert difference.no_longer_possible == ()


def test_a_session_of_one_member_counts_as_everybodys():
    found = session_facts([("risk", "client_key/zoe"), ("risk", "client_key/yan"), ("wallet", "officer_a")])
    assert found == (AddHolding("risk", "client_key"), AddHolding("wallet", "officer_a"))
    assert [one.status for one in prove(harbour(), found[:1])] != [one.status for one in prove(harbour())]
