"""A verdict as JSON: the line of `mohr verify --json`. The same verdict gives the same octets."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pki.certificates import Certificate
from signer.parsers.model import ContentClaims, PolicyReference
from signer.validation.anchors import BundleStamp
from signer.validation.names import readable_name
from signer.validation.reasons import REASONS
from signer.validation.verdict import (
    Covered,
    FileVerdict,
    Finding,
    KnownStatus,
    SignatureVerdict,
    SignerIdentity,
    TimestampVerdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFile:
    """The file that a report is about: its name as shown, its size in octets, its SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


def verdict_json(verdict: FileVerdict, name: str) -> dict[str, Any]:
    """Return a file's verdict as the JSON object that the outside holds on to; `name` is shown as the file."""
    return {
        "file": name,
        "format": verdict.format,
        "indication": verdict.indication,
        "sub_indication": verdict.sub_indication,
        "validated_at": instant(verdict.validated_at),
        "policy": verdict.policy.name,
        "offline": verdict.offline,
        "trust": None if verdict.bundle is None else _bundle(verdict.bundle, verdict.validated_at),
        "signatures": [_signature(signature) for signature in verdict.signatures],
        "timestamps": [_timestamp(stamp) for stamp in verdict.timestamps],
        "reasons": [_reason(finding) for finding in verdict.findings],
    }


def _bundle(stamp: BundleStamp, at: datetime) -> dict[str, Any]:
    return {
        "bundle": stamp.name,
        "sequence": stamp.sequence,
        "issued": instant(stamp.issued),
        "next_update": instant(stamp.next_update),
        "age_seconds": int(stamp.age(at).total_seconds()),
        "outdated": stamp.is_outdated(at),
        "sha256": stamp.sha256,
    }


def instant(moment: datetime | None) -> str | None:
    """Write an instant as RFC 3339 in UTC, milliseconds only when there are any."""
    if moment is None:
        return None
    utc = moment.astimezone(UTC)
    fraction = f".{utc.microsecond // 1000:03}" if utc.microsecond >= 1000 else ""
    return f"{utc.year:04}-{utc:%m-%dT%H:%M:%S}{fraction}Z"


def _signature(verdict: SignatureVerdict) -> dict[str, Any]:
    return {
        "id": verdict.id,
        "format": verdict.format,
        "level": verdict.level,
        "indication": verdict.indication,
        "sub_indication": verdict.sub_indication,
        "crypto": verdict.crypto,
        "care": verdict.care,
        "assurance": verdict.assurance,
        "algorithm": verdict.algorithm,
        "best_signature_time": instant(verdict.proven_at or verdict.claimed_at),
        "time_proof": verdict.time_proof,
        "claimed_signing_time": instant(verdict.claimed_at),
        "signer": _signer(verdict.signer),
        "chain": [_certificate(certificate) for certificate in verdict.chain],
        "covered": [_covered(item) for item in verdict.covered],
        "claims": _claims(verdict.claims),
        "signature_policy": _signature_policy(verdict.signature_policy),
        "timestamps": [_timestamp(stamp) for stamp in verdict.timestamps],
        "status": [_status(status) for status in verdict.statuses],
        "counter_signatures": [_signature(one) for one in verdict.counter_signatures],
        "reasons": [_reason(finding) for finding in verdict.findings],
    }


def _signer(identity: SignerIdentity | None) -> dict[str, Any] | None:
    if identity is None:
        return None
    return {
        "subject": readable_name(identity.certificate.subject_der),
        "issuer": readable_name(identity.certificate.issuer_der),
        "serial": identity.certificate.serial_hex,
        "not_before": instant(identity.certificate.not_before),
        "not_after": instant(identity.certificate.not_after),
        "identity": {"council_number": identity.council_number, "profession": identity.profession},
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    subject = readable_name(certificate.subject_der)
    return {"subject": subject, "serial": certificate.serial_hex, "sha256": certificate.sha256.hex()}


def _covered(item: Covered) -> dict[str, Any]:
    written: dict[str, Any] = {"what": item.what, "sha256": item.sha256, "bytes": item.size}
    if item.ranges:
        written["ranges"] = [list(pair) for pair in item.ranges]
    return written


def _signature_policy(named: PolicyReference | None) -> dict[str, Any] | None:
    """Write the policy that the signer names; `id` is null where it is implied."""
    if named is None:
        return None
    return {"id": named.name, "digest": None if named.digest is None else named.digest.hex()}


def _claims(claims: ContentClaims | None) -> dict[str, Any] | None:
    if claims is None:
        return None
    return {
        "id": None if claims.identifier is None else claims.identifier.hex(),
        "issued_at": instant(claims.issued_at),
        "not_before": instant(claims.not_before),
        "expires_at": instant(claims.expires_at),
        "document_sha256": None if claims.document_sha256 is None else claims.document_sha256.hex(),
    }


def _timestamp(verdict: TimestampVerdict) -> dict[str, Any]:
    return {
        "id": verdict.id,
        "kind": verdict.kind,
        "time": instant(verdict.generated_at),
        "indication": verdict.indication,
        "sub_indication": verdict.sub_indication,
        "crypto": verdict.crypto,
        "authority": verdict.authority,
        "serial": verdict.serial,
        "policy": verdict.policy,
        "covers": list(verdict.covers),
        "status": [_status(status) for status in verdict.statuses],
        "reasons": [_reason(finding) for finding in verdict.findings],
    }


def _status(status: KnownStatus) -> dict[str, Any]:
    return {
        "serial": status.serial,
        "status": status.answer,
        "source": status.origin,
        "as_of": instant(status.this_update),
        "next_update": instant(status.next_update),
        "revoked_at": instant(status.revoked_at),
        "reason": status.reason,
    }


def _reason(finding: Finding) -> dict[str, Any]:
    message = REASONS[finding.reason]
    return {
        "code": finding.reason,
        "text_fa": message.fa,
        "text_en": message.en,
        "indication": finding.indication,
        "sub_indication": finding.sub_indication,
        "detail": finding.detail or None,
        "object": finding.about or None,
    }
