"""Scans as they come in: of a known type, not too large, and the very octets that a digest names."""

from hashlib import sha256
from hmac import compare_digest
from typing import Final, Protocol

from pki.errors import ErrorCode, InvalidInput

MAX_OCTETS: Final = 5 * 1024 * 1024
MAX_OCTETS_OF_FILE: Final = 20 * 1024 * 1024
_PIECE: Final = 64 * 1024
_MAGIC: Final = {b"%PDF-": "application/pdf", b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
_TELLING: Final = max(map(len, _MAGIC))
MEDIA_TYPES: Final = tuple(_MAGIC.values())


class Reader(Protocol):
    """Where octets come from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` octets, none at the end."""
        ...


def media_type_of(data: bytes) -> str:
    """Tell the media type by the first octets; InvalidInput (`input-format-unknown`)."""
    for magic, media_type in _MAGIC.items():
        if data.startswith(magic):
            return media_type
    raise InvalidInput(ErrorCode.INPUT_FORMAT_UNKNOWN, "evidence is PDF, JPEG or PNG", reason="evidence.type-unknown")


def read_blob(source: Reader, digest: bytes) -> tuple[str, bytes]:
    """Read a scan to its end; return its media type and octets.

    No more is read than a scan may have. InvalidInput: `input-empty`, `input-format-unknown` as soon as enough is here
    to tell, `input-too-large`, and `input-malformed` where its SHA-256 is not `digest`.
    """
    hashed, pieces, octets = sha256(), list[bytes](), 0
    media_type = ""
    while piece := source.read(_PIECE):
        octets += len(piece)
        if octets > MAX_OCTETS:
            raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "evidence has at most 5 MiB", reason="evidence.too-large")
        hashed.update(piece)
        pieces.append(piece)
        if not media_type and octets >= _TELLING:
            media_type = media_type_of(b"".join(pieces))
    if not pieces:
        raise InvalidInput(ErrorCode.INPUT_EMPTY)
    if not media_type:
        media_type = media_type_of(b"".join(pieces))
    if not compare_digest(hashed.digest(), digest):
        detail = "these are not the octets that the file names"
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail, reason="evidence.digest-differs")
    return media_type, b"".join(pieces)
