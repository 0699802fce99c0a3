"""The count of a drill: what is over its prediction is named, and what is not, is not."""

import pytest

from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.operations import Move, Request
from ringfence.proof.blast import blast
from ringfence.services.platform.drill import Moved, draw, judge, moved_by
from ringfence.services.platform.intruder import Attempt
from ringfence.wiring_files import load_policy, shipped_policy

POLICY = load_policy(shipped_policy("venue"))
RULES = compile_policy(POLICY)
GATEWAY = blast(POLICY, ("gateway",), "contained")
MATCHING = blast(POLICY, ("matching",), "contained")
MAY = frozenset({"matching.submit", "matching.cancel"})


def report(attempts=(), moved=None, found=GATEWAY, target="gateway"):
    return judge(target, attempts, moved or Moved(), found, MAY, "USDC")


def test_what_got_nothing_holds():
    assert report().holds
    assert report([Attempt("call", "matching.submit", 1, 1), Attempt("file", "/x", 3, 0)]).holds


@pytest.mark.parametrize(
    "moved",
    [
        Moved(out={"USDC": 1}),
        Moved(paid={"BTC": 1}),
        Moved(to_house={"USDC": 1}),
        Moved(minted={"ETH": 1}),
        Moved(lost={"alice": 1, "bob": -5}),
    ],
)
def test_a_unit_over_the_prediction_is_a_difference(moved):
    (difference,) = report(moved=moved).differences
    assert "1 units" in difference


@pytest.mark.parametrize(("lost", "holds"), [(20_000 * 10**6, True), (20_000 * 10**6 + 1, False)])
def test_the_bound_itself_is_within(lost, holds):
    assert report(moved=Moved(lost={"alice": lost}), found=MATCHING, target="matching").holds is holds


@pytest.mark.parametrize(
    "kind", ["undeclared connection", "datagram", "forged frame", "forged identity", "file", "process"]
)
def test_what_may_never_get_through_is_a_difference_if_it_does(kind):
    (difference,) = report([Attempt(kind, "ledger", 9, 1)]).differences
    assert kind in difference


def test_a_method_that_answers_against_the_flows_is_a_difference():
    (difference,) = report([Attempt("call", "ledger.signed", 1, 1)]).differences
    assert "ledger.signed" in difference
    assert report([Attempt("call", "ledger.signed", 1, 0)]).holds


def request(*moves):
    return Request(1, moves, RULES.digest, 2**62)


def test_moves_are_counted_by_the_wall_they_cross():
    found = moved_by(
        RULES,
        [
            request(Move("withdraw", "client/alice/cash", "outside/alice", "USDC", 5)),
            request(Move("deposit", "outside", "client/alice/cash", "BTC", 7)),
            request(Move("adjust", "client/alice/cash", "house/treasury", "USDC", 3)),
            request(Move("fee", "client/alice/hedge", "house/fees", "USDC", 11)),
            request(Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", 13)),
        ],
        {"ETH": 2},
        {"alice": 1},
    )
    assert (found.out, found.minted, found.to_house, found.paid) == (
        {"USDC": 5}, {"BTC": 7}, {"USDC": 3}, {"ETH": 2},
    )  # fmt: skip


def test_the_picture_marks_the_service_and_what_it_reached():
    drawn = draw(POLICY, report([Attempt("declared connection", "matching", 1, 1)]))
    assert "broken into" in drawn
    assert drawn.count("may be called") == 1
