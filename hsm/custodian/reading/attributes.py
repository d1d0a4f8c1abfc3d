"""Reading the signed attributes of CMS (RFC 5652 §5.3) and what those of a time-stamp digest (RFC 3161 §2.4.2)."""

import hashlib
from datetime import timedelta
from typing import Final

from hsm.custodian.limits import Bounds
from hsm.custodian.reading.messages import Fields, MessageKind, MessageRead, SigningRule
from hsm.errors import PurposeRefused
from pki import der, oids
from pki.keys import SignatureAlgorithm

MAX_ATTRIBUTES: Final = 64
MAX_STAMP_SERIAL_OCTETS: Final = 21  # 160 bits and a sign (RFC 3161 §2.4.2)

_READ_DATA: Final = MessageRead(MessageKind.DATA_ATTRIBUTES)
_READ_TIMESTAMP: Final = MessageRead(MessageKind.TIMESTAMP_ATTRIBUTES)
_IMPRINT_OCTETS: Final = {oids.SHA256: 32, oids.SHA384: 48, oids.SHA512: 64}

Attributes = dict[str, Fields]


def read_attributes(rule: SigningRule, attributes: Fields, bounds: Bounds | None, content: bytes | None) -> MessageRead:
    """Judge a DER SET of unique attributes that names its content type; `content` is what it digests, where given.

    With `bounds` the attributes of a time-stamp are refused without their content.
    """
    values = _values(attributes)
    content_type = _single(values, oids.ATTR_CONTENT_TYPE).oid()
    digest = _single(values, oids.ATTR_MESSAGE_DIGEST).octets()
    if not 32 <= len(digest) <= 64:
        raise PurposeRefused("message digest of bad size")
    if content is not None and digest != _digest(rule.algorithm, content):
        raise PurposeRefused("the attributes digest other content")
    if content_type == oids.CMS_DATA:
        return _READ_DATA
    if content_type != oids.TST_INFO:
        raise PurposeRefused("signed attributes for a content type that no key signs")
    if content is not None:
        return _read_stamp(values, content, bounds)
    if bounds is not None:
        raise PurposeRefused("attributes of a time-stamp without the content that they digest")
    return _READ_TIMESTAMP


def _values(attributes: Fields) -> Attributes:
    if not 2 <= len(attributes) <= MAX_ATTRIBUTES:
        raise PurposeRefused("bad number of signed attributes")
    encodings = [attribute.raw for attribute in attributes]
    if encodings != sorted(encodings):
        raise PurposeRefused("signed attributes are not in DER order")
    values: Attributes = {}
    for attribute in attributes:
        parts = attribute.sequence()
        if len(parts) != 2:
            raise PurposeRefused("not an attribute")
        name = parts[0].oid()
        if name in values:
            raise PurposeRefused("a signed attribute appears twice")
        values[name] = parts[1].set_of()
    return values


def _single(values: Attributes, name: str) -> der.Node:
    found = values.get(name, ())
    if len(found) != 1:
        raise PurposeRefused(f"attribute {name} must be there with one value")
    return found[0]


def _digest(algorithm: SignatureAlgorithm, content: bytes) -> bytes:
    """Hash with what `signer` puts beside a key of this algorithm."""
    name = "sha384" if algorithm is SignatureAlgorithm.ES384 else "sha256"
    return hashlib.new(name, content).digest()


def _read_stamp(values: Attributes, content: bytes, bounds: Bounds | None) -> MessageRead:
    """Read the attributes with their TSTInfo."""
    if not values.get(oids.ATTR_SIGNING_CERTIFICATE_V2) and not values.get(oids.ATTR_SIGNING_CERTIFICATE):
        raise PurposeRefused("a time-stamp that does not name its signing certificate")
    fields = der.parse(content).sequence()
    if not 5 <= len(fields) <= 10 or fields[0].integer() != 1:
        raise PurposeRefused("not a TSTInfo of version 1")
    policy = fields[1].oid()
    _check_imprint(fields[2])
    if fields[3].integer() <= 0 or len(fields[3].content) > MAX_STAMP_SERIAL_OCTETS:
        raise PurposeRefused("a time-stamp's serial number is not positive")
    generated = fields[4].expect(der.GENERALIZED_TIME).time()
    _check_rest(fields[5:])
    if bounds is not None:
        limits = bounds.limits
        if limits.timestamp_policies is not None and policy not in limits.timestamp_policies:
            raise PurposeRefused("a time-stamp policy that is not this key's")
        tolerance = limits.timestamp_tolerance_ms
        if tolerance is not None and abs(generated - bounds.now) > timedelta(milliseconds=tolerance):
            raise PurposeRefused(f"genTime is further from now than {tolerance} ms")
        bounds.check_ends(generated, generated, None, "genTime")
    return MessageRead(MessageKind.TIMESTAMP_ATTRIBUTES, instant=generated)


def _check_imprint(node: der.Node) -> None:
    imprint = node.sequence()
    if len(imprint) != 2:
        raise PurposeRefused("not a MessageImprint")
    algorithm = imprint[0].sequence()
    if not 1 <= len(algorithm) <= 2 or (len(algorithm) == 2 and algorithm[1].raw != der.null()):
        raise PurposeRefused("not a hash algorithm")
    if _IMPRINT_OCTETS.get(algorithm[0].oid()) != len(imprint[1].octets()):
        raise PurposeRefused("an imprint of a weak hash, or of bad size")


# accuracy, ordering, nonce, tsa, extensions: all optional, in this order
_OPTIONAL: Final = (der.SEQUENCE, der.BOOLEAN, der.INTEGER, 0xA0, 0xA1)


def _check_rest(fields: Fields) -> None:
    place = 0
    for field in fields:
        while place < len(_OPTIONAL) and _OPTIONAL[place] != field.tag:
            place += 1
        if place == len(_OPTIONAL):
            raise PurposeRefused("a TSTInfo of no known form")
        place += 1
