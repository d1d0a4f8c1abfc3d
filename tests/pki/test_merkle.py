"""The trees are checked against the recursive definitions of RFC 6962 §2.1, written out here a second time."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import InvalidInput, VerificationFailed
from pki.merkle import (
    EMPTY_ROOT,
    RightEdge,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_at,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# Entries and roots of the test tree that Certificate Transparency implementations share.
CT_ENTRIES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
CT_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(str(index).encode()) for index in range(size)]


class KeptTree:
    """Every node that a growing tree completed, as a database would keep them."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {(0, index): leaf for index, leaf in enumerate(leaves)}
        edge = RightEdge()
        for leaf in leaves:
            for level, position, value in edge.append(leaf):
                assert (level, position) not in self.nodes
                self.nodes[level, position] = value

    def read(self, level: int, position: int) -> bytes:
        return self.nodes[level, position]


def split(size: int) -> int:
    half = 1
    while half * 2 < size:
        half *= 2
    return half


def defined_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + defined_root(leaves[:k]) + defined_root(leaves[k:])).digest()


def defined_path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*defined_path(index, leaves[:k]), defined_root(leaves[k:])]
    return [*defined_path(index - k, leaves[k:]), defined_root(leaves[:k])]


def defined_subproof(old: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [defined_root(leaves)]
    k = split(len(leaves))
    if old <= k:
        return [*defined_subproof(old, leaves[:k], whole=whole), defined_root(leaves[k:])]
    return [*defined_subproof(old - k, leaves[k:], whole=False), defined_root(leaves[:k])]


def test_the_shared_test_tree_has_its_published_roots() -> None:
    leaves = [leaf_hash(bytes.fromhex(entry)) for entry in CT_ENTRIES]
    assert [root_of(leaves[:size]).hex() for size in range(1, 9)] == list(CT_ROOTS)
    assert root_of([]) == EMPTY_ROOT == sha256(b"").digest()


def test_a_leaf_and_a_node_with_the_same_content_hash_differently() -> None:
    left, right = leaves_of(2)
    assert leaf_hash(left + right) != node_hash(left, right)


@given(st.integers(0, 300))
def test_a_kept_tree_has_the_defined_root_at_each_earlier_size(size: int) -> None:
    leaves = leaves_of(size)
    tree = KeptTree(leaves)
    for earlier in {0, size // 3, max(size - 1, 0), size}:
        assert root_at(earlier, tree.read) == defined_root(leaves[:earlier])
    assert len(tree.nodes) == sum(size >> level for level in range(size.bit_length()))


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_tree_taken_up_from_its_nodes_grows_as_if_never_put_down(before: int, after: int) -> None:
    leaves = leaves_of(before + after)
    edge = RightEdge.of(before, KeptTree(leaves[:before]).read)
    whole = KeptTree(leaves)
    for leaf in leaves[before:]:
        for level, position, value in edge.append(leaf):
            assert whole.nodes[level, position] == value
    assert (edge.size, edge.root()) == (len(leaves), defined_root(leaves))


def test_every_inclusion_proof_of_small_trees_is_the_defined_one_and_verifies() -> None:
    for size in range(1, 34):
        leaves = leaves_of(size)
        tree, root = KeptTree(leaves), defined_root(leaves)
        for index, leaf in enumerate(leaves):
            proof = inclusion_proof(index, size, tree.read)
            assert list(proof) == defined_path(index, leaves)
            verify_inclusion(leaf, index, size, proof, root)


def test_every_consistency_proof_of_small_trees_is_the_defined_one_and_verifies() -> None:
    for size in range(1, 34):
        leaves = leaves_of(size)
        tree, root = KeptTree(leaves), defined_root(leaves)
        for old in range(1, size + 1):
            proof = consistency_proof(old, size, tree.read)
            assert list(proof) == defined_subproof(old, leaves, whole=True)
            verify_consistency(old, defined_root(leaves[:old]), size, root, proof)


@st.composite
def spots(draw: st.DrawFn) -> tuple[int, int]:
    size = draw(st.integers(2, 5000))
    return draw(st.integers(0, size - 1)), size


@given(spots(), st.data())
def test_an_altered_inclusion_proof_never_verifies(spot: tuple[int, int], data: st.DataObject) -> None:
    index, size = spot
    leaves = leaves_of(size)
    tree = KeptTree(leaves)
    root, proof = root_at(size, tree.read), inclusion_proof(index, size, tree.read)
    verify_inclusion(leaves[index], index, size, proof, root)
    place = data.draw(st.integers(0, len(proof) - 1))
    changed = bytes([proof[place][0] ^ 1]) + proof[place][1:]
    swapped = (proof[1], proof[0], *proof[2:]) if len(proof) > 1 else (changed,)
    altered = data.draw(
        st.sampled_from(
            [
                (leaves[index], index, size, (*proof[:place], changed, *proof[place + 1 :]), root),
                (leaves[index], index, size, (*proof[:place], *proof[place + 1 :]), root),
                (leaves[index], index, size, (*proof[:place], b"", *proof[place:]), root),
                (leaves[index], index, size, (*proof, proof[-1]), root),
                (leaves[index], index, size, swapped, root),
                (leaves[index], index ^ 1, size, proof, root),
                (leaves[index], size, size, proof, root),
                (leaves[index], -1, size, proof, root),
                (leaves[index ^ 1 if index ^ 1 < size else 0], index, size, proof, root),
                (leaves[index], index, size, proof, leaves[index]),
            ]
        )
    )
    with pytest.raises(VerificationFailed):
        verify_inclusion(*altered)


@given(spots(), st.data())
def test_an_altered_consistency_proof_never_verifies(spot: tuple[int, int], data: st.DataObject) -> None:
    old, size = spot[0] or 1, spot[1]
    tree = KeptTree(leaves_of(size))
    old_root, root = root_at(old, tree.read), root_at(size, tree.read)
    proof = consistency_proof(old, size, tree.read)
    verify_consistency(old, old_root, size, root, proof)
    place = data.draw(st.integers(0, len(proof) - 1))
    changed = proof[place][:-1] + bytes([proof[place][-1] ^ 0x80])
    altered = data.draw(
        st.sampled_from(
            [
                (old, old_root, size, root, (*proof[:place], changed, *proof[place + 1 :])),
                (old, old_root, size, root, (*proof[:place], *proof[place + 1 :])),
                (old, old_root, size, root, (*proof, proof[0])),
                (old, old_root, size, root, (proof[0][:-1], *proof[1:])),
                (old, root, size, root, proof),
                (old, old_root, size, old_root, proof),
                (size, old_root, old, root, proof),
                (old, old_root, size, root, ()),
            ]
        )
    )
    with pytest.raises(VerificationFailed):
        verify_consistency(*altered)


def test_an_inner_node_cannot_pass_for_a_leaf() -> None:
    leaves = leaves_of(4)
    tree = KeptTree(leaves)
    with pytest.raises(VerificationFailed):
        verify_inclusion(tree.read(1, 0), 0, 4, (tree.read(1, 1),), root_of(leaves))


def test_an_octet_moved_from_one_hash_to_its_neighbour_is_seen() -> None:
    left, right = leaves_of(2)
    root = node_hash(left, right)
    with pytest.raises(VerificationFailed):
        verify_inclusion(left + right[:1], 0, 2, (right[1:],), root)
    with pytest.raises(VerificationFailed):
        verify_consistency(1, left + right[:1], 2, root, (right[1:],))


def test_equal_and_empty_trees_are_consistent_without_a_proof_and_only_then() -> None:
    root = root_of(leaves_of(3))
    verify_consistency(3, root, 3, root, ())
    verify_consistency(0, EMPTY_ROOT, 3, root, ())
    for old, old_root, proof in ((3, EMPTY_ROOT, ()), (0, root, ()), (3, root, (root,)), (0, EMPTY_ROOT, (root,))):
        with pytest.raises(VerificationFailed):
            verify_consistency(old, old_root, 3, root, proof)
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())
    with pytest.raises(VerificationFailed):
        verify_consistency(0, EMPTY_ROOT, 0, root, ())


def test_proofs_for_places_outside_the_tree_are_refused() -> None:
    read = KeptTree(leaves_of(3)).read
    for index in (-1, 3):
        with pytest.raises(InvalidInput):
            inclusion_proof(index, 3, read)
    for old, new in ((4, 3), (-1, 3)):
        with pytest.raises(InvalidInput):
            consistency_proof(old, new, read)


@given(st.lists(st.binary(max_size=33), max_size=6), st.integers(-2, 70), st.integers(-2, 70))
def test_verifiers_answer_any_input_with_a_coded_error(hashes: list[bytes], first: int, second: int) -> None:
    with pytest.raises(VerificationFailed):
        verify_inclusion(bytes(32), first, second, hashes, bytes(32))
    with pytest.raises(VerificationFailed):
        verify_consistency(first, bytes(32), second, b"\1" * 32, hashes)
