import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.merkle import (
    EMPTY_ROOT,
    Frontier,
    Tree,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)


def reference_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word for word and slow."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(reference_root(leaves[:split]), reference_root(leaves[split:]))


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def test_the_empty_tree_has_the_hash_of_nothing_as_root():
    assert Tree().root() == EMPTY_ROOT
    assert Tree().root().hex().startswith("e3b0c442")


@given(st.integers(0, 70), st.data())
def test_the_root_of_every_earlier_size_is_that_of_the_definition(count, data):
    leaves = leaves_of(count)
    cut = data.draw(st.integers(0, count))
    tree = Tree(leaves[:cut])
    tree.extend(leaves[cut:])
    size = data.draw(st.integers(0, count))
    assert tree.root(size) == reference_root(leaves[:size])


@given(st.integers(1, 70), st.data())
def test_every_leaf_can_be_shown_and_no_other_leaf_index_size_or_root_can(count, data):
    tree = Tree(leaves_of(count))
    size = data.draw(st.integers(1, count))
    index = data.draw(st.integers(0, size - 1))
    proof, leaf, root = tree.inclusion_proof(index, size), tree.leaf(index), tree.root(size)
    assert verify_inclusion(leaf, index, size, proof, root)
    assert not verify_inclusion(leaf_hash(b"other"), index, size, proof, root)
    assert not verify_inclusion(leaf, index, size, (*proof, root), root)
    assert not verify_inclusion(leaf, index, size, proof, leaf_hash(b"other"))
    for other in range(size):
        assert verify_inclusion(leaf, other, size, proof, root) == (other == index)


@given(st.integers(0, 70), st.data())
def test_every_earlier_tree_is_shown_to_be_the_beginning_of_the_later(count, data):
    tree = Tree(leaves_of(count))
    size = data.draw(st.integers(0, count))
    earlier = data.draw(st.integers(0, size))
    proof = tree.consistency_proof(earlier, size)
    assert verify_consistency(earlier, size, proof, tree.root(earlier), tree.root(size))
    forged = Tree([leaf_hash(b"forged"), *leaves_of(count)[1:]])
    if earlier:
        assert not verify_consistency(earlier, size, proof, forged.root(earlier), tree.root(size))
    if 0 < earlier < size:
        assert not verify_consistency(earlier, size, proof[:-1], tree.root(earlier), tree.root(size))


def test_a_hash_of_another_length_is_never_accepted():
    tree = Tree(leaves_of(2))
    proof = tree.inclusion_proof(0)
    assert not verify_inclusion(tree.leaf(0), 0, 2, (proof[0] + b"\0",), tree.root())
    assert not verify_inclusion(tree.leaf(0)[:-1], 0, 2, proof, tree.root())


@given(sizes=st.lists(st.integers(0, 40), max_size=6))
def test_a_frontier_has_the_root_of_the_whole_tree_at_every_size(sizes: list[int]) -> None:
    frontier, tree = Frontier(), Tree()
    for size in sizes:
        leaves = [leaf_hash(f"{len(tree)} {number}".encode()) for number in range(size)]
        frontier.extend(leaves)
        tree.extend(leaves)
        frontier = Frontier(frontier.size, frontier.peaks)
        assert (frontier.size, frontier.root()) == (len(tree), tree.root())


@pytest.mark.parametrize(("size", "peaks"), [(1, 0), (3, 1), (0, 1), (-1, 0)])
def test_a_frontier_has_one_peak_for_each_bit_of_its_size(size: int, peaks: int) -> None:
    with pytest.raises(ValueError, match="peaks"):
        Frontier(size, [bytes(32)] * peaks)
