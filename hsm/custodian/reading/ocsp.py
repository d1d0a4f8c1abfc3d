"""Reading to-be-signed OCSP responses: ResponseData of version 1 (RFC 6960 §4.2.1)."""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Final

from hsm.custodian.limits import Bounds
from hsm.custodian.reading.messages import Fields, MessageKind, MessageRead, SigningRule
from hsm.custodian.reading.x509_parts import read_generalized_instant
from hsm.errors import PurposeRefused
from pki import der, oids

MAX_RESPONSES: Final = 64

_READ: Final = MessageRead(MessageKind.OCSP_RESPONSE)
_HASHES: Final = {oids.SHA1: "sha1", oids.SHA256: "sha256"}


def read_ocsp_response(rule: SigningRule, fields: Fields, bounds: Bounds | None) -> MessageRead:
    """Judge a response: times that run forward, certificates of the one issuer alone."""
    if len(fields) not in (3, 4) or (len(fields) == 4 and fields[3].tag != 0xA1):
        raise PurposeRefused("not an OCSP ResponseData")
    produced = read_generalized_instant(fields[1])
    if bounds is not None:
        bounds.check_begins(produced, "producedAt")
    responses = fields[2].sequence()
    if not 1 <= len(responses) <= MAX_RESPONSES:
        raise PurposeRefused("bad number of responses")
    for response in responses:
        single = response.sequence()
        if not 3 <= len(single) <= 5 or single[1].tag not in (0x80, 0xA1, 0x82):
            raise PurposeRefused("not an OCSP SingleResponse")
        _check_certificate_id(rule, single[0])
        _check_times(single, produced, bounds)
    return _READ


def _check_certificate_id(rule: SigningRule, node: der.Node) -> None:
    identifier = node.sequence()
    if len(identifier) != 4 or identifier[2].tag != der.OCTET_STRING or identifier[3].tag != der.INTEGER:
        raise PurposeRefused("not an OCSP CertID")
    if rule.issuer_der is None:
        return
    named = identifier[0].sequence()
    algorithm = _HASHES.get(named[0].oid()) if named else None
    if algorithm is None or identifier[1].octets() != _hash(algorithm, rule.issuer_der):
        raise PurposeRefused("a response for certificates of another issuer")
    spki = rule.issuer_spki_der
    if spki is not None and identifier[2].octets() != _key_hash(algorithm, spki):
        raise PurposeRefused("a response for certificates of another issuer's key")


def _check_times(single: Fields, produced: datetime, bounds: Bounds | None) -> None:
    this_update = read_generalized_instant(single[2])
    if this_update > produced:
        raise PurposeRefused("thisUpdate is after producedAt")
    next_update = None
    if len(single) > 3 and single[3].tag == 0xA0:
        next_update = read_generalized_instant(single[3].inner())
        if next_update <= this_update:
            raise PurposeRefused("nextUpdate is not after thisUpdate")
    if bounds is None:
        return
    bounds.check_begins(this_update, "thisUpdate")
    longest = bounds.limits.ocsp_seconds
    if next_update is not None:
        bounds.check_ends(this_update, next_update, longest, "nextUpdate")
    elif longest is not None:
        raise PurposeRefused("a response without nextUpdate")


@lru_cache(maxsize=64)
def _hash(algorithm: str, data: bytes) -> bytes:
    return hashlib.new(algorithm, data, usedforsecurity=False).digest()  # SHA-1 names a CA here, and proves nothing


@lru_cache(maxsize=64)
def _key_hash(algorithm: str, spki_der: bytes) -> bytes:
    """Hash the subjectPublicKey's octets, without the count of unused bits (RFC 6960 §4.1.1)."""
    return _hash(algorithm, der.parse(spki_der).sequence()[1].bits())
