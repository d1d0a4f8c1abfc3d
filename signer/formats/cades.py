"""CAdES signatures over any bytes (ETSI EN 319 122-1 V1.3.1 §6): baseline B, and T with a signature timestamp."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from pki import der, oids
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SigningKey
from signer.formats.cms import attribute, digest_method, sign_digest
from signer.formats.signing import check_size
from signer.timestamps.client import TimeStamper

_UNSIGNED_ATTRIBUTES = 0xA1


def sign_cades(
    content: bytes,
    key: SigningKey,
    chain: Sequence[Certificate],
    *,
    signed_at: datetime,
    detached: bool = True,
    commitment: str | None = None,
) -> bytes:
    """Sign `content` at level B-B and return the DER ContentInfo.

    `chain` is the signer's certificate first, then intermediates, all embedded. `commitment` is an OID such
    as `oids.COMMITMENT_PROOF_OF_ORIGIN`. InvalidInput for an empty or oversized content, SignerMismatch
    for a key that is not the certificate's.
    """
    check_size(content)
    digest = digest_method(key.algorithm).new(content).digest()
    return sign_digest(
        digest, key, chain, content=None if detached else content, signed_at=signed_at, commitment=commitment
    )


def add_signature_timestamp(cms: bytes, stamper: TimeStamper) -> bytes:
    """Raise a DER CMS with one signer to level T: stamp the signature value (EN 319 122-1 §5.3).

    All signed octets are kept as they are; the token joins the unsigned attributes. InvalidInput when `cms`
    is not such a structure, and the errors of `stamper`.
    """
    kind, wrapped = _fields(der.parse(cms), 2, 2)
    if kind.oid() != oids.CMS_SIGNED_DATA:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not SignedData")
    *before, signer_infos = _fields(wrapped.expect(0xA0).inner(), 4, 6)
    infos = signer_infos.set_of()
    if len(infos) != 1:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"one signer expected, {len(infos)} found")
    body = der.sequence(*(node.raw for node in before), der.set_of((_stamp(infos[0], stamper),)))
    return der.sequence(kind.raw, der.context(0, body))


def _fields(node: der.Node, least: int, most: int) -> tuple[der.Node, ...]:
    fields = node.sequence()
    if not least <= len(fields) <= most:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"a SEQUENCE of {len(fields)} fields")
    return fields


def _stamp(signer_info: der.Node, stamper: TimeStamper) -> bytes:
    *fields, last = _fields(signer_info, 5, 7)
    unsigned: tuple[der.Node, ...] = ()
    if last.tag == _UNSIGNED_ATTRIBUTES:
        unsigned = last.children()
        *fields, last = fields
    token = stamper.stamp(hashlib.sha256(last.octets()).digest())
    timestamp = attribute(oids.ATTR_SIGNATURE_TIMESTAMP, token)
    attributes = sorted((*(node.raw for node in unsigned), timestamp))
    return der.sequence(*(node.raw for node in fields), last.raw, der.tlv(_UNSIGNED_ATTRIBUTES, *attributes))
