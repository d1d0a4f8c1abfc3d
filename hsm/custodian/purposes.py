"""What a key may sign, decided by reading the bytes: a request to sign says everything.

1. The bytes are recognised as exactly one kind of message, or refused. The kinds cannot be confused:
   the X.509 and OCSP structures differ in their first field, CMS attributes are a SET, a JWS signing input
   begins with `eyJ`, a COSE one with an array of CBOR that is no UTF-8, a note has no control character while
   every DER kind holds an OBJECT IDENTIFIER tag.
2. The kind must be one that the key's purpose allows.
3. The kind's own rules hold: issuer, serial number, validity, not a CA, algorithm, own public key; and, with the
   key's limits and the time, how long, since when, which extensions, which content.

Reads with `pki.der`, which is strict: what it accepts, no other DER reader sees differently. Not checked
here: what a profile wants in its extensions (the lint gate does that before), and anything that needs memory of
earlier signatures (`hsm.custodian.marks`).
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from hsm.custodian.limits import Bounds, KeyLimits
from hsm.custodian.reading.attributes import read_attributes
from hsm.custodian.reading.certificates import read_certificate, read_request
from hsm.custodian.reading.messages import DIGEST, Fields, MessageKind, MessageRead, SigningRule
from hsm.custodian.reading.ocsp import read_ocsp_response
from hsm.custodian.reading.revocation_lists import read_revocation_list
from hsm.custodian.reading.texts import is_note, read_cose, read_jws
from hsm.errors import PurposeRefused
from hsm.provider import KeyPurpose
from pki import der
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SignatureAlgorithm

__all__ = [
    "DIGEST",
    "MAX_NAME_OCTETS",
    "KeyLimits",
    "MessageKind",
    "MessageRead",
    "SigningRule",
    "check_digest",
    "check_issuer",
    "check_message",
]

MAX_NAME_OCTETS: Final = 4096
MAX_STRUCTURE_OCTETS: Final = 65_536  # of any DER message, and of a list without its entries
MAX_LIST_OCTETS: Final = 64 * 1024 * 1024
_MAX_FIELDS: Final = 10

_ALLOWED: Final[dict[KeyPurpose, frozenset[MessageKind]]] = {
    KeyPurpose.ROOT: frozenset({MessageKind.CERTIFICATE, MessageKind.REVOCATION_LIST, MessageKind.REQUEST}),
    KeyPurpose.CERTIFICATE_AUTHORITY: frozenset(
        {MessageKind.CERTIFICATE, MessageKind.REVOCATION_LIST, MessageKind.REQUEST}
    ),
    KeyPurpose.OCSP: frozenset({MessageKind.OCSP_RESPONSE, MessageKind.REQUEST}),
    KeyPurpose.TIMESTAMP: frozenset({MessageKind.TIMESTAMP_ATTRIBUTES, MessageKind.REQUEST}),
    KeyPurpose.TOKEN: frozenset({MessageKind.ACCESS_TOKEN}),
    KeyPurpose.SEAL: frozenset(
        {
            MessageKind.NOTE,
            MessageKind.DATA_ATTRIBUTES,
            MessageKind.SEALED_JWS,
            MessageKind.SEALED_COSE,
            MessageKind.REQUEST,
        }
    ),
}
_ISSUING: Final = frozenset({KeyPurpose.ROOT, KeyPurpose.CERTIFICATE_AUTHORITY, KeyPurpose.OCSP})
_SIGN_DIGESTS: Final = frozenset({KeyPurpose.TOKEN, KeyPurpose.SEAL})
_DIGEST_OCTETS: Final = {
    SignatureAlgorithm.ES256: 32,
    SignatureAlgorithm.ES384: 48,
    SignatureAlgorithm.RS256: 32,
    SignatureAlgorithm.PS256: 32,
}
_COSE: Final = b"\x84"  # an array of four, which begins no text and no DER
_READ_NOTE: Final = MessageRead(MessageKind.NOTE)


def check_message(
    rule: SigningRule,
    message: bytes,
    *,
    limits: KeyLimits | None = None,
    now: datetime | None = None,
    content: bytes | None = None,
) -> MessageRead:
    """Say what `message` is if the key may sign it; PurposeRefused otherwise.

    `limits` go with `now`, aware UTC; without them the purpose alone is checked. `content` is what the attributes
    of a CMS signature digest: with limits, those of a time-stamp are refused without it. A sealed memory file
    may be given as an mmap.
    """
    bounds = None
    if limits is not None:
        if now is None:
            raise ValueError("limits need the time")
        bounds = Bounds(limits, now)
    try:
        return _read(rule, message, bounds, content)
    except InvalidInput as error:
        raise PurposeRefused(f"not a well-formed message: {error.detail}") from error


def check_digest(rule: SigningRule, digest: bytes) -> None:
    """Refuse a bare digest unless the key is for tokens or seals and hashes to this size."""
    if rule.purpose not in _SIGN_DIGESTS:
        raise PurposeRefused(f"a {rule.purpose} key signs no bare digest")
    if len(digest) != _DIGEST_OCTETS.get(rule.algorithm):
        raise PurposeRefused("not a digest of this key's algorithm")


def check_issuer(purpose: KeyPurpose, issuer_der: bytes) -> None:
    """Refuse a Name that a key of this purpose cannot be bound to: InvalidInput for no Name, or no use of one."""
    if len(issuer_der) > MAX_NAME_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"an issuer's name has at most {MAX_NAME_OCTETS} octets")
    for relative_name in der.parse(issuer_der).sequence():
        relative_name.set_of()
    if purpose not in _ISSUING:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "what this key signs names no issuer")


def _read(rule: SigningRule, message: bytes, bounds: Bounds | None, content: bytes | None) -> MessageRead:
    if content is not None and message[:1] != bytes((der.SET,)):
        raise PurposeRefused("only signed attributes digest a content")
    if message[:3] == b"eyJ":
        read = read_jws(rule, message, bounds)
    elif message[:1] == _COSE:
        read = read_cose(rule, message)
    elif is_note(message):
        read = _READ_NOTE
    else:
        root = der.parse(message)
        if root.tag != der.SET:
            return _read_structure(rule, root, bounds)
        _check_size(len(message))
        read = read_attributes(rule, root.children(), bounds, content)
    _check_allowed(rule, read.kind)
    return read


def _check_allowed(rule: SigningRule, kind: MessageKind) -> None:
    if kind not in _ALLOWED[rule.purpose]:
        raise PurposeRefused(f"a {rule.purpose} key does not sign: {kind}")


_READERS: Final[dict[MessageKind, Callable[[SigningRule, Fields, Bounds | None], MessageRead]]] = {
    MessageKind.CERTIFICATE: read_certificate,
    MessageKind.REVOCATION_LIST: read_revocation_list,
    MessageKind.REQUEST: read_request,
    MessageKind.OCSP_RESPONSE: read_ocsp_response,
}


def _read_structure(rule: SigningRule, root: der.Node, bounds: Bounds | None) -> MessageRead:
    """Tell the kind of a SEQUENCE by its first field, and read it if the key may sign it."""
    fields = root.expect(der.SEQUENCE).children(_MAX_FIELDS)
    if not fields:
        raise PurposeRefused("an empty SEQUENCE")
    first, octets = fields[0], root.end_offset
    if first.tag == 0xA0:
        kind = MessageKind.CERTIFICATE
    elif first.tag in (0xA1, 0xA2):
        kind = MessageKind.OCSP_RESPONSE
    elif _is_number(first, b"\x01"):
        kind = MessageKind.REVOCATION_LIST
        if octets > MAX_LIST_OCTETS:
            raise PurposeRefused(f"a list larger than {MAX_LIST_OCTETS} octets")
        if len(fields) == 7:
            octets -= _size(fields[5])
    elif _is_number(first, b"\x00"):
        kind = MessageKind.REQUEST
    else:
        raise PurposeRefused("no kind of message that any key signs")
    _check_allowed(rule, kind)
    _check_size(octets)
    return _READERS[kind](rule, fields, bounds)


def _size(node: der.Node) -> int:
    return node.end_offset - node.content_offset


def _is_number(node: der.Node, octet: bytes) -> bool:
    return node.tag == der.INTEGER and _size(node) == 1 and node.content == octet


def _check_size(octets: int) -> None:
    if octets > MAX_STRUCTURE_OCTETS:
        raise PurposeRefused(f"more than {MAX_STRUCTURE_OCTETS} octets of structure")
