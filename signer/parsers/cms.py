"""One CMS signer as a neutral signature (RFC 5652, RFC 5035, RFC 6211), without its time-stamps.

Attribute rules that are broken become defects (FORMAT_FAILURE) rather than exceptions, so the report can
still say whether the signature value holds.
"""

import hashlib
from typing import Final

from pki import der, oids
from pki.der import Node
from signer.parsers.model import (
    CertificateReference,
    Format,
    LevelEvidence,
    Note,
    Octets,
    ParsedSignature,
    PolicyReference,
    SignedObject,
    SignerHint,
)
from signer.parsers.signed_data import SignedData, SignerInfo, all_values, claimed_time, signed_attribute_bytes, single
from signer.validation.reasons import Reason

_SIGNATURE_POLICY: Final = "1.2.840.113549.1.9.16.2.15"
_ONCE: Final = (
    oids.ATTR_CONTENT_TYPE,
    oids.ATTR_MESSAGE_DIGEST,
    oids.ATTR_SIGNING_TIME,
    oids.ATTR_SIGNING_CERTIFICATE,
    oids.ATTR_SIGNING_CERTIFICATE_V2,
    oids.ATTR_ALGORITHM_PROTECTION,
    _SIGNATURE_POLICY,
)
_NEVER_UNSIGNED: Final = (oids.ATTR_CONTENT_TYPE, oids.ATTR_MESSAGE_DIGEST, oids.ATTR_SIGNING_TIME)


def signature_id(value: bytes) -> str:
    """Name a signature by its value, so that the same signature has the same name in every report."""
    return f"S-{hashlib.sha256(value).hexdigest()[:16]}"


def signature_of(
    data: SignedData,
    signer: SignerInfo,
    *,
    content: Octets | None,
    what: str = "content",
    ranges: tuple[tuple[int, int], ...] = (),
    form: Format = Format.CMS,
    counter: bool = False,
) -> ParsedSignature:
    """Turn one signer into a neutral signature over `content` (None: it was not supplied).

    The SignedData's own content must have been handed in as `content` by the caller that knows whether it
    counts; `counter`: the content is another signature's value (RFC 5652 §11.4). ServiceError or IndexError for
    attribute values that cannot be read at all.
    """
    defects = list(_rule_breaks(data, signer, counter=counter))
    notes = list(data.notes)
    expected: bytes | None = None
    if signer.signed_attributes is None:
        signed_bytes: tuple[bytes, ...] = (b"".join(content or ()),)
    else:
        digest = single(signer.signed, oids.ATTR_MESSAGE_DIGEST)
        expected = b"" if digest is None else digest.octets()
        signed_bytes, unsorted = signed_attribute_bytes(signer.signed_attributes)
        if unsorted:
            notes.append(Note(reason=Reason.SET_UNSORTED))
    references = _references(signer)
    return ParsedSignature(
        id=signature_id(signer.signature),
        format=Format.CADES if references and form is Format.CMS else form,
        algorithm=signer.signature_algorithm,
        algorithm_name=signer.signature_algorithm.sequence()[0].oid(),
        digest_oid=signer.digest_oid,
        signature=signer.signature,
        signed_bytes=signed_bytes,
        objects=(
            SignedObject(
                what=what,
                octets=content,
                digest_oid=None if expected is None else signer.digest_oid,
                expected=expected,
                ranges=ranges,
            ),
        ),
        content_type=data.content_type,
        certificates=data.certificates,
        hint=SignerHint(issuer_der=signer.issuer_der, serial=signer.serial, key_identifier=signer.key_identifier),
        references=references,
        policy=_policy(signer),
        claimed_at=claimed_time(signer),
        crls=data.crls,
        ocsp_responses=data.ocsp_responses,
        level=LevelEvidence(baseline=bool(references)),
        defects=tuple(defects),
        notes=tuple(notes),
    )


def _rule_breaks(data: SignedData, signer: SignerInfo, *, counter: bool) -> list[Note]:
    found = []
    if signer.signed_attributes is None:
        if data.content_type != oids.CMS_DATA and not counter:  # RFC 5652 §5.3: then signedAttrs MUST be present
            found.append(Note(reason=Reason.ATTRIBUTE_MISSING, detail="signedAttrs"))
        return found
    for kind in _ONCE:
        sets = signer.signed.get(kind, ())
        if len(sets) > 1 or any(len(values) != 1 for values in sets):
            found.append(Note(reason=Reason.ATTRIBUTE_DUPLICATED, detail=kind))
    found.extend(
        Note(reason=Reason.ATTRIBUTE_MISPLACED, detail=kind) for kind in _NEVER_UNSIGNED if kind in signer.unsigned
    )
    found.extend(
        Note(reason=Reason.ATTRIBUTE_MISSING, detail=kind)
        for kind in ((oids.ATTR_MESSAGE_DIGEST,) if counter else (oids.ATTR_CONTENT_TYPE, oids.ATTR_MESSAGE_DIGEST))
        if kind not in signer.signed
    )
    content_type = single(signer.signed, oids.ATTR_CONTENT_TYPE)
    if counter and oids.ATTR_CONTENT_TYPE in signer.signed:
        found.append(Note(reason=Reason.ATTRIBUTE_MISPLACED, detail=oids.ATTR_CONTENT_TYPE))
    elif content_type is not None and content_type.oid() != data.content_type:
        found.append(Note(reason=Reason.CONTENT_TYPE_MISMATCH, detail=content_type.oid()))
    protection = single(signer.signed, oids.ATTR_ALGORITHM_PROTECTION)
    if protection is not None and not _protects(protection, signer):
        found.append(Note(reason=Reason.ALGORITHM_PROTECTION_MISMATCH))
    return found


def _protects(protection: Node, signer: SignerInfo) -> bool:
    """Compare CMSAlgorithmProtection with the SignerInfo's own algorithms (RFC 6211 §2)."""
    parts = protection.expect(der.SEQUENCE).children(3)
    signature = next((part for part in parts if part.tag == 0xA1), None)
    if signature is None or any(part.tag == 0xA2 for part in parts):
        return False
    digest = _algorithm(parts[0].children(2)) == _algorithm(signer.digest_algorithm.children(2))
    return digest and _algorithm(signature.children(2)) == _algorithm(signer.signature_algorithm.children(2))


def _algorithm(parts: tuple[Node, ...]) -> tuple[str, bytes]:
    """Spell an AlgorithmIdentifier for comparison; absent parameters and NULL are one (RFC 5754 §2)."""
    parameters = parts[1].raw if len(parts) > 1 else b""
    return parts[0].oid(), b"" if parameters == der.null() else parameters


def _policy(signer: SignerInfo) -> PolicyReference | None:
    """Read signature-policy-identifier (EN 319 122-1 §5.2.9.1)."""
    values = all_values(signer.signed, _SIGNATURE_POLICY)
    if not values:
        return None
    if values[0].tag == der.NULL:
        return PolicyReference(name=None, digest=None)
    parts = values[0].expect(der.SEQUENCE).children(3)
    hashed = parts[1].sequence() if len(parts) > 1 else ()
    return PolicyReference(name=parts[0].oid(), digest=hashed[1].octets() if len(hashed) == 2 else None)


def _references(signer: SignerInfo) -> tuple[CertificateReference, ...]:
    """Read the first ESSCertIDv2 and ESSCertID: those of the signer (RFC 5035 §4, RFC 2634 §5.4)."""
    found = []
    for value in all_values(signer.signed, oids.ATTR_SIGNING_CERTIFICATE_V2):
        parts = value.expect(der.SEQUENCE).children(2)[0].expect(der.SEQUENCE).children(16)[0].children(3)
        named = parts[0].tag == der.SEQUENCE
        digest_oid = parts[0].sequence()[0].oid() if named else oids.SHA256
        found.append(CertificateReference(digest_oid=digest_oid, digest=parts[1 if named else 0].octets()))
    for value in all_values(signer.signed, oids.ATTR_SIGNING_CERTIFICATE):
        first = value.expect(der.SEQUENCE).children(2)[0].expect(der.SEQUENCE).children(16)[0]
        found.append(CertificateReference(digest_oid=oids.SHA1, digest=first.children(2)[0].octets()))
    return tuple(found)
