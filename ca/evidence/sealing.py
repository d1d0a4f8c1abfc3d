"""Scans are stored sealed: AES-256-GCM (NIST SP 800-38D), bound to their file and digest.

The key lies outside of the database, so that neither a copy of the database nor one of its disks shows a scan.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pki.errors import ErrorCode, Unavailable

KEY_OCTETS: Final = 32
_NONCE_OCTETS: Final = 12
_KEY_ID_OCTETS: Final = 8
_FORM: Final = b"mohr evidence v1"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed scan, and by which key."""

    key_id: bytes
    data: bytes = field(repr=False)


class Sealer(Protocol):
    """Seals scans and opens them."""

    def seal(self, data: bytes, file_id: str, digest: bytes) -> Sealed:
        """Seal a scan; Unavailable without a key."""
        ...

    def open(self, sealed: Sealed, file_id: str, digest: bytes) -> bytes:
        """Return the scan; Unavailable without its key, or where it was changed."""
        ...


class KeySealer:
    """Seals by one key, which `key` hands over when it is needed."""

    def __init__(self, key: Callable[[], bytes], *, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._key, self._random_bytes = key, random_bytes

    def seal(self, data: bytes, file_id: str, digest: bytes) -> Sealed:
        """Seal a scan under a nonce of its own, which goes before it."""
        key, nonce = self._key(), self._random_bytes(_NONCE_OCTETS)
        return Sealed(_id_of(key), nonce + AESGCM(key).encrypt(nonce, data, _context(file_id, digest)))

    def open(self, sealed: Sealed, file_id: str, digest: bytes) -> bytes:
        """Return the scan; Unavailable (`unavailable`) where another key sealed it, or it was changed."""
        key = self._key()
        if sealed.key_id != _id_of(key):
            raise Unavailable(ErrorCode.UNAVAILABLE, "the evidence is sealed by another key than this deployment's")
        nonce, data = sealed.data[:_NONCE_OCTETS], sealed.data[_NONCE_OCTETS:]
        try:
            return AESGCM(key).decrypt(nonce, data, _context(file_id, digest))
        except (InvalidTag, ValueError) as error:
            raise Unavailable(ErrorCode.UNAVAILABLE, "the evidence was changed where it is stored") from error


def _id_of(key: bytes) -> bytes:
    return sha256(_FORM + key).digest()[:_KEY_ID_OCTETS]


def _context(file_id: str, digest: bytes) -> bytes:
    return b"\0".join((_FORM, file_id.encode(), digest))
