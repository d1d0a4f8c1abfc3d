"""Reading to-be-signed certificates (RFC 5280 §4.1.2) and certification requests (RFC 2986 §4.1)."""

from functools import lru_cache
from typing import Final

from hsm.custodian.limits import Bounds
from hsm.custodian.reading.messages import Fields, MessageKind, MessageRead, SigningRule
from hsm.custodian.reading.x509_parts import (
    check_algorithm,
    check_issuer_name,
    encoded_oids,
    extension_value,
    read_extensions,
    read_instant,
)
from hsm.errors import PurposeRefused
from hsm.provider import KeyPurpose
from pki import der, oids

MIN_SERIAL_OCTETS: Final = 8  # 64 bits of randomness or more
MAX_SERIAL_OCTETS: Final = 20  # RFC 5280 §4.1.2.2

Extensions = dict[bytes, der.Node]

_OID_BASIC_CONSTRAINTS: Final = der.oid(oids.BASIC_CONSTRAINTS)
_OID_KEY_USAGE: Final = der.oid(oids.KEY_USAGE)
_OID_EXTENDED_KEY_USAGE: Final = der.oid(oids.EXTENDED_KEY_USAGE)
_SIGNING_USES: Final = 0x06  # keyCertSign and cRLSign in the first octet of KeyUsage (RFC 5280 §4.2.1.3)
_REMEMBERED: Final = 32  # extensions as they were read: certificates of one profile share them
_READ_CERTIFICATE: Final = MessageRead(MessageKind.CERTIFICATE)
_READ_REQUEST: Final = MessageRead(MessageKind.REQUEST)


def read_certificate(rule: SigningRule, fields: Fields, bounds: Bounds | None) -> MessageRead:
    """Judge a certificate: version 3 with extensions and without unique identifiers."""
    if len(fields) != 8 or fields[0].content != b"\x02\x01\x02" or fields[7].tag != 0xA3:
        raise PurposeRefused("not a version 3 TBSCertificate")
    serial = fields[1].expect(der.INTEGER).content
    if not MIN_SERIAL_OCTETS <= len(serial) <= MAX_SERIAL_OCTETS or serial[0] >= 0x80:
        raise PurposeRefused(f"serial number is not {MIN_SERIAL_OCTETS} to {MAX_SERIAL_OCTETS} positive octets")
    if serial[0] == 0 and serial[1] < 0x80:
        raise PurposeRefused("serial number is not minimal")
    check_algorithm(rule, fields[2])
    issuer = check_issuer_name(rule, fields[3])
    _check_validity(fields[4], bounds)
    own = fields[5].expect(der.SEQUENCE).raw == issuer
    public_key = fields[6].expect(der.SEQUENCE)
    extensions = read_extensions(fields[7])
    if rule.purpose is not KeyPurpose.ROOT:
        _check_not_ca(extensions)
        if own:
            raise PurposeRefused("a certificate for the issuer itself")
    elif own:
        if public_key.raw != rule.spki_der:
            raise PurposeRefused("a certificate for the issuer's name and another key")
    else:
        _check_below_root(extensions, bounds)
    if bounds is not None:
        _check_extensions(extensions, bounds)
    return _READ_CERTIFICATE


def _check_validity(node: der.Node, bounds: Bounds | None) -> None:
    validity = node.sequence()
    if len(validity) != 2:
        raise PurposeRefused("validity is not two times")
    begin, end = read_instant(validity[0]), read_instant(validity[1])
    if begin >= end:
        raise PurposeRefused("validity does not run forward")
    if bounds is not None:
        bounds.check_begins(begin, "notBefore")
        bounds.check_ends(begin, end, bounds.limits.certificate_seconds, "notAfter")


def _authority(extensions: Extensions) -> tuple[bool, int | None]:
    """Return whether this is a CA, and its path length."""
    found = extensions.get(_OID_BASIC_CONSTRAINTS)
    return (False, None) if found is None else _basic_constraints(found.raw)


@lru_cache(maxsize=_REMEMBERED)
def _basic_constraints(extension: bytes) -> tuple[bool, int | None]:
    parts = extension_value(der.parse(extension)).sequence()
    ca = bool(parts) and parts[0].tag == der.BOOLEAN and parts[0].boolean()
    rest = parts[1:] if parts and parts[0].tag == der.BOOLEAN else parts
    if len(rest) > 1 or (rest and not ca):
        raise PurposeRefused("basic constraints of no known form")
    return ca, rest[0].integer() if rest else None


def _signs_for_others(extensions: Extensions) -> bool:
    usage = extensions.get(_OID_KEY_USAGE)
    return usage is not None and _is_usage_of_authority(usage.raw)


@lru_cache(maxsize=_REMEMBERED)
def _is_usage_of_authority(extension: bytes) -> bool:
    bits = extension_value(der.parse(extension)).expect(der.BIT_STRING).content
    return len(bits) < 2 or bits[1] & _SIGNING_USES != 0


def _check_not_ca(extensions: Extensions) -> None:
    if _authority(extensions)[0]:
        raise PurposeRefused("a CA certificate is a root's to sign")
    if _signs_for_others(extensions):
        raise PurposeRefused("key usage of a CA")


def _check_below_root(extensions: Extensions, bounds: Bounds | None) -> None:
    ca, path_length = _authority(extensions)
    if not ca:
        _check_not_ca(extensions)
    elif bounds is not None and bounds.limits.ca_path_length is not None:
        longest = bounds.limits.ca_path_length
        if path_length is None or not 0 <= path_length <= longest:
            raise PurposeRefused(f"a CA certificate without a path length of at most {longest}")


def _check_extensions(extensions: Extensions, bounds: Bounds) -> None:
    limits = bounds.limits
    if limits.allowed_extensions is not None and not extensions.keys() <= encoded_oids(limits.allowed_extensions):
        raise PurposeRefused("an extension that this key's certificates do not carry")
    if limits.required_extensions and not extensions.keys() >= encoded_oids(limits.required_extensions):
        raise PurposeRefused("an extension is missing that all this key's certificates carry")
    usage = extensions.get(_OID_EXTENDED_KEY_USAGE)
    if usage is not None and limits.allowed_key_purposes is not None:
        named = {purpose.expect(der.OID).raw for purpose in extension_value(usage).sequence()}
        if not named or not named <= encoded_oids(limits.allowed_key_purposes):
            raise PurposeRefused("an extended key usage that this key does not certify")


def read_request(rule: SigningRule, fields: Fields, _bounds: Bounds | None) -> MessageRead:
    """Judge a certification request: a key asks a certificate for itself and for no other."""
    if len(fields) != 4 or fields[1].tag != der.SEQUENCE or fields[3].tag != 0xA0:
        raise PurposeRefused("not a CertificationRequestInfo")
    if fields[2].raw != rule.spki_der:
        raise PurposeRefused("a request for another public key")
    return _READ_REQUEST
