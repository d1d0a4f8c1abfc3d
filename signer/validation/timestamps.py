"""Proof of existence: judging time-stamps and what each proves (EN 319 102-1 §5.4, §5.6.2).

The latest is judged first: a document or archive time-stamp proves that earlier ones existed, so an old
authority's certificate is judged at that proven time instead of now.
"""

from dataclasses import dataclass

from pki.certificates import serial_hex
from signer.parsers.model import ParsedSignature, ParsedTimestamp, TimestampKind
from signer.validation.anchors import Purpose
from signer.validation.context import VerificationContext
from signer.validation.crypto import CryptoCheck, Identified, check_crypto, digest, identify_signer, value_hash
from signer.validation.evidence import Evidence
from signer.validation.existence import Existence
from signer.validation.judge import Judgement, judge_certificate
from signer.validation.moment import Moment, weak_hash
from signer.validation.names import readable_name
from signer.validation.reasons import Reason
from signer.validation.verdict import (
    Crypto,
    Finding,
    Indication,
    SubIndication,
    TimestampVerdict,
    by_weight,
    conclude,
    failed,
    indeterminate,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """The verdicts on a file's time-stamps, by their places, and what the good ones prove."""

    existence: Existence
    verdicts: dict[tuple[str, TimestampKind, frozenset[str]], TimestampVerdict]


def prove_existence(
    timestamps: tuple[ParsedTimestamp, ...], evidence: Evidence, context: VerificationContext
) -> Proofs:
    """Judge all time-stamps of a file, latest first, and gather what the good ones prove."""
    proofs = Proofs(existence=evidence.existence, verdicts={})
    in_time = sorted(timestamps, key=lambda stamp: stamp.token.generated_at if stamp.token else context.at)
    for stamp in reversed(in_time):
        verdict = judge_timestamp(stamp, evidence, proofs.existence.moment(stamp.id), context)
        proofs.verdicts[stamp.place] = verdict
        if verdict.indication is Indication.PASSED and verdict.generated_at is not None:
            proofs.existence.extract((*stamp.covers, *stamp.values), verdict.generated_at)
    return proofs


def judge_timestamp(
    stamp: ParsedTimestamp, evidence: Evidence, moment: Moment, context: VerificationContext
) -> TimestampVerdict:
    """Judge one time-stamp: structure, imprint, the authority's signature and certificate."""
    findings = [failed(d.reason, SubIndication.FORMAT_FAILURE, d.detail, d.about) for d in stamp.defects]
    token = stamp.token
    if token is None:
        return _verdict(stamp, findings, None, None)
    findings += [failed(d.reason, SubIndication.FORMAT_FAILURE, d.detail) for d in token.signature.defects]
    findings += _imprint(stamp)
    relied_on = (token.imprint_oid, *stamp.hashes, value_hash(token.signature), token.signature.digest_oid)
    for name in dict.fromkeys(relied_on):
        findings += weak_hash(context.policy.algorithms, name, moment, "imprint" if name == relied_on[0] else "token")
    if token.generated_at > context.at + context.policy.clock_skew:
        order = SubIndication.TIMESTAMP_ORDER_FAILURE
        findings.append(indeterminate(Reason.TIMESTAMP_IN_FUTURE, order, token.generated_at.isoformat()))
    identified = identify_signer(token.signature, evidence.pool.certificates)
    check = check_crypto(token.signature, identified.certificate)
    findings += [*identified.findings, *check.findings]
    judgement = None
    if identified.certificate is not None:
        prove_referenced(token.signature, identified, check, evidence, moment, context)
        # The authority's certificate must have been valid when it stamped, too.
        judgement = judge_certificate(identified.certificate, evidence, moment, Purpose.TIMESTAMP, context)
        findings += judgement.findings
        if token.generated_at < identified.certificate.not_before:
            early = identified.certificate.not_before.isoformat()
            findings.append(indeterminate(Reason.CERTIFICATE_NOT_YET_VALID, SubIndication.NOT_YET_VALID, early))
    return _verdict(stamp, findings, check, judgement)


def prove_referenced(
    signature: ParsedSignature,
    identified: Identified,
    check: CryptoCheck,
    evidence: Evidence,
    moment: Moment,
    context: VerificationContext,
) -> None:
    """Take note that a signer's certificate existed when a good signature over it or its digest did (§5.6.2.3.3)."""
    if not moment.proven or check.crypto is not Crypto.INTACT or identified.certificate is None or identified.findings:
        return
    reliable = not any(
        True
        for reference in signature.references
        for _ in weak_hash(context.policy.algorithms, reference.digest_oid, moment, "")
    )
    if reliable and (signature.references or signature.bound):
        evidence.existence.extract((identified.certificate.der,), moment.at)


def _imprint(stamp: ParsedTimestamp) -> list[Finding]:
    token = stamp.token
    if token is None:
        return []
    if stamp.imprinted is None:
        if stamp.kind is TimestampKind.TOKEN:
            return [indeterminate(Reason.CONTENT_ABSENT, SubIndication.SIGNED_DATA_NOT_FOUND)]
        return [indeterminate(Reason.TIMESTAMP_NOT_EVALUATED, SubIndication.GENERIC)]
    actual = digest(token.imprint_oid, stamp.imprinted)
    if actual is None:
        return [indeterminate(Reason.ALGORITHM_UNSUPPORTED, SubIndication.CRYPTO_CONSTRAINTS_FAILURE, "imprint")]
    if actual != token.imprint:
        return [failed(Reason.TIMESTAMP_IMPRINT_MISMATCH, SubIndication.HASH_FAILURE)]
    return []


def _verdict(
    stamp: ParsedTimestamp, findings: list[Finding], check: CryptoCheck | None, judgement: Judgement | None
) -> TimestampVerdict:
    indication, sub_indication = conclude(findings)
    crypto = Crypto.UNKNOWN if check is None else check.crypto
    seen = {finding.reason for finding in findings}
    if Reason.TIMESTAMP_IMPRINT_MISMATCH in seen:
        crypto = Crypto.BROKEN
    elif crypto is Crypto.INTACT and not seen.isdisjoint((Reason.TIMESTAMP_NOT_EVALUATED, Reason.CONTENT_ABSENT)):
        crypto = Crypto.UNKNOWN
    return TimestampVerdict(
        id=stamp.id,
        kind=stamp.kind,
        indication=indication,
        sub_indication=sub_indication,
        crypto=crypto,
        generated_at=stamp.token.generated_at if stamp.token else None,
        authority=_authority(stamp),
        serial=serial_hex(stamp.token.serial) if stamp.token else None,
        policy=stamp.token.policy if stamp.token else None,
        covers=tuple(sorted(stamp.covers)),
        findings=by_weight(findings),
        chain=judgement.chain if judgement else (),
        statuses=judgement.statuses if judgement else (),
    )


def _authority(stamp: ParsedTimestamp) -> str | None:
    if stamp.token is None:
        return None
    found = identify_signer(stamp.token.signature, ()).certificate
    return None if found is None else readable_name(found.subject_der)
