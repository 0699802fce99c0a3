"""Planting faults: one is in force once it is planted, told from another, and no module is forgotten."""

import json

import pytest
from mutation.campaign import Fate
from mutation.planting import faults_of, noted
from mutation.run_mutants import LEDGER, LEFT_OUT, READABLE_RULE, report
from mutation.survivors import Survivor, Survivors, read_survivors

from ringfence.planes.ledger import pending
from ringfence.planes.ledger.packed import Packed
from ringfence.planes.ledger.packed_tables import Balances, _Rows
from ringfence.planes.ledger.pending import Pending

TABLE = Balances(Packed())


class Asked:
    expires = 7


def is_expired(at):
    return Pending.is_expired(type("Waits", (), {"request": Asked})(), at)


@pytest.fixture
def fault():
    (fault,) = faults_of("pending")
    healthy = fault.healthy.__code__
    yield fault
    fault.healthy.__code__ = healthy


def test_a_fault_is_in_force_once_it_is_planted(fault):
    assert fault.where == "pending.Pending.is_expired"
    assert fault.change == ("- return self.request.expires < at", "+ return self.request.expires <= at")
    assert not is_expired(7)
    fault.plant()
    assert is_expired(7)


def test_what_is_called_is_noted_and_does_what_it_did(fault):
    with noted([fault.healthy]) as called:
        assert not is_expired(7)
        assert is_expired(8)
        assert called == {fault.healthy}
    called.clear()
    assert is_expired(8)
    assert called == set()
    assert Pending.is_expired is pending.Pending.is_expired


def test_what_calls_its_superclass_can_be_noted_and_planted():
    faults = [one for one in faults_of("packed_tables") if one.where == "packed_tables._Rows.__init__"]
    function = faults[0].healthy
    with noted([function]) as called:
        assert _Rows(TABLE)._table is TABLE
    assert called == {function}
    healthy = function.__code__
    try:
        faults[0].plant()
        assert _Rows(TABLE)._mapping is None
    finally:
        function.__code__ = healthy
    assert _Rows(TABLE)._mapping is TABLE


def test_what_is_left_out_is_there_and_the_rule_is_not_among_it():
    left_out = [name for names in LEFT_OUT.values() for name in names]
    assert {name for name in left_out if not (LEDGER / f"{name}.py").exists()} == set()
    assert {"book", "moves", "transfer", "limits", "settlement", "tables", "compile"} <= set(READABLE_RULE)


def test_every_survivor_is_of_a_module_that_is_planted():
    entries = read_survivors().entries
    assert entries
    assert {entry.where.partition(".")[0] for entry in entries} <= {"*", *READABLE_RULE}
    changes = [json.dumps([entry.where, entry.change, entry.pattern]) for entry in entries]
    assert len(changes) == len(set(changes))


def test_an_entry_without_a_reason_is_refused(tmp_path):
    listed = tmp_path / "survivors.txt"
    listed.write_text("pending.Pending.is_expired\n- a\n+ b\n")
    with pytest.raises(ValueError, match="why"):
        read_survivors(listed)


@pytest.mark.parametrize(
    ("living", "listed", "code"), [(0, False, 0), (1, True, 0), (1, False, 1), (11, True, 1)]
)
def test_a_run_fails_where_a_fault_lives_without_a_reason_or_too_many_live(fault, living, listed, code):
    lives, found = Fate(fault, "lives"), Fate(fault, "found", "a test")
    entry = Survivor("pending.*", fault.change, "", "it is not so")
    survivors = Survivors((entry,) if listed else ())
    assert report([lives] * living + [found] * (100 - living), survivors) == code


def test_an_entry_is_of_the_change_it_names_only(fault, tmp_path):
    listed = tmp_path / "survivors.txt"
    listed.write_text("pending.*\n- return self.request.expires < at\n+ return None\nwhy: it is not so\n")
    assert read_survivors(listed).reason(fault) is None
    listed.write_text("# all\n\n*\n~ expires <= at\nwhy: a moment\n")
    assert read_survivors(listed).reason(fault) == "a moment"
