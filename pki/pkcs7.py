"""Certificates as EST carries them: a SignedData that signs nothing (RFC 5652 §5, RFC 7030 §4.1.3), in base64.

The base64 of bodies is RFC 8951 §3.1's: line breaks may stand anywhere, nothing else may, and no header is asked.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Final

from pki import der, oids
from pki.errors import ErrorCode, InvalidInput

_VERSION: Final = 1  # RFC 5652 §5.1: neither other certificate formats nor attribute certificates inside
_LINE: Final = 64
_CERTIFICATES: Final = 0xA0


def certs_only(certificates: Iterable[bytes]) -> bytes:
    """Wrap certificates (DER) in a degenerate SignedData: no content, no signers."""
    signed = der.sequence(
        der.integer(_VERSION),
        der.set_of(()),
        der.sequence(der.oid(oids.CMS_DATA)),
        der.context(0, *sorted(certificates)),
        der.set_of(()),
    )
    return der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, signed))


def read_certs_only(data: bytes) -> tuple[bytes, ...]:
    """Return the certificates (DER) in a SignedData, whatever else it holds; InvalidInput where there are none."""
    try:
        kind, content = der.parse(data).sequence()
        if kind.oid() != oids.CMS_SIGNED_DATA:
            raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "not PKCS#7 signed data")
        fields = content.inner().sequence()
        found = next((part.children() for part in fields if part.tag == _CERTIFICATES), ())
    except (ValueError, IndexError) as error:
        raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "not PKCS#7 signed data") from error
    if not found:
        raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "PKCS#7 without certificates")
    return tuple(one.raw for one in found)


def encode_body(data: bytes) -> bytes:
    """Write octets as base64 in lines of 64 characters."""
    text = base64.b64encode(data)
    return b"".join(text[start : start + _LINE] + b"\n" for start in range(0, len(text), _LINE))


def decode_body(body: bytes, limit: int) -> bytes:
    """Read base64 with line breaks of any kind; InvalidInput.

    `input-too-large` where more than `limit` octets would come out, `input-empty`, `input-malformed` for any other
    character, wrong padding or bits left over (RFC 4648 §3.5).
    """
    text = body.translate(None, b"\r\n")
    if not text:
        raise InvalidInput(ErrorCode.INPUT_EMPTY)
    if len(text) > -(-limit // 3) * 4:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"at most {limit} octets", reason="request.too-large")
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not base64", reason="request.not-base64") from error
    if base64.b64encode(data) != text:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not base64", reason="request.not-base64")
    if len(data) > limit:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"at most {limit} octets", reason="request.too-large")
    return data
