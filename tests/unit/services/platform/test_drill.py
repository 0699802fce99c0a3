"""The count of a drill: what is over its prediction is named, and what is not, is not."""

import pytest

from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.operations import Move, Request
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.sandbox import compile_sandbox
from ringfence.proof.blast import blast
from ringfence.services.platform.denied import explained
from ringfence.services.platform.drill import Moved, OwnBook, Worth, draw, judge, moved_by
from ringfence.services.platform.intruder import Attempt
from ringfence.wiring_files import load_policy, shipped_policy

FILE = shipped_policy("venue")
POLICY = load_policy(FILE)
FLOWS = compile_flows(POLICY)
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
        Moved(lost={"alice": 1, "bob": -5}, at_stake={"alice": 100}),
    ],
)
def test_a_unit_over_the_prediction_is_a_difference(moved):
    (difference,) = report(moved=moved).differences
    assert "1 units" in difference


@pytest.mark.parametrize(("lost", "holds"), [(20_000 * 10**6, True), (20_000 * 10**6 + 1, False)])
def test_the_bound_itself_is_within(lost, holds):
    moved = Moved(lost={"alice": lost}, at_stake={"alice": 10**15})
    assert report(moved=moved, found=MATCHING, target="matching").holds is holds


@pytest.mark.parametrize(("lost", "holds"), [(7_000, True), (7_001, False)])
@pytest.mark.parametrize("who", ["matching", "marks", "ledger"])
def test_nobody_loses_more_than_what_its_buckets_had(lost, holds, who):
    """Also where no limit of the policy binds, as for whoever says what the index is."""
    moved = Moved(lost={"bob": 0, "alice": lost}, at_stake={"bob": 10**9, "alice": 7_000})
    found = report(moved=moved, found=blast(POLICY, (who,), "contained"), target=who)
    assert found.holds is holds
    assert [line.most for line in found.lines if "lost" in line.name] == [7_000]


def test_what_a_broken_ledger_wrote_is_shown_and_what_others_believe_is_judged():
    own = blast(POLICY, ("ledger",), "contained")
    book = OwnBook(Moved(to_house={"USDC": 10**15}), blast(POLICY, ("ledger_key",), "contained"))

    def judged(moved):
        return judge("ledger", (), moved, own, MAY, "USDC", own_book=book)

    assert judged(Moved()).holds
    shown = {line.name: (line.measured, line.most) for line in judged(Moved()).lines}
    wrote = "from clients to the house, as the broken ledger wrote it and nobody believes"
    assert shown[wrote] == (10**15, None)
    assert shown["from clients to the house"] == (0, 0)
    (difference,) = judged(Moved(to_house={"USDC": 1})).differences
    assert "from clients to the house" in difference


@pytest.mark.parametrize(
    "kind",
    [
        "undeclared connection", "datagram", "forged frame", "forged identity", "replayed recording",
        "replayed order", "forged record", "file", "process",
    ],
)  # fmt: skip
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
        Worth({"alice": 5}, {"alice": 3}, 0),
        Worth({"alice": 4}, {"alice": 2}, 0),
    )
    assert (found.lost, found.at_stake) == ({"alice": 1}, {"alice": 3})
    assert (found.out, found.minted, found.to_house, found.paid) == (
        {"USDC": 5}, {"BTC": 7}, {"USDC": 3}, {"ETH": 2},
    )  # fmt: skip


def test_the_picture_marks_the_service_and_what_it_reached():
    drawn = draw(POLICY, report([Attempt("declared connection", "matching", 1, 1)]))
    assert "gateway broken into" in drawn
    assert drawn.count("<polygon") == 1
    assert "within the prediction" in drawn
    assert "OVER THE PREDICTION" in draw(POLICY, report(moved=Moved(out={"USDC": 1})))


def test_the_picture_of_a_laptop_says_which_keys_it_holds():
    attempts = [Attempt("declared connection", "gateway", 1, 1)]
    drawn = draw(POLICY, report(attempts, found=blast(POLICY, ("laptop_a",), "contained"), target="laptop_a"))
    assert "holds officer_a" in drawn


@pytest.mark.parametrize(
    ("kind", "target", "words"),
    [
        ("file", "/etc/shadow", "gateway: {zone: public"),
        ("process", "new program", "gateway: {zone: public"),
        ("undeclared connection", "risk", "from: matching, to: risk, port: 7001"),
        ("datagram", "matching", "from: gateway, to: matching, port: 7000"),
        ("forged identity", "matching", "from: gateway, to: matching, port: 7000"),
        ("replayed recording", "matching", "from: gateway, to: matching, port: 7000"),
        ("call", "ledger.signed", "from: wallet, to: ledger, port: 7005"),
        ("call", "matching.fills", "from: ledger, to: matching, port: 7006"),
    ],
)
def test_every_wall_says_which_line_it_follows_from(kind, target, words):
    lines = FILE.read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if words in line)
    profile = compile_sandbox(FLOWS, "gateway", ["/usr/lib"], ["/srv/gateway"])
    (found,) = explained([Attempt(kind, target, 3, 0)], FLOWS, profile)
    assert f"{FILE}:{number}" in found.words


def test_what_got_through_and_what_says_why_itself_keeps_its_words():
    profile = compile_sandbox(FLOWS, "gateway")
    kept = (Attempt("file", "/x", 1, 1, "a"), Attempt("hostile request", "ledger", 9, 0, "why"))
    assert explained(kept, FLOWS, profile) == kept
