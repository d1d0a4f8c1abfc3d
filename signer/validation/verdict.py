"""The answer to "is this signed, by whom, when": values only, in ETSI's words (EN 319 102-1 §5.1).

`Indication`, `SubIndication` are the standard's; `Care` and `Assurance` are this project's words for people.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from pki.certificates import Certificate
from signer.parsers.model import ContentClaims, Format, PolicyReference, TimestampKind
from signer.validation.anchors import BundleStamp
from signer.validation.policy import Policy
from signer.validation.reasons import Reason


@unique
class Indication(StrEnum):
    """The three main indications."""

    PASSED = "TOTAL-PASSED"
    FAILED = "TOTAL-FAILED"
    INDETERMINATE = "INDETERMINATE"


@unique
class SubIndication(StrEnum):
    """Sub-indications in the order in which one decides before another: the steps of EN 319 102-1 §5.3, §5.5.

    "Try later" comes last of what a certificate can say: it must never hide a doubt that waiting cannot lift.
    """

    FORMAT_FAILURE = "FORMAT_FAILURE"
    HASH_FAILURE = "HASH_FAILURE"
    SIG_CRYPTO_FAILURE = "SIG_CRYPTO_FAILURE"
    NO_SIGNING_CERTIFICATE_FOUND = "NO_SIGNING_CERTIFICATE_FOUND"
    SIGNATURE_POLICY_NOT_AVAILABLE = "SIGNATURE_POLICY_NOT_AVAILABLE"
    POLICY_PROCESSING_ERROR = "POLICY_PROCESSING_ERROR"
    SIGNED_DATA_NOT_FOUND = "SIGNED_DATA_NOT_FOUND"
    NO_CERTIFICATE_CHAIN_FOUND = "NO_CERTIFICATE_CHAIN_FOUND"
    CERTIFICATE_CHAIN_GENERAL_FAILURE = "CERTIFICATE_CHAIN_GENERAL_FAILURE"
    CHAIN_CONSTRAINTS_FAILURE = "CHAIN_CONSTRAINTS_FAILURE"
    REVOKED = "REVOKED"
    REVOKED_CA_NO_POE = "REVOKED_CA_NO_POE"
    REVOKED_NO_POE = "REVOKED_NO_POE"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    OUT_OF_BOUNDS_NO_POE = "OUT_OF_BOUNDS_NO_POE"
    OUT_OF_BOUNDS_NOT_REVOKED = "OUT_OF_BOUNDS_NOT_REVOKED"
    REVOCATION_OUT_OF_BOUNDS_NO_POE = "REVOCATION_OUT_OF_BOUNDS_NO_POE"
    SIG_CONSTRAINTS_FAILURE = "SIG_CONSTRAINTS_FAILURE"
    CRYPTO_CONSTRAINTS_FAILURE = "CRYPTO_CONSTRAINTS_FAILURE"
    CRYPTO_CONSTRAINTS_FAILURE_NO_POE = "CRYPTO_CONSTRAINTS_FAILURE_NO_POE"
    TIMESTAMP_ORDER_FAILURE = "TIMESTAMP_ORDER_FAILURE"
    TRY_LATER = "TRY_LATER"
    NO_POE = "NO_POE"
    GENERIC = "GENERIC"


@unique
class Crypto(StrEnum):
    """What is known of the signature value and the digests alone."""

    INTACT = "intact"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@unique
class TimeProof(StrEnum):
    """What stands behind the best signature time."""

    TIMESTAMP = "timestamp"
    LEDGER = "ledger"
    CLAIMED = "claimed"


@unique
class Care(StrEnum):
    """The one word a pharmacist needs."""

    VALID = "valid"
    DEFERRED = "deferred"
    INVALID = "invalid"


@unique
class Assurance(StrEnum):
    """How much stands behind the signing act (hardware key, status at signing, proven time)."""

    A0 = "A0"
    A1 = "A1"
    A2 = "A2"
    A3 = "A3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found: with an indication it decides, without one it only informs.

    `about` names the certificate, time-stamp or object; `detail` is technical and holds no person's data.
    """

    reason: Reason
    indication: Indication | None = None
    sub_indication: SubIndication | None = None
    detail: str = ""
    about: str = ""


def failed(reason: Reason, sub: SubIndication, detail: str = "", about: str = "") -> Finding:
    """Make a finding that fails the signature."""
    return Finding(reason=reason, indication=Indication.FAILED, sub_indication=sub, detail=detail, about=about)


def indeterminate(reason: Reason, sub: SubIndication, detail: str = "", about: str = "") -> Finding:
    """Make a finding that leaves the signature undecided."""
    return Finding(reason=reason, indication=Indication.INDETERMINATE, sub_indication=sub, detail=detail, about=about)


def note(reason: Reason, detail: str = "", about: str = "") -> Finding:
    """Make a finding that only informs."""
    return Finding(reason=reason, detail=detail, about=about)


_HARMLESS: Final = (2, 0)
_RANK = {sub: rank for rank, sub in enumerate(SubIndication)}


def by_weight(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Order findings: failures, then doubts, each as the standard ranks them, then what only informs."""
    return tuple(sorted(dict.fromkeys(findings), key=_weight))


def _weight(finding: Finding) -> tuple[int, int]:
    if finding.indication is None:
        return _HARMLESS
    rank = len(_RANK) if finding.sub_indication is None else _RANK[finding.sub_indication]
    if finding.reason is Reason.SIGNING_CERTIFICATE_REFERENCE_MISMATCH:
        rank = _RANK[SubIndication.NO_SIGNING_CERTIFICATE_FOUND]  # found while identifying, §5.2.3
    return int(finding.indication is not Indication.FAILED), rank


def severity(findings: Iterable[Finding]) -> tuple[int, int]:
    """Return how bad the worst finding is: the smaller, the worse."""
    return min(map(_weight, findings), default=_HARMLESS)


def conclude(findings: Iterable[Finding]) -> tuple[Indication, SubIndication | None]:
    """Return the weightiest finding's answer; PASSED when none decides."""
    worst = min(findings, key=_weight, default=None)
    if worst is None or worst.indication is None:
        return Indication.PASSED, None
    return worst.indication, worst.sub_indication


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Octets that a signature covers, by name, SHA-256 and size."""

    what: str
    sha256: str
    size: int
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownStatus:
    """What was learned of one certificate's revocation, from where and how old it is."""

    serial: str
    answer: str
    origin: str
    this_update: datetime | None = None
    next_update: datetime | None = None
    revoked_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerIdentity:
    """Who the certificate says signed."""

    certificate: Certificate
    council_number: str | None = None
    profession: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampVerdict:
    """The verdict on one time-stamp."""

    id: str
    kind: TimestampKind
    indication: Indication
    sub_indication: SubIndication | None
    crypto: Crypto
    generated_at: datetime | None
    authority: str | None
    serial: str | None
    policy: str | None
    covers: tuple[str, ...]
    findings: tuple[Finding, ...]
    chain: tuple[Certificate, ...] = ()
    statuses: tuple[KnownStatus, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureVerdict:
    """The verdict on one signature."""

    id: str
    format: Format
    level: str | None
    indication: Indication
    sub_indication: SubIndication | None
    crypto: Crypto
    care: Care
    assurance: Assurance
    algorithm: str | None = None
    claimed_at: datetime | None = None
    claims: ContentClaims | None = None
    signature_policy: PolicyReference | None = None
    proven_at: datetime | None = None
    time_proof: TimeProof = TimeProof.CLAIMED
    signer: SignerIdentity | None = None
    chain: tuple[Certificate, ...] = ()
    covered: tuple[Covered, ...] = ()
    timestamps: tuple[TimestampVerdict, ...] = ()
    statuses: tuple[KnownStatus, ...] = ()
    counter_signatures: "tuple[SignatureVerdict, ...]" = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVerdict:
    """The verdict on a file: its worst signature's."""

    format: Format | None
    indication: Indication
    sub_indication: SubIndication | None
    validated_at: datetime
    policy: Policy
    offline: bool
    signatures: tuple[SignatureVerdict, ...] = ()
    timestamps: tuple[TimestampVerdict, ...] = ()
    findings: tuple[Finding, ...] = ()
    bundle: BundleStamp | None = None
