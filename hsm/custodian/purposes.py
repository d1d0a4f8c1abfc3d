"""What a key may sign, decided by reading the bytes: a request to sign says everything.

1. The bytes are recognised as exactly one kind of message, or refused. The kinds cannot be confused:
   the X.509 and OCSP structures differ in their first field, CMS attributes are a SET, a JWS signing input
   begins with `eyJ`, a note has no control character while every DER kind holds an OBJECT IDENTIFIER tag.
2. The kind must be one that the key's purpose allows.
3. The kind's own rules hold: issuer, serial number, validity, not a CA, algorithm, own public key.

Reads with `pki.der`, which is strict: what it accepts, no other DER reader sees differently. Not checked
here: extensions of the profile (the lint gate does that before) and anything that needs memory of
earlier signatures.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from hsm.errors import PurposeRefused
from hsm.provider import KeyPurpose
from pki import der, oids
from pki.errors import ErrorCode, InvalidInput
from pki.jose import json_object, unb64url
from pki.keys import SignatureAlgorithm, algorithm_identifier

MAX_NOTE_OCTETS: Final = 65_536
MAX_NAME_OCTETS: Final = 4096
MAX_JOSE_HEADER_OCTETS: Final = 65_536
MAX_TOKEN_OCTETS: Final = 65_536
MAX_ATTRIBUTES: Final = 64
MAX_OCSP_RESPONSES: Final = 64
MIN_SERIAL_OCTETS: Final = 8  # 64 bits of randomness or more
MAX_SERIAL_OCTETS: Final = 20  # RFC 5280 §4.1.2.2

Fields = tuple[der.Node, ...]


@unique
class MessageKind(StrEnum):
    """Every kind of message a device key ever signs."""

    CERTIFICATE = "TBSCertificate"
    REVOCATION_LIST = "TBSCertList"
    REQUEST = "CertificationRequestInfo"
    OCSP_RESPONSE = "OCSP ResponseData"
    TIMESTAMP_ATTRIBUTES = "attributes of a time-stamp token"
    DATA_ATTRIBUTES = "attributes of a CMS signature over data"
    ACCESS_TOKEN = "access token"
    SEALED_JWS = "JWS"
    NOTE = "note"


_ALLOWED: Final[dict[KeyPurpose, frozenset[MessageKind]]] = {
    KeyPurpose.ROOT: frozenset({MessageKind.CERTIFICATE, MessageKind.REVOCATION_LIST, MessageKind.REQUEST}),
    KeyPurpose.CERTIFICATE_AUTHORITY: frozenset(
        {MessageKind.CERTIFICATE, MessageKind.REVOCATION_LIST, MessageKind.REQUEST}
    ),
    KeyPurpose.OCSP: frozenset({MessageKind.OCSP_RESPONSE, MessageKind.REQUEST}),
    KeyPurpose.TIMESTAMP: frozenset({MessageKind.TIMESTAMP_ATTRIBUTES, MessageKind.REQUEST}),
    KeyPurpose.TOKEN: frozenset({MessageKind.ACCESS_TOKEN}),
    KeyPurpose.SEAL: frozenset(
        {MessageKind.NOTE, MessageKind.DATA_ATTRIBUTES, MessageKind.SEALED_JWS, MessageKind.REQUEST}
    ),
}


_ISSUING: Final = frozenset({KeyPurpose.ROOT, KeyPurpose.CERTIFICATE_AUTHORITY, KeyPurpose.OCSP})


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRule:
    """What is known of a key when its bytes are judged; `issuer_der` is None until it is bound."""

    purpose: KeyPurpose
    algorithm: SignatureAlgorithm
    spki_der: bytes
    issuer_der: bytes | None = None


def check_message(rule: SigningRule, message: bytes) -> MessageKind:
    """Return the kind of `message` if the key may sign it; PurposeRefused otherwise."""
    try:
        kind, fields = _recognise(rule, message)
        if kind not in _ALLOWED[rule.purpose]:
            raise PurposeRefused(f"a {rule.purpose} key does not sign: {kind}")
        check = _CHECKS.get(kind)
        if check is not None:
            check(rule, fields)
    except InvalidInput as error:
        raise PurposeRefused(f"not a well-formed message: {error.detail}") from error
    return kind


def check_issuer(purpose: KeyPurpose, issuer_der: bytes) -> None:
    """Refuse a Name that a key of this purpose cannot be bound to: InvalidInput for no Name, or no use of one."""
    if len(issuer_der) > MAX_NAME_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"an issuer's name has at most {MAX_NAME_OCTETS} octets")
    for relative_name in der.parse(issuer_der).sequence():
        relative_name.set_of()
    if purpose not in _ISSUING:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "what this key signs names no issuer")


# --- 1. recognising -------------------------------------------------------------------------------


def _recognise(rule: SigningRule, message: bytes) -> tuple[MessageKind, Fields]:
    """Tell the kind from the bytes; DER kinds come with their fields."""
    if message.startswith(b"eyJ"):
        return _jws_kind(rule, message), ()
    if _is_note(message):
        return MessageKind.NOTE, ()
    root = der.parse(message)
    if root.tag == der.SET:
        attributes = root.children()
        return _attributes_kind(attributes), attributes
    fields = root.sequence()
    if not fields:
        raise PurposeRefused("an empty SEQUENCE")
    first = fields[0]
    if first.tag == 0xA0:
        return MessageKind.CERTIFICATE, fields
    if first.tag in (0xA1, 0xA2):
        return MessageKind.OCSP_RESPONSE, fields
    if first.tag == der.INTEGER and first.content == b"\x01":
        return MessageKind.REVOCATION_LIST, fields
    if first.tag == der.INTEGER and first.content == b"\x00":
        return MessageKind.REQUEST, fields
    raise PurposeRefused("no kind of message that any key signs")


_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


def _is_note(message: bytes) -> bool:
    """Tell whether this is the text of a signed note: UTF-8 lines without control characters (C2SP signed-note)."""
    if not message.endswith(b"\n") or not 2 <= len(message) <= MAX_NOTE_OCTETS:
        return False
    try:
        text = message.decode()
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(text) is None


_BASE64URL: Final = re.compile(rb"[A-Za-z0-9_-]+")


def _jws_kind(rule: SigningRule, message: bytes) -> MessageKind:
    """Read a JWS signing input (RFC 7515 §5.1) by its header's type and algorithm."""
    payload_at = message.find(b".", 0, MAX_JOSE_HEADER_OCTETS) + 1
    if not payload_at or not _BASE64URL.fullmatch(message, payload_at):
        raise PurposeRefused("not a JWS signing input")
    header = json_object(unb64url(message[: payload_at - 1]))
    if "b64" in header or header.get("alg") != rule.algorithm:
        raise PurposeRefused("the JOSE header names another algorithm or an unencoded payload")
    if header.get("typ") == "at+jwt":  # RFC 9068 §2.1
        if len(message) > MAX_TOKEN_OCTETS:
            raise PurposeRefused("access token too large")
        json_object(unb64url(message[payload_at:]))
        return MessageKind.ACCESS_TOKEN
    if header.get("typ") == "jose+json":  # RFC 7515 §9.2.2
        return MessageKind.SEALED_JWS
    raise PurposeRefused("a JWS of no type that any key signs")


def _attributes_kind(attributes: Fields) -> MessageKind:
    """Read SignedAttributes (RFC 5652 §5.3): a DER SET of unique attributes that names its content type."""
    if not 2 <= len(attributes) <= MAX_ATTRIBUTES:
        raise PurposeRefused("bad number of signed attributes")
    encodings = [attribute.raw for attribute in attributes]
    if encodings != sorted(encodings):
        raise PurposeRefused("signed attributes are not in DER order")
    values: dict[str, Fields] = {}
    for attribute in attributes:
        name, found = _pair(attribute)
        if name.oid() in values:
            raise PurposeRefused("a signed attribute appears twice")
        values[name.oid()] = found.set_of()
    content_type = _single(values, oids.ATTR_CONTENT_TYPE).oid()
    if not 32 <= len(_single(values, oids.ATTR_MESSAGE_DIGEST).octets()) <= 64:
        raise PurposeRefused("message digest of bad size")
    if content_type == oids.TST_INFO:
        return MessageKind.TIMESTAMP_ATTRIBUTES
    if content_type == oids.CMS_DATA:
        return MessageKind.DATA_ATTRIBUTES
    raise PurposeRefused("signed attributes for a content type that no key signs")


def _pair(node: der.Node) -> tuple[der.Node, der.Node]:
    parts = node.sequence()
    if len(parts) != 2:
        raise PurposeRefused("two fields expected")
    return parts[0], parts[1]


def _single(values: dict[str, Fields], name: str) -> der.Node:
    found = values.get(name, ())
    if len(found) != 1:
        raise PurposeRefused(f"attribute {name} must be there with one value")
    return found[0]


# --- 2. rules of the X.509 kinds ------------------------------------------------------------------

_OID_BASIC_CONSTRAINTS: Final = der.oid(oids.BASIC_CONSTRAINTS)
_OID_KEY_USAGE: Final = der.oid(oids.KEY_USAGE)
_OID_CRL_NUMBER: Final = der.oid(oids.CRL_NUMBER)
_SIGNING_USES: Final = 0x06  # keyCertSign and cRLSign in the first octet of KeyUsage (RFC 5280 §4.2.1.3)


def _check_certificate(rule: SigningRule, fields: Fields) -> None:
    """RFC 5280 §4.1.2, version 3 with extensions and without unique identifiers."""
    if len(fields) != 8 or fields[0].content != b"\x02\x01\x02" or fields[7].tag != 0xA3:
        raise PurposeRefused("not a version 3 TBSCertificate")
    serial = fields[1].expect(der.INTEGER).content
    if not MIN_SERIAL_OCTETS <= len(serial) <= MAX_SERIAL_OCTETS or serial[0] >= 0x80:
        raise PurposeRefused(f"serial number is not {MIN_SERIAL_OCTETS} to {MAX_SERIAL_OCTETS} positive octets")
    _check_algorithm(rule, fields[2])
    issuer = _check_issuer(rule, fields[3])
    validity = fields[4].sequence()
    if len(validity) != 2 or _instant(validity[0]) >= _instant(validity[1]):
        raise PurposeRefused("validity does not run forward")
    subject = fields[5].expect(der.SEQUENCE).raw
    fields[6].expect(der.SEQUENCE)
    extensions = _extensions(fields[7])
    if rule.purpose is not KeyPurpose.ROOT:
        _check_not_ca(extensions)
        if subject == issuer:
            raise PurposeRefused("a certificate for the issuer itself")


def _check_not_ca(extensions: dict[bytes, der.Node]) -> None:
    constraints = extensions.get(_OID_BASIC_CONSTRAINTS)
    if constraints is not None:
        inside = _extension_value(constraints).sequence()
        if inside and inside[0].tag == der.BOOLEAN and inside[0].boolean():
            raise PurposeRefused("a CA certificate is a root's to sign")
    usage = extensions.get(_OID_KEY_USAGE)
    if usage is not None:
        bits = _extension_value(usage).expect(der.BIT_STRING).content
        if len(bits) < 2 or bits[1] & _SIGNING_USES:
            raise PurposeRefused("key usage of a CA")


def _check_revocation_list(rule: SigningRule, fields: Fields) -> None:
    """RFC 5280 §5.1.2, version 2 with nextUpdate and CRLNumber; entries are not read."""
    if len(fields) not in (6, 7) or fields[-1].tag != 0xA0:
        raise PurposeRefused("not a version 2 TBSCertList")
    if len(fields) == 7:
        fields[5].expect(der.SEQUENCE)
    _check_algorithm(rule, fields[1])
    _check_issuer(rule, fields[2])
    if _instant(fields[3]) >= _instant(fields[4]):
        raise PurposeRefused("nextUpdate is not after thisUpdate")
    if _OID_CRL_NUMBER not in _extensions(fields[-1]):
        raise PurposeRefused("no CRL number")


def _check_request(rule: SigningRule, fields: Fields) -> None:
    """RFC 2986 §4.1: a key asks a certificate for itself and for no other."""
    if len(fields) != 4 or fields[1].tag != der.SEQUENCE or fields[3].tag != 0xA0:
        raise PurposeRefused("not a CertificationRequestInfo")
    if fields[2].raw != rule.spki_der:
        raise PurposeRefused("a request for another public key")


def _check_algorithm(rule: SigningRule, node: der.Node) -> None:
    if node.raw != algorithm_identifier(rule.algorithm):
        raise PurposeRefused("the structure names another signature algorithm")


def _check_issuer(rule: SigningRule, node: der.Node) -> bytes:
    issuer = node.expect(der.SEQUENCE).raw
    if rule.issuer_der is not None and issuer != rule.issuer_der:
        raise PurposeRefused("the issuer is not this key's own")
    return issuer


_MOMENT: Final = re.compile(rb"(?:\d\d){1,2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\dZ")


def _instant(node: der.Node) -> bytes:
    """Read a Time (RFC 5280 §4.1.2.5) as its digits with a four-digit year, which sort by time."""
    text = node.content
    if _MOMENT.fullmatch(text):
        if node.tag == der.UTC_TIME and len(text) == 13:
            return (b"19" if text >= b"5" else b"20") + text
        if node.tag == der.GENERALIZED_TIME and len(text) == 15:
            return text
    raise PurposeRefused("not a time")


def _extensions(node: der.Node) -> dict[bytes, der.Node]:
    """Map the encoded OBJECT IDENTIFIER of each extension to the extension; none may repeat (§4.2)."""
    found: dict[bytes, der.Node] = {}
    extensions = node.inner().sequence()
    for extension in extensions:
        content = extension.expect(der.SEQUENCE).content
        if len(content) < 2 or content[0] != der.OID or content[1] >= 0x80:
            raise PurposeRefused("an extension without a name")
        found[content[: 2 + content[1]]] = extension
    if len(found) != len(extensions):
        raise PurposeRefused("an extension appears twice")
    return found


def _extension_value(extension: der.Node) -> der.Node:
    return extension.children()[-1].expect(der.OCTET_STRING).inner()


# --- 3. rules of the other kinds ------------------------------------------------------------------

_ISSUER_HASHES: Final[dict[str, Callable[[bytes], bytes]]] = {
    oids.SHA1: lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    oids.SHA256: lambda data: hashlib.sha256(data).digest(),
}


def _check_ocsp_response(rule: SigningRule, fields: Fields) -> None:
    """RFC 6960 §4.2.1, ResponseData of version 1."""
    if len(fields) not in (3, 4) or (len(fields) == 4 and fields[3].tag != 0xA1):
        raise PurposeRefused("not an OCSP ResponseData")
    if fields[1].tag != der.GENERALIZED_TIME:
        raise PurposeRefused("producedAt is not a time")
    _instant(fields[1])
    responses = fields[2].sequence()
    if not 1 <= len(responses) <= MAX_OCSP_RESPONSES:
        raise PurposeRefused("bad number of responses")
    for response in responses:
        _check_single_response(rule, response.sequence())


def _check_single_response(rule: SigningRule, fields: Fields) -> None:
    if not 3 <= len(fields) <= 5 or fields[1].tag not in (0x80, 0xA1, 0x82):
        raise PurposeRefused("not an OCSP SingleResponse")
    identifier = fields[0].sequence()
    if len(identifier) != 4 or identifier[2].tag != der.OCTET_STRING or identifier[3].tag != der.INTEGER:
        raise PurposeRefused("not an OCSP CertID")
    _instant(fields[2])
    if rule.issuer_der is None:
        return
    digest = _ISSUER_HASHES.get(identifier[0].sequence()[0].oid())
    if digest is None or identifier[1].octets() != digest(rule.issuer_der):
        raise PurposeRefused("a response for certificates of another issuer")


_CHECKS: Final[dict[MessageKind, Callable[[SigningRule, Fields], None]]] = {
    MessageKind.CERTIFICATE: _check_certificate,
    MessageKind.REVOCATION_LIST: _check_revocation_list,
    MessageKind.REQUEST: _check_request,
    MessageKind.OCSP_RESPONSE: _check_ocsp_response,
}
