"""The vault plane's own judgement: signatures, limits, delay, once. Only the word that is tested refuses."""

import msgspec
import pytest

from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.operations import Move, Request, Settle, Signature, signing_bytes
from ringfence.services.platform.signers import Signers
from ringfence.services.platform.vault import Vault
from ringfence.wiring_files import load_policy, shipped_policy

RULES = compile_policy(load_policy(shipped_policy("venue")))
NOW = Instant(1_760_097_600 * 10**9)
USDC = 10**6
ALL = ("client_key/alice", "officer_a", "wallet_key")
KEYS = (*ALL, "officer_b", "client_key/bob", "risk_key")


def seed(key):
    return key.encode().ljust(32, b".")


@pytest.fixture
def vault():
    signers = Signers(RULES, verify)
    signers.learn({key: public_key(seed(key)) for key in KEYS})
    return Vault(RULES, signers)


def request(units=1_000 * USDC, keys=ALL, number=1, at=NOW, **words):
    fields = {"source": "client/alice/cash", "target": "outside/alice", "asset": "USDC"} | words
    move = Move("withdraw", fields["source"], fields["target"], fields["asset"], units)
    return signed(Request(number, (move,), RULES.digest, at + DAY_NS), keys)


def signed(bare, keys):
    content = signing_bytes(bare)
    return msgspec.structs.replace(
        bare, signatures=tuple(Signature(key, sign(seed(key), content)) for key in keys)
    )


def test_what_everybody_signed_may_be_announced(vault):
    assert vault.fault(request(), NOW) == ""
    assert vault.fault(request(keys=("client_key/alice", "officer_b", "wallet_key")), NOW) == ""


@pytest.mark.parametrize(
    "keys",
    [
        ("officer_a", "wallet_key"),
        ("client_key/alice", "wallet_key"),
        ("client_key/alice", "officer_a"),
        ("client_key/bob", "officer_a", "wallet_key"),
        (),
    ],
)
def test_a_missing_signature_is_named(vault, keys):
    assert "it lacks" in vault.fault(request(keys=keys), NOW)


def test_the_wallet_may_ask_before_it_signs(vault):
    bare = request(keys=("client_key/alice", "officer_a"))
    assert vault.fault(bare, NOW, frozenset({"wallet_key"})) == ""
    assert vault.fault(request(keys=("officer_a",)), NOW, frozenset({"wallet_key"})) != ""


def test_a_signature_over_another_amount_does_not_count(vault):
    move = Move("withdraw", "client/alice/cash", "outside/alice", "USDC", 2_000 * USDC)
    assert vault.fault(msgspec.structs.replace(request(), links=(move,)), NOW) != ""


@pytest.mark.parametrize(("units", "fits"), [(100_000 * USDC, True), (100_000 * USDC + 1, False)])
def test_the_limit_of_a_member_counts_to_the_unit(vault, units, fits):
    assert (vault.fault(request(units), NOW) == "") is fits


def test_what_was_announced_counts_in_its_window_and_not_in_the_next(vault):
    vault.announce(request(99_999 * USDC), NOW)
    assert vault.fault(request(2 * USDC, number=2), NOW) != ""
    assert vault.fault(request(1 * USDC, number=2), NOW) == ""
    assert vault.fault(request(2 * USDC, number=2, at=NOW + DAY_NS), Instant(NOW + DAY_NS)) == ""


def test_an_announcement_counts_once(vault):
    for _ in range(3):
        vault.announce(request(60_000 * USDC), NOW)
    assert vault.fault(request(40_000 * USDC, number=2), NOW) == ""


@pytest.mark.parametrize(("waited", "payable"), [(HOUR_NS - 1, False), (HOUR_NS, True)])
def test_nothing_is_paid_before_its_delay(vault, waited, payable):
    vault.announce(request(), NOW)
    assert vault.is_payable(1, Instant(NOW + waited)) is payable


def test_nothing_is_paid_twice_nor_unannounced(vault):
    assert not vault.is_payable(1, Instant(NOW + DAY_NS))
    vault.announce(request(), NOW)
    vault.paid.add(1)
    assert not vault.is_payable(1, Instant(NOW + DAY_NS))


def test_an_id_is_good_for_one_content(vault):
    vault.announce(request(), NOW)
    assert vault.fault(request(), NOW) == ""
    assert "other content" in vault.fault(request(5 * USDC), NOW)


@pytest.mark.parametrize(
    "links",
    [
        (),
        (Settle("BTC-PERP", 10**10),),
        (Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", 1),),
        (Move("withdraw", "client/alice/cash", "outside/bob", "USDC", 1),),
        (Move("withdraw", "client/alice/cash", "outside/alice", "USDC", 0),),
        (Move("sweep", "house/fees", "house/treasury", "USDC", 1),),
    ],
)
def test_only_moves_by_a_gate_that_leads_outside_are_paid(vault, links):
    bare = Request(1, links, RULES.digest, NOW + DAY_NS)
    assert "not made of moves" in vault.fault(signed(bare, KEYS), NOW)


@pytest.mark.parametrize("change", [{"policy": b"x" * 32}, {"expires": NOW - 1}])
def test_another_policy_or_time_is_refused(vault, change):
    bare = msgspec.structs.replace(request(keys=()), **change)
    assert "another policy, or has expired" in vault.fault(signed(bare, ALL), NOW)


def test_a_key_that_was_revoked_no_longer_counts(vault):
    signers = Signers(RULES, verify)
    signers.learn({key: public_key(seed(key)) for key in KEYS}, ("officer_a",))
    assert "it lacks" in Vault(RULES, signers).fault(request(), NOW)
