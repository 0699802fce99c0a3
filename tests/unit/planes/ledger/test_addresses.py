"""Addresses cool before they are used; until then the one before stays in force."""

from typing import Any

import msgspec
import pytest
from harbour import NOON, TEXT, USDC, Harbour, rotated, signed

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.ledger.addresses import keys_asked
from ringfence.planes.ledger.operations import CarryOut, CloseMember, Move, PinAddress

OUT, CLIENT = "outside/alice", "client_key/alice"
WITHDRAW = Move("withdraw", "client/alice/cash", OUT, "USDC", USDC)
ALL = (CLIENT, "wallet_key", "officer_a")


@pytest.fixture
def harbour() -> Harbour:
    book = Harbour(TEXT)
    book.deposit("alice", 100 * USDC)
    return book


def pinned(harbour: Harbour, address: str, *keys: str, **words: Any) -> PinAddress:
    fields: dict[str, Any] = {"compartment": OUT, "expires": NOON + 90 * DAY_NS}
    fields |= {"policy": harbour.state.rules.digest} | words
    return signed(PinAddress(address=address, **fields), *keys)


def reason_of(harbour: Harbour, operation: Any) -> Reason | None:
    decision = harbour.do(operation).decision
    return decision.reason if isinstance(decision, Refused) else None


@pytest.mark.parametrize(("late_ns", "reason"), [(-1, Reason.ADDRESS_NOT_IN_FORCE), (0, None)])
def test_a_new_address_waits_until_it_has_cooled(harbour, late_ns, reason):
    harbour.must(pinned(harbour, "bc1-first", CLIENT))
    assert harbour.state.address(OUT, harbour.at) is None
    harbour.at = Instant(NOON + DAY_NS + late_ns)
    assert harbour.state.address(OUT, harbour.at) == (None if reason else "bc1-first")
    assert reason_of(harbour, harbour.request(WITHDRAW, *ALL)) == reason


def test_until_a_new_one_has_cooled_the_one_before_stays_in_force(harbour):
    harbour.must(pinned(harbour, "bc1-first", CLIENT))
    harbour.at = Instant(NOON + 2 * DAY_NS)
    harbour.must(pinned(harbour, "bc1-thief", CLIENT))
    assert harbour.state.address(OUT, harbour.at) == "bc1-first"
    request = harbour.request(WITHDRAW, *ALL)
    harbour.must(request)
    harbour.at = Instant(harbour.at + HOUR_NS)
    harbour.must(CarryOut(request.id))
    assert harbour.state.address(OUT, Instant(NOON + 3 * DAY_NS - 1)) == "bc1-first"
    assert harbour.state.address(OUT, Instant(NOON + 3 * DAY_NS)) == "bc1-thief"


def test_the_addresses_that_matter_are_listed_with_when_they_count(harbour):
    assert list(harbour.state.addresses()) == []
    harbour.must(pinned(harbour, "bc1-first", CLIENT))
    harbour.at = Instant(NOON + 2 * DAY_NS)
    harbour.must(pinned(harbour, "bc1-second", CLIENT))
    first = (OUT, "bc1-first", NOON, NOON + DAY_NS)
    second = (OUT, "bc1-second", NOON + 2 * DAY_NS, NOON + 3 * DAY_NS)
    assert list(harbour.state.addresses()) == [first, second]
    assert keys_asked(harbour.state.rules, harbour.state.rules.place(OUT)) == (CLIENT,)
    harbour.at = Instant(NOON + 3 * DAY_NS)
    harbour.must(pinned(harbour, "bc1-third", CLIENT))
    third = (OUT, "bc1-third", NOON + 3 * DAY_NS, NOON + 4 * DAY_NS)
    assert list(harbour.state.addresses()) == [second, third]  # the first is no more in force


def test_without_any_address_who_pays_has_to_know_it(harbour):
    assert harbour.state.address(OUT, harbour.at) is None
    assert harbour.state.address("nowhere", harbour.at) is None
    assert reason_of(harbour, harbour.request(WITHDRAW, *ALL)) is None


@pytest.mark.parametrize(
    ("keys", "words", "reason"),
    [
        (("client_key/bob",), {}, Reason.NEEDS_NOT_MET),
        (("officer_a", "officer_b", "wallet_key"), {}, Reason.NEEDS_NOT_MET),
        ((), {}, Reason.NEEDS_NOT_MET),
        ((CLIENT, "client_key/zoe"), {}, Reason.KEY_UNKNOWN),
        ((CLIENT,), {"compartment": "outside"}, Reason.COMPARTMENT_UNKNOWN),
        ((CLIENT,), {"compartment": "client/alice/cash"}, Reason.COMPARTMENT_UNKNOWN),
        ((CLIENT,), {"compartment": "outside/zoe"}, Reason.COMPARTMENT_UNKNOWN),
        ((CLIENT,), {"policy": b"x" * 32}, Reason.POLICY_DIGEST_DIFFERS),
        ((CLIENT,), {"expires": NOON - 1}, Reason.REQUEST_EXPIRED),
        ((CLIENT,), {"expires": NOON}, None),
    ],
)
def test_only_its_owner_registers_an_address(harbour, keys, words, reason):
    assert reason_of(harbour, pinned(harbour, "bc1-first", *keys, **words)) == reason


@pytest.mark.parametrize(
    ("length", "reason"), [(0, Reason.ADDRESS_NOT_IN_FORCE), (1, None), (256, None), (257, 69)]
)
def test_an_address_has_a_length(harbour, length, reason):
    assert reason_of(harbour, pinned(harbour, "x" * length, CLIENT)) == reason


def test_the_same_address_again_does_not_begin_to_cool_anew(harbour):
    first = pinned(harbour, "bc1-first", CLIENT)
    harbour.must(first)
    harbour.at = Instant(NOON + HOUR_NS)
    assert harbour.must(first).decision == Accepted(repeated=True)
    assert harbour.state.address(OUT, Instant(NOON + DAY_NS)) == "bc1-first"
    forged = msgspec.structs.replace(first, address="bc1-thief")
    assert reason_of(harbour, forged) == Reason.SIGNATURE_INVALID


HOUSE = (
    TEXT.replace(
        "gates:\n",
        "gates:\n  pay: {from: house/treasury, to: bank/house, assets: USDC, "
        'needs: "2 of [officer_a, officer_b]", on: ledger, limit: {all: {USDC: "10 per 1 d"}}}\n'
        "  dues: {from: house/treasury, to: bank/house, assets: USDC, accrual: fees, needs: risk_key, "
        "computed_by: [risk, ledger], on: ledger}\n",
        1,
    )
    .replace(
        "compartments:\n", "compartments:\n  bank/house: {kind: external, pinned: true, cooling: 1 h}\n", 1
    )
    .replace("compartments:\n", "compartments:\n  bank/void: {kind: external, pinned: true}\n", 1)
)
BY_HAND = "client_key: {per: client, held_by: client, form: signature, signs: by_hand}"


def test_a_place_without_a_member_is_registered_by_those_whom_its_gate_needs():
    harbour = Harbour(HOUSE)
    one = pinned(harbour, "bank", "officer_a", compartment="bank/house")
    assert reason_of(harbour, one) == Reason.NEEDS_NOT_MET
    harbour.must(pinned(harbour, "bank", "officer_a", "officer_b", compartment="bank/house"))
    assert harbour.state.address("bank/house", Instant(NOON + HOUR_NS)) == "bank"
    place = harbour.state.rules.place("bank/house")
    assert keys_asked(harbour.state.rules, place) == ("officer_a", "officer_b")


# What is paid by the ledger's own count takes no address from whoever counts.
@pytest.mark.parametrize("keys", [("officer_a",), ("risk_key",), ("risk_key", "ledger_key", "officer_b")])
def test_whom_only_other_gates_need_registers_nothing(keys):
    harbour = Harbour(HOUSE)
    found = harbour.do(pinned(harbour, "bank", *keys, compartment="bank/house")).decision
    words = "2 of [officer_a, officer_b] registers an address of bank/house, and did not sign"
    assert (found.reason, found.words) == (Reason.NEEDS_NOT_MET, words)


def test_where_several_gates_lead_the_needs_of_one_of_them_are_enough():
    more = (
        ": {from: house/treasury, to: bank/house, assets: USDC, needs: wallet_key, on: ledger, "
        'limit: {all: {USDC: "10 per 1 d"}}}\n'
    )
    for name, following in (("buy", "  pay:"), ("rent", "  dues:")):
        harbour = Harbour(HOUSE.replace(following, f"  {name}{more}{following}", 1))
        harbour.must(pinned(harbour, "bank", "wallet_key", compartment="bank/house"))


def test_where_no_gate_leads_nobody_registers_an_address():
    harbour = Harbour(HOUSE)
    found = harbour.do(pinned(harbour, "bank", "officer_a", compartment="bank/void")).decision
    assert found.words == "nobody registers an address of bank/void, and did not sign"


def test_a_member_whose_keys_sign_on_evidence_registers_with_those_whom_its_gate_needs():
    text = TEXT.replace(BY_HAND, BY_HAND.replace("by_hand", "on_evidence")).replace(
        "standing: client_key, ", ""
    )
    harbour = Harbour(text)
    assert keys_asked(harbour.state.rules, harbour.state.rules.place(OUT)) == (
        CLIENT,
        "wallet_key",
        "officer_a",
        "officer_b",
    )
    assert reason_of(harbour, pinned(harbour, "bc1-first", CLIENT)) == Reason.NEEDS_NOT_MET
    harbour.must(pinned(harbour, "bc1-first", *ALL))


def test_an_address_that_still_cools_is_told_with_when_it_counts(harbour):
    harbour.must(pinned(harbour, "bc1-first", CLIENT))
    found = harbour.do(harbour.request(WITHDRAW, *ALL)).decision
    since = f"{OUT} has an address since 2025-10-10T12:00:00Z"
    line = harbour.state.rules.gates["withdraw"].line
    assert (found.words, found.rule) == (f"{since}; it comes into force after 1 d", line)


def test_without_a_time_to_cool_an_address_counts_at_once():
    harbour = Harbour(TEXT.replace("pinned: true, cooling: 24 h", "pinned: true"))
    harbour.must(pinned(harbour, "bc1-first", CLIENT))
    assert harbour.state.address(OUT, harbour.at) == "bc1-first"
    assert list(harbour.state.addresses()) == [(OUT, "bc1-first", NOON, NOON)]


def test_the_address_of_a_member_that_left_is_listed_as_it_was_known(harbour):
    harbour.must(pinned(harbour, "bc1-first", "client_key/bob", compartment="outside/bob"))
    harbour.must(CloseMember("client", "bob", "left"))
    assert list(harbour.state.addresses()) == [("outside/bob", "bc1-first", NOON, NOON)]


@pytest.mark.parametrize(("late_ns", "reason"), [(0, None), (1, Reason.SIGNATURE_INVALID)])
def test_the_former_self_of_a_key_registers_in_time(harbour, late_ns, reason):
    harbour.must(rotated(CLIENT, harbour.at, harbour.at + HOUR_NS))
    harbour.at = Instant(NOON + HOUR_NS + late_ns)
    assert reason_of(harbour, pinned(harbour, "bc1-first", CLIENT)) == reason
