"""The printed prescription code: COSE_Sign1 (RFC 9052) over CWT claims, deflated, as Base45 behind a prefix.

What emitter and parser must agree on. `IRX1:` is this project's; `HC1:` is the same wrapping of others.
"""

import hashlib
import zlib
from typing import Final

from pki import base45, cbor
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput

PREFIX: Final = b"IRX1:"
PREFIXES: Final = (PREFIX, b"HC1:")
MAX_TEXT: Final = 16 * 1024  # a QR code holds 4,296 characters (ISO/IEC 18004 table 7)
MAX_COSE: Final = 64 * 1024

COSE_SIGN1: Final = 18
CWT: Final = 61  # RFC 8392 §6

# Header parameters (RFC 9052 §3.1, RFC 9597, RFC 9360, RFC 9596)
ALG: Final = 1
CRIT: Final = 2
CONTENT_TYPE: Final = 3
KID: Final = 4
CWT_CLAIMS: Final = 15
TYP: Final = 16
X5BAG: Final = 32
X5CHAIN: Final = 33
X5T: Final = 34
X5U: Final = 35

# Claims (RFC 8392 §4); below -65536 is for private use
EXP: Final = 4
NBF: Final = 5
IAT: Final = 6
CTI: Final = 7
PRESCRIPTION: Final = -65537
DOCUMENT_SHA256: Final = 1  # within PRESCRIPTION
ITEMS: Final = 2


def key_id(certificate: Certificate) -> bytes:
    """Return the `kid` that names a certificate: the first eight octets of its SHA-256."""
    return certificate.sha256[:8]


def document_id(document: bytes) -> bytes:
    """Return the 16 octets that name a prescription: one document has one id, however often it is signed."""
    return hashlib.sha256(b"prescription:" + document).digest()[:16]


def signature_input(protected: bytes, payload: bytes) -> bytes:
    """Return the octets that a COSE_Sign1 signature covers (RFC 9052 §4.4), without external data."""
    return cbor.encode(["Signature1", protected, b"", payload])


def to_text(cose: bytes) -> bytes:
    """Wrap a COSE_Sign1 as the text of a QR code."""
    return PREFIX + base45.encode(zlib.compress(cose, 9))


def from_text(text: bytes) -> bytes:
    """Return the COSE_Sign1 in the text of a QR code; InvalidInput when it is none, or swells beyond `MAX_COSE`."""
    if len(text) > MAX_TEXT:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"a code of more than {MAX_TEXT} characters")
    prefix = next((prefix for prefix in PREFIXES if text.startswith(prefix)), None)
    if prefix is None:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a code without its prefix")
    inflating = zlib.decompressobj()
    try:
        data = inflating.decompress(base45.decode(text[len(prefix) :]), MAX_COSE)
    except zlib.error as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a code that is not deflated") from error
    if not inflating.eof or inflating.unused_data:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a code that swells too far, breaks off or goes on after its end")
    return data
