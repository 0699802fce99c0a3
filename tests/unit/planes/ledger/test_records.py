"""Facts that are no request: edges of amounts and ids, and whom a refusal names."""

import pytest
from harbour import TEXT, Harbour, signed

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.operations import Freeze, OpenMember, Receipt, signing_bytes
from ringfence.planes.ledger.records import member_name_fault
from ringfence.planes.ledger.rules import KeyRule

CASH = "client/alice/cash"


@pytest.fixture
def harbour():
    return Harbour()


def words_of(harbour, operation):
    decision = harbour.do(operation).decision
    assert isinstance(decision, Refused), decision
    return decision.words


def receipt(units=1):
    return Receipt("tx", "outside", CASH, "USDC", units)


def test_the_most_units_arrive(harbour):
    harbour.must(signed(receipt(UNITS_MAX), "watcher_key"))


@pytest.mark.parametrize(
    ("held", "named"), [((), "it holds none"), (("eye_1", "eye_2"), "eye_1, eye_2"), (None, "it holds none")]
)
def test_a_receipt_names_the_keys_of_who_must_have_seen_it(harbour, held, named):
    holders = {name: keys for name, keys in harbour.state.rules.holders.items() if name != "watcher"}
    harbour.obey(holders=holders if held is None else holders | {"watcher": held})
    assert words_of(harbour, receipt()) == f"a receipt needs a key of watcher ({named})"


@pytest.mark.parametrize(
    ("keys", "named"), [((), "none"), (("client_key", "spare_key"), "client_key, spare_key")]
)
def test_a_member_is_told_which_keys_the_policy_asks_for(harbour, keys, named):
    harbour.obey(keys={name: KeyRule(name, "client") for name in keys})
    operation = OpenMember("client", "zoe", {"other": b""})
    words = f"other was given; the policy asks each member for {named}, 32 bytes each"
    assert words_of(harbour, operation) == words


def test_a_long_name_is_shown_in_part():
    assert member_name_fault("x" * 90).startswith(f"{'x' * 80!r} is no member's name; ")


def test_the_smallest_id_of_a_halt_is_good_once():
    halts = "halts:\n  freeze: {needs: officer_a, lift: officer_a}\nzones:"
    harbour = Harbour(TEXT.replace("zones:", halts, 1))
    freeze = signed(Freeze("gate/fund", "drill", 1), "officer_a")
    harbour.must(freeze)
    assert harbour.state.ledger.tables.ids[1] == (signing_bytes(freeze), 0)
    assert harbour.refuses(freeze) == Reason.ID_USED_WITH_OTHER_CONTENT
