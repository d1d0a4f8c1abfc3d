"""Reading certificates, one's own and foreign ones (RFC 5280 §4).

Lenient where the field is dirty: names are never rejected for their characters (Iranian CAs put `[` in
PrintableString). Strict where safety hangs on it: DER lengths, integers, times, duplicate extensions.
Nothing here decides about trust.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache, wraps
from typing import Final, TypeVar

from pki import der, oids
from pki.admission import Admission, read_admission
from pki.der import Node
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.signatures import AnyPublicKey, ForeignPublicKey, load_foreign_key, load_public_key, verify_value

MAX_CERTIFICATE_OCTETS: Final = 64 * 1024
_REMEMBERED_OCTETS: Final = 8 * 1024  # nobody's certificates are larger; a stranger's fill no memory

_KEY_USAGE_BITS: Final = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)

_SHORT_NAMES: Final = {
    oids.COMMON_NAME: "CN",
    oids.SURNAME: "SN",
    oids.SERIAL_NUMBER: "serialNumber",
    oids.COUNTRY: "C",
    oids.LOCALITY: "L",
    oids.STATE: "ST",
    oids.ORGANIZATION: "O",
    oids.ORGANIZATIONAL_UNIT: "OU",
    oids.TITLE: "title",
    oids.GIVEN_NAME: "GN",
    oids.PSEUDONYM: "pseudonym",
    oids.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One extension: whether it is critical, and the DER value inside its OCTET STRING."""

    critical: bool
    value: bytes


_Owner = TypeVar("_Owner")
_Read = TypeVar("_Read")


def _coded(read: Callable[[_Owner], _Read]) -> Callable[[_Owner], _Read]:
    """Have a reader of a field refuse with `certificate-malformed` what is not of the field's shape."""

    @wraps(read)
    def reader(owner: _Owner) -> _Read:
        try:
            return read(owner)
        except (IndexError, ValueError) as error:
            raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, f"{read.__name__}: not of its form") from error

    return reader


@dataclass(frozen=True, kw_only=True, eq=False)
class Certificate:
    """One X.509 certificate as its exact bytes and what they say. Equal when the bytes are equal."""

    der: bytes
    tbs: bytes
    serial: int
    issuer_der: bytes
    subject_der: bytes
    not_before: datetime
    not_after: datetime
    spki_der: bytes
    extensions: Mapping[str, Extension]
    signature_algorithm: Node
    signature: bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    @staticmethod
    def parse(data: bytes) -> "Certificate":
        """Read one DER certificate; InvalidInput (`certificate-malformed`) when it is not one."""
        if len(data) > MAX_CERTIFICATE_OCTETS:
            raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "larger than 64 KiB")
        return _parse_cached(bytes(data)) if len(data) <= _REMEMBERED_OCTETS else _parse_or_refuse(bytes(data))

    @staticmethod
    def parse_once(data: bytes) -> "Certificate":
        """Read as `parse` does a certificate that will not be met again: it takes no place in the cache."""
        if len(data) > MAX_CERTIFICATE_OCTETS:
            raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "larger than 64 KiB")
        return _parse_or_refuse(data)

    @cached_property
    def sha256(self) -> bytes:
        """The SHA-256 fingerprint of the whole certificate."""
        return hashlib.sha256(self.der).digest()

    @property
    def serial_hex(self) -> str:
        """The serial number as lower-case hexadecimal, as Mohr shows and stores it."""
        return serial_hex(self.serial)

    @cached_property
    def public_key(self) -> AnyPublicKey:
        """The subject's key; InvalidInput (`key-refused`) for an unsupported type."""
        return load_public_key(self.spki_der)

    @cached_property
    def foreign_key(self) -> ForeignPublicKey:
        """The subject's key, of any type that others sign with; InvalidInput (`key-refused`) for any other."""
        return load_foreign_key(self.spki_der)

    @cached_property
    @_coded
    def spki_sha1(self) -> bytes:
        """SHA-1 of the subjectPublicKey bits: OCSP's issuerKeyHash (RFC 6960 §4.1.1)."""
        return hashlib.sha1(der.parse(self.spki_der).sequence()[1].bits(), usedforsecurity=False).digest()

    @cached_property
    def spki_sha256(self) -> bytes:
        """SHA-256 of the whole SubjectPublicKeyInfo: the same for every certificate of a key."""
        return hashlib.sha256(self.spki_der).digest()

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are the same name."""
        return self.subject_der == self.issuer_der

    @cached_property
    def subject_attributes(self) -> tuple[tuple[str, str], ...]:
        """The subject's attributes as (type OID, text), in order."""
        return name_attributes(self.subject_der)

    def subject_attribute(self, attribute: str) -> str | None:
        """Return the first value of a subject attribute type, or None."""
        return next((text for name, text in self.subject_attributes if name == attribute), None)

    @property
    def subject(self) -> str:
        """The subject for people to read, most general attribute first."""
        return name_text(self.subject_der)

    @property
    def issuer(self) -> str:
        """The issuer for people to read."""
        return name_text(self.issuer_der)

    @cached_property
    def key_usage(self) -> frozenset[str] | None:
        """Key usages by their RFC 5280 §4.2.1.3 names; None when the extension is absent."""
        node = self._extension(oids.KEY_USAGE)
        if node is None:
            return None
        return frozenset(_KEY_USAGE_BITS[bit] for bit in node.bit_set() if bit < len(_KEY_USAGE_BITS))

    @cached_property
    def extended_key_usage(self) -> tuple[str, ...] | None:
        """Extended key usage OIDs; None when the extension is absent."""
        node = self._extension(oids.EXTENDED_KEY_USAGE)
        return None if node is None else tuple(child.oid() for child in node.sequence())

    @cached_property
    def is_ca(self) -> bool:
        """Whether basicConstraints says so."""
        node = self._extension(oids.BASIC_CONSTRAINTS)
        children = () if node is None else node.sequence()
        return bool(children) and children[0].tag == der.BOOLEAN and children[0].boolean()

    @cached_property
    def path_length(self) -> int | None:
        """The pathLenConstraint, if any."""
        node = self._extension(oids.BASIC_CONSTRAINTS)
        children = () if node is None else node.sequence()
        return next((child.integer() for child in children if child.tag == der.INTEGER), None)

    @cached_property
    @_coded
    def policies(self) -> tuple[str, ...]:
        """Certificate policy OIDs, in order."""
        node = self._extension(oids.CERTIFICATE_POLICIES)
        return () if node is None else tuple(child.sequence()[0].oid() for child in node.sequence())

    @cached_property
    def subject_key_identifier(self) -> bytes | None:
        """The keyIdentifier of the subject."""
        node = self._extension(oids.SUBJECT_KEY_IDENTIFIER)
        return None if node is None else node.octets()

    @cached_property
    def authority_key_identifier(self) -> bytes | None:
        """The keyIdentifier of the issuer."""
        node = self._extension(oids.AUTHORITY_KEY_IDENTIFIER)
        return None if node is None else next((c.content for c in node.sequence() if c.tag == 0x80), None)

    @cached_property
    @_coded
    def ocsp_urls(self) -> tuple[str, ...]:
        """OCSP responders (RFC 5280 §4.2.2.1)."""
        return self._access_urls(oids.ACCESS_OCSP)

    @cached_property
    @_coded
    def issuer_urls(self) -> tuple[str, ...]:
        """Where the issuer's certificate can be had (RFC 5280 §4.2.2.1)."""
        return self._access_urls(oids.ACCESS_CA_ISSUERS)

    @cached_property
    def crl_urls(self) -> tuple[str, ...]:
        """URIs of the CRL distribution points' full names (RFC 5280 §4.2.1.13)."""
        node = self._extension(oids.CRL_DISTRIBUTION_POINTS)
        if node is None:
            return ()
        return tuple(
            uri.content.decode("ascii", "replace")
            for point in node.sequence()
            for part in point.sequence()
            if part.tag == 0xA0
            for name in part.children()
            if name.tag == 0xA0
            for uri in name.children()
            if uri.tag == 0x86
        )

    @cached_property
    def san_uris(self) -> tuple[str, ...]:
        """The uniformResourceIdentifier entries of the subject alternative name."""
        node = self._extension(oids.SUBJECT_ALT_NAME)
        names = () if node is None else node.sequence()
        return tuple(name.content.decode("ascii", "replace") for name in names if name.tag == 0x86)

    @cached_property
    @_coded
    def san_other_names(self) -> tuple[tuple[str, str], ...]:
        """The otherName entries of the subject alternative name as (type OID, text)."""
        node = self._extension(oids.SUBJECT_ALT_NAME)
        names = (name.children() for name in (() if node is None else node.sequence()) if name.tag == 0xA0)
        return tuple((kind.oid(), value.inner().text()) for kind, value in names)

    @cached_property
    @_coded
    def admission(self) -> Admission | None:
        """The first ProfessionInfo of the Admission extension, if there is one."""
        node = self._extension(oids.ADMISSION)
        return None if node is None else read_admission(node)

    def _extension(self, name: str) -> Node | None:
        found = self.extensions.get(name)
        return None if found is None else der.parse(found.value)

    def _access_urls(self, method: str) -> tuple[str, ...]:
        node = self._extension(oids.AUTHORITY_INFO_ACCESS)
        pairs = () if node is None else (child.sequence() for child in node.sequence())
        return tuple(
            location.content.decode("ascii", "replace")
            for access, location in pairs
            if access.oid() == method and location.tag == 0x86
        )

    def verify_signed_by(self, issuer: "Certificate") -> None:
        """Check the signature with `issuer`'s key; VerificationFailed or InvalidInput (`key-refused`)."""
        verify_value(issuer.foreign_key, self.signature_algorithm, self.signature, self.tbs)


@lru_cache(maxsize=512)
def _parse_cached(data: bytes) -> Certificate:
    return _parse_or_refuse(data)


def _parse_or_refuse(data: bytes) -> Certificate:
    try:
        return _parse(data)
    except (ServiceError, IndexError, ValueError) as error:
        raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, str(error)) from error


def _parse(data: bytes) -> Certificate:
    tbs, algorithm, signature = der.parse(data).sequence()
    fields = list(tbs.sequence())
    if fields[0].tag == 0xA0:
        fields.pop(0)
    serial, inner_algorithm, issuer, validity, subject, spki = fields[:6]
    if inner_algorithm.raw != algorithm.raw:
        raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "two different signature algorithms (RFC 5280 §4.1.1.2)")
    extensions = next((field.inner() for field in fields[6:] if field.tag == 0xA3), None)
    not_before, not_after = validity.sequence()
    return Certificate(
        der=data,
        tbs=tbs.raw,
        serial=serial.integer(),
        issuer_der=issuer.raw,
        subject_der=subject.raw,
        not_before=not_before.time(),
        not_after=not_after.time(),
        spki_der=spki.raw,
        extensions={} if extensions is None else read_extensions(extensions),
        signature_algorithm=algorithm,
        signature=signature.bits(),
    )


def read_extensions(node: Node) -> dict[str, Extension]:
    """Read an Extensions SEQUENCE; a repeated extension is refused (RFC 5280 §4.2)."""
    found: dict[str, Extension] = {}
    for child in node.sequence():
        parts = child.sequence()
        if not 2 <= len(parts) <= 3:
            raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "an extension is a name, a mark and a value")
        name = parts[0].oid()
        if name in found:
            raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, f"extension {name} appears twice")
        critical = len(parts) == 3 and parts[1].boolean()
        found[name] = Extension(critical=critical, value=parts[-1].octets())
    return found


_SHORT_NAME: Final = 1024  # longer ones would fill the memory that reading them once saves time by


def serial_hex(serial: int) -> str:
    """Write a serial number as Mohr shows and stores it: lower-case hexadecimal, even length."""
    text = f"{abs(serial):x}"
    return ("-" if serial < 0 else "") + text.zfill(len(text) + len(text) % 2)


@_coded
def name_attributes(name_der: bytes) -> tuple[tuple[str, str], ...]:
    """Read a Name as (attribute type OID, text) in order, lenient on characters."""
    return _remembered_name(name_der) if len(name_der) <= _SHORT_NAME else _read_name(name_der)


@lru_cache(maxsize=1024)
def _remembered_name(name_der: bytes) -> tuple[tuple[str, str], ...]:
    return _read_name(name_der)


def _read_name(name_der: bytes) -> tuple[tuple[str, str], ...]:
    found = []
    for relative in der.parse(name_der).sequence():
        for attribute in relative.set_of():
            kind, value = attribute.sequence()
            found.append((kind.oid(), value.text()))
    return tuple(found)


def name_text(name_der: bytes) -> str:
    """Write a Name for people: `C=IR, O=…, CN=…`; never compared, never decided upon."""
    return ", ".join(f"{_SHORT_NAMES.get(kind, kind)}={text}" for kind, text in name_attributes(name_der))


_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


def load_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Read one DER certificate or every certificate of a PEM file; InvalidInput when there is none."""
    blocks = _PEM.findall(data)
    if not blocks:
        return (Certificate.parse(data),)
    try:
        return tuple(Certificate.parse(binascii.a2b_base64(block)) for block in blocks)
    except binascii.Error as error:
        raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "PEM body is not base64") from error


def pem(der_octets: bytes, kind: str = "CERTIFICATE") -> str:
    """Write one certificate, or another structure by its label, as PEM (RFC 7468 §2)."""
    body = base64.b64encode(der_octets).decode()
    lines = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"
