"""The trail of a compartment is exactly the records that booked in it, however it is read."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.ledger.rows import Route, Routes, blank_transfers
from ringfence.planes.ledger.trail import SUMMARY_EVERY, Trail, newest_records, record_before

PATHS = [f"client/{name}/cash" for name in ("alice", "bob", "carol", "dave")]


def followed(links: list[bytes], newest: int, number: int) -> list[int]:
    """Read a trail as a store does: from the newest record back."""
    found = []
    while newest:
        found.append(newest)
        before = record_before(links[newest - 1], number)
        assert before is not None
        newest = before
    return found


@given(st.lists(st.sets(st.sampled_from(PATHS)), max_size=30), st.integers(0, 30))
def test_links_lead_to_every_record_of_a_compartment_and_no_other(touched, broken_off):
    trail, links, paths = Trail(), [], []
    for sequence, names in enumerate(touched, 1):
        if sequence == broken_off:
            # What was kept is enough to go on with.
            trail = Trail(paths, newest_records(b"", enumerate(links, 1)), len(links))
        one = trail.touch(sequence, names)
        paths += one.fresh
        links.append(one.content)
    newest = newest_records(b"", enumerate(links, 1))
    for number, path in enumerate(paths):
        expected = [sequence for sequence, names in enumerate(touched, 1) if path in names]
        assert followed(links, int(newest[number]), number) == expected[::-1]
    assert sorted(paths) == sorted(set().union(*touched))


def test_rows_touch_the_ends_of_what_was_carried_out():
    routes = Routes()
    routes.extend([Route("pay", PATHS[place], PATHS[place + 1], "USDC") for place in range(3)])
    trail, transfers = Trail(), blank_transfers(3)
    transfers["route"] = [0, 2, 2]
    first = trail.touch_rows(1, transfers, np.array([0, 23, 23], np.uint16), routes)
    second = trail.touch_rows(2, transfers, np.array([0, 0, 0], np.uint16), routes)
    nothing = trail.touch_rows(3, transfers, np.array([1, 1, 1], np.uint16), routes)
    assert first.fresh[:2] == tuple(PATHS[:2])
    names = [*first.fresh, *second.fresh]
    alice, dave = names.index(PATHS[0]), names.index(PATHS[3])
    assert record_before(first.content, alice) == 0
    assert record_before(first.content, dave) is None
    assert record_before(second.content, alice) == 1
    assert record_before(second.content, dave) == 0
    assert nothing.content == b""


def test_other_routes_have_other_ends():
    trail, transfers = Trail(), blank_transfers(1)
    for sequence, end in ((1, 1), (2, 2)):
        routes = Routes()
        routes.extend([Route("pay", PATHS[0], PATHS[end], "USDC")])
        links = trail.touch_rows(sequence, transfers, np.zeros(1, np.uint16), routes)
    assert links.fresh == (PATHS[2],)
    assert record_before(links.content, 1) is None


def test_the_newest_records_are_summed_up_now_and_then():
    trail = Trail()
    assert trail.touch(1, PATHS[:1]).newest == b""
    summary = trail.touch(SUMMARY_EVERY, PATHS[1:2])
    assert newest_records(summary.newest, []).tolist() == [1, SUMMARY_EVERY]
    later = trail.touch(SUMMARY_EVERY + 1, [PATHS[0], PATHS[2]])
    found = newest_records(summary.newest, [(SUMMARY_EVERY + 1, later.content)]).tolist()
    assert found[:3] == [SUMMARY_EVERY + 1, SUMMARY_EVERY, SUMMARY_EVERY + 1]


@given(st.lists(st.lists(st.tuples(st.integers(0, 299), st.booleans()), min_size=1, max_size=4), max_size=8))
def test_rows_are_linked_as_requests_are(batches):
    """Few compartments of many are put in order by sorting, many of few by looking through them."""
    routes = Routes()
    routes.extend([Route("pay", f"client/c{place}/cash", "house/till", "USDC") for place in range(300)])
    every = blank_transfers(300)
    every["route"] = range(300)
    by_rows = Trail()
    paths = by_rows.touch_rows(1, every, np.zeros(300, np.uint16), routes).fresh
    by_requests = Trail(paths, np.ones(len(paths), np.uint32), 1)
    for sequence, rows in enumerate(batches, 2):
        transfers = blank_transfers(len(rows))
        transfers["route"] = [route for route, _ in rows]
        codes = np.array([0 if is_done else 23 for _, is_done in rows], np.uint16)
        done = {route for route, is_done in rows if is_done}
        touched = [path for route in done for path in (routes[route].source, routes[route].target)]
        assert by_rows.touch_rows(sequence, transfers, codes, routes) == by_requests.touch(sequence, touched)
