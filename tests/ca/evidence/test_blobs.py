from __future__ import annotations

from hashlib import sha256
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.evidence.blobs import MAX_OCTETS, read_blob
from pki.errors import InvalidInput
from tests.ca.evidence.conftest import JPEG, PDF, PNG


@pytest.mark.parametrize(("scan", "media_type"), [(PDF, "application/pdf"), (JPEG, "image/jpeg"), (PNG, "image/png")])
def test_a_scan_is_known_by_its_first_octets(scan: bytes, media_type: str) -> None:
    assert read_blob(BytesIO(scan), sha256(scan).digest()) == (media_type, scan)


class Dripping(BytesIO):
    """A sender whose octets come one by one."""

    def read(self, _size: int | None = -1, /) -> bytes:
        return super().read(1)


@pytest.mark.parametrize("scan", [PDF, JPEG, PNG])
def test_a_scan_that_comes_in_small_pieces_is_known_too(scan: bytes) -> None:
    assert read_blob(Dripping(scan), sha256(scan).digest())[1] == scan


def refused(data: bytes, digest: bytes) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as refusal:
        read_blob(BytesIO(data), digest)
    return str(refusal.value.code), refusal.value.reason


@pytest.mark.parametrize("data", [b"<html>", b"PK\x03\x04", b"%PDF", b"\xff\xd8", b" %PDF-1.7", b"\x89PNG\n"])
def test_anything_else_is_refused_also_by_its_right_digest(data: bytes) -> None:
    assert refused(data, sha256(data).digest()) == ("input-format-unknown", "evidence.type-unknown")


def test_nothing_is_no_scan() -> None:
    assert refused(b"", sha256(b"").digest())[0] == "input-empty"


@given(st.binary(max_size=200_000), st.binary(min_size=32, max_size=32))
def test_other_octets_than_those_that_are_named_are_refused(rest: bytes, digest: bytes) -> None:
    assert refused(PDF + rest, digest) == ("input-malformed", "evidence.digest-differs")


class Endless:
    """A sender who never stops."""

    def __init__(self) -> None:
        self.sent = 0

    def read(self, size: int, /) -> bytes:
        self.sent += size
        return PDF.ljust(size, b"x")


def test_of_an_endless_sender_no_more_is_taken_than_a_scan_may_have() -> None:
    sender = Endless()
    with pytest.raises(InvalidInput) as refusal:
        read_blob(sender, bytes(32))
    assert refusal.value.reason == "evidence.too-large"
    assert sender.sent <= MAX_OCTETS + 128 * 1024


def test_a_scan_of_exactly_five_mebibytes_is_taken_and_one_octet_more_is_not() -> None:
    most = PDF.ljust(MAX_OCTETS, b"x")
    assert read_blob(BytesIO(most), sha256(most).digest()) == ("application/pdf", most)
    more = most + b"x"
    assert refused(more, sha256(more).digest())[1] == "evidence.too-large"
