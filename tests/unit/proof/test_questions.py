"""Claims that mean nothing are vacuous, and say why."""

import pytest
from platforms import harbour_text, include

from ringfence.policy.parse import read
from ringfence.proof.claims import prove

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
