"""Steps 2 and 5 of EN 319 102-1 §5.3: which certificate signed, and whether digests and value hold."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from pki import oids
from pki.certificates import Certificate
from pki.errors import VerificationFailed
from pki.names import same_name
from pki.signatures import ForeignPublicKey, fits, signature_hash, verify_value
from signer.parsers.model import UNREADABLE, Octets, ParsedSignature, SignedObject
from signer.validation.reasons import Reason
from signer.validation.verdict import Covered, Crypto, Finding, SubIndication, failed, indeterminate

MAX_GUESSES: Final = 8

HASH_NAMES: Final = {
    oids.MD5: "md5",
    oids.SHA1: "sha1",
    oids.SHA224: "sha224",
    oids.SHA256: "sha256",
    oids.SHA384: "sha384",
    oids.SHA512: "sha512",
    oids.SHA512_256: "sha512_256",
    oids.SHA3_224: "sha3_224",
    oids.SHA3_256: "sha3_256",
    oids.SHA3_384: "sha3_384",
    oids.SHA3_512: "sha3_512",
}
_SHAKES: Final = {oids.SHAKE128: (hashlib.shake_128, 32), oids.SHAKE256: (hashlib.shake_256, 64)}  # RFC 8702 §3.1


def digest(hash_oid: str, octets: Octets) -> bytes | None:
    """Hash octets in pieces; None for a hash that is not known."""
    name = HASH_NAMES.get(hash_oid)
    if hash_oid in _SHAKES:
        make, size = _SHAKES[hash_oid]
        return make(b"".join(octets)).digest(size)
    if name is None:
        return None
    running = hashlib.new(name, usedforsecurity=False)
    for piece in octets:
        running.update(piece)
    return running.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """The signing certificate, if found, and what was wrong with its reference."""

    certificate: Certificate | None
    findings: tuple[Finding, ...] = ()


def identify_signer(signature: ParsedSignature, pool: Iterable[Certificate]) -> Identified:
    """Find the signing certificate (EN 319 102-1 §5.2.3).

    The unsigned identifier proposes, the signed reference decides: a certificate whose digest is not the
    referenced one did not make this signature, whatever the identifier says.
    """
    candidates = tuple(dict.fromkeys((*signature.certificates, *pool)))
    hinted = [candidate for candidate in candidates if _is_hinted(signature, candidate)]
    agreed = next((candidate for candidate in hinted if refers_to(signature, candidate)), None)
    if agreed is not None:
        return Identified(certificate=agreed, findings=_binding(signature))
    if not hinted and signature.references:
        referenced = next((candidate for candidate in candidates if refers_to(signature, candidate)), None)
        if referenced is not None:
            return Identified(certificate=referenced)
    if not hinted and signature.hint.any_key:
        holder = _by_given_key(signature, candidates)
        if holder is not None:
            return Identified(certificate=holder)
    proven = hinted[0] if hinted else _by_key(signature)
    if proven is None:
        missing = indeterminate(
            Reason.SIGNING_CERTIFICATE_NOT_FOUND, SubIndication.NO_SIGNING_CERTIFICATE_FOUND, _searched(signature)
        )
        return Identified(certificate=None, findings=(missing,))
    mismatch = indeterminate(
        Reason.SIGNING_CERTIFICATE_REFERENCE_MISMATCH,
        SubIndication.SIG_CONSTRAINTS_FAILURE,
        about=f"certificate {proven.serial_hex}",
    )
    return Identified(certificate=proven, findings=(mismatch,))


def _binding(signature: ParsedSignature) -> tuple[Finding, ...]:
    if signature.references or signature.bound:
        return ()
    missing = Reason.SIGNING_CERTIFICATE_REFERENCE_MISSING
    return (indeterminate(missing, SubIndication.SIG_CONSTRAINTS_FAILURE),)


def refers_to(signature: ParsedSignature, certificate: Certificate) -> bool:
    """Say whether every signed reference is to this certificate; MD5 tells no certificate from a twin of it."""
    if any(reference.digest_oid == oids.MD5 for reference in signature.references):
        return False
    return all(_thumbprint(r.digest_oid, certificate) == r.digest for r in signature.references)


def _thumbprint(hash_oid: str, certificate: Certificate) -> bytes | None:
    return certificate.sha256 if hash_oid == oids.SHA256 else digest(hash_oid, (certificate.der,))


def _is_hinted(signature: ParsedSignature, candidate: Certificate) -> bool:
    hint = signature.hint
    try:
        if hint.certificate is not None:
            return candidate == hint.certificate
        if hint.key_id is not None:
            return hint.key_id in (candidate.sha256[:8], candidate.sha256, candidate.subject_key_identifier)
        if hint.key_identifier is not None:
            return candidate.subject_key_identifier == hint.key_identifier
        return (
            hint.issuer_der is not None
            and candidate.serial == hint.serial
            and same_name(candidate.issuer_der, hint.issuer_der)
        )
    except UNREADABLE:
        return False  # a certificate that cannot be read is not the one meant


def _by_key(signature: ParsedSignature) -> Certificate | None:
    """Find an embedded certificate whose key made the signature, though nothing refers to it (substitution)."""
    for candidate in signature.certificates[:MAX_GUESSES]:
        if value_holds(signature, candidate) is True:
            return candidate
    return None


def _by_given_key(signature: ParsedSignature, candidates: Iterable[Certificate]) -> Certificate | None:
    """Find whose key signed among those who are no authorities; who stands alone is asked, whatever the value says."""
    holders = [candidate for candidate in candidates if not _is_authority(candidate)][:MAX_GUESSES]
    if len(holders) == 1:
        return holders[0]
    return next((candidate for candidate in holders if value_holds(signature, candidate) is True), None)


def _is_authority(certificate: Certificate) -> bool:
    try:
        return certificate.is_ca
    except UNREADABLE:
        return True


def _searched(signature: ParsedSignature) -> str:
    return f"{len(signature.certificates)} certificates in the file, none fits the signature's identifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class CryptoCheck:
    """What is known of digests and signature value."""

    crypto: Crypto
    covered: tuple[Covered, ...]
    findings: tuple[Finding, ...]


def check_crypto(signature: ParsedSignature, certificate: Certificate | None) -> CryptoCheck:
    """Check every digest, then the signature value (EN 319 102-1 §5.2.7); digests even without a certificate."""
    findings: list[Finding] = []
    covered: list[Covered] = []
    known = True
    for item in signature.objects:
        found, finding = _check_object(item)
        if found is not None:
            covered.append(found)
        if finding is not None:
            findings.append(finding)
    absent = any(item.octets is None for item in signature.objects)
    value_reads_content = any(item.expected is None for item in signature.objects)
    if certificate is None or (absent and value_reads_content):
        known = False
    else:
        held = value_holds(signature, certificate)
        if held is None:
            known = False
            reason = indeterminate(
                Reason.ALGORITHM_UNSUPPORTED, SubIndication.CRYPTO_CONSTRAINTS_FAILURE, signature.algorithm_name
            )
            findings.append(reason)
        elif not held:
            findings.append(failed(Reason.SIGNATURE_VALUE_INVALID, SubIndication.SIG_CRYPTO_FAILURE))
    broken = any(f.sub_indication in (SubIndication.HASH_FAILURE, SubIndication.SIG_CRYPTO_FAILURE) for f in findings)
    unknown = not known or any(f.reason is Reason.ALGORITHM_UNSUPPORTED for f in findings) or absent
    crypto = Crypto.BROKEN if broken else Crypto.UNKNOWN if unknown else Crypto.INTACT
    return CryptoCheck(crypto=crypto, covered=tuple(covered), findings=tuple(findings))


def _check_object(item: SignedObject) -> tuple[Covered | None, Finding | None]:
    if item.octets is None:
        absent = indeterminate(Reason.CONTENT_ABSENT, SubIndication.SIGNED_DATA_NOT_FOUND, about=item.what)
        return None, absent
    sha256 = digest(oids.SHA256, item.octets) or b""
    covered = Covered(what=item.what, sha256=sha256.hex(), size=sum(map(len, item.octets)), ranges=item.ranges)
    if item.expected is None or item.digest_oid is None:
        return covered, None
    actual = sha256 if item.digest_oid == oids.SHA256 else digest(item.digest_oid, item.octets)
    if actual is None:
        return covered, indeterminate(
            Reason.ALGORITHM_UNSUPPORTED, SubIndication.CRYPTO_CONSTRAINTS_FAILURE, item.digest_oid
        )
    if actual != item.expected:
        return covered, failed(Reason.DIGEST_MISMATCH, SubIndication.HASH_FAILURE, about=item.what)
    return covered, None


def value_holds(signature: ParsedSignature, certificate: Certificate) -> bool | None:
    """Say whether the signature value holds under a certificate's key; None when that cannot be told."""
    try:
        key = certificate.foreign_key
    except UNREADABLE:
        return None
    if not _fits(signature, key):
        return False
    for message in signature.signed_bytes:
        try:
            verify_value(key, signature.algorithm, signature.signature, message, digest_oid=signature.digest_oid)
        except VerificationFailed:
            continue
        except UNREADABLE:
            return None
        return True
    return False


def _fits(signature: ParsedSignature, key: ForeignPublicKey) -> bool:
    """Say whether the algorithm can belong to the key at all: a value under another kind of key holds nowhere."""
    if signature.curve is not None and isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name == signature.curve
    return fits(key, signature.algorithm)


def value_hash(signature: ParsedSignature) -> str | None:
    """Return the OID of the hash inside the signature algorithm; None when there is none or it is unknown."""
    try:
        return signature_hash(signature.algorithm, signature.digest_oid)
    except UNREADABLE:
        return None
