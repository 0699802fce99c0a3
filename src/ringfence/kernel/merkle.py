"""The append-only Merkle tree of RFC 6962 (section 2.1): roots, inclusion and consistency proofs.

A leaf hashes as SHA-256(0x00 | data), an inner node as SHA-256(0x01 | left | right), so a leaf can never be
taken for a node. `Tree` keeps every complete inner node (64 bytes a leaf in all), which makes the root of any
earlier size and every proof a matter of log2(size) look-ups. The two `verify_*` functions need nothing but
the proof; they are what a client or an auditor runs.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash the data of one leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children into their parent."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree over leaf hashes; `levels[k]` holds the roots of its complete subtrees of 2^k leaves."""

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        self.extend(leaf_hashes)

    def __len__(self) -> int:
        return len(self._levels[0]) // HASH_SIZE

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Append leaves by their hashes and complete every subtree that can be completed."""
        self._levels[0] += b"".join(leaf_hashes)
        height = 0
        while len(self._levels[height]) // HASH_SIZE > 1:
            if height + 1 == len(self._levels):
                self._levels.append(bytearray())
            self._complete(self._levels[height], self._levels[height + 1])
            height += 1

    @staticmethod
    def _complete(children: bytearray, parents: bytearray) -> None:
        done = 2 * len(parents)
        ready = len(children) - len(children) % (2 * HASH_SIZE)
        view = bytes(children[done:ready])
        pair = 2 * HASH_SIZE
        parents += b"".join(
            sha256(b"\x01" + view[at : at + pair]).digest() for at in range(0, len(view), pair)
        )

    def leaf(self, index: int) -> bytes:
        """Return the hash of the leaf at `index` (0 is the first)."""
        return self._complete_root(0, index)

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves (all of them by default)."""
        size = self._checked_size(size)
        return self._range_root(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the audit path of leaf `index` in the tree of the first `size` leaves, lowest node first."""
        size = self._checked_size(size)
        if not 0 <= index < size:
            raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
        return tuple(self._path(index, 0, size))

    def consistency_proof(self, earlier: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that the tree of `earlier` leaves is the beginning of one of `size` leaves."""
        size = self._checked_size(size)
        if not 0 <= earlier <= size:
            raise ValueError(f"a tree of {earlier} leaves is not earlier than one of {size}")
        if earlier in (0, size):
            return ()
        return tuple(self._consistency(earlier, 0, size, whole=True))

    def _checked_size(self, size: int | None) -> int:
        size = len(self) if size is None else size
        if not 0 <= size <= len(self):
            raise ValueError(f"the tree has {len(self)} leaves, and {size} were asked for")
        return size

    def _complete_root(self, height: int, index: int) -> bytes:
        return bytes(self._levels[height][index * HASH_SIZE : (index + 1) * HASH_SIZE])

    def _range_root(self, start: int, end: int) -> bytes:
        size = end - start
        if size & (size - 1) == 0:
            return self._complete_root(size.bit_length() - 1, start // size)
        middle = start + _split(size)
        return node_hash(self._range_root(start, middle), self._range_root(middle, end))

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._range_root(middle, end)]
        return [*self._path(index, middle, end), self._range_root(start, middle)]

    def _consistency(self, earlier: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if earlier == end:
            return [] if whole else [self._range_root(start, end)]
        middle = start + _split(end - start)
        if earlier <= middle:
            rest = self._consistency(earlier, start, middle, whole=whole)
            return [*rest, self._range_root(middle, end)]
        rest = self._consistency(earlier, middle, end, whole=False)
        return [*rest, self._range_root(start, middle)]


class Frontier:
    """A growing tree of which only the roots of its largest complete subtrees are kept: enough for its root.

    size: leaves so far; peaks: those roots, the largest subtree first, one for each bit of `size`.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count() or not _are_hashes(peaks):
            raise ValueError(
                f"a tree of {size} leaves has {size.bit_count()} peaks, and {len(peaks)} were given"
            )
        self.size = size
        self._peaks = list(peaks)

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, the largest first."""
        return tuple(self._peaks)

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Append leaves by their hashes."""
        nodes = list(leaf_hashes)
        size, self.size = self.size, self.size + len(nodes)
        alone: list[bytes] = []
        while nodes:
            if size & 1:
                nodes.insert(0, self._peaks.pop())
            if len(nodes) & 1:
                alone.append(nodes.pop())
            pairs = zip(nodes[::2], nodes[1::2], strict=True)
            nodes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
            size >>= 1
        self._peaks += reversed(alone)

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root, *left = reversed(self._peaks)
        for peak in left:
            root = node_hash(peak, root)
        return root


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Say whether `proof` shows that `leaf` (a hash) stands at `index` in the tree of `size` with `root`.

    The algorithm of RFC 9162, section 2.1.3.2: the path is folded from the leaf upward, and its length must
    be exactly the one that the index and the size ask for.
    """
    return _are_hashes([root]) and root_over(leaf, index, size, proof) == root


def root_over(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """Return the root that a leaf and its inclusion proof lead to; None where they lead nowhere."""
    if not 0 <= index < size or not _are_hashes([leaf, *proof]):
        return None
    position, last, folded = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if position & 1 or position == last:
            folded = node_hash(sibling, folded)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            folded = node_hash(folded, sibling)
        position, last = position >> 1, last >> 1
    return folded if last == 0 else None


def verify_consistency(
    earlier_size: int, size: int, proof: Sequence[bytes], earlier_root: bytes, root: bytes
) -> bool:
    """Say whether `proof` shows that the earlier tree is the beginning of the later (RFC 9162, 2.1.4.2)."""
    if not 0 <= earlier_size <= size or not _are_hashes([earlier_root, root, *proof]):
        return False
    if earlier_size == size:
        return not proof and earlier_root == root
    if earlier_size == 0:
        return not proof and earlier_root == EMPTY_ROOT
    path = list(proof)
    if earlier_size & (earlier_size - 1) == 0:
        path.insert(0, earlier_root)
    return bool(path) and _folds_to(earlier_size, size, path, earlier_root, root)


def _folds_to(earlier_size: int, size: int, path: list[bytes], earlier_root: bytes, root: bytes) -> bool:
    position, last = earlier_size - 1, size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    earlier = later = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            earlier = node_hash(sibling, earlier)
            later = node_hash(sibling, later)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            later = node_hash(later, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and earlier == earlier_root and later == root


def _split(size: int) -> int:
    """Return the largest power of two below `size` (which is at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def _are_hashes(values: Iterable[bytes]) -> bool:
    return all(len(value) == HASH_SIZE for value in values)
