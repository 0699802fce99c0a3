"""What falls with what: flows, holdings, tokens, derivations, verifiers; and what each way needs."""

import msgspec
import pytest
from platforms import harbour, harbour_text, include, platform

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import HOUR_NS
from ringfence.policy.parse import read as read_policy
from ringfence.proof.blast import blast
from ringfence.proof.cutoff import cast_for_reach
from ringfence.proof.grounding import ground
from ringfence.proof.questions import Fault, start_of
from ringfence.proof.reach import Cause, Index, spread, usable
from ringfence.proof.world import (
    AddDerivation,
    AddFeed,
    AddFlow,
    AddHolding,
    AddKey,
    AddSupply,
    AddWay,
    Cap,
    check,
    extend,
    read,
    read_facts,
    write,
)


def index_of(policy, facts=()):
    return Index(extend(ground(policy, cast_for_reach(policy, {})), facts))


def had(index, *names, mode="contained"):
    grip = spread(index, start_of(index.world, names), mode)
    return {index.world.keys[key].name for key in grip.had if not index.world.keys[key].given}


def test_a_service_falls_with_its_keys():
    assert had(index_of(platform()), "wallet") == {"hot"}
    assert had(index_of(platform()), "risk", mode="pivot") == {"liq", "lw", "hot"}


def test_who_carries_a_signature_never_has_the_key():
    assert had(index_of(harbour()), "gateway") == set()


def test_who_carries_a_token_has_it():
    token = ("{per: client, held_by: client, form: signature", "{per: client, held_by: client, form: bearer")

    policy = read_policy(harbour_text(token), "venue.yaml", include).policy
    assert {name.partition("/")[0] for name in had(index_of(policy), "gateway")} == {"client_key"}


def test_evidence_is_given_to_anyone():
    index = index_of(harbour())
    grip = spread(index, start_of(index.world, ["gateway"]), "contained")
    given = {index.world.keys[key].name for key, cause in grip.had.items() if cause == Cause("given")}
    assert given == {"risk_key", "ledger_key", "wallet_key", "watcher_key"}


def test_a_host_and_a_person_fall_with_all_their_keys():
    index = index_of(harbour())
    assert had(index, "laptop_a") == {"officer_a"}
    assert had(index, "bob") == {"officer_b"}
    with pytest.raises(Fault, match="no service, key, host or person"):
        start_of(index.world, ["laptop_c"])


def test_a_derived_key_follows_from_those_it_is_computed_from():
    facts = (
        AddDerivation(("public", "child"), "parent"),
        AddKey("public", held_by="web"),
        AddKey("child", host="phone"),
        AddKey("parent"),
    )
    index = index_of(platform(), facts)
    assert "parent" not in had(index, "public")
    assert {"public", "child", "parent"} <= had(index, "web", "phone")


def test_owning_every_verifier_voids_keys_and_limits():
    index = index_of(harbour())
    world = index.world
    ledger = start_of(world, ["ledger"])
    found = usable(index, spread(index, ledger, "contained"), "ledger")
    voided = {world.rules[world.ways[way].rule].name for way in found.voided}
    assert {"sweep", "adjust", "block", "deposit", "rebate"} <= voided
    # What the vault checks too is not voided by owning the ledger.
    assert not {"withdraw", "fund", "settle"} & voided
    assert not usable(index, spread(index, ledger, "contained"), "vault").voided


def test_an_accrual_takes_the_lie_of_all_who_compute_it():
    index = index_of(harbour())

    def opened(*names):
        found = usable(index, spread(index, start_of(index.world, names), "contained"), "vault")
        return {index.world.rules[index.world.ways[way].rule].name for way in found.ways}

    assert "fee" not in opened("risk")
    assert "fee" not in opened("ledger")
    assert "fee" in opened("risk", "ledger")


# --- facts -------------------------------------------------------------------------------------


def test_more_facts_make_more_fall():
    assert blast(platform(), ["web"], "contained").services == ("web",)
    with_flow = blast(platform(), ["treasury"], "pivot", (AddFlow("treasury", "wallet"),))
    assert set(with_flow.services) == {"treasury", "wallet", "ledger"}
    with_key = blast(platform(), ["web"], "contained", (AddHolding("web", "tk"),))
    assert with_key.planes["vault"].gates == ("g5",)


def test_a_way_beside_the_policy_counts():
    key = AddKey("venue_key", held_by="web")
    way = AddWay("venue", "margin", "outside", "USDT", ("venue_key",), ("vault",), Cap(7, "rolling", HOUR_NS))
    found = blast(platform(), ["web"], "contained", (way, key))
    assert found.planes["vault"].out["hour"] == {"USDT": 7}


def test_a_feed_beside_the_policy_prints_fills():
    assert blast(harbour(), ["wallet"], "contained").channels == ()
    found = blast(harbour(), ["wallet"], "contained", (AddFeed("wallet", "fills"),))
    assert found.channels == ("fills",)
    assert found.lost_by_trading["day"] == {"USDC": 20_000 * 10**6}
    prices = blast(harbour(), ["wallet"], "contained", (AddFeed("wallet", "prices"),))
    assert prices.lost_by_trading["day"] == {"USDC": None}


def test_nobody_loses_more_by_trading_than_there_is():
    hedge, bet = "client/{client}/hedge", "client/{client}/directional"
    facts = (AddSupply(hedge, "USDC", 70), AddSupply(bet, "USDC", 30))
    found = blast(harbour(), ["matching"], "contained", facts)
    assert found.lost_by_trading == {"hour": {"USDC": 100}, "day": {"USDC": 100}}


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (AddFlow("web", "nowhere"), "no service is called `nowhere`"),
        (AddHolding("web", "none"), "no key is called `none`"),
        (AddKey("hot"), "`hot` is known already"),
        (AddSupply("nowhere", "USDT", 1), "no compartment is called `nowhere`"),
        (AddSupply("margin", "GOLD", 1), "no asset is called `GOLD`"),
        (AddSupply("margin", "USDT", -1), "cannot hold -1 units"),
        (AddWay("g1", "margin", "house", "USDT", (), ("vault",)), "a rule called `g1` already"),
    ],
)
def test_a_fact_about_nothing_is_refused(fact, words):
    with pytest.raises(BadInput, match=words):
        index_of(platform(), (fact,))


def test_facts_are_read_from_json():
    supply = b'{"fact": "supply", "place": "margin", "asset": "USDT", "units": 5}'
    text = b"[" + supply + b', {"fact": "flow", "source": "a", "target": "b"}]'
    assert read_facts(text) == (AddSupply("margin", "USDT", 5), AddFlow("a", "b"))


# --- the world as a file -----------------------------------------------------------------------


def test_a_world_reads_back_the_same():
    world = index_of(harbour()).world
    assert read(write(world)) == world


def test_rows_that_name_nothing_are_refused():
    world = index_of(platform()).world
    way = world.ways[0]
    for changed, words in (
        (msgspec.structs.replace(way, target=99), "a way of the world names row 99"),
        (msgspec.structs.replace(way, needs=-2), "a way of the world names row -2"),
    ):
        broken = msgspec.structs.replace(world, ways=(changed,))
        with pytest.raises(BadInput, match=words):
            check(broken)
    with pytest.raises(BadInput, match="reads"):
        check(msgspec.structs.replace(world, format="ringfence world 0"))
    loop = msgspec.structs.replace(world.needs[0], parts=(0,))
    with pytest.raises(BadInput, match="built from a later one"):
        check(msgspec.structs.replace(world, needs=(loop, *world.needs[1:])))
    with pytest.raises(BadInput, match="no world"):
        read(b"{}")
