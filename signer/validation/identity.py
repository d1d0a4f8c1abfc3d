"""Who signed, and how much stands behind it, read from the certificate (Admission, profile type OIDs)."""

from pki.certificates import Certificate
from pki.identity_scheme import IdentityScheme
from pki.oids import OidArc
from signer.parsers.model import UNREADABLE
from signer.validation.verdict import Assurance, Care, SignerIdentity, TimeProof


def signer_identity(certificate: Certificate, arc: OidArc, scheme: IdentityScheme) -> SignerIdentity:
    """Read council number and profession; both None without an Admission that can be read."""
    try:
        admission = certificate.admission
    except UNREADABLE:
        admission = None
    if admission is None:
        return SignerIdentity(certificate=certificate)
    slugs = (scheme.slug_of(oid, arc) for oid in admission.profession_oids)
    slug = next((slug for slug in slugs if slug is not None), None)
    text = admission.profession_items[0] if admission.profession_items else None
    return SignerIdentity(
        certificate=certificate, council_number=admission.registration_number, profession=slug or text
    )


def is_clinician(identity: SignerIdentity, arc: OidArc, scheme: IdentityScheme) -> bool:
    """Say whether the certificate's Admission names a profession of the scheme under this arc."""
    try:
        admission = identity.certificate.admission
    except UNREADABLE:
        return False
    return admission is not None and any(scheme.is_profession(oid, arc) for oid in admission.profession_oids)


def on_hardware(certificate: Certificate, arc: OidArc) -> bool:
    """Say whether the profile promises a key in a card: clin-sign or cit-sign (type OIDs A.2.1.1, A.2.2.1)."""
    hardware = {arc.profile_type(1, 1), arc.profile_type(2, 1)}
    try:
        return not hardware.isdisjoint(certificate.policies)
    except UNREADABLE:
        return False


def assurance(
    certificate: Certificate | None, care: Care, time_proof: TimeProof, arc: OidArc, *, known_good: bool
) -> Assurance:
    """Grade the act (domain reference §4.4).

    A3: hardware key, status known and time proven. A2: hardware key, status or time still open. A1: a
    trusted person's key of unknown or software custody. A0: nothing to build on.
    """
    if certificate is None or care is Care.INVALID:
        return Assurance.A0
    if not on_hardware(certificate, arc):
        return Assurance.A1
    complete = care is Care.VALID and known_good and time_proof is not TimeProof.CLAIMED
    return Assurance.A3 if complete else Assurance.A2
