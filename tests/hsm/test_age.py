"""Files in the age format: what another program encrypted is read, what is changed anywhere is refused."""

from __future__ import annotations

import base64
import secrets
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.age.header import Stanza, read_header, unwrap, write_header
from hsm.age.keys import Identity, Recipient
from hsm.age.stream import PIECE_OCTETS, SealedReader, SealedWriter
from pki.errors import InvalidInput, ServiceError, VerificationFailed

# Of age 1.1.1: its key generator, and what it made of one line for that key.
RECIPIENT = "age1gfmly4v3zrqyfy9hvsk6z8alms59jxyxg0ypcp44nyzhlwkagafsrh8tjc"
IDENTITY = f"""# created: 2026-11-23T03:38:10Z
# public key: {RECIPIENT}
AGE-SECRET-KEY-1J5UXNH23PJPYF0HP86GAPVRCMJ9KS0Z9ZKRZSDR7PS425FXHC2NSMRGKJV
"""
FOREIGN = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBDeW8zUXpLYlc2bW82SjA0Q1JQVU5YOWZxTXlnV2prNnBzdmJUVUhwWVcw"
    "Cng5NnQraEVmSE54VTNNbmEwUGtBLyt5MnlaSE00Y01BNzNvVFRGSjVRaFkKLS0tIDA3YkJBWVVFeDFtTWM2NWFmbEtSanBmNTR5"
    "eHdNZEl6em8rZEExcG9lUWMKz9MZ03eVZvgzzIZtIIGzjI1oTAPtHqQ/fq/c6mp2fmt+fOH4ckqKGBk37zk090HfnteZzgoULwYo"
    "8Q=="
)
NOTE = Stanza("a-note", ("of", "ours"), bytes(48) + b"48 octets end a line")


def sealed(data: bytes, recipient: Recipient, *notes: Stanza) -> bytes:
    file, file_key = BytesIO(), secrets.token_bytes(16)
    file.write(write_header(file_key, recipient, notes, secrets.token_bytes))
    writer = SealedWriter(file, file_key, secrets.token_bytes)
    for start in range(0, len(data), 50_000):
        writer.write(data[start : start + 50_000])
    writer.finish()
    return file.getvalue()


def opened(data: bytes, identity: Identity, at_once: int = 10_000) -> bytes:
    file = BytesIO(data)
    reader = SealedReader(file, unwrap(read_header(file), identity))
    found = b""
    while piece := reader.read(at_once):
        found += piece
    return found


def test_what_another_program_encrypted_is_read() -> None:
    identity = Identity.parse(IDENTITY)
    assert str(identity.recipient) == RECIPIENT
    assert Recipient.parse(RECIPIENT) == identity.recipient
    assert opened(FOREIGN, identity) == b"a backup of a small house\n"
    assert "AGE-SECRET" not in repr(identity)


@given(
    size=st.sampled_from([0, 1, PIECE_OCTETS - 1, PIECE_OCTETS, PIECE_OCTETS + 1, 2 * PIECE_OCTETS, 200_001]),
    at_once=st.integers(1000, 150_000),
)
def test_what_is_written_is_read_in_any_portions(size: int, at_once: int) -> None:
    identity = Identity(bytearray(secrets.token_bytes(32)))
    data = secrets.token_bytes(size)
    made = sealed(data, identity.recipient, NOTE)
    assert opened(made, identity, at_once) == data
    assert read_header(BytesIO(made)).note("a-note") == NOTE.body


SMALL = sealed(b"x" * 100, Identity.parse(IDENTITY).recipient, NOTE)


@given(place=st.integers(0, len(SMALL) - 1), flip=st.integers(1, 255))
def test_an_octet_that_was_changed_is_never_read(place: int, flip: int) -> None:
    changed = bytearray(SMALL)
    changed[place] ^= flip
    with pytest.raises(ServiceError):
        opened(bytes(changed), Identity.parse(IDENTITY))


@given(kept=st.integers(0, len(SMALL) - 1))
def test_a_file_that_is_cut_short_is_never_read(kept: int) -> None:
    with pytest.raises(ServiceError):
        opened(SMALL[:kept], Identity.parse(IDENTITY))


@pytest.mark.parametrize("pieces", [1, 2])
def test_whole_pieces_that_are_missing_or_follow_twice_are_missed(pieces: int) -> None:
    identity = Identity.parse(IDENTITY)
    made = sealed(b"x" * 3 * PIECE_OCTETS, identity.recipient)
    sealed_piece = PIECE_OCTETS + 16
    for wrong in (made[: -pieces * sealed_piece], made + made[-pieces * sealed_piece :]):
        with pytest.raises(VerificationFailed):
            opened(wrong, identity)


@given(st.binary(max_size=300).map(lambda octets: b"age-encryption.org/v1\n" + octets))
def test_no_octets_bring_a_reader_down(octets: bytes) -> None:
    with pytest.raises(ServiceError):
        opened(octets, Identity.parse(IDENTITY))


def test_another_key_opens_nothing() -> None:
    with pytest.raises(VerificationFailed, match="not encrypted to this key"):
        opened(SMALL, Identity(bytearray(secrets.token_bytes(32))))


@pytest.mark.parametrize(
    "wrong", ["", "age1", RECIPIENT[:-1], RECIPIENT.replace("q", "p"), RECIPIENT.title(), "b" * 999]
)
def test_a_key_that_is_mistyped_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput):
        Recipient.parse(wrong)
    with pytest.raises(InvalidInput):
        Identity.parse(wrong)
