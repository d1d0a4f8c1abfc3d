"""CMS SignedData as it stands in the bytes (RFC 5652 §5), with its attributes read by type.

DER is read directly; anything else is taken for BER, re-encoded (`pki.ber.normalise`) and noted.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pki import ber, der, oids
from pki.certificates import Certificate
from pki.der import Node
from pki.errors import ErrorCode, InvalidInput, ServiceError
from signer.parsers.model import MAX_SIGNATURES, UNREADABLE, Note
from signer.validation.reasons import Reason

MAX_CERTIFICATES: Final = 128
MAX_REVOCATION: Final = 64
MAX_ATTRIBUTES: Final = 64

_OCSP_RESPONSE: Final = "1.3.6.1.5.5.7.16.2"  # RFC 5940 §2.1
_OCSP_BASIC: Final = "1.3.6.1.5.5.7.48.1.1"
_SHAKES_OF_A_LENGTH: Final = {
    (oids.SHAKE128_LEN, der.integer(256)): oids.SHAKE128,
    (oids.SHAKE256_LEN, der.integer(512)): oids.SHAKE256,  # what goes with Ed448 (RFC 8419 §2.3)
}

AttributeValues = dict[str, tuple[tuple[Node, ...], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerInfo:
    """One SignerInfo; attributes map a type to the value sets of each attribute of that type."""

    node: Node
    issuer_der: bytes | None
    serial: int | None
    key_identifier: bytes | None
    digest_algorithm: Node
    signature_algorithm: Node
    signature: bytes
    signed_attributes: Node | None
    unsigned_attributes: Node | None
    signed: AttributeValues
    unsigned: AttributeValues

    @property
    def digest_oid(self) -> str:
        """The OID of the hash over the content."""
        name, *parameters = self.digest_algorithm.sequence()
        said = name.oid(), parameters[0].raw if parameters else b""
        return _SHAKES_OF_A_LENGTH.get(said, said[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedData:
    """A SignedData's parts; `content` is None when it is detached.

    For archive time-stamps `choices` holds every member of `certificates` and of `crls` as it stands, and `stamped`
    what stands before the signers: encapContentInfo, `certificates` and `crls`.
    """

    content_type: str
    content: bytes | None
    certificates: tuple[Certificate, ...]
    crls: tuple[bytes, ...]
    ocsp_responses: tuple[bytes, ...]
    choices: tuple[Node, ...]
    stamped: tuple[Node, ...]
    signers: tuple[SignerInfo, ...]
    notes: tuple[Note, ...]


def refuse(detail: str) -> InvalidInput:
    """Make the error of a CMS structure that cannot be read."""
    return InvalidInput(ErrorCode.DER_MALFORMED, detail)


def read_signed_data(data: bytes) -> SignedData:
    """Read a ContentInfo holding SignedData; InvalidInput when it is not one or octets follow it."""
    try:
        return _read(der.parse(data), ())
    except UNREADABLE as strict:
        return _read_ber(data, strict)


def _read_ber(data: bytes, strict: Exception) -> SignedData:
    encoded, changed = ber.normalise(data)
    if not changed:
        raise _as_ours(strict) from strict
    try:
        return _read(der.parse(encoded), (Note(reason=Reason.BER_ENCODING),))
    except UNREADABLE as error:
        raise _as_ours(error) from error


def _as_ours(error: Exception) -> ServiceError:
    return error if isinstance(error, ServiceError) else refuse("a part of the SignedData is missing")


def _read(info: Node, notes: tuple[Note, ...]) -> SignedData:
    kind, explicit = info.expect(der.SEQUENCE).children(4)
    if kind.oid() != oids.CMS_SIGNED_DATA:
        raise refuse("not SignedData")
    fields = list(explicit.expect(0xA0).inner().expect(der.SEQUENCE).children(8))
    fields.pop(0).expect(der.INTEGER)
    fields.pop(0).expect(der.SET).children(MAX_SIGNATURES)
    stamped: tuple[Node, ...] = (fields.pop(0),)
    content_type, content = _encapsulated(stamped[0])
    certificates: tuple[Certificate, ...] = ()
    crls: tuple[bytes, ...] = ()
    responses: tuple[bytes, ...] = ()
    choices: tuple[Node, ...] = ()
    if fields[0].tag == 0xA0:
        stamped += (fields.pop(0),)
        choices = stamped[-1].children(MAX_CERTIFICATES)
        certificates, unreadable = _certificates(choices)
        notes += unreadable
    if fields[0].tag == 0xA1:
        stamped += (fields.pop(0),)
        members = stamped[-1].children(MAX_REVOCATION)
        crls, responses = _revocation(members)
        choices += members
    signers = fields.pop(0).expect(der.SET).children(MAX_SIGNATURES)
    if fields:
        raise refuse("octets after the signers")
    return SignedData(
        content_type=content_type,
        content=content,
        certificates=certificates,
        crls=crls,
        ocsp_responses=responses,
        choices=choices,
        stamped=stamped,
        signers=tuple(read_signer(node) for node in signers),
        notes=notes,
    )


def _encapsulated(node: Node) -> tuple[str, bytes | None]:
    parts = node.expect(der.SEQUENCE).children(2)
    kind = parts[0].oid()
    if len(parts) == 1:
        return kind, None
    value = parts[1].expect(0xA0).inner()
    if kind != oids.CMS_DATA and value.tag & ~0x20 != der.OCTET_STRING:
        return kind, value.content  # PKCS #7 holds any type, and signs what its value is (RFC 5652 §5.2.1)
    return kind, value.octets()


def _certificates(members: tuple[Node, ...]) -> tuple[tuple[Certificate, ...], tuple[Note, ...]]:
    found, notes = [], []
    for child in members:
        if child.tag != der.SEQUENCE:
            continue  # attribute certificates and other formats (RFC 5652 §10.2.2) prove nothing here
        try:
            found.append(Certificate.parse(child.raw))
        except ServiceError as error:
            notes.append(Note(reason=Reason.CERTIFICATE_UNREADABLE, detail=error.detail))
    return tuple(found), tuple(notes)


def _revocation(members: tuple[Node, ...]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    crls, responses = [], []
    for child in members:
        if child.tag == der.SEQUENCE:
            crls.append(child.raw)
        elif child.tag == 0xA1:
            kind, value = child.children(2)
            if kind.oid() in (_OCSP_RESPONSE, _OCSP_BASIC):
                responses.append(value.raw)
    return tuple(crls), tuple(responses)


def choice_value(choice: Node) -> bytes:
    """Return the DER of a certificate, a list, or the OCSP response inside another form (RFC 5940 §2)."""
    return choice.children(2)[1].raw if choice.tag == 0xA1 else choice.raw


def read_signer(node: Node) -> SignerInfo:
    """Read one SignerInfo; ServiceError, IndexError or ValueError where it is none."""
    fields = list(node.expect(der.SEQUENCE).children(8))
    fields.pop(0).expect(der.INTEGER)
    sid, digest_algorithm = fields.pop(0), fields.pop(0)
    signed = fields.pop(0) if fields[0].tag == 0xA0 else None
    algorithm, value = fields.pop(0), fields.pop(0)
    unsigned = fields.pop(0) if fields and fields[0].tag == 0xA1 else None
    if fields:
        raise refuse("octets after the unsigned attributes")
    issuer, serial, key_identifier = None, None, None
    if sid.tag == der.SEQUENCE:
        name, number = sid.children(2)
        # A non-minimal INTEGER is BER from others: the number is clear all the same.
        issuer, serial = name.raw, int.from_bytes(number.expect(der.INTEGER).content[:64], "big", signed=True)
    else:
        key_identifier = sid.expect(0x80).content
    digest_algorithm.sequence()[0].oid()
    algorithm.sequence()[0].oid()
    return SignerInfo(
        node=node,
        issuer_der=issuer,
        serial=serial,
        key_identifier=key_identifier,
        digest_algorithm=digest_algorithm,
        signature_algorithm=algorithm,
        signature=value.octets(),
        signed_attributes=signed,
        unsigned_attributes=unsigned,
        signed=_attributes(signed),
        unsigned=_attributes(unsigned),
    )


def _attributes(node: Node | None) -> AttributeValues:
    found: AttributeValues = {}
    for child in () if node is None else node.children(MAX_ATTRIBUTES):
        kind, values = child.expect(der.SEQUENCE).children(2)
        name = kind.oid()
        found[name] = (*found.get(name, ()), values.expect(der.SET).children(MAX_ATTRIBUTES))
    return found


def single(attributes: AttributeValues, kind: str) -> Node | None:
    """Return the one value of an attribute type, or None when there is not exactly one."""
    sets = attributes.get(kind, ())
    return sets[0][0] if len(sets) == 1 and len(sets[0]) == 1 else None


def all_values(attributes: AttributeValues, kind: str) -> tuple[Node, ...]:
    """Return every value of every attribute of a type."""
    return tuple(value for values in attributes.get(kind, ()) for value in values)


def claimed_time(signer: SignerInfo) -> datetime | None:
    """Read the signingTime attribute (RFC 5652 §11.3); None when absent or not a time."""
    value = single(signer.signed, oids.ATTR_SIGNING_TIME)
    if value is None:
        return None
    try:
        return value.time()
    except InvalidInput:
        return None


def signed_attribute_bytes(signed: Node) -> tuple[tuple[bytes, ...], bool]:
    """Return the octets a signature over attributes may cover, and whether they came unsorted.

    RFC 5652 §5.4 signs the DER SET OF, so the sorted spelling comes first; signers exist that sign the
    order they send, which says the same and is tried second.
    """
    content = signed.content
    received = der.tlv(der.SET, content)
    parts = [child.raw for child in signed.children(MAX_ATTRIBUTES)]
    ordered = sorted(parts)
    if parts == ordered:
        return (received,), False
    return (der.tlv(der.SET, *ordered), received), True
