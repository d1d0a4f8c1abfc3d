from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import ErrorCode, InvalidInput, ServiceError, VerificationFailed
from pki.merkle import RightEdge, inclusion_proof, leaf_hash
from pki.notes import Checkpoint, sign_checkpoint
from storage.ledger_entries import entry_of, event_json
from storage.ledger_proof import MAX_PROOF_OCTETS, LedgerProof, parse_proof, verify_proof
from tests.storage.story import KEY, ORIGIN, PUBLIC, SealKey

SALT = b"s" * 16
SIZE, SEQ = 11, 6


def event_numbered(number: int) -> bytes:
    return event_json(
        event_id=f"e{number}", at="2026-11-22T09:00:00.000000Z", action="x", actor="a", subject="s", facts="{}"
    )


def build_proof() -> LedgerProof:
    edge, nodes = RightEdge(), {}
    for number in range(SIZE):
        leaf = leaf_hash(entry_of(event_numbered(number), SALT))
        nodes[0, number] = leaf
        nodes.update({(node.level, node.position): node.hash for node in edge.append(leaf)})
    note = sign_checkpoint(Checkpoint(origin=ORIGIN, size=SIZE, root=edge.root()), KEY)
    hashes = inclusion_proof(SEQ, SIZE, lambda level, position: nodes[level, position])
    return LedgerProof(event=event_numbered(SEQ), salt=SALT, seq=SEQ, hashes=hashes, checkpoint=note)


PROOF = build_proof()


def test_a_proof_survives_its_journey_and_names_the_checkpoint() -> None:
    received = parse_proof(json.dumps(PROOF.as_json()).encode())
    assert received == PROOF
    assert verify_proof(received, PUBLIC, ORIGIN).size == SIZE


@pytest.mark.parametrize(
    "altered",
    [
        replace(PROOF, event=event_numbered(SEQ + 1)),
        replace(PROOF, event=PROOF.event.replace(b'"a"', b'"b"')),
        replace(PROOF, salt=b"t" * 16),
        replace(PROOF, seq=SEQ + 1),
        replace(PROOF, seq=SIZE),
        replace(PROOF, seq=-1),
        replace(PROOF, hashes=PROOF.hashes[:-1]),
        replace(PROOF, hashes=(*PROOF.hashes, bytes(32))),
        replace(PROOF, hashes=PROOF.hashes[::-1]),
        replace(PROOF, checkpoint=PROOF.checkpoint.replace("\n11\n", "\n12\n")),
        replace(
            PROOF, checkpoint=sign_checkpoint(Checkpoint(origin=ORIGIN, size=SIZE, root=bytes(32)), SealKey(b"x" * 32))
        ),
    ],
)
def test_a_proof_with_anything_exchanged_does_not_hold(altered: LedgerProof) -> None:
    with pytest.raises(VerificationFailed):
        verify_proof(altered, PUBLIC, ORIGIN)


def test_a_proof_of_another_ledger_or_key_does_not_hold() -> None:
    with pytest.raises(VerificationFailed):
        verify_proof(PROOF, PUBLIC, "ledger.example/other")
    with pytest.raises(VerificationFailed):
        verify_proof(PROOF, SealKey(b"x" * 32).public_key(), ORIGIN)


GOOD = PROOF.as_json()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        json.dumps({**GOOD, "v": 2}).encode(),
        json.dumps({**GOOD, "seq": "6"}).encode(),
        json.dumps({**GOOD, "seq": True}).encode(),
        json.dumps({**GOOD, "salt": "=="}).encode(),
        json.dumps({**GOOD, "hashes": [1]}).encode(),
        json.dumps({**GOOD, "checkpoint": None}).encode(),
        json.dumps({**GOOD, "more": 1}).encode(),
        json.dumps({name: value for name, value in GOOD.items() if name != "checkpoint"}).encode(),
    ],
)
def test_a_malformed_proof_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_proof(data)


def test_a_proof_of_unreasonable_size_is_refused_unread() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_proof(b"[" * (MAX_PROOF_OCTETS + 1))
    assert caught.value.code is ErrorCode.INPUT_TOO_LARGE


@given(st.data())
def test_no_changed_octet_of_a_proof_passes_as_another_proof(data: st.DataObject) -> None:
    text = bytearray(json.dumps(GOOD).encode())
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        received = parse_proof(bytes(text))
        verify_proof(received, PUBLIC, ORIGIN)
    except ServiceError:
        return
    assert received == PROOF  # white space, or an escape that says the same


@given(
    st.binary(max_size=100)
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_the_reader_of_proofs_never_raises_anything_but_ours(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_proof(data)
