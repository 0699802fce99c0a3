"""Inclusion and consistency proofs published with a transparency log, right ones and corrupted ones."""

import json
from base64 import b64decode

import pytest

from ringfence.kernel.merkle import verify_consistency, verify_inclusion


@pytest.fixture(scope="module")
def proofs(vectors_dir):
    return json.loads((vectors_dir / "rfc6962_merkle.json").read_text())


def hashes(encoded):
    return [b64decode(value) for value in encoded or ()]


def test_every_inclusion_proof_is_judged_as_published(proofs):
    for name, case in proofs["inclusion"].items():
        accepted = verify_inclusion(
            b64decode(case["leafHash"]),
            case["leafIdx"],
            case["treeSize"],
            hashes(case["proof"]),
            b64decode(case["root"]),
        )
        assert accepted != case["wantErr"], name
    assert len(proofs["inclusion"]) == 49


def test_every_consistency_proof_is_judged_as_published(proofs):
    for name, case in proofs["consistency"].items():
        accepted = verify_consistency(
            case["size1"],
            case["size2"],
            hashes(case["proof"]),
            b64decode(case["root1"]),
            b64decode(case["root2"]),
        )
        assert accepted != case["wantErr"], name
    assert len(proofs["consistency"]) == 43
