"""What all codes have in common: groups for people's eyes, and a salted digest (scrypt, RFC 7914) in their place."""

import hashlib
from typing import Final

SALT_OCTETS: Final = 16
COST: Final = 1 << 12
MAX_TYPED: Final = 64

_GROUP: Final = 4
_BLOCK: Final = 8


def grouped(code: str) -> str:
    """Write a code in groups of four, for people."""
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))


def salted_digest(secret: str, salt: bytes, cost: int) -> bytes:
    """Return the digest of what is secret of codes; `cost` is scrypt's N."""
    return hashlib.scrypt(secret.encode(), salt=salt, n=cost, r=_BLOCK, p=1, dklen=32)
