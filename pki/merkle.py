"""Merkle trees of RFC 6962 §2.1 and RFC 9162 §2.1: hashing, growing, inclusion and consistency proofs.

A tree is known by its perfect subtrees: node (level, position) is the root over leaves
`position << level` up to `(position + 1) << level`; level 0 are the leaf hashes. Such a node never changes,
so proofs are made by reading O(log n) of them through a `NodeReader`, wherever they are kept.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from pki.errors import ErrorCode, InvalidInput, VerificationFailed

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

NodeReader = Callable[[int, int], bytes]
"""Return the hash of node (level, position); raises when that node is not kept."""


class TreeNode(NamedTuple):
    """The root of a perfect subtree."""

    level: int
    position: int
    hash: bytes


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry into its leaf (RFC 6962 §2.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtree roots into their parent (RFC 6962 §2.1)."""
    return sha256(b"\x01" + left + right).digest()


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Join subtree roots, largest first, into the root over all of them."""
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


class RightEdge:
    """A growing tree, reduced to the perfect subtrees along its right edge: O(log n) memory and work per leaf."""

    __slots__ = ("_hashes", "size")

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []

    @classmethod
    def of(cls, size: int, read: NodeReader) -> "RightEdge":
        """Take up a kept tree of `size` leaves."""
        edge = cls()
        edge.size = size
        edge._hashes = [read(level, position) for level, position in _cover(0, size)]
        return edge

    def append(self, leaf: bytes) -> list[TreeNode]:
        """Add a leaf hash; return the nodes of level 1 and above that it completes, lowest first."""
        completed, level, position, root = [], 0, self.size, leaf
        while position & 1:
            root = node_hash(self._hashes.pop(), root)
            level, position = level + 1, position >> 1
            completed.append(TreeNode(level, position, root))
        self._hashes.append(root)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Return the root over every leaf so far."""
        return _fold(self._hashes) if self._hashes else EMPTY_ROOT


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over a list of leaf hashes."""
    edge = RightEdge()
    for leaf in leaves:
        edge.append(leaf)
    return edge.root()


def root_at(size: int, read: NodeReader) -> bytes:
    """Return the root that a kept tree had when it held `size` leaves."""
    return RightEdge.of(size, read).root()


def _cover(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Name the perfect subtrees over leaves `begin..end`; `begin` is aligned to the largest of them."""
    while begin < end:
        level = (end - begin).bit_length() - 1
        yield level, begin >> level
        begin += 1 << level


def _range_root(begin: int, end: int, read: NodeReader) -> bytes:
    return _fold([read(level, position) for level, position in _cover(begin, end)])


def _middle(begin: int, end: int) -> int:
    """Split a range as RFC 6962 §2.1 does: the left part is the largest power of two below its length."""
    return begin + (1 << (end - begin - 1).bit_length() - 1)


def inclusion_proof(index: int, size: int, read: NodeReader) -> tuple[bytes, ...]:
    """Prove that leaf `index` is in the tree of `size` leaves (RFC 9162 §2.1.3.1); lowest sibling first."""
    if not 0 <= index < size:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"no leaf {index} in a tree of {size}")
    siblings: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = _middle(begin, end)
        if index < middle:
            siblings.append(_range_root(middle, end, read))
            end = middle
        else:
            siblings.append(_range_root(begin, middle, read))
            begin = middle
    return tuple(reversed(siblings))


def consistency_proof(old_size: int, new_size: int, read: NodeReader) -> tuple[bytes, ...]:
    """Prove that the tree of `new_size` leaves begins with that of `old_size` (RFC 9162 §2.1.4.1).

    Empty when the sizes are equal or the old tree is empty.
    """
    if not 0 <= old_size <= new_size:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"no tree grows from {old_size} to {new_size} leaves")
    if old_size == 0:
        return ()
    proof: list[bytes] = []
    begin, end = 0, new_size
    while old_size != end:
        middle = _middle(begin, end)
        if old_size <= middle:
            proof.append(_range_root(middle, end, read))
            end = middle
        else:
            proof.append(_range_root(begin, middle, read))
            begin = middle
    if begin:
        proof.append(_range_root(begin, end, read))
    return tuple(reversed(proof))


def _failed(reason: str) -> VerificationFailed:
    return VerificationFailed(ErrorCode.VERIFICATION_FAILED, reason)


def _check_sizes(hashes: Iterable[bytes]) -> None:
    # Hashes of other lengths could be cut differently and still concatenate to the same node.
    if any(len(value) != HASH_SIZE for value in hashes):
        raise _failed("a hash of the proof is not 32 octets")


def _is_right_or_last(index: int, last: int) -> bool:
    return bool(index & 1) or index == last


def _climb(index: int, last: int) -> tuple[int, int]:
    """Go up past the levels where a last node has no sibling."""
    while index and not index & 1:
        index, last = index >> 1, last >> 1
    return index, last


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that `leaf` is leaf `index` of the tree of `size` leaves under `root` (RFC 9162 §2.1.3.2).

    VerificationFailed when it is not.
    """
    if not 0 <= index < size:
        raise _failed("the leaf lies outside the tree")
    _check_sizes((leaf, root, *proof))
    last = size - 1
    for sibling in proof:
        if last == 0:
            raise _failed("the inclusion proof is too long")
        if _is_right_or_last(index, last):
            leaf = node_hash(sibling, leaf)
            index, last = _climb(index, last)
        else:
            leaf = node_hash(leaf, sibling)
        index, last = index >> 1, last >> 1
    if last or leaf != root:
        raise _failed("the inclusion proof does not lead to the root")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree under `new_root` begins with the one under `old_root` (RFC 9162 §2.1.4.2).

    VerificationFailed when it does not.
    """
    if not 0 <= old_size <= new_size:
        raise _failed("the tree shrank")
    _check_sizes((old_root, new_root, *proof))
    if old_size in (0, new_size):
        expected = new_root if old_size else EMPTY_ROOT
        if proof or old_root != expected or (new_size == 0 and new_root != EMPTY_ROOT):
            raise _failed("the roots differ")
        return
    index, last = old_size - 1, new_size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    # An old tree that is one perfect subtree is its own first node.
    nodes = iter((old_root, *proof) if old_size & (old_size - 1) == 0 else proof)
    old = new = next(nodes, b"")
    for sibling in nodes:
        if last == 0:
            raise _failed("the consistency proof is too long")
        if _is_right_or_last(index, last):
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            index, last = _climb(index, last)
        else:
            new = node_hash(new, sibling)
        index, last = index >> 1, last >> 1
    if last or old != old_root or new != new_root:
        raise _failed("the consistency proof does not join the two roots")
