"""The book as a whole: ids, members, keys, prices, receipts, and what every request must get past."""

import msgspec
import pytest
from harbour import EVIDENCE, NOON, OFFICERS, TEXT, USDC, Harbour, e10, rotated, seed, signed

from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.digest import canonical_bytes, tagged_digest
from ringfence.kernel.errors import ViolationError
from ringfence.kernel.instant import DAY_NS, HOUR_NS, SECOND_NS, Instant
from ringfence.planes.ledger import book as book_module
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.conditions import Conditions
from ringfence.planes.ledger.laws import Violation
from ringfence.planes.ledger.mandates import key_of
from ringfence.planes.ledger.operations import (
    AdoptPolicy,
    Announce,
    Approve,
    Cancel,
    CancelAdoption,
    CarryOut,
    CompleteAdoption,
    EndMandate,
    Freeze,
    Mandate,
    Move,
    Opening,
    OpeningBalance,
    OpenMember,
    PinAddress,
    PriceFact,
    Quote,
    Receipt,
    RegisterKey,
    Remark,
    Request,
    Resume,
    RevokeKey,
    Settle,
    Signature,
    Statement,
    signing_bytes,
)
from ringfence.planes.ledger.signing import SIGNATURES_MAX
from ringfence.planes.ledger.tables import Given, Waiting

FUND = Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", USDC)
ALICE_KEY = "client_key/alice"


@pytest.fixture
def harbour():
    harbour = Harbour()
    harbour.deposit("alice", 100 * USDC)
    return harbour


# --- ids ---------------------------------------------------------------------------------------


def test_a_retry_moves_nothing(harbour):
    request = harbour.request(FUND, ALICE_KEY)
    assert harbour.must(request).decision == Accepted()
    digest = harbour.state.digest()
    assert harbour.must(request).decision == Accepted(repeated=True)
    assert harbour.must(request).entries == ()
    assert harbour.state.digest() == digest


def test_an_id_is_good_for_one_content(harbour):
    request = harbour.request(FUND, ALICE_KEY)
    harbour.must(request)
    other = harbour.request(msgspec.structs.replace(FUND, units=2), ALICE_KEY, id=request.id)
    assert harbour.refuses(other) == Reason.ID_USED_WITH_OTHER_CONTENT
    assert harbour.must(request).decision == Accepted(repeated=True)


def test_a_refused_id_never_succeeds_later(harbour):
    request = harbour.request(msgspec.structs.replace(FUND, units=101 * USDC), ALICE_KEY)
    assert harbour.refuses(request) == Reason.FREE_BALANCE_TOO_LOW
    harbour.deposit("alice", 100 * USDC)
    assert harbour.refuses(request) == Reason.ID_ALREADY_REFUSED
    # Nor does it with other words.
    assert (
        harbour.refuses(harbour.request(FUND, ALICE_KEY, id=request.id)) == Reason.ID_USED_WITH_OTHER_CONTENT
    )


@pytest.mark.parametrize("identifier", [-1, 2**128])
def test_an_id_has_128_bits(harbour, identifier):
    assert harbour.refuses(harbour.request(FUND, ALICE_KEY, id=identifier)) == Reason.ID_NOT_POSSIBLE


def test_the_largest_id_is_possible(harbour):
    harbour.must(harbour.request(FUND, ALICE_KEY, id=2**128 - 1))


# --- the request -------------------------------------------------------------------------------


def test_a_request_for_another_policy_is_refused(harbour):
    assert harbour.reason(FUND, ALICE_KEY, policy=b"\0" * 32) == Reason.POLICY_DIGEST_DIFFERS


def test_a_request_is_good_until_the_instant_it_names(harbour):
    assert harbour.reason(FUND, ALICE_KEY, expires=NOON - 1) == Reason.REQUEST_EXPIRED
    harbour.move(FUND, ALICE_KEY, expires=NOON)


def test_an_empty_request_is_refused(harbour):
    assert harbour.reason([], ALICE_KEY) == Reason.CHAIN_IS_EMPTY


def test_a_request_has_a_most_number_of_links(harbour, monkeypatch):
    monkeypatch.setattr(book_module, "LINKS_MAX", 2)
    harbour.move([FUND] * 2, ALICE_KEY)
    assert harbour.reason([FUND] * 3, ALICE_KEY) == Reason.CHAIN_TOO_LONG


def test_a_request_has_a_most_number_of_signatures(harbour):
    harbour.move(FUND, *[ALICE_KEY] * SIGNATURES_MAX)
    assert harbour.reason(FUND, *[ALICE_KEY] * (SIGNATURES_MAX + 1)) == Reason.CHAIN_TOO_LONG


def test_time_never_goes_back(harbour):
    harbour.at = Instant(NOON - 1)
    assert harbour.reason(FUND, ALICE_KEY) == Reason.CLOCK_WENT_BACK


def test_a_chain_happens_as_a_whole_and_names_the_link_that_failed(harbour):
    bad = msgspec.structs.replace(FUND, units=100 * USDC)
    outcome = harbour.do(harbour.request([FUND, bad, FUND], ALICE_KEY))
    assert isinstance(outcome.decision, Refused)
    assert (outcome.decision.reason, outcome.decision.leg) == (Reason.FREE_BALANCE_TOO_LOW, 1)
    assert harbour.state.balance("client/alice/hedge", "USDC") == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"asset": "DOGE"}, Reason.ASSET_UNKNOWN),
        ({"source": "client/alice/purse"}, Reason.COMPARTMENT_UNKNOWN),
        ({"target": "nowhere"}, Reason.COMPARTMENT_UNKNOWN),
        ({"source": "client/zoe/cash", "target": "client/zoe/hedge"}, Reason.MEMBER_NOT_OPEN),
        ({"target": "client/alice/cash"}, Reason.SOURCE_IS_TARGET),
        ({"target": "house/fees"}, Reason.NO_GATE_BETWEEN_COMPARTMENTS),
        ({"gate": "no such gate"}, Reason.NO_GATE_BETWEEN_COMPARTMENTS),
        ({"gate": "trade"}, Reason.NO_GATE_BETWEEN_COMPARTMENTS),
        ({"target": "client/alice/directional", "asset": "BTC"}, Reason.ASSET_NOT_ACCEPTED),
        ({"asset": "USDC-debt"}, Reason.ASSET_NOT_ACCEPTED),
        ({"asset": "BTC-PERP"}, Reason.ASSET_UNKNOWN),
        ({"units": 100 * USDC + 1}, Reason.FREE_BALANCE_TOO_LOW),
        ({"units": 0}, Reason.AMOUNT_NOT_POSITIVE),
        ({"units": 2**127}, Reason.AMOUNT_TOO_LARGE),
    ],
)
def test_a_move_that_names_the_wrong_thing_is_refused_for_it(harbour, change, reason):
    assert harbour.reason(msgspec.structs.replace(FUND, **change), ALICE_KEY) == reason


# --- signatures --------------------------------------------------------------------------------


def test_a_signature_counts_for_one_content_and_one_key(harbour):
    request = harbour.request(FUND)
    good = harbour.request(FUND, ALICE_KEY)
    of_another = msgspec.structs.replace(request, signatures=good.signatures)
    assert harbour.refuses(of_another) == Reason.SIGNATURE_INVALID
    by_bob = Signature(ALICE_KEY, sign(seed("client_key/bob"), b"x" * 32))
    assert harbour.refuses(msgspec.structs.replace(harbour.request(FUND), signatures=(by_bob,))) == (
        Reason.SIGNATURE_INVALID
    )


def test_one_bad_signature_spoils_good_ones(harbour):
    request = harbour.request(FUND, ALICE_KEY)
    bad = Signature("risk_key", b"\0" * 64)
    spoiled = msgspec.structs.replace(request, signatures=(*request.signatures, bad))
    assert harbour.refuses(spoiled) == Reason.SIGNATURE_INVALID


def test_an_unknown_key_does_not_sign(harbour):
    assert harbour.reason(FUND, "client_key/zoe") == Reason.KEY_UNKNOWN


def test_a_revoked_key_does_not_sign(harbour):
    harbour.move(FUND, ALICE_KEY)
    harbour.must(RevokeKey(ALICE_KEY, "lost"))
    assert harbour.reason(FUND, ALICE_KEY) == Reason.KEY_REVOKED


def test_only_a_known_key_is_revoked(harbour):
    assert harbour.refuses(RevokeKey("client_key/zoe", "lost")) == Reason.KEY_UNKNOWN


def test_a_request_without_signatures_meets_no_needs(harbour):
    assert harbour.reason(FUND) == Reason.NEEDS_NOT_MET


# --- members and keys --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("party", "member", "keys", "reason"),
    [
        ("house", "zoe", {}, Reason.PARTY_UNKNOWN),
        ("nobody", "zoe", {}, Reason.PARTY_UNKNOWN),
        ("client", "", {"client_key": 32}, Reason.MEMBER_NAME_INVALID),
        ("client", "a/b", {"client_key": 32}, Reason.MEMBER_NAME_INVALID),
        ("client", "{client}", {"client_key": 32}, Reason.MEMBER_NAME_INVALID),
        ("client", "*", {"client_key": 32}, Reason.MEMBER_NAME_INVALID),
        ("client", "z" * 65, {"client_key": 32}, Reason.MEMBER_NAME_INVALID),
        ("client", "alice", {"client_key": 32}, Reason.MEMBER_ALREADY_OPEN),
        ("client", "zoe", {}, Reason.KEYS_DIFFER_FROM_POLICY),
        ("client", "zoe", {"client_key": 31}, Reason.KEYS_DIFFER_FROM_POLICY),
        ("client", "zoe", {"client_key": 32, "risk_key": 32}, Reason.KEYS_DIFFER_FROM_POLICY),
    ],
)
def test_a_member_is_opened_once_with_the_keys_of_the_policy(harbour, party, member, keys, reason):
    opening = OpenMember(party, member, {name: b"k" * size for name, size in keys.items()})
    assert harbour.refuses(opening) == reason


def test_a_member_of_64_letters_can_be_opened(harbour):
    harbour.must(OpenMember("client", "z" * 64, {"client_key": b"k" * 32}))
    assert harbour.state.is_open("client", "z" * 64)
    assert harbour.state.members("client") == ("alice", "bob", "carol", "z" * 64)


@pytest.mark.parametrize(
    ("key", "size", "reason"),
    [
        ("risk_key", 32, Reason.KEY_ALREADY_KNOWN),
        ("risk_key", 31, Reason.KEYS_DIFFER_FROM_POLICY),
        ("no_key", 32, Reason.KEYS_DIFFER_FROM_POLICY),
        ("client_key", 32, Reason.KEYS_DIFFER_FROM_POLICY),
        ("client_key/alice", 32, Reason.KEYS_DIFFER_FROM_POLICY),
    ],
)
def test_a_key_is_registered_once_and_only_as_the_policy_declares(harbour, key, size, reason):
    assert harbour.refuses(RegisterKey(key, b"k" * size)) == reason


# --- prices ------------------------------------------------------------------------------------


def quotes(harbour, *prices):
    return tuple(Quote(f"v{n}", e10(price), harbour.at) for n, price in enumerate(prices, 1))


def test_a_price_needs_sources_that_agree(harbour):
    assert harbour.refuses(PriceFact("index/DOGE", ())) == Reason.PRICE_NAME_UNKNOWN
    assert harbour.refuses(PriceFact("index/BTC", quotes(harbour, 1, 2, 3))) == Reason.PRICE_SOURCES_DISAGREE
    strange = PriceFact("index/BTC", (Quote("mallory", e10(1), harbour.at),))
    assert harbour.refuses(strange) == Reason.PRICE_SOURCE_UNKNOWN
    harbour.must(PriceFact("index/BTC", quotes(harbour, 100_000, 100_500, 7)))
    assert harbour.state.price("index/BTC").price_e10 == e10(100_000)


def test_a_refused_price_leaves_the_one_before(harbour):
    harbour.price("BTC", 100_000)
    harbour.refuses(PriceFact("index/BTC", quotes(harbour, 1, 2, 3)))
    assert harbour.state.price("index/BTC").price_e10 == e10(100_000)


@pytest.mark.parametrize(
    ("seconds", "price", "reason"),
    [(30, 100_000, None), (31, 100_000, Reason.PRICE_STALE), (0, 105_000.1, Reason.PRICE_OUTSIDE_BAND)],
)
def test_a_settlement_price_lies_near_a_fresh_index(harbour, seconds, price, reason):
    harbour.price("BTC", 100_000)
    harbour.at = Instant(NOON + seconds * SECOND_NS)
    settle = Settle("BTC-PERP", e10(price))
    if reason is None:
        harbour.move(settle, *EVIDENCE)
    else:
        assert harbour.reason(settle, *EVIDENCE) == reason


def test_a_settlement_needs_a_price_and_an_instrument(harbour):
    assert harbour.reason(Settle("BTC-PERP", e10(1)), *EVIDENCE) == Reason.PRICE_MISSING
    assert harbour.reason(Settle("DOGE-PERP", e10(1)), *EVIDENCE) == Reason.INSTRUMENT_UNKNOWN
    harbour.price("BTC", 100_000)
    assert harbour.reason(Settle("BTC-PERP", e10(100_000) + 1), *EVIDENCE) == Reason.PRICE_OFF_TICK
    assert harbour.reason(Settle("BTC-PERP", e10(100_000)), *OFFICERS) == Reason.NEEDS_NOT_MET


# --- receipts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "keys", "reason"),
    [
        ({}, (), Reason.NEEDS_NOT_MET),
        ({}, ("ledger_key", "risk_key"), Reason.NEEDS_NOT_MET),
        ({}, ("watcher_key/x",), Reason.KEY_UNKNOWN),
        ({"units": 0}, ("watcher_key",), Reason.AMOUNT_NOT_POSITIVE),
        ({"units": 2**127}, ("watcher_key",), Reason.AMOUNT_TOO_LARGE),
        ({"asset": "DOGE"}, ("watcher_key",), Reason.ASSET_UNKNOWN),
        ({"target": "client/alice/purse"}, ("watcher_key",), Reason.COMPARTMENT_UNKNOWN),
        ({"target": "client/zoe/cash"}, ("watcher_key",), Reason.MEMBER_NOT_OPEN),
        ({"target": "client/alice/hedge"}, ("watcher_key",), Reason.NO_GATE_BETWEEN_COMPARTMENTS),
        ({"source": "house/treasury"}, ("watcher_key",), Reason.NO_GATE_BETWEEN_COMPARTMENTS),
    ],
)
def test_a_receipt_is_signed_by_who_saw_it_and_leads_through_a_gate(harbour, change, keys, reason):
    receipt = Receipt("tx", "outside", "client/alice/cash", "USDC", 5)
    assert harbour.refuses(signed(msgspec.structs.replace(receipt, **change), *keys)) == reason


def test_a_receipt_is_good_once(harbour):
    receipt = Receipt("tx", "outside", "client/alice/cash", "USDC", 5)
    harbour.must(signed(receipt, "watcher_key"))
    assert harbour.must(signed(receipt, "watcher_key")).decision.repeated
    again = signed(msgspec.structs.replace(receipt, units=6), "watcher_key")
    assert harbour.refuses(again) == Reason.ID_USED_WITH_OTHER_CONTENT
    assert harbour.state.owed("receipts", "outside", "client/alice/cash", "USDC") == 5


# --- freezes, remarks --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scope", ["", "gate", "gate/", "gate/nothing", "asset/DOGE", "compartment/nowhere", "books"]
)
def test_only_what_the_policy_knows_can_be_frozen(harbour, scope):
    assert harbour.refuses(Freeze(scope, "drill")) == Reason.SCOPE_UNKNOWN
    assert harbour.refuses(Resume(scope, "drill")) == Reason.SCOPE_UNKNOWN


@pytest.mark.parametrize(
    "scope", ["gate/convert", "gate/trade", "gate/debt", "asset/BTC-PERP", "compartment/clearing"]
)
def test_exchanges_trading_debts_and_instruments_can_be_frozen(harbour, scope):
    harbour.must(Freeze(scope, "drill"))
    assert harbour.state.frozen() == {scope: "drill"}


def test_a_stopped_book_still_answers_what_it_did_before(harbour):
    request = harbour.request(FUND, ALICE_KEY)
    harbour.must(request)
    harbour.must(Freeze("book", "drill"))
    assert harbour.must(request).decision == Accepted(repeated=True)
    harbour.price("BTC", 100_000)
    assert harbour.reason(FUND, ALICE_KEY) == Reason.BOOK_IS_STOPPED


def test_a_remark_changes_nothing(harbour):
    before = harbour.state.digest()
    harbour.must(Remark("call", "client/alice/hedge", "called", {"equity": 5}))
    assert harbour.state.digest() == before


# --- reading -----------------------------------------------------------------------------------


def test_the_same_operations_give_the_same_book():
    def play():
        harbour = Harbour()
        harbour.fund("alice", "hedge", 10 * USDC)
        harbour.price("BTC", 100_000)
        harbour.reason(FUND)
        return harbour.state

    assert play().digest() == play().digest()
    assert play().bucket_digest("client/alice/hedge") == play().bucket_digest("client/alice/hedge")


def test_balances_are_two_running_totals(harbour):
    harbour.move([FUND] * 3, ALICE_KEY)
    assert harbour.state.totals("client/alice/cash", "USDC") == (3 * USDC, 100 * USDC)
    assert harbour.state.balance("client/alice/cash", "USDC") == 97 * USDC
    assert ("client/alice/cash", "USDC", 97 * USDC) in set(harbour.state.balances())
    assert harbour.state.room("fund", "client/alice/cash", "client/alice/hedge", "USDC") == 999_997 * USDC
    assert harbour.state.room("block", "client/alice/cash", "client/bob/cash", "USDC") == 5_000_000 * USDC
    assert harbour.state.room("adjust", "client/alice/cash", "house/treasury", "USDC") == 1_000 * USDC
    assert harbour.state.room("deposit", "outside", "client/alice/cash", "USDC") is None


def test_a_running_total_never_passes_128_bits(harbour):
    path = "house/fees"
    for _ in range(2):
        harbour.endow(path, 2**127 - 1)
    assert harbour.state.totals(path, "USDC") == (0, 2**128 - 2)
    harbour.endow("insurance/directional", 2)
    # One unit more fits, two do not.
    harbour.state.ledger.tables.owed[("fees", "client/alice/hedge", path, "USDC")] = 2
    harbour.endow("client/alice/hedge", 2)
    fee = Move("fee", "client/alice/hedge", path, "USDC", 2)
    assert harbour.reason(fee, *EVIDENCE) == Reason.BALANCE_TOO_LARGE
    harbour.move(msgspec.structs.replace(fee, units=1), *EVIDENCE)


def test_public_keys_are_known_by_concrete_name(harbour):
    assert harbour.state.public_keys()["client_key/alice"] == public_key(seed("client_key/alice"))


def test_a_key_that_anybody_could_sign_for_is_never_known(harbour):
    weak = (1).to_bytes(32, "little")
    state = BookState(harbour.state.rules)
    for operation in (RegisterKey("officer_a", weak), OpenMember("client", "zoe", {"client_key": weak})):
        assert state.apply(operation, NOON, verify).decision.reason == Reason.KEY_NOT_SOUND
    assert not state.is_open("client", "zoe")
    assert state.public_keys() == {}


def test_one_public_key_is_one_signer(harbour):
    state = BookState(harbour.state.rules)
    one, other = public_key(seed("officer_a")), public_key(seed("officer_b"))
    assert state.apply(RegisterKey("officer_a", one), NOON, verify).decision == Accepted()
    twice = state.apply(RegisterKey("officer_b", one), NOON, verify).decision
    assert twice.reason == Reason.KEY_ALREADY_KNOWN
    assert state.apply(RegisterKey("officer_b", other), NOON, verify).decision == Accepted()
    member = OpenMember("client", "zoe", {"client_key": one})
    assert state.apply(member, NOON, verify).decision.reason == Reason.KEY_ALREADY_KNOWN
    assert not state.is_open("client", "zoe")


# --- whose signatures count --------------------------------------------------------------------

HALTS = """halts:
  freeze: {needs: officer_a, lift: officer_a}
adoption: {needs: officer_a, delay: 1 h, cancel: officer_a}
zones:"""
TERMS = {"gate": "top_up", "source": "client/alice/cash", "target": "client/alice/hedge", "asset": "USDC"}
ONE_COIN = OpeningBalance("client/alice/cash", "USDC", 1)
WITHDRAW = Move("withdraw", "client/alice/cash", "outside/alice", "USDC", USDC)


def mandate(h):
    return Mandate(h.new_id(), **TERMS, units=USDC, expires=NOON + DAY_NS, policy=h.state.rules.digest)


def ended_mandate(h):
    given = mandate(h)
    h.state.ledger.tables.mandates[key_of(given)] = Given(given)
    return EndMandate(given.id, "enough")


def cancelled_adoption(h):
    h.state.ledger.tables.adopting[7] = Waiting(AdoptPolicy(7, b"", "", (), (), NOON), b"", NOON)
    return CancelAdoption(7, "why", h.new_id())


def announced(h):
    """A withdrawal that waits for its signatures, whoever signs it later."""
    if not h.state.pending():
        request = h.request(WITHDRAW, "wallet_key")
        h.must(Announce(request))
    return next(iter(h.state.pending().values())).request


SIGNED = {
    "request": (ALICE_KEY, lambda h: h.request(FUND)),
    "receipt": ("watcher_key", lambda h: Receipt("tx", "outside", "client/alice/cash", "USDC", 1)),
    "freeze": ("officer_a", lambda h: Freeze("gate/fund", "drill", h.new_id())),
    "revocation": ("officer_a", lambda h: RevokeKey("client_key/bob", "lost")),
    "statement": ("watcher_key", lambda h: Statement("reconciled", h.at, True, "report")),
    "address": (
        ALICE_KEY,
        lambda h: PinAddress(
            compartment="outside/alice", address="bc1", policy=h.state.rules.digest, expires=NOON + DAY_NS
        ),
    ),
    "mandate": (ALICE_KEY, mandate),
    "its end": (ALICE_KEY, ended_mandate),
    "opening": (
        "officer_a",
        lambda h: Opening(h.new_id(), (ONE_COIN,), (), {}, "file", h.state.rules.digest),
    ),
    "approval": (
        ALICE_KEY,
        lambda h: Approve(announced(h).id, signing_bytes(announced(h)), NOON + DAY_NS),
    ),
    "cancelling": (ALICE_KEY, lambda h: Cancel(announced(h).id, signing_bytes(announced(h)), "why")),
    "an adoption given up": ("officer_a", cancelled_adoption),
    "announcement": (ALICE_KEY, lambda h: h.request(WITHDRAW)),
}


@pytest.mark.parametrize("what", SIGNED)
@pytest.mark.parametrize(("late_ns", "counts"), [(0, True), (1, False)])
def test_whatever_is_signed_counts_by_the_keys_of_its_own_instant(what, late_ns, counts):
    """A former key counts until the instant that its rotation named, and nowhere longer."""
    key, write = SIGNED[what]
    harbour = Harbour(TEXT.replace("zones:", HALTS, 1))
    if what != "opening":
        harbour.endow("client/alice/cash", 10 * USDC)
    harbour.must(rotated(key, harbour.at, harbour.at + HOUR_NS))
    harbour.at = Instant(harbour.at + HOUR_NS + late_ns)
    record = signed(write(harbour), key)
    if what == "announcement":
        record = Announce(record)
    decision = harbour.do(record).decision
    found = decision.reason if isinstance(decision, Refused) else None
    assert found == (None if counts else Reason.SIGNATURE_INVALID)


# --- what waits, and what it is judged by ------------------------------------------------------

RELEASE = Move("release", "client/alice/hedge", "client/alice/cash", "USDC", 3)
WAITING = TEXT.replace("when: releasable, on", "when: [releasable, reconciled 1 d], on", 1)


def test_what_is_announced_is_judged_by_margin_and_by_statements_too():
    harbour = Harbour(WAITING)
    harbour.endow("client/alice/hedge", 3)
    harbour.must(signed(Statement("reconciled", harbour.at, True, "report"), "watcher_key"))
    facts = Conditions(releasable={"client/alice/hedge": {"USDC": 3}})
    request = harbour.request(RELEASE, ALICE_KEY)
    assert (
        harbour.do(Announce(harbour.request(RELEASE, ALICE_KEY))).decision.reason == Reason.CONDITION_NOT_MET
    )
    harbour.must(Announce(request), facts)
    assert harbour.do(CarryOut(request.id)).decision.reason == Reason.CONDITION_NOT_MET
    again = harbour.request(RELEASE, ALICE_KEY)
    harbour.must(Announce(again), facts)
    outcome = harbour.must(CarryOut(again.id), facts)
    assert [(entry.debit, entry.credit, entry.units) for entry in outcome.entries] == [
        ("client/alice/hedge", "client/alice/cash", 3)
    ]


def test_adoptions_reach_the_book_by_their_own_rules(harbour):
    assert harbour.refuses(CompleteAdoption(7)) == Reason.ADOPTION_NOT_WAITING
    assert harbour.refuses(CancelAdoption(7, "why", 8)) == Reason.ADOPTION_NOT_WAITING
    assert harbour.refuses(CancelAdoption(7, "why", 0)) == Reason.ID_NOT_POSSIBLE


def test_an_id_is_positive(harbour):
    request = Request(0, (FUND,), harbour.state.rules.digest, NOON)
    assert harbour.refuses(signed(request, ALICE_KEY)) == Reason.ID_NOT_POSSIBLE


def test_what_is_amiss_at_the_end_of_a_chain_is_laid_to_its_last_link(harbour):
    harbour.state.ledger.tables.owe(("shortfall", "insurance/hedge", "clearing", "USDC"), 1)
    harbour.endow("insurance/hedge", 1)
    cover = Move("cover", "insurance/hedge", "clearing", "USDC", 1)
    found = harbour.do(harbour.request([FUND, cover], *EVIDENCE, ALICE_KEY)).decision
    words = "clearing would keep 1 units of USDC; it must net to zero"
    assert (found.reason, found.words, found.leg) == (Reason.CLEARING_NOT_ZERO, words, 1)


# --- broken laws -------------------------------------------------------------------------------

BROKEN = (
    Violation("no_overdraft", "asset/BTC", "less than nothing"),
    Violation("containment", "asset/BTC", "a wall"),
)


def break_laws(monkeypatch, *answers):
    """Let the laws be found broken so, and so again after the request was taken back."""
    found = iter(answers)
    monkeypatch.setattr("ringfence.planes.ledger.book.violations", lambda *_: next(found))


@pytest.mark.parametrize("announce", [False, True])
def test_a_broken_law_ends_a_request_and_stops_its_scope(harbour, monkeypatch, announce):
    request = harbour.request(FUND, ALICE_KEY)
    if announce:
        harbour.must(Announce(request))
    break_laws(monkeypatch, BROKEN, BROKEN[1:])
    found = harbour.do(CarryOut(request.id) if announce else request).decision
    assert (found.reason, found.words, found.rule) == (
        Reason.LAW_BROKEN,
        "no_overdraft: less than nothing; containment: a wall; "
        "this is a mistake of ringfence: tell its maintainers",
        "stop asset/BTC; withdrawals book",
    )
    assert harbour.state.frozen() == dict.fromkeys(("stop asset/BTC", "withdrawals book"), found.words)
    assert harbour.state.pending() == {}
    assert harbour.state.is_used(request.id)


def test_a_law_that_stays_broken_ends_the_book(harbour, monkeypatch):
    other = Violation("conservation", "asset/USDC", "one unit is missing")
    break_laws(monkeypatch, BROKEN, (*BROKEN, other))
    with pytest.raises(ViolationError, match=r"^less than nothing; one unit is missing$"):
        harbour.do(harbour.request(FUND, ALICE_KEY))


@pytest.mark.parametrize("write", [lambda r: r, Announce, lambda r: CarryOut(r.id)])
def test_a_broken_law_is_kept_as_it_was_journalled(harbour, write):
    request = harbour.request(FUND, ALICE_KEY)
    operation = write(request)
    if isinstance(operation, CarryOut):
        harbour.must(Announce(request))
    refused = Refused(Reason.LAW_BROKEN, "found by an earlier ringfence", "stop asset/BTC; withdrawals book")
    at = Instant(harbour.at + 1)
    assert harbour.state.keep_broken(operation, refused, at).decision == refused
    assert harbour.state.at == at
    assert set(harbour.state.frozen()) == {"stop asset/BTC", "withdrawals book"}
    assert harbour.state.pending() == {}
    answer = (signing_bytes(request), int(Reason.LAW_BROKEN))
    assert harbour.state.ledger.tables.ids[request.id] == answer
    harbour.state.ledger.tables.rollback()
    assert harbour.state.ledger.tables.ids[request.id] == answer


def test_a_broken_law_of_what_is_no_request_only_stops(harbour):
    used = dict(harbour.state.ledger.tables.ids)
    refused = Refused(Reason.LAW_BROKEN, "found by an earlier ringfence", "stop asset/BTC")
    assert harbour.state.keep_broken(Remark("call", "x", "y", {}), refused, harbour.at).decision == refused
    assert set(harbour.state.frozen()) == {"stop asset/BTC"}
    assert harbour.state.ledger.tables.ids == used


# --- what a book tells -------------------------------------------------------------------------


def test_a_book_begins_with_nothing_at_the_beginning_of_time(harbour):
    rules = harbour.state.rules
    state = BookState(rules)
    assert state.at == 0
    snapshot = state.snapshot()
    assert (snapshot["at"], snapshot["policy"]) == (0, rules.digest.hex())
    content = msgspec.json.encode(snapshot, order="deterministic")
    assert state.digest() == tagged_digest("ringfence book", content)


def test_the_digest_of_a_compartment_is_of_what_it_holds(harbour):
    path = "client/alice/hedge"
    harbour.move(FUND, ALICE_KEY)
    harbour.state.ledger.tables.set_session(path, "BTC-PERP", 7)
    content = {"compartment": path, "balances": {"USDC": [0, USDC]}, "sessions": {"BTC-PERP": 7}}
    assert harbour.state.bucket_digest(path) == tagged_digest("ringfence bucket", canonical_bytes(content))


def test_a_book_is_asked_what_it_knows(harbour):
    state = harbour.state
    receipt = signed(Receipt("tx", "outside", "client/alice/cash", "USDC", 1), "watcher_key")
    assert not state.has_receipt("USDC", "tx")
    harbour.must(receipt)
    assert state.has_receipt("USDC", "tx")
    assert not state.is_used(9_000)
    assert state.mandates() == ()
    given = signed(mandate(harbour), ALICE_KEY)
    harbour.must(given)
    assert [one.mandate for one in state.mandates()] == [given]
    assert state.is_used(given.id)
    request = announced(harbour)
    assert state.may_cancel(state.pending()[request.id]) == {ALICE_KEY, "officer_a", "officer_b"}
    assert state.meant(CarryOut(request.id)) == request
    assert state.meant(CarryOut(9_000)) == CarryOut(9_000)
    state.ledger.tables.move("client/bob/hedge", "client/alice/hedge", "BTC-PERP", 2)
    state.ledger.tables.set_session("client/alice/hedge", "BTC-PERP", 7)
    assert state.positions("BTC-PERP") == {"client/alice/hedge": book_module.Position(2, 7)}
    assert state.positions_of("client/alice/hedge") == {"BTC-PERP": book_module.Position(2, 7)}
    assert state.positions_of("client/bob/hedge") == {}


@pytest.mark.parametrize("ends", [("nowhere", "client/alice/hedge"), ("client/alice/cash", "nowhere")])
def test_the_room_between_ends_that_are_nowhere_is_the_gates_own(harbour, ends):
    harbour.move(FUND, ALICE_KEY)
    assert harbour.state.room("fund", *ends, "USDC") == 1_000_000 * USDC
