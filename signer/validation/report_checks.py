"""The tree of checks behind a verdict: building blocks of EN 319 102-1, in each its constraints and how they ended.

It is derived from the verdict alone: what was found decides, and what was never reached is not called passed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final

from pki.certificates import Certificate
from pki.messages import Message
from signer.validation.policy import Policy
from signer.validation.reasons import Reason
from signer.validation.report import instant
from signer.validation.report_blocks import BLOCKS, TIMESTAMP_CLAUSE, Block, Constraint, Level
from signer.validation.report_constraints import CONSTRAINTS
from signer.validation.verdict import (
    Crypto,
    FileVerdict,
    Finding,
    Indication,
    KnownStatus,
    SignatureVerdict,
    SubIndication,
    TimestampVerdict,
    conclude,
)


@unique
class Outcome(StrEnum):
    """How a check ended, the weightiest first."""

    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    PASSED = "passed"
    INFORMED = "informed"
    NOT_REACHED = "not-reached"
    NOT_ASKED = "not-asked"


_CONCLUSIONS: Final = {
    Outcome.FAILED: Indication.FAILED,
    Outcome.INDETERMINATE: Indication.INDETERMINATE,
    Outcome.PASSED: Indication.PASSED,
    Outcome.INFORMED: Indication.PASSED,
}
"""What a block concludes from how its checks ended, the weightiest first as `Outcome` names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One constraint and how it ended; `about` names a certificate by serial, `evidence` what was looked at."""

    constraint: Constraint
    level: Level
    outcome: Outcome
    about: str = ""
    evidence: str = ""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A building block's checks and its own conclusion; None where nothing of it was reached.

    A time-stamp is a group of groups, named by its id.
    """

    name: str
    clause: str
    title: Message
    indication: Indication | None
    sub_indication: SubIndication | None
    checks: tuple[Check, ...] = ()
    groups: "tuple[Group, ...]" = ()


_HOMES: Final[Mapping[Reason, tuple[Constraint, ...]]] = {
    reason: tuple(one for one in CONSTRAINTS if reason in one.reasons) for reason in Reason
}
_CERTIFICATE: Final = "certificate "
_STATUS_KNOWN: Final = "certificate-status-known"
_OF_STATUS: Final = (_STATUS_KNOWN, "certificate-not-revoked")


def home(finding: Finding) -> Constraint:
    """Return the one constraint that a finding belongs to."""
    homes = _HOMES[finding.reason]
    of_certificate = finding.about.startswith(_CERTIFICATE)
    return next((one for one in homes if one.per_certificate is of_certificate), homes[0])


def process_of(verdict: SignatureVerdict) -> str:
    """Name the validation process by what the signature holds (EN 319 102-1 §5.3, §5.5, §5.6)."""
    if verdict.level is not None and verdict.level.endswith("LTA"):
        return "LTA"
    return "LTVM" if verdict.proven_at else "Basic"


def part_of(indication: Indication) -> str:
    """Name what a building block concludes: only a whole signature passes or fails totally (TS 119 102-2 §4.3.4.2)."""
    return indication.removeprefix("TOTAL-")


def in_order(groups: Iterable[Group]) -> Iterator[Check]:
    """Yield every check of a tree."""
    for group in groups:
        yield from group.checks
        yield from in_order(group.groups)


def file_checks(verdict: FileVerdict) -> tuple[Group, ...]:
    """Derive what was checked of the file as a whole."""
    readable = not any(finding.indication is not None for finding in verdict.findings)
    reached = dict.fromkeys(("format-known", "within-limits", "well-formed"), readable)
    reached["format-known"] = verdict.format is not None
    reached["something-signed"] = bool(verdict.signatures)
    seen = _Seen(
        findings=verdict.findings,
        policy=verdict.policy,
        reached=reached,
        evidence={"format-known": verdict.format or "", "something-signed": str(len(verdict.signatures))},
        undecided=frozenset((Reason.FORMAT_UNKNOWN, Reason.NOTHING_SIGNED)),
    )
    own = [one for one in CONSTRAINTS if one.name in reached]
    return _groups(seen, own)


def signature_checks(verdict: SignatureVerdict, file: FileVerdict) -> tuple[Group, ...]:
    """Derive what was checked of one signature, and of the time-stamps in it."""
    fitting = [
        one
        for one in CONSTRAINTS
        if one.signatures and one.name != "something-signed" and (one.formats is None or verdict.format in one.formats)
    ]
    groups = _groups(_seen_of_signature(verdict, file), fitting)
    return (*groups, *(timestamp_checks(stamp, file.policy) for stamp in verdict.timestamps))


def timestamp_checks(verdict: TimestampVerdict, policy: Policy) -> Group:
    """Derive what was checked of one time-stamp (§5.4)."""
    groups = _groups(_seen_of_stamp(verdict, policy), [one for one in CONSTRAINTS if one.stamps])
    return Group(
        name=verdict.id,
        clause=TIMESTAMP_CLAUSE,
        title=Message("مهر زمانی", "Time-stamp"),
        indication=verdict.indication,
        sub_indication=verdict.sub_indication,
        groups=groups,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a verdict tells of how far the checks came, by the names of constraints."""

    findings: tuple[Finding, ...]
    policy: Policy
    reached: Mapping[str, bool]
    evidence: Mapping[str, str] = field(default_factory=dict)
    certificates: tuple[Certificate, ...] = ()
    statuses: Mapping[str, KnownStatus] = field(default_factory=dict)
    undecided: frozenset[Reason] = frozenset()
    """Reasons that leave the question open though their findings carry no indication."""


def _seen_of_signature(verdict: SignatureVerdict, file: FileVerdict) -> _Seen:
    reasons = {finding.reason for finding in verdict.findings}
    parsed, signed_by = verdict.algorithm is not None, verdict.signer is not None
    value_failed = Reason.SIGNATURE_VALUE_INVALID in reasons
    reached = _reached(
        parsed=parsed, identified=signed_by, chain=verdict.chain, crypto=verdict.crypto, reasons=frozenset(reasons)
    ) | {
        "document-unchanged": parsed,
        "container-covered": parsed,
        "encoding-canonical": parsed,
        "embedded-certificates-readable": parsed,
        "policy-known": True,
        "signature-policy": parsed,
        "trust-current": file.bundle is not None and bool(verdict.chain),
        "content-usable": parsed,
        "content-intact": bool(verdict.covered) and not value_failed,
        "profession-admitted": signed_by,
        "counter-signatures": bool(verdict.counter_signatures),
        "claimed-time-readable": verdict.claimed_at is not None,
        "claimed-time-plausible": verdict.claimed_at is not None and signed_by,
        "timestamp-order": len(verdict.timestamps) > 1,
        "timestamps-valid": bool(verdict.timestamps),
        "existence-proven": verdict.proven_at is not None and bool(verdict.chain),
        "time-proven": verdict.proven_at is not None,
        "status-after-signature": verdict.proven_at is not None and bool(verdict.statuses),
    }
    claimed = instant(verdict.claimed_at) or ""
    evidence = {
        "format-known": verdict.format,
        "policy-known": f"{file.policy.name}, {instant(file.validated_at)}",
        "content-present": ", ".join(item.what for item in verdict.covered[:4]),
        "content-intact": ", ".join(f"SHA-256 {item.sha256}" for item in verdict.covered[:4]),
        "algorithm-supported": verdict.algorithm or "",
        "signature-value": verdict.algorithm or "",
        "profession-admitted": (verdict.signer.profession or "") if verdict.signer else "",
        "claimed-time-readable": claimed,
        "claimed-time-plausible": claimed,
        "time-proven": instant(verdict.proven_at) or "",
        "timestamps-valid": ", ".join(f"{stamp.id} {instant(stamp.generated_at)}" for stamp in verdict.timestamps[:4]),
        "path-found": " > ".join(certificate.serial_hex for certificate in verdict.chain),
    }
    return _Seen(
        findings=verdict.findings,
        policy=file.policy,
        reached=reached,
        evidence=evidence,
        certificates=_checked(verdict.chain),
        statuses={status.serial: status for status in verdict.statuses},
    )


def _seen_of_stamp(verdict: TimestampVerdict, policy: Policy) -> _Seen:
    reasons = frozenset(finding.reason for finding in verdict.findings)
    parsed = verdict.serial is not None
    reached = _reached(
        parsed=parsed,
        identified=parsed and Reason.SIGNING_CERTIFICATE_NOT_FOUND not in reasons,
        chain=verdict.chain,
        crypto=verdict.crypto,
        reasons=reasons,
    ) | {
        "imprint-intact": parsed and Reason.CONTENT_ABSENT not in reasons,
        "timestamp-past": parsed,
        "existence-proven": bool(verdict.chain),
    }
    return _Seen(
        findings=verdict.findings,
        policy=policy,
        reached=reached,
        evidence={"timestamp-past": instant(verdict.generated_at) or "", "imprint-intact": ", ".join(verdict.covers)},
        certificates=_checked(verdict.chain),
        statuses={status.serial: status for status in verdict.statuses},
    )


def _reached(
    *, parsed: bool, identified: bool, chain: tuple[Certificate, ...], crypto: Crypto, reasons: frozenset[Reason]
) -> dict[str, bool]:
    """Say how far the checks came that signatures and time-stamps share."""
    digest_failed = not reasons.isdisjoint((Reason.DIGEST_MISMATCH, Reason.CONTENT_DIFFERS))
    value_told = crypto is Crypto.INTACT or (
        crypto is Crypto.BROKEN and digest_failed and reasons.isdisjoint((Reason.ALGORITHM_UNSUPPORTED,))
    )
    return {
        "format-known": parsed,
        "within-limits": parsed,
        "well-formed": parsed,
        "attributes-sound": parsed,
        "signing-certificate-found": identified,
        "signing-certificate-bound": identified,
        "signing-certificate-agrees": identified,
        "anchors-given": identified,
        "path-found": bool(chain),
        "path-rules": bool(chain),
        "purpose": identified,
        "certificate-policies": bool(chain),
        "path-admitted": bool(chain),
        "trust-current": bool(chain),
        "content-present": parsed,
        "algorithm-supported": identified,
        "signature-value": identified and value_told,
        "signature-algorithms": parsed,
        "nothing-else": parsed,
    }


def _checked(chain: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    """Return the certificates of a path that are checked: all but the anchor, or the one that is trusted itself."""
    return chain if len(chain) == 1 else chain[:-1]


def _groups(seen: _Seen, fitting: Iterable[Constraint]) -> tuple[Group, ...]:
    """Put every finding under its constraint, and every fitting constraint under its block."""
    found: dict[str, list[Finding]] = {}
    for finding in seen.findings:
        found.setdefault(home(finding).name, []).append(finding)
    wanted = {one.name for one in fitting} | found.keys()
    groups = []
    for block, text in BLOCKS.items():
        checks = tuple(
            check
            for one in CONSTRAINTS
            if one.block is block and one.name in wanted
            for check in _checks(one, found.get(one.name, []), seen)
        )
        if checks:
            groups.append(_group(block, text.clause, text.title, checks))
    return tuple(groups)


def _group(block: Block, clause: str, title: Message, checks: tuple[Check, ...]) -> Group:
    outcomes = {check.outcome for check in checks}
    indication = next((_CONCLUSIONS[outcome] for outcome in Outcome if outcome in outcomes & _CONCLUSIONS.keys()), None)
    _, sub = conclude(finding for check in checks for finding in check.findings)
    return Group(name=block, clause=clause, title=title, indication=indication, sub_indication=sub, checks=checks)


def _checks(constraint: Constraint, findings: list[Finding], seen: _Seen) -> Iterator[Check]:
    if not (constraint.per_certificate and seen.certificates):
        yield _check(constraint, findings, seen, reached=seen.reached.get(constraint.name, False))
        return
    serials = [certificate.serial_hex for certificate in seen.certificates]
    for index, certificate in enumerate(seen.certificates):
        serial = serials[index]
        others = [f"{_CERTIFICATE}{other}" for other in serials if other != serial]
        # What names no certificate of the path is about the one that signed.
        own = [f for f in findings if f.about == f"{_CERTIFICATE}{serial}" or (index == 0 and f.about not in others)]
        yield _of_certificate(constraint, certificate, own, seen)


def _of_certificate(constraint: Constraint, certificate: Certificate, findings: list[Finding], seen: _Seen) -> Check:
    evidence, reached, asked = "", True, True
    if constraint.block is Block.FRESHNESS or constraint.name in _OF_STATUS:
        status, asks_for_any = seen.statuses.get(certificate.serial_hex), constraint.name == _STATUS_KNOWN
        # Silence without a finding: nobody had to be asked, as for a signer's certificate that is trusted itself.
        asked = status is not None and (status.answer != "silent" or not asks_for_any)
        reached = asked and status is not None and (asks_for_any or status.answer not in ("silent", "stale"))
        if status is not None and status.answer != "silent":
            evidence = f"{status.answer}, {status.origin}, {instant(status.this_update)}"
    elif constraint.name == "certificate-in-force":
        evidence = f"{instant(certificate.not_before)} to {instant(certificate.not_after)}"
    about = certificate.serial_hex
    return _check(constraint, findings, seen, reached=reached, asked=asked, about=about, evidence=evidence)


def _check(
    constraint: Constraint,
    findings: list[Finding],
    seen: _Seen,
    *,
    reached: bool,
    asked: bool = True,
    about: str = "",
    evidence: str = "",
) -> Check:
    level = constraint.level(seen.policy)
    outcome = _outcome(findings, seen, reached=reached, asked=asked and level is not Level.IGNORE)
    return Check(
        constraint=constraint,
        level=level,
        outcome=outcome,
        about=about,
        evidence="" if outcome is Outcome.NOT_REACHED else evidence or seen.evidence.get(constraint.name, ""),
        findings=tuple(findings),
    )


def _outcome(findings: list[Finding], seen: _Seen, *, reached: bool, asked: bool) -> Outcome:
    indications = {finding.indication for finding in findings}
    if Indication.FAILED in indications:
        return Outcome.FAILED
    if Indication.INDETERMINATE in indications or any(finding.reason in seen.undecided for finding in findings):
        return Outcome.INDETERMINATE
    if findings:
        return Outcome.INFORMED
    if not asked:
        return Outcome.NOT_ASKED
    return Outcome.PASSED if reached else Outcome.NOT_REACHED
