"""CMS SignedData, written by hand as DER (RFC 5652 §5) for documents, PDF and time-stamp tokens.

One signer, identified by issuer and serial number; signed attributes in DER order. What repeats from one
signature to the next (certificate references, algorithm identifiers) is encoded once and kept.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pki import der, oids
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SignatureAlgorithm, SigningKey, algorithm_identifier
from signer.formats.signing import sign_checked, signer_of


class DigestMethod(NamedTuple):
    """A hash that goes with a signature algorithm: its AlgorithmIdentifier and its function."""

    identifier: bytes
    new: Callable[[bytes], Any]


# Parameters are absent in AlgorithmIdentifiers of SHA-2 (RFC 5754 §2).
_SHA256: Final = DigestMethod(der.sequence(der.oid(oids.SHA256)), hashlib.sha256)
_SHA384: Final = DigestMethod(der.sequence(der.oid(oids.SHA384)), hashlib.sha384)
_DIGESTS: Final = {
    SignatureAlgorithm.ES256: _SHA256,
    SignatureAlgorithm.ES384: _SHA384,
    SignatureAlgorithm.RS256: _SHA256,
    SignatureAlgorithm.PS256: _SHA256,
}
_VERSION_1: Final = der.integer(1)
_VERSION_3: Final = der.integer(3)


def digest_method(algorithm: SignatureAlgorithm) -> DigestMethod:
    """Return the hash that `algorithm` signs with; InvalidInput for EdDSA, which Mohr uses for seals alone."""
    found = _DIGESTS.get(algorithm)
    if found is None:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"documents are not signed with {algorithm}")
    return found


def attribute(kind: str, *values: bytes) -> bytes:
    """Encode one Attribute."""
    return der.sequence(der.oid(kind), der.set_of(values))


@lru_cache(maxsize=256)
def _signing_certificate(leaf: Certificate) -> bytes:
    """Encode signing-certificate-v2 (RFC 5035 §3): SHA-256 is the default hash and so left out."""
    issuer_serial = der.sequence(der.sequence(der.context(4, leaf.issuer_der)), der.integer(leaf.serial))
    reference = der.sequence(der.octet_string(leaf.sha256), issuer_serial)
    return attribute(oids.ATTR_SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(reference)))


@lru_cache(maxsize=8)
def _algorithm_protection(algorithm: SignatureAlgorithm) -> bytes:
    """Encode CMSAlgorithmProtection (RFC 6211 §2): signatureAlgorithm is [1] IMPLICIT."""
    signature = der.parse(algorithm_identifier(algorithm)).content
    protected = der.sequence(digest_method(algorithm).identifier, der.context(1, signature))
    return attribute(oids.ATTR_ALGORITHM_PROTECTION, protected)


@lru_cache(maxsize=64)
def _content_type(content_type: str) -> bytes:
    return attribute(oids.ATTR_CONTENT_TYPE, der.oid(content_type))


def signed_attributes(
    content_digest: bytes,
    leaf: Certificate,
    algorithm: SignatureAlgorithm,
    *,
    content_type: str = oids.CMS_DATA,
    signed_at: datetime | None = None,
    commitment: str | None = None,
) -> bytes:
    """Encode the SET OF signed attributes, which is the message to sign (RFC 5652 §5.4).

    `content_digest` is made with `digest_method(algorithm)`. Always there: content-type, message-digest,
    signing-certificate-v2, CMSAlgorithmProtection. With `signed_at`: signing-time, whole seconds. With
    `commitment`, an OID: commitment-type-indication (RFC 5126 §5.11.1).
    """
    attributes = [
        _content_type(content_type),
        attribute(oids.ATTR_MESSAGE_DIGEST, der.octet_string(content_digest)),
        _signing_certificate(leaf),
        _algorithm_protection(algorithm),
    ]
    if signed_at is not None:
        attributes.append(attribute(oids.ATTR_SIGNING_TIME, der.time(signed_at)))
    if commitment is not None:
        attributes.append(attribute(oids.ATTR_COMMITMENT_TYPE, der.sequence(der.oid(commitment))))
    return der.set_of(attributes)


@lru_cache(maxsize=256)
def _certificates(chain: tuple[Certificate, ...]) -> bytes:
    """Encode the CertificateSet, [0] IMPLICIT, in DER order."""
    return der.context(0, *sorted(certificate.der for certificate in chain)) if chain else b""


@lru_cache(maxsize=256)
def _signer_identifier(leaf: Certificate) -> bytes:
    return der.sequence(leaf.issuer_der, der.integer(leaf.serial))


def signed_data(
    attributes: bytes,
    signature: bytes,
    leaf: Certificate,
    algorithm: SignatureAlgorithm,
    *,
    certificates: Sequence[Certificate],
    content_type: str = oids.CMS_DATA,
    content: bytes | None = None,
) -> bytes:
    """Encode a ContentInfo around one SignerInfo; without `content` the signature is detached.

    `attributes` is the SET that was signed, `signature` its X.509-encoded value. `certificates` may be
    empty. SignedData is version 1 for id-data and 3 for any other content (RFC 5652 §5.1).
    """
    digest = digest_method(algorithm).identifier
    enveloped = () if content is None else (der.context(0, der.octet_string(content)),)
    signer_info = der.sequence(
        _VERSION_1,
        _signer_identifier(leaf),
        digest,
        # The signed attributes travel under [0] IMPLICIT: the same octets with another tag (§5.4).
        b"\xa0" + attributes[1:],
        algorithm_identifier(algorithm),
        der.octet_string(signature),
    )
    body = der.sequence(
        _VERSION_1 if content_type == oids.CMS_DATA else _VERSION_3,
        der.set_of((digest,)),
        der.sequence(der.oid(content_type), *enveloped),
        _certificates(tuple(certificates)),
        der.set_of((signer_info,)),
    )
    return der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, body))


def sign_digest(
    content_digest: bytes,
    key: SigningKey,
    chain: Sequence[Certificate],
    *,
    content_type: str = oids.CMS_DATA,
    content: bytes | None = None,
    signed_at: datetime | None = None,
    commitment: str | None = None,
    certificates: Sequence[Certificate] | None = None,
) -> bytes:
    """Sign content of which `content_digest` is the hash and return the ContentInfo.

    The key is given the whole SET of signed attributes, and a time-stamp's content where it reads that.
    `certificates`, by default `chain`, are embedded.
    SignerMismatch when the key is not the leaf's or returns a wrong signature.
    """
    leaf = signer_of(key, chain)
    algorithm = key.algorithm
    attributes = signed_attributes(
        content_digest, leaf, algorithm, content_type=content_type, signed_at=signed_at, commitment=commitment
    )
    return signed_data(
        attributes,
        # Whoever holds a time-stamping key judges the TSTInfo, which is small; a document stays where it is.
        sign_checked(key, attributes, content=content if content_type == oids.TST_INFO else None),
        leaf,
        algorithm,
        certificates=chain if certificates is None else certificates,
        content_type=content_type,
        content=content,
    )
