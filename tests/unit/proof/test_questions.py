"""Claims that mean nothing are vacuous, and say why."""

import pytest
from platforms import harbour_text, include

from ringfence.policy.parse import read
from ringfence.proof.claims import prove
from ringfence.proof.contradictions import contradictions

PIVOT = "    mode: pivot\n    plane: [{}]\n    at_most: 0 per 1 d"

CLAIMS = {
    "a source that matches nothing": (
        'never: "client/*/savings -> role:house_money"',
        "matches no compartment",
    ),
    "a target that matches nothing": ('never: "client/** -> role:escrow"', "matches no compartment"),
    "an owner that is nobody": (
        'never: "owner:nobody -> role:house_money"',
        "`owner:nobody` matches no compartment",
    ),
    "a source that is its own target": (
        'never: "client/** -> owner:client"',
        "both where it starts and where it must never get",
    ),
    "anywhere as a place to keep out of": (
        'never: "client/** -> anywhere"',
        "is no place that can be kept out of reach",
    ),
    "an exception that is nothing": (
        'never: "client/** -> role:house_money"\n    except: [gift]',
        "names no gate, exchange or waterfall step",
    ),
    "a key that is nothing": (
        'never: "client/** -> role:house_money"\n    without: [master_key]',
        "`master_key` is no",
    ),
    "a variable that is nobody's": (
        'never: "client/{x}/* -> role:house_money"',
        "is no variable of the claim",
    ),
    "somebody unknown compromised": (
        'moves: "** -> outside"\n    compromised: [nobody]\n' + PIVOT.format("ledger"),
        "`nobody` is no service, key, host or person",
    ),
    "an asset that is no coin": (
        'moves: "** -> outside"\n    compromised: [risk]\n    mode: pivot\n    plane: [ledger]\n'
        '    at_most: {USDC-debt: "1 per 1 d"}',
        "`USDC-debt` is no coin",
    ),
    "a plane that checks nothing": (
        'moves: "** -> outside"\n    compromised: [risk]\n' + PIVOT.format("network"),
        "no gate is checked on the plane `network`",
    ),
    "an asset that its sources never hold": (
        'moves: "insurance/hedge -> anywhere"\n    compromised: [risk]\n    mode: contained\n'
        "    plane: [ledger]\n"
        '    at_most: {USDC: "1 per 1 d", BTC: "1 per 1 d"}',
        "no compartment it starts from holds BTC",
    ),
    "an asset that no trade settles in": (
        'lost_by_trading_at_most: {each: {BTC: "1 per 1 d"}}\n    compromised: [matching]\n'
        "    mode: contained\n    plane: [ledger]",
        "nothing that trades settles in BTC",
    ),
    "more thefts than there is to take": (
        'fewest: "client/** -> outside"\n    count: services\n    plane: [vault]\n    at_least: 8',
        "there are only 7 to take",
    ),
    "the fewest thefts to where value is already": (
        'fewest: "client/** -> owner:client"\n    count: keys\n    plane: [vault]\n    at_least: 2',
        "both where it starts and where it must never get",
    ),
    "fewest to anywhere": (
        'fewest: "** -> anywhere"\n    count: keys\n    plane: [vault]\n    at_least: 2',
        "`fewest` needs a place to get to",
    ),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_claim_about_nothing_is_vacuous(kind):
    words, reason = CLAIMS[kind]
    text, _, _ = harbour_text().partition("claims:\n")
    policy = read(f"{text}claims:\n  odd:\n    {words}\n", "odd.yaml", include).policy
    assert policy is not None
    (verdict,) = prove(policy)
    assert verdict.status == "vacuous"
    assert reason in verdict.words
    assert not verdict.holds


TWICE = """claims:
  slow:
    for: {a: client}
    compromised: ["client_key/{a}", officer_a]
    mode: contained
    plane: [ledger, vault]
    moves: "client/{a}/* -> outside"
    at_most: {USDC: "200000 per 1 d"}
  slower:
    for: {x: client}
    compromised: [officer_a, "client_key/{x}"]
    mode: contained
    plane: vault
    moves: "client/{x}/* -> outside"
    at_most: {USDC: "@ per 1 d"}
  other:
    compromised: [officer_a]
    mode: contained
    plane: vault
    moves: "client/** -> outside"
    at_most: {USDC: "1 per 1 d"}
"""


def proved_twice(bound):
    text, _, _ = harbour_text().partition("claims:\n")
    policy = read(text + TWICE.replace("@", bound), "odd.yaml", include).policy
    return {verdict.claim: verdict for verdict in prove(policy)}


def test_claims_that_contradict_each_other_are_vacuous_and_name_each_other():
    found = proved_twice("100000")
    assert [name for name, one in found.items() if one.status == "vacuous"] == ["slow", "slower"]
    assert "it contradicts `slower` (odd.yaml:" in found["slow"].words
    assert "it contradicts `slow` (odd.yaml:" in found["slower"].words


def test_a_claim_made_twice_contradicts_nothing():
    assert all(one.status == "proved assuming" for one in proved_twice("200000").values())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("compromised: [officer_a, ", "compromised: [officer_b, "),
        (
            'contained\n    plane: vault\n    moves: "client/{x}/*',
            'pivot\n    plane: vault\n    moves: "client/{x}/*',
        ),
        ('"client/{x}/* -> outside"', '"client/{x}/cash -> outside"'),
        ('"client/{x}/* -> outside"', '"client/{x}/* -> anywhere"'),
    ],
)
def test_claims_that_ask_something_else_do_not_contradict(old, new):
    text, _, _ = harbour_text().partition("claims:\n")
    claims = TWICE.replace("@", "100000")
    assert old in claims
    policy = read(text + claims.replace(old, new), "odd.yaml", include).policy
    assert contradictions(policy) == {}


def test_the_fewest_keys_and_services_contradict_only_of_the_same_kind():
    claims = "claims:\n" + "".join(
        f'  {name}: {{fewest: "client/** -> outside", count: {count}, plane: [vault], at_least: {least}}}\n'
        for name, count, least in (("a", "keys", 1), ("b", "services", 2), ("c", "keys", 2))
    )
    text, _, _ = harbour_text().partition("claims:\n")
    found = contradictions(read(text + claims, "odd.yaml", include).policy)
    assert set(found) == {"a", "c"}
