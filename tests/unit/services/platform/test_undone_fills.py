"""A fill that the book refuses is undone in the order book, whoever is killed in between."""

import asyncio

import msgspec
import pytest

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.adapters.system_clock import SystemClock
from ringfence.kernel.decision import Accepted
from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.operations import (
    Move,
    OpenMember,
    Order,
    PriceFact,
    Quote,
    RegisterKey,
    Request,
    RevokeKey,
    Signature,
    signing_bytes,
)
from ringfence.planes.network.wire import BODY_MAX, CallFailedError
from ringfence.services.platform.ledger import Admission, LedgerService
from ringfence.services.platform.matching import Matching
from ringfence.services.platform.messages import (
    ApprovedAfter,
    Asked,
    FillsAfter,
    KeysTold,
    Outcome,
    Outcomes,
    Priced,
    Prices,
    RefusedFill,
    Requests,
    Verdict,
    pack,
    unpack,
)
from ringfence.wiring import embedded
from ringfence.wiring_files import load_policy, shipped_policy

POLICY = load_policy(shipped_policy("venue"))
RULES = compile_policy(POLICY)
PRICE = 65_000 * PRICE_SCALE
MEMBERS = ("alice", "bob", "carol")


def seed(member):
    return member.encode().ljust(32, b".")


def signed(record, member):
    made = Signature(f"client_key/{member}", sign(seed(member), signing_bytes(record)))
    return msgspec.structs.replace(record, signatures=(made,))


def order(number, member, side, contracts, price=PRICE, **words):
    bucket, expires = f"client/{member}/hedge", SystemClock().now() + DAY_NS
    bare = Order(number, bucket, "BTC-PERP", side, contracts, price, expires, RULES.digest, **words)
    return signed(bare, member)


class Both:
    """Matching and the ledger, each of which may be killed at any word between them."""

    def __init__(self, folder, losses=()):
        self.folder = folder
        self.shelf = Shelf()
        self.losses = dict(losses)
        self.calls = 0
        self.ledger = self.matching = None
        self.start_ledger()
        opened = [OpenMember("client", one, {"client_key": public_key(seed(one))}) for one in MEMBERS]
        self.ledger.admit(Admission(tuple(opened)), self.now())
        self.start_matching()

    def now(self):
        return SystemClock().now()

    def start_ledger(self):
        if self.ledger is not None:
            self.ledger.close()
        book = embedded(self.folder / "ledger.book", POLICY)
        self.ledger = LedgerService(book, verify, lambda *_: None, SystemClock(), self)

    def start_matching(self):
        if self.matching is not None:
            self.matching.close()
        self.shelf.is_taken = False
        self.matching = Matching(RULES, MemoryStore(self.shelf), verify, {}, self)
        self.pull()
        now = self.now()
        quotes = tuple(Quote(source, PRICE, now) for source in ("v1", "v2", "v3"))
        priced = Priced(PriceFact("index/BTC", quotes), "fresh")
        self.matching.take_prices(Prices((priced,)), now)

    async def call(self, target, method, body):
        if (target, method) != ("matching", "fills"):
            raise UnreachableError(f"there is no {target} here")
        self.calls += 1
        lost = self.losses.get(self.calls, "")
        if lost.startswith("question"):
            raise UnreachableError("the question was lost")
        answer = self.matching.methods["fills"].take(body, self.now())
        if lost.startswith("answer"):
            raise UnreachableError("the answer was lost")
        return answer

    def pull(self):
        asyncio.run(self.ledger.duties[0].do(self.now()))

    def place(self, *orders):
        return self.matching.take_orders(orders, {one.id: Verdict(0) for one in orders}, self.now())

    def revoke(self, member):
        change = signed(RevokeKey(f"client_key/{member}", "stolen"), member)
        self.ledger.admit(Admission((change,)), self.now())

    def depth(self, side):
        return self.matching._desk.engine.book("BTC-PERP").depth(side)

    def outcome(self, number):
        found = self.matching.outcomes(Asked((number,)), self.now()).outcomes
        return found[0] if found else None


def alice_is_at_fault(both):
    """Let bob take what alice bids, with a key that alice has revoked before the ledger hears of it."""
    both.place(order(1, "alice", "buy", 10))
    both.place(order(2, "bob", "sell", 4))
    both.revoke("alice")


def check_that_it_was_undone(both):
    assert both.depth("buy") == ()
    assert both.depth("sell") == ((PRICE, 4),)
    for number in (1, 2):
        told = both.outcome(number)
        assert (told.state, told.reason) == ("undone", "KEY_REVOKED")
        assert "client/alice/hedge" in told.words
    assert "4 stand" in both.outcome(2).words
    assert "nothing of it stands" in both.outcome(1).words


def test_the_side_that_was_not_at_fault_stands_again_and_both_are_told(tmp_path):
    both = Both(tmp_path)
    alice_is_at_fault(both)
    both.pull()
    assert both.depth("sell") == ()
    both.pull()
    check_that_it_was_undone(both)
    both.place(order(3, "carol", "buy", 4))
    assert both.depth("sell") == ()


@pytest.mark.parametrize("killed", ["matching", "ledger"])
@pytest.mark.parametrize("lost", ["question", "answer"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_it_is_undone_once_whoever_is_killed_at_whichever_word(tmp_path, call, lost, killed):
    both = Both(tmp_path)
    both.losses = {both.calls + call: lost}
    alice_is_at_fault(both)
    for _ in range(call):
        both.pull()
    (both.start_matching if killed == "matching" else both.start_ledger)()
    for _ in range(3):
        both.pull()
    check_that_it_was_undone(both)
    assert both.matching.figures()["last undone"] == 1
    both.start_matching()
    check_that_it_was_undone(both)
    assert both.ledger._fills.refused == ()


def test_a_fill_that_is_confirmed_or_unknown_cannot_be_undone(tmp_path):
    both = Both(tmp_path)
    asked = FillsAfter(0, 0, KeysTold(), (RefusedFill(7, "KEY_REVOKED", "no"),))
    with pytest.raises(CallFailedError, match="fill 7 cannot be undone"):
        both.matching.fills(asked, both.now())


def test_a_stranger_revokes_no_key_but_with_that_key(tmp_path):
    from ringfence.services.platform.messages import KeyChange

    both = Both(tmp_path)
    now = both.now()
    bare = RevokeKey("client_key/alice", "a nuisance")
    for change in (bare, signed(bare, "bob")):
        assert both.ledger._change_key(KeyChange(change), now).reason == "NEEDS_NOT_MET"
    assert both.ledger._change_key(KeyChange(signed(bare, "alice")), now).state == "accepted"


def test_orders_are_judged_by_the_keys_as_they_stand_in_the_book(tmp_path):
    both = Both(tmp_path)
    both.revoke("alice")
    both.pull()
    assert not both.matching._signers.may_trade(order(9, "alice", "buy", 1), Instant(both.now()))
    assert both.matching._signers.may_trade(order(9, "bob", "buy", 1), Instant(both.now()))


# --- what grows is told in parts


def test_keys_are_told_once_and_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("ringfence.services.platform.keys_told.FACTS_MAX", 2)
    both = Both(tmp_path)
    both.start_ledger()
    for _ in range(4):
        both.pull()
    now = both.now()
    for member in MEMBERS:
        assert both.matching._signers.may_trade(order(9, member, "buy", 1), now)
    assert both.ledger._keys.after(*both.ledger._keys_told).facts == ()
    both.revoke("carol")
    both.pull()
    assert not both.matching._signers.may_trade(order(9, "carol", "buy", 1), now)
    both.start_matching()
    for _ in range(4):
        both.pull()
    assert both.matching._signers.may_trade(order(9, "bob", "buy", 1), now)
    assert not both.matching._signers.may_trade(order(9, "carol", "buy", 1), now)


def test_a_follower_of_another_process_is_told_everything_anew(tmp_path):
    both = Both(tmp_path)
    keys = both.ledger._keys
    epoch, known = both.ledger._keys_told
    assert keys.after(epoch, known).first == known > 0
    anew = keys.after(epoch + 1, known)
    assert anew.first == 0
    assert {fact.name for fact in anew.facts} == {f"client_key/{member}" for member in MEMBERS}


def move(number, member, *signers):
    link = Move("withdraw", f"client/{member}/cash", f"outside/{member}", "USDC", 1)
    bare = Request(number, (link,), RULES.digest, SystemClock().now() + DAY_NS)
    content = signing_bytes(bare)
    made = tuple(Signature(f"client_key/{one}", sign(seed(one), content)) for one in signers)
    return msgspec.structs.replace(bare, signatures=made)


def test_what_nobody_known_signed_does_not_wait(tmp_path):
    both = Both(tmp_path)
    assert both.ledger._take(move(1, "alice"), both.now()).state == "refused"
    assert both.ledger._take(move(2, "alice", "alice"), both.now()).state == "waiting"
    assert both.ledger.figures()["waiting"] == 1


def test_one_person_lets_only_so_many_requests_wait(tmp_path, monkeypatch):
    monkeypatch.setattr("ringfence.services.platform.ledger.WAITING_OF_ONE_MAX", 3)
    both = Both(tmp_path)
    told = [both.ledger._take(move(number, "alice", "alice"), both.now()) for number in range(1, 5)]
    assert [one.state for one in told] == ["waiting"] * 3 + ["refused"]
    assert both.ledger._take(move(1, "alice", "alice"), both.now()).state == "waiting"
    assert both.ledger._take(move(9, "bob", "bob"), both.now()).state == "waiting"


def test_a_gateway_that_is_away_is_told_the_last_word_about_each_and_so_many(tmp_path, monkeypatch):
    monkeypatch.setattr("ringfence.services.platform.ledger.TO_TELL_MAX", 2)
    both = Both(tmp_path)
    for number, state in ((1, "waiting"), (2, "waiting"), (1, "accepted"), (3, "refused")):
        both.ledger._tell_all(Outcome(number, state))
    (told,) = both.ledger._tell.values()
    assert [*told.values()] == [Outcome(1, "accepted"), Outcome(3, "refused")]


def test_long_words_keep_no_gateway_from_being_told(tmp_path):
    """What somebody wrote comes back in the words of its refusal, and all of it has to fit a frame."""
    both = Both(tmp_path)
    asked = []

    async def call(target, method, body):
        if (target, method) != ("gateway", "pull"):
            raise UnreachableError(f"there is no {target} here")
        asked.append(body)
        return pack(Requests())

    both.call = call
    for number in range(1_000):
        both.ledger._tell_all(Outcome(number, "refused", words="\u0001" * 90_000))
    for _ in range(10):
        both.pull()
    assert max(map(len, asked)) < BODY_MAX
    told = [one.id for body in asked for one in unpack(Outcomes, body).outcomes]
    assert told == [*range(1_000)]


def test_the_wallet_is_told_once_of_what_is_asked_again(tmp_path, monkeypatch):
    """It counts how many it has seen, and the journal, which a ledger starts again from, has each once."""
    both = Both(tmp_path)
    both.ledger.admit(Admission((RegisterKey("wallet_key", public_key(seed("wallet"))),)), both.now())
    monkeypatch.setattr(both.ledger, "_missing", lambda _: frozenset())
    decisions = [Accepted(pending=True), Accepted(), Accepted(repeated=True)]
    monkeypatch.setattr(both.ledger, "_submit", lambda *_: (decisions.pop(0),))
    asked = move(7, "alice", "alice")
    by_wallet = Signature("wallet_key", sign(seed("wallet"), signing_bytes(asked)))
    asked = msgspec.structs.replace(asked, signatures=(*asked.signatures, by_wallet))
    states = [both.ledger._take(asked, both.now()).state for _ in range(3)]
    assert states == ["pending", "accepted", "accepted"]
    assert both.ledger.approved(ApprovedAfter(), both.now()).carried_out == (7,)
