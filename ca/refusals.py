"""Every rule by which a request is refused before any key is used, by name: what a caller's program can rely on.

An error's `reason` is one of these names; many share a code. `python -m ca.refusals` writes `docs/refusals.md`.
Rules of the linters have names too: `lint.` and the rule's own code, such as `lint.house.subject_is_exact`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Final

from ca.lint.gate import RULES
from pki.errors import ErrorCode


@dataclass(frozen=True, slots=True)
class Refusal:
    """One rule: the code that its error carries, and one sentence for whoever asked."""

    code: ErrorCode
    sentence: str


_TABLE: Final[Mapping[ErrorCode, Mapping[str, str]]] = {
    ErrorCode.CSR_MALFORMED: {
        "csr.empty": "No certificate request was sent.",
        "csr.too-large": "The certificate request is larger than 32 KiB.",
        "csr.malformed": "These octets are not a certificate request (RFC 2986).",
        "csr.trailing-octets": "More octets follow the end of the certificate request.",
        "csr.wrong-version": "The certificate request is not of version 1 (RFC 2986 §4.1).",
        "csr.challenge-malformed": "The request's challenge password is not one value of 1 to 255 characters.",
        "csr.is-certificate": "A certificate was sent where a certificate request belongs.",
        "csr.is-private-key": "A private key was sent where a certificate request belongs; make a new key.",
    },
    ErrorCode.NONCE_INVALID: {
        "csr.nonce-missing": "The request carries no nonce as its challenge password.",
        "csr.nonce-stale": "The nonce's time is over, or there was none.",
        "csr.nonce-differs": "The request carries another nonce than the one named, or one of another file.",
        "csr.nonce-used": "The nonce made a certificate before.",
    },
    ErrorCode.KEY_PROOF_INVALID: {
        "key.proof-missing": "Persons' keys in hardware are certified here with a proof of where they were made alone.",
        "key.proof-card": "The card's serial number in the key proof is malformed.",
    },
    ErrorCode.CSR_PROOF_INVALID: {
        "csr.signature-wrong": "The request's signature is not by the key that it asks a certificate for.",
        "csr.signature-sha1": "The request is signed over SHA-1.",
        "csr.signature-md5": "The request is signed over MD5.",
    },
    ErrorCode.KEY_REFUSED: {
        "key.rsa-too-short": "An RSA key has 2048 bits (on cards), 3072 or 4096.",
        "key.rsa-too-long": "An RSA key has at most 4096 bits.",
        "key.rsa-odd-size": "The number of bits of an RSA key is a multiple of 8.",
        "key.exponent-small": "An RSA exponent is at least 65537 (FIPS 186-5 §5.1).",
        "key.exponent-even": "An RSA exponent is odd.",
        "key.exponent-huge": "An RSA exponent has at most 256 bits.",
        "key.roca": "The RSA key was made by the broken generator of CVE-2017-15361 (ROCA).",
        "key.small-factor": "The RSA modulus has a factor below 752.",
        "key.close-primes": "The primes of the RSA key lie too close to each other (CVE-2022-26320).",
        "key.curve-p224": "Keys on P-224 are not certified.",
        "key.curve-p521": "Keys on P-521 are not certified.",
        "key.curve-secp256k1": "Keys on secp256k1 are not certified.",
        "key.curve-brainpool": "Keys on brainpool curves are not certified.",
        "key.curve-other": "Keys on this curve are not certified.",
        "key.explicit-parameters": "An elliptic curve is named, never described by parameters (RFC 5480 §2.1.1).",
        "key.point-off-curve": "The public point does not lie on its curve.",
        "key.point-infinity": "The public point is the point at infinity.",
        "key.unreadable": "The public key cannot be read.",
        "key.dsa": "DSA keys are not certified.",
        "key.ed25519": "Ed25519 keys are not certified.",
        "key.ed448": "Ed448 keys are not certified.",
        "key.x25519": "Keys for key agreement alone are not certified.",
        "key.mldsa": "ML-DSA keys of this size are not certified.",
        "key.kind-not-in-profile": "The profile does not allow this kind of key.",
        "key.block-listed": "The key is on the deployment's list of refused keys.",
        "key.other-holder": "The key is certified for another holder.",
        "key.other-purpose": "The key is certified for another purpose of the same holder.",
        "replacement.same-key": "What takes the place of a lost certificate is for a new key.",
        "key.compromised": "The key was revoked as compromised.",
        "key.of-an-authority": "The key is an authority's own.",
    },
    ErrorCode.PROFILE_UNKNOWN: {"profile.unknown": "No profile goes by this name."},
    ErrorCode.PROFILE_RETIRED: {"profile.retired": "Nothing new is issued by this profile."},
    ErrorCode.ACTIVATION_REFUSED: {
        "activation.refused": "One of the two codes is wrong, or both are, or new codes were made meanwhile.",
    },
    ErrorCode.ACTIVATION_LOCKED: {"activation.locked": "Wrong codes were given five times; an officer makes new ones."},
    ErrorCode.SUSPENSION_REFUSED: {
        "suspension.refused": "The suspension code is wrong, is nobody's, or was given wrongly five times in an hour.",
    },
    ErrorCode.AUTHORITY_CLOSED: {"authority.closed": "The authority's key is declared compromised; it issues nothing."},
    ErrorCode.ACTIVATION_EXPIRED: {"activation.expired": "The time of the codes is over; an officer makes new ones."},
    ErrorCode.NOT_ALLOWED: {
        "replacement.foreign": "What another authority issued is replaced there.",
        "profile.wrong-holder": "The profile is for another kind of holder than the file's.",
        "profile.service-only": "The profile is for the deployment's own services.",
        "officer.no-role": "No role of the officer allows this act.",
        "est.persons": "Only centres and systems enrol by themselves.",
        "est.not-tls": "Enrolment is on the mutual-TLS listener alone.",
        "est.secret-needed": "A key that signs or decrypts is enrolled by the file's secret, not by a certificate.",
        "file.of-another-officer": "The file is another officer's.",
        "officer.certificate-not-good": "The officer's certificate is not good.",
        "officer.certificate-unapproved": "The officer's certificate was issued without approvals.",
    },
    ErrorCode.NOT_FOUND: {
        "profile.no-authority": "This deployment has no authority that issues the profile.",
        "renewal.absent": "There is no such certificate to renew or replace.",
        "file.absent": "There is no such registration file.",
        "evidence.not-named": "The registration file names no such evidence.",
        "evidence.absent": "The evidence was not brought yet.",
        "evidence.deleted": "The evidence was deleted some time after the decision on its file.",
    },
    ErrorCode.NOT_APPROVED: {
        "file.not-approved": "The registration file lacks an approval.",
        "file.closed": "The registration file was refused, withdrawn or has ended.",
    },
    ErrorCode.STATE_ILLEGAL: {
        "activation.nothing": "No certificate of this file waits for its holder.",
        "suspension.nothing": "No living certificate of this file's holder needs a suspension code.",
        "revocation.proposed": "The certificate is held until two officers have decided on its revocation.",
        "revocation.decided": "The proposal is decided already.",
        "bulk.running": "The rows of a bulk file are still being entered.",
        "file.draft": "The registration file is a draft.",
        "file.submitted": "The registration file is submitted, which forbids this act.",
        "file.checked": "The registration file is checked, which forbids this act.",
        "file.approved": "The registration file is approved already.",
        "file.refused": "The registration file was refused.",
        "file.withdrawn": "The registration file was withdrawn.",
        "file.expired": "The registration file's time is over.",
        "file.unchecked": "A registry was not asked about the file yet.",
        "file.word-ended": "What a registry confirmed of the file has ended; ask again.",
        "file.evidence-missing": "Evidence that the registration file needs is not here.",
        "evidence.file-decided": "The registration file is decided or over, and takes no evidence any more.",
        "file.previous-open": "The previous file of the same holder is still open.",
        "renewal.has-successor": "The certificate has a successor that has not ended.",
        "renewal.not-good": "Only a certificate that is good and in its time is renewed.",
        "replacement.not-replaceable": "The certificate ended in a way after which nothing takes its place.",
    },
    ErrorCode.RENEWAL_TOO_EARLY: {"renewal.too-early": "The profile's renewal window has not begun."},
    ErrorCode.REQUEST_IN_PROGRESS: {"renewal.at-once": "Another successor of the certificate is being made."},
    ErrorCode.REGISTRY_REFUSED: {"file.registry-says-no": "A registry says no to what the file claims."},
    ErrorCode.REGISTRY_SILENT: {"file.registry-silent": "A registry does not answer, and nobody said why that may be."},
    ErrorCode.FOUR_EYES: {
        "officer.submitted-it": "Whoever submitted something does not approve it.",
        "officer.own-file": "Nobody approves a file about themself.",
        "officer.own-role": "Nobody asks for a role of their own, or grants it.",
        "officer.own-certificate": "Nobody binds a certificate to themself.",
        "revocation.two-officers": "A revocation that reaches back is proposed by one officer and approved by another.",
        "revocation.own": "Nobody approves the revocation of a certificate of their own.",
        "alarm.own": "Nobody closes an alarm about themself.",
        "compromise.two-officers": "Whoever declared that a key is compromised does not confirm or withdraw it.",
        "officer.own-order": "Nobody orders a certificate of their own.",
        "officer.twice": "One officer approves once.",
    },
    ErrorCode.OFFICER_UNKNOWN: {
        "officer.unknown": "No officer is known by this proof.",
        "officer.no-certificate": "The officer's certificate is missing, or is not the register's.",
        "officer.certificate-expired": "The officer's certificate is out of its time.",
        "officer.certificate-held": "The officer's certificate is suspended.",
        "officer.certificate-revoked": "The officer's certificate is revoked.",
        "officer.certificate-purpose": "The officer's certificate is not for logging in.",
        "officer.signature-wrong": "The statement's signature is not the officer's.",
        "officer.statement-differs": "The officer's statement is about something else.",
        "officer.statement-stale": "The officer's statement is of another time.",
        "officer.statement-used": "The officer's statement was used before.",
    },
    ErrorCode.OFFICER_SUSPENDED: {"officer.suspended": "The officer is suspended."},
    ErrorCode.ENROLMENT_UNPROVEN: {
        "est.no-proof": "Neither a certificate nor the secret of a file was shown.",
        "est.another-holder": "The certificate is not of the file's holder.",
        "est.certificate-unknown": "The certificate is not one of this register's.",
        "est.certificate-not-good": "The certificate is suspended, revoked or out of its time.",
        "est.certificate-purpose": "The certificate is not for logging in to a server.",
        "est.certificate-holder": "The certificate is a person's, and persons do not enrol by themselves.",
        "est.secret-wrong": "The enrolment secret is not the file's.",
        "est.secret-locked": "The enrolment secret was tried wrongly too often.",
        "est.secret-expired": "The enrolment secret's time is over.",
        "est.secret-used": "The enrolment secret was used before.",
    },
    ErrorCode.IDENTITY_DIFFERS: {
        "est.subject-differs": "The request's subject is not that of the certificate to be renewed.",
        "est.san-differs": "The request's alternative names are not those of the certificate to be renewed.",
        "est.profile-differs": "The certificate to be renewed is of another profile.",
        "renewal.identity-differs": "A successor is of the same registration file and profile.",
    },
    ErrorCode.SCOPE_EXCEEDED: {
        "officer.out-of-realm": "The officer's role is held in another realm.",
        "officer.out-of-profession": "The officer's role does not cover this profession.",
        "officer.out-of-province": "The officer's role does not cover this province.",
        "officer.province-unsaid": "What is asked about says no province, and the officer's role is limited to some.",
        "realm.scope": "A realm's scope lies within its parent's.",
    },
    ErrorCode.INPUT_MALFORMED: {
        "activation.mistyped": "The name of the activation or one of the codes is mistyped; no try was used up.",
        "suspension.mistyped": "The suspension code is mistyped; no try was used up.",
        "revocation.evidence": "A revocation that reaches back needs the SHA-256 of the evidence, in hexadecimal.",
        "file.province-unsaid": "This deployment takes no file of this kind without a province.",
        "evidence.digest-differs": "The octets are not those that the registration file names.",
        "replacement.reason": "A replacement is for keyCompromise, superseded or unspecified.",
        "registration.malformed": "A member of the registration file is missing, unknown or of a wrong form.",
        "officer.scope-unknown": "A role or realm names a profession or province that the deployment does not have.",
        "officer.statement-malformed": "The officer's statement is malformed.",
        "request.not-base64": "The body of the request is not base64.",
        "request.no-idempotency-key": "The request does not say its Idempotency-Key.",
        "request.idempotency-key": "An Idempotency-Key is one value of 1 to 128 printable ASCII characters, no comma.",
        "request.member-length": "A member of the request's body is too short or too long.",
        "request.member-missing": "A member of the request's body is missing.",
        "request.member-type": "A member of the request's body, or the body, is of another JSON type.",
        "request.member-value": "A member of the request's body has none of the values that it may have.",
        "request.query": "A word of the request's query is not known, said twice or of a wrong form.",
        "request.unknown-member": "The request's body has a member that is not known.",
        "realm.level": "A realm stands lower than its parent.",
    },
    ErrorCode.INPUT_FORMAT_UNKNOWN: {
        "evidence.type-unknown": "Evidence is PDF, JPEG or PNG, told by its first octets."
    },
    ErrorCode.INPUT_TOO_LARGE: {
        "registration.too-large": "A registration file has at most 16 KiB.",
        "evidence.too-large": "A scan has at most 5 MiB.",
        "evidence.quota": "The scans of one file have at most 20 MiB together.",
        "request.too-large": "The body of the request is too large.",
    },
    ErrorCode.MEDIA_TYPE_REFUSED: {
        "request.not-json": "The body of the request is not of the type application/json.",
        "evidence.media-type": "Evidence comes as application/pdf, image/jpeg or image/png.",
    },
    ErrorCode.IDENTITY_INVALID: {
        "identity.national-code-form": "A national code has 10 digits.",
        "identity.national-code-reserved": "The national code is of a pattern that is given to nobody.",
        "identity.national-code-check-digit": "The national code's check digit is wrong.",
        "identity.legal-id-form": "A legal entity's national id has 11 digits.",
        "identity.legal-id-check-digit": "The legal id's check digit is wrong.",
        "file.role-unknown": "The deployment does not know the profession or kind of centre that the file says.",
        "identity.council-number-form": "The council number has another form than the profession's.",
        "identity.council-number-script": "A council number's letter is a Latin one.",
        "identity.siam-id-form": "A SIAM id is a GUID, or 4 to 36 letters, digits and hyphens.",
        "identity.name-length": "A name has 1 to 64 characters.",
        "identity.name-character": "A name holds no control, invisible or direction characters.",
    },
    ErrorCode.VERIFICATION_FAILED: {
        "chain.key-differs": "What a parent issued is for another key than the request's.",
        "chain.name-differs": "What a parent issued is for another name than the request's.",
        "chain.serial-number": "The serial number of what a parent issued is not positive, or has more than 20 octets.",
        "chain.key-identifier": "The subjectKeyIdentifier is missing, or not what certificates under this key name.",
        "chain.not-valid-now": "A certificate of the path is not valid now.",
        "chain.not-an-authority": "A certificate of the path is no CA's, or says so without being critical.",
        "chain.key-usage": "A certificate of the path lacks keyCertSign or cRLSign.",
        "chain.critical-extension": "A certificate of the path has a critical extension that is not understood.",
        "chain.path-length": "A pathLenConstraint above allows no further authority (RFC 5280 §4.2.1.9).",
        "chain.issuer-missing": "The certificates do not lead up to a self-issued one.",
        "chain.signature-wrong": "A certificate of the path is not signed by the one above it.",
        "chain.too-long": "A path has at most six authorities above our own, and at least one.",
        "chain.weak-key": "A key of the path is weaker than the policy for keys.",
        "chain.weak-signature": "A certificate of the path is signed over SHA-1.",
        "chain.purpose": "Extended key usages above do not allow what an authority's profiles certify.",
        "chain.policy": "Certificate policies above do not allow what an authority's profiles assert.",
        "chain.name-constraints": "Name constraints above exclude what an authority is certain to certify.",
        "chain.older": "The certificate in use is newer.",
        "chain.authority-missing": "No certificate is there for the key of an authority.",
    },
    ErrorCode.LINT_HOLD: {
        "lint.pending": "The independent linter has not judged the certificate yet.",
        "lint.failed": "The independent linter's verdict holds the certificate until two officers have looked.",
    },
    ErrorCode.LINT_FAILED: {f"lint.{rule.code}": f"{rule.clause}: {rule.code.split('.')[1]}." for rule in RULES},
}

REFUSALS: Final[Mapping[str, Refusal]] = MappingProxyType(
    {name: Refusal(code, sentence) for code, names in _TABLE.items() for name, sentence in names.items()}
)

_HEAD: Final = """# What is refused, and by which name

A refused request is answered with a stable `code` and, where one code has many rules, with the `reason` that names the
very rule. Nothing here reaches a key: every one of these is refused before a custodian is asked for a signature.
A rule of pkilint, heard before the signature on request, has the reason `lint.pkilint.` and pkilint's own code.

This page is written by `python -m ca.refusals > docs/refusals.md`.
"""


def as_markdown() -> str:
    """Write the table as a page, by the first word of the names."""
    parts = [_HEAD]
    for group, names in groupby(sorted(REFUSALS), key=lambda name: name.split(".")[0]):
        parts.append(f"\n## {group}\n\n| reason | code | rule |\n| --- | --- | --- |\n")
        parts += (f"| `{name}` | `{REFUSALS[name].code}` | {REFUSALS[name].sentence} |\n" for name in names)
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
