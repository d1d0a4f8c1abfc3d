"""Find a file's signature format from its bytes; the name never counts.

A format is recognised by its opening even when the rest is broken, so that a damaged signature is told
apart from a file that was never signed.
"""

import re
from base64 import b64decode, urlsafe_b64decode
from typing import Final

from pki import der, oids
from signer.parsers.model import Format
from signer.prescription_code import PREFIXES

PDF_HEADER_WINDOW: Final = 1024  # ISO 32000-1 annex H, implementation note 13
_HEAD: Final = 4096

_SIGNED_DATA: Final = der.oid(oids.CMS_SIGNED_DATA)
_CMS_TYPES: Final = _SIGNED_DATA[2:-1]  # what the types of PKCS #7 begin with
_TST_INFO: Final = der.oid(oids.TST_INFO)
_COMPACT: Final = re.compile(rb"e[wy][A-Za-z0-9_=+/-]*\.")  # base64url of an object's opening brace
_PEM: Final = re.compile(
    rb"-----BEGIN (?:PKCS7|CMS|PKCS #7 SIGNED DATA|SIGNED MESSAGE)-----(?:\s+([A-Za-z0-9+/]{32}))?"
)  # RFC 7468 §8, §9, and what GnuPG writes
_BASE64: Final = re.compile(rb"MI[A-Za-z0-9+/]{6}(?:\r?\n?[A-Za-z0-9+/]{4}){10,40}")  # of a DER or BER SEQUENCE
_TORN: Final = re.compile(rb"e[wy][A-Za-z0-9_-]+")
_HEADER: Final = re.compile(
    rb'\{\s*"(?:alg|b64|crit|cty|iat|jku|jwk|kid|sigD|sigT|sigPId|sigX5ts|typ|x5c|x5t|x5t#S256|x5t#o|x5u)"\s*:'
)  # RFC 7515 §4.1, RFC 7797 §3, ETSI TS 119 182-1 §5
_JSON_MEMBER: Final = re.compile(rb'"(protected|signatures|payload|signature)"\s*:')
_XML_SIGNATURE: Final = b"http://www.w3.org/2000/09/xmldsig#"
_COSE_SIGN1: Final = re.compile(
    rb"(?:\xd9\xd9\xf7)?(?:\xd8\x3d)?\xd2(?:\x84|\x98\x04|\x9f)"
)  # the mark of CBOR and the tags, before four parts or parts without end
_COSE_BARE: Final = re.compile(rb"\x84(?:[\x43-\x57]|\x58.|\x59..)[\xa1-\xb7]\x01(?:[\x20-\x37]|[\x38\x39])", re.DOTALL)
_ASIC_TYPES: Final = (b"application/vnd.etsi.asic-e+zip", b"application/vnd.etsi.asic-s+zip")
_ASIC_ENTRY: Final = re.compile(
    rb"META-INF/[^/\0]{0,64}(?:signatures?|timestamp)[^/\0]{0,64}\.(?:p7s|xml|tst)", re.IGNORECASE
)


def detect(data: bytes) -> Format | None:
    """Return the format that `data` begins as, or None; `CADES` is told from `CMS` only by its parser."""
    head = data[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n")
    if data[:1] == b"\x30":
        return _detect_der(data[:_HEAD])
    if data[:4] == b"PK\x03\x04":
        return Format.ASIC if any(kind in data[:200] for kind in _ASIC_TYPES) or _ASIC_ENTRY.search(data) else None
    if pem := _PEM.match(head):
        return None if _is_other_content(pem[1]) else Format.CMS
    if (text := _BASE64.match(head)) and _detect_der(b64decode(text[0])) is not None:
        return Format.CMS
    if head.startswith(PREFIXES) or _COSE_SIGN1.match(data) or _COSE_BARE.match(data):
        return Format.COSE
    if head[:1] == b"{":
        return Format.JADES if _looks_like_jws(data) else None
    if _COMPACT.match(data) or _is_torn_header(data[:_HEAD]):
        return Format.JADES
    if b"%PDF-" in data[:PDF_HEADER_WINDOW]:
        return Format.PADES
    return Format.XADES if head[:1] == b"<" and _XML_SIGNATURE in data else None


def _detect_der(head: bytes) -> Format | None:
    at = head.find(_SIGNED_DATA, 0, 64)
    if at < 0:
        return None
    # A token is SignedData over TSTInfo; a response wraps one behind a PKIStatusInfo.
    return Format.TIMESTAMP if head.find(_TST_INFO, at, at + 128) >= 0 else Format.CMS


def _is_other_content(opening: bytes | None) -> bool:
    """Say whether a PEM block opens a CMS that is certainly not SignedData, but encrypted, say."""
    der_head = b"" if opening is None else b64decode(opening)
    return der_head[:1] == b"\x30" and _CMS_TYPES in der_head and _SIGNED_DATA not in der_head


def _is_torn_header(head: bytes) -> bool:
    """Say whether a compact JWS begins here, though its header breaks off or is spoilt before its full stop."""
    match = _TORN.match(head)
    if match is None:
        return False
    opening = urlsafe_b64decode(match[0][: len(match[0]) // 4 * 4])
    return _HEADER.match(opening) is not None or (match.end() == len(head) and b'"alg"' in opening)


def _looks_like_jws(data: bytes) -> bool:
    names = set()
    for match in _JSON_MEMBER.finditer(data):
        names.add(match[1])
        if b"protected" in names or b"signatures" in names or {b"payload", b"signature"} <= names:
            return True
    return False
