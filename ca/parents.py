"""Authorities of somebody else above ours: what is asked of them, and what they issued, judged before it is used."""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca.config import AuthoritySettings
from ca.context import responder_common_name
from ca.issuer_limits import IssuerLimits
from ca.key_policy import KeyKind, check_key
from ca.profiles import IssuerName, ProfileName
from ca.subjects import host_name, service_subject
from ca.tbs import key_usage_of, policy_oids
from pki import der, oids
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput, ServiceError, VerificationFailed
from pki.identity import build_name
from pki.names import GeneralName, general_name
from pki.pkcs7 import read_certs_only
from pki.signatures import signature_hash

MAX_CHAIN: Final = 6
MAX_CERTIFICATES: Final = 64
MAX_SERIAL_BITS: Final = 160  # what the register holds; RFC 5280 §4.1.2.2 allows one less
_CA_USAGES: Final = frozenset({"keyCertSign", "cRLSign"})
_PKCS7_LABELS: Final = (b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----")
_DIRECTORY_NAME: Final = 0xA4
_UNDERSTOOD: Final = frozenset(
    {
        oids.BASIC_CONSTRAINTS,
        oids.KEY_USAGE,
        oids.EXTENDED_KEY_USAGE,
        oids.NAME_CONSTRAINTS,
        oids.CERTIFICATE_POLICIES,
        oids.POLICY_CONSTRAINTS,
        oids.INHIBIT_ANY_POLICY,
        oids.CRL_DISTRIBUTION_POINTS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """An authority's own certificate and those above it, its issuer first, the anchor last."""

    own: Certificate
    above: tuple[Certificate, ...]


# --- what is asked for --------------------------------------------------------------------------------------


def needed_policies(label: IssuerName, settings: AuthoritySettings) -> tuple[str, ...]:
    """Return every policy that the certificates of an authority assert."""
    issued = settings.profiles.issued_by(label)
    found = {name for one in issued for plain in (False, True) for name in policy_oids(one, settings, unapproved=plain)}
    return tuple(sorted(found, key=lambda name: tuple(map(int, name.split(".")))))


def needed_purposes(label: IssuerName, settings: AuthoritySettings) -> tuple[str, ...]:
    """Return every extended key usage of an authority's certificates."""
    return tuple(sorted({name for one in settings.profiles.issued_by(label) for name in one.extended_key_usage}))


def requested_extensions(
    label: IssuerName, settings: AuthoritySettings
) -> tuple[x509.Extension[x509.ExtensionType], ...]:
    """Return what an authority's request asks its parent for: no authority below it, and what its profiles need."""
    profile = settings.profiles.get(ProfileName.ISSUING_CA)
    policies = [x509.PolicyInformation(x509.ObjectIdentifier(name), None) for name in needed_policies(label, settings)]
    wanted: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=profile.path_length), True),
        (key_usage_of(profile.key_usage), True),
        (x509.CertificatePolicies(policies), False),
    ]
    usages = settings.profiles.authority_usages(label)
    if usages:
        wanted.append((x509.ExtendedKeyUsage([x509.ObjectIdentifier(name) for name in usages]), False))
    return tuple(x509.Extension(value.oid, critical, value) for value, critical in wanted)


# --- reading ------------------------------------------------------------------------------------------------


def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Read one DER certificate, PEM ones in the order given, or a PKCS#7 of any; InvalidInput."""
    text = data.lstrip()
    if not text.startswith(b"-----BEGIN"):
        if _is_pkcs7(data):
            return tuple(map(Certificate.parse, read_certs_only(data)))
        return (Certificate.parse(data),)
    if text.startswith(_PKCS7_LABELS):
        return tuple(map(Certificate.parse, read_certs_only(_unarmoured(text))))
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "not PEM certificates") from error
    return tuple(Certificate.parse(one.public_bytes(Encoding.DER)) for one in found)


def read_certificate_file(name: str, data: bytes) -> tuple[Certificate, ...]:
    """Read certificates as above from a file, whose name is told with what is wrong in it; InvalidInput."""
    try:
        return read_certificates(data)
    except InvalidInput as error:
        raise InvalidInput(error.code, f"{name}: {error.detail}", reason=error.reason) from error


def _is_pkcs7(data: bytes) -> bool:
    """Whether DER begins with the name of signed data, where a certificate has its to-be-signed part."""
    try:
        return der.parse(data).sequence()[0].tag == der.OID
    except (ServiceError, IndexError, ValueError):
        return False


def _unarmoured(text: bytes) -> bytes:
    lines = [line.strip() for line in text.strip().splitlines()]
    try:
        return b64decode(b"".join(lines[1:-1]), validate=True)
    except ValueError as error:
        raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "not PEM") from error


def path_of(spki_der: bytes, certificates: Sequence[Certificate]) -> Path | None:
    """Find the certificate of a key, the one that begins last, and those above it; None where there is none.

    VerificationFailed where its issuers do not lead to a self-issued certificate.
    """
    for_key = [one for one in certificates if one.spki_der == spki_der]
    if not for_key:
        return None
    own = max(for_key, key=lambda one: one.not_before)
    above: list[Certificate] = []
    below = own
    while not below.self_issued:
        if len(above) == MAX_CHAIN:
            raise refuse_chain(f"the chain has 1 to {MAX_CHAIN} certificates", reason="chain.too-long")
        below = _issuer_of(below, certificates, above)
        above.append(below)
    return Path(own=own, above=tuple(above))


def _issuer_of(below: Certificate, certificates: Sequence[Certificate], above: Sequence[Certificate]) -> Certificate:
    """Return the issuer: of several certificates of one, its own, which ends the path, and then what begins last."""
    found = (one for one in certificates if one.subject_der == below.issuer_der and one not in above)
    named = sorted(found, key=lambda one: (one.self_issued, one.not_before), reverse=True)
    if not named:
        raise refuse_chain(f"the certificate of {below.issuer} is missing", reason="chain.issuer-missing")
    for issuer in named:
        try:
            below.verify_signed_by(issuer)
        except ServiceError:
            continue
        return issuer
    raise refuse_chain(f"{below.issuer} did not sign the one before", reason="chain.signature-wrong")


# --- judging ------------------------------------------------------------------------------------------------


def refuse_chain(what: str, *, reason: str) -> VerificationFailed:
    """Make the refusal of what a parent sent; its reason is told to people too, who have no other answer of it."""
    return VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"{reason}: {what}", reason=reason)


def check_installable(
    path: Path, spki_der: bytes, name_der: bytes, now: datetime, *, present: Certificate | None
) -> None:
    """See that a certificate can stand for a key and name of ours, and that its path leads to an anchor.

    `present` is the certificate that it takes the place of: what was issued under it names its key by identifier.
    VerificationFailed says which of the conditions does not hold (RFC 5280 §4.2.1, §6.1).
    """
    own = path.own
    if not 0 < own.serial.bit_length() <= MAX_SERIAL_BITS or own.serial < 0:
        raise refuse_chain("a serial number is positive, of at most 20 octets", reason="chain.serial-number")
    if own.spki_der != spki_der:
        raise refuse_chain("the certificate is for another key", reason="chain.key-differs")
    if own.subject_der != name_der:
        raise refuse_chain(f"the certificate is for another name, {own.subject}", reason="chain.name-differs")
    if own.subject_key_identifier is None or (
        present is not None and own.subject_key_identifier != present.subject_key_identifier
    ):
        raise refuse_chain(
            "subjectKeyIdentifier is not what certificates under this key name", reason="chain.key-identifier"
        )
    _check_authority(own, now, "the certificate")
    if not 1 <= len(path.above) <= MAX_CHAIN:
        raise refuse_chain(f"the chain has 1 to {MAX_CHAIN} certificates", reason="chain.too-long")
    below = own
    for depth, issuer in enumerate(path.above):
        what = f"certificate {depth + 1} of the chain"
        _check_authority(issuer, now, what)
        if issuer.path_length is not None and issuer.path_length <= depth:
            raise refuse_chain(f"{what} allows no further authority below it", reason="chain.path-length")
        if below.issuer_der != issuer.subject_der:
            raise refuse_chain(f"{what} is not the issuer of the one before", reason="chain.issuer-missing")
        _check_signed(below, issuer, what)
        below = issuer
    if not below.self_issued:
        raise refuse_chain("the chain does not end with an anchor", reason="chain.issuer-missing")
    _check_signed(below, below, "the anchor")
    if present is not None and own.issuer_der == present.issuer_der and own.not_before < present.not_before:
        raise refuse_chain("the certificate in use is newer", reason="chain.older")


def check_compatible(path: Path, label: IssuerName, settings: AuthoritySettings, *, hosts: Sequence[str] = ()) -> None:
    """See that an authority may issue by its profiles under a path, its own services first of all.

    `hosts` are the deployment's own. VerificationFailed names what the certificates above do not allow.
    """
    limits = IssuerLimits.of((path.own, *path.above))
    for one in (path.own, *path.above):
        _check_strength(one, settings, anchor=one is path.above[-1])
    for purpose in limits.missing_purposes(needed_purposes(label, settings)):
        raise refuse_chain(
            f"the key purpose {purpose}, which {label} certifies, is not allowed", reason="chain.purpose"
        )
    for policy in limits.missing_policies(needed_policies(label, settings)):
        raise refuse_chain(f"the policy {policy}, which {label} asserts, is not allowed", reason="chain.policy")
    for what, name in _needed_names(label, settings, hosts):
        if not limits.names.admits(name):
            raise refuse_chain(
                f"the name of {what} is not within the name constraints", reason="chain.name-constraints"
            )


def _needed_names(
    label: IssuerName, settings: AuthoritySettings, hosts: Sequence[str]
) -> tuple[tuple[str, GeneralName], ...]:
    """Return names that an authority is certain to certify."""
    subjects = [("its responder", service_subject(settings, responder_common_name(label)).name)]
    if label is IssuerName.PERSONS:
        person = build_name((NameOID.COUNTRY_NAME, settings.country), (NameOID.SURNAME, "x"))
        subjects.append(("a person", person))
    found = [(what, GeneralName(tag=_DIRECTORY_NAME, value=name.public_bytes())) for what, name in subjects]
    if label is IssuerName.SYSTEMS:
        encoded = (x509.SubjectAlternativeName([host_name(host)]).public_bytes() for host in hosts)
        found += [(host, general_name(der.parse(one).sequence()[0])) for host, one in zip(hosts, encoded, strict=True)]
    return tuple(found)


def _check_strength(certificate: Certificate, settings: AuthoritySettings, *, anchor: bool) -> None:
    try:
        check_key(certificate.public_key, frozenset(KeyKind), known_bad=settings.refused_keys)
        digest = signature_hash(certificate.signature_algorithm)
    except InvalidInput as error:
        raise refuse_chain(f"the key of {certificate.subject}: {error.detail}", reason="chain.weak-key") from error
    if digest == oids.SHA1 and not anchor:  # an anchor is trusted for itself, not for its signature
        raise refuse_chain(f"{certificate.subject} is signed over SHA-1", reason="chain.weak-signature")


def _check_authority(certificate: Certificate, now: datetime, what: str) -> None:
    if not certificate.not_before <= now <= certificate.not_after:
        raise refuse_chain(f"{what} is not valid now", reason="chain.not-valid-now")
    constraints = certificate.extensions.get(oids.BASIC_CONSTRAINTS)
    if not certificate.is_ca or constraints is None or not constraints.critical:
        raise refuse_chain(f"{what} is not a CA's", reason="chain.not-an-authority")
    if certificate.key_usage is None or not certificate.key_usage >= _CA_USAGES:
        raise refuse_chain(f"{what} may not sign certificates and lists", reason="chain.key-usage")
    for name, extension in certificate.extensions.items():
        if extension.critical and name not in _UNDERSTOOD:
            raise refuse_chain(f"{what} has the critical extension {name}", reason="chain.critical-extension")


def _check_signed(certificate: Certificate, issuer: Certificate, what: str) -> None:
    try:
        certificate.verify_signed_by(issuer)
    except ServiceError as error:
        raise refuse_chain(f"{what} did not sign the one before", reason="chain.signature-wrong") from error
