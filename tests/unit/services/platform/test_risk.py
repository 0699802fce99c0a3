"""Whom the service `risk` looks at, in turn, and what it remembers of closings it asked for."""

import pytest
from books import USDC, seed
from margin_desk import BET, CASH, EVIDENCE, HEDGE, POLICY, Desk, begun_desk

from ringfence.adapters.book_memory import Shelf
from ringfence.adapters.signatures_ed25519 import sign, verify
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.operations import Closing, Fill, Move, Order, Signature
from ringfence.services.platform import risk as risk_module
from ringfence.services.platform.messages import Empty, News
from ringfence.services.platform.risk import Risk


def sign_as(key: str, message: bytes) -> Signature:
    return Signature(key, sign(seed(key), message))


class Followed:
    """A desk, and the service that follows its book."""

    def __init__(self) -> None:
        self._shelf, self._seen = Shelf(), 0
        self.desk: Desk = begun_desk(self._shelf, POLICY)
        self._risk = Risk(self.desk.book.rules, verify, sign_as)

    def pull(self) -> list[Fill]:
        """Let the service follow what is new; return the fills that it asks for."""
        news, self._seen = tuple(self._shelf.records[self._seen :]), len(self._shelf.records)
        asked = self._risk.pull(News(news), Instant(self.desk.at)).requests
        return [link for one in asked for link in one.links if isinstance(link, Fill)]

    def offered(self) -> dict[str, Order]:
        """Return what the market is asked to close, by bucket."""
        orders = self._risk.closings(Empty(), Instant(self.desk.at)).orders
        return {order.bucket: order for order in orders}


@pytest.fixture
def followed() -> Followed:
    """alice and bob have 2,000 in their bets, and the price is 50,000."""
    return Followed()


def test_everybody_has_had_a_turn_after_a_round(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk_module, "FEW", 1)
    monkeypatch.setattr(risk_module, "ROUND", 2)
    desk = followed.desk
    assert desk.ask(Move("fund", CASH, HEDGE, "USDC", 2_000 * USDC)) is None
    assert desk.ask(desk.fill(1, 50_000), by=EVIDENCE) is None
    assert desk.ask(desk.fill(118, 50_000, buyer=HEDGE), by=EVIDENCE) is None
    desk.price(33_200)
    followed.pull()
    assert followed.offered() == {}  # The two bets come first.
    followed.pull()
    assert set(followed.offered()) == {HEDGE}


def test_the_market_is_asked_for_no_price_that_bankrupts_the_bucket(followed: Followed) -> None:
    """One percent off the mark would; nothing is left at 47,517.11, and below that nobody may sell."""
    desk = followed.desk
    assert desk.ask(desk.fill(790, 50_000), by=EVIDENCE) is None
    desk.price(47_650)
    followed.pull()
    offered = followed.offered()[BET]
    assert 475_171 * PRICE_SCALE // 10 < offered.limit_e10 < 47_650 * PRICE_SCALE
    taker = desk.order("client/bob/bet", "buy", 790, 48_000)
    sold = Fill("BTC-PERP", 790, offered.limit_e10, taker, Closing(BET, "liquidation"), "sell")
    assert desk.ask(sold, by=EVIDENCE) is None


def test_a_closing_that_became_a_takeover_is_forgotten(followed: Followed) -> None:
    """The next time the same bucket fails, the market is offered the whole position again."""
    desk = followed.desk
    assert desk.ask(desk.fill(790, 50_000), by=EVIDENCE) is None
    desk.price(47_650)
    assert followed.pull() == []
    assert followed.offered()[BET].contracts == 790
    desk.price(47_000)
    fills = followed.pull()
    assert [fill.contracts for fill in fills] == [790]
    assert followed.offered() == {}
    assert desk.ask(*fills, by=EVIDENCE) is None
    assert desk.ask(Move("fund", CASH, BET, "USDC", 2_000 * USDC)) is None
    desk.price(47_000)
    assert desk.ask(desk.fill(790, 47_000), by=EVIDENCE) is None
    desk.price(44_650)
    followed.pull()
    assert followed.offered()[BET].contracts == 790
