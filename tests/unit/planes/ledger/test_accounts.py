"""Accounts in a few bytes are found as in a dictionary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.ledger.accounts import Accounts

NAMES = st.tuples(st.text(max_size=6), st.sampled_from(["USDC", "BTC", "ETH"]))


@given(st.lists(NAMES, max_size=200))
def test_numbers_are_those_of_a_dictionary(names):
    accounts, numbers = Accounts(), {}
    for compartment, asset in names:
        assert accounts.get(compartment, asset) == numbers.get((compartment, asset))
        if (compartment, asset) not in numbers:
            numbers[compartment, asset] = accounts.add(compartment, asset)
    assert list(accounts) == list(numbers)
    assert len(accounts) == len(numbers)
    for name, number in numbers.items():
        assert accounts.get(*name) == number
        assert accounts.name(number) == name


def test_many_compartments_are_found_again():
    accounts = Accounts()
    for number in range(3_000):
        assert accounts.add(f"client/m{number}/cash", "USDC") == number
    assert [accounts.get(f"client/m{number}/cash", "USDC") for number in range(3_000)] == list(range(3_000))


@pytest.mark.parametrize("name", [("client/zoe/cash", "USDC"), ("client/alice/cash", "DOGE"), ("", "USDC")])
def test_what_was_not_added_has_no_number(name):
    accounts = Accounts()
    accounts.add("client/alice/cash", "USDC")
    accounts.add("client/bob/cash", "BTC")
    assert accounts.get(*name) is None
    assert accounts.get("client/alice/cash", "BTC") is None


def test_names_that_all_begin_at_every_other_slot_are_found():
    """More of them than there are such slots: whoever looks has to look at the slots between too."""
    even = [name for name in map(str, range(1_000)) if hash(name.encode()) % 2 == 0][:40]
    accounts = Accounts()
    assert [accounts.add(name, "USDC") for name in even] == list(range(40))
    assert [accounts.get(name, "USDC") for name in even] == list(range(40))
