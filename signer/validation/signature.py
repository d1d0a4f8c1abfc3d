"""One signature's verdict: everything found about it, and the conclusion (EN 319 102-1 §5.2.8, §5.3 to §5.5)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pki.certificates import Certificate
from signer.parsers.model import (
    UNREADABLE,
    Format,
    Note,
    ParsedFile,
    ParsedSignature,
    TimestampKind,
    UnreadableSignature,
)
from signer.validation.anchors import Purpose
from signer.validation.content import UNUSABLE, content_findings
from signer.validation.context import VerificationContext
from signer.validation.crypto import CryptoCheck, check_crypto, identify_signer, value_hash
from signer.validation.evidence import Evidence
from signer.validation.fhir_kinds import resource_kinds
from signer.validation.identity import assurance, is_clinician, signer_identity
from signer.validation.judge import Judgement, judge_certificate
from signer.validation.moment import Moment, weak_hash
from signer.validation.policy import Policy
from signer.validation.reasons import Reason
from signer.validation.timestamps import Proofs, prove_referenced
from signer.validation.verdict import (
    Assurance,
    Care,
    Crypto,
    Finding,
    Indication,
    SignatureVerdict,
    SubIndication,
    TimeProof,
    TimestampVerdict,
    by_weight,
    conclude,
    failed,
    indeterminate,
    note,
)

_PRESCRIPTION: Final = frozenset(("MedicationRequest",))  # what a prescription code stands for, in FHIR's words
_DEFERRABLE: Final = frozenset(
    (
        Reason.STATUS_SILENT,
        Reason.STATUS_STALE,
        Reason.STATUS_SIGNER_EXPIRED,
        Reason.CERTIFICATE_EXPIRED,
        Reason.TRUST_OUTDATED,
    )
)


def noted(item: Note) -> Finding:
    """Turn what a parser saw into a finding; most only inform."""
    if item.reason is Reason.CONTENT_DIFFERS:
        return failed(item.reason, SubIndication.HASH_FAILURE, item.detail)
    if item.reason is Reason.DOCUMENT_DIFFERS:
        return indeterminate(item.reason, SubIndication.SIG_CONSTRAINTS_FAILURE, item.detail)
    return note(item.reason, item.detail, item.about)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Examined:
    """Everything found about one signature, before the conclusion."""

    moment: Moment
    signer: Certificate | None
    check: CryptoCheck
    judgement: Judgement | None
    findings: tuple[Finding, ...]
    timestamps: tuple[TimestampVerdict, ...]
    later: tuple[TimestampVerdict, ...]  # the document's, over the signature


def judge(
    signature: ParsedSignature | UnreadableSignature,
    parsed: ParsedFile,
    proofs: Proofs,
    evidence: Evidence,
    context: VerificationContext,
) -> SignatureVerdict:
    """Judge one signature of a file, and those who signed it; `proofs` is what the file's time-stamps prove.

    A counter-signature is judged by itself: anybody can add one, so none makes a signature better or worse.
    """
    if isinstance(signature, UnreadableSignature):
        return _opaque(signature)
    verdict = _judge(signature, parsed, proofs, evidence, context)
    counters = tuple(judge(one, parsed, proofs, evidence, context) for one in signature.counter_signatures)
    doubts = tuple(
        note(Reason.COUNTERSIGNATURE_IGNORED, str(one.sub_indication), one.id)
        for one in counters
        if one.indication is not Indication.PASSED
    )
    return replace(verdict, counter_signatures=counters, findings=by_weight([*verdict.findings, *doubts]))


def _opaque(signature: UnreadableSignature) -> SignatureVerdict:
    make, sub = (indeterminate, SubIndication.GENERIC) if signature.foreign else (failed, SubIndication.FORMAT_FAILURE)
    finding = make(signature.note.reason, sub, signature.note.detail)
    return SignatureVerdict(
        id=signature.id,
        format=signature.format,
        level=None,
        indication=finding.indication or Indication.INDETERMINATE,
        sub_indication=sub,
        crypto=Crypto.UNKNOWN,
        care=Care.INVALID,
        assurance=Assurance.A0,
        findings=(finding,),
    )


def _judge(
    signature: ParsedSignature,
    parsed: ParsedFile,
    proofs: Proofs,
    evidence: Evidence,
    context: VerificationContext,
) -> SignatureVerdict:
    moment = proofs.existence.moment(signature.id)
    purpose = Purpose.TIMESTAMP if parsed.format is Format.TIMESTAMP else Purpose.DOCUMENT
    findings = [failed(d.reason, SubIndication.FORMAT_FAILURE, d.detail, d.about) for d in signature.defects]
    findings += [noted(item) for item in (*parsed.notes, *signature.notes)]
    identified = identify_signer(signature, evidence.pool.certificates)
    check = check_crypto(signature, identified.certificate)
    findings += [*identified.findings, *check.findings]
    judgement = None
    if identified.certificate is not None:
        prove_referenced(signature, identified, check, evidence, moment, context)
        judgement = judge_certificate(identified.certificate, evidence, moment, purpose, context)
        findings += judgement.findings
    stamps = tuple(proofs.verdicts[stamp.place] for stamp in signature.timestamps)
    findings += _acceptance(signature, identified.certificate, moment, purpose, context)
    later = tuple(proofs.verdicts[s.place] for s in parsed.timestamps if signature.id in s.covers)
    findings += _time_findings(signature, identified.certificate, moment, stamps, later)
    findings += content_findings(signature.claims, context.at, context.policy.clock_skew)
    if purpose is Purpose.DOCUMENT and not moment.proven:
        missing = indeterminate(Reason.TIME_PROOF_REQUIRED, SubIndication.SIG_CONSTRAINTS_FAILURE)
        findings.append(missing if context.policy.require_time_proof else note(Reason.NO_TIME_PROOF))
    if purpose is Purpose.TIMESTAMP:
        # A token alone says nothing until its data are there (row 22), under a hash that can be relied on.
        told = {(finding.reason, finding.detail) for finding in findings}
        tokens = (v for v in proofs.verdicts.values() if v.kind is TimestampKind.TOKEN)
        findings += [f for v in tokens for f in v.findings if f.indication and (f.reason, f.detail) not in told]
    examined = _Examined(
        moment=moment,
        signer=identified.certificate,
        check=check,
        judgement=judgement,
        findings=by_weight(findings),
        timestamps=stamps,
        later=later,
    )
    return _conclude(signature, examined, context)


def _acceptance(
    signature: ParsedSignature,
    signer: Certificate | None,
    moment: Moment,
    purpose: Purpose,
    context: VerificationContext,
) -> list[Finding]:
    """Check what the policy asks of the signature itself: its hashes, and the signer's role."""
    algorithms = context.policy.algorithms
    hashes = dict.fromkeys((value_hash(signature), *(item.digest_oid for item in signature.objects)))
    findings = [f for name in hashes for f in weak_hash(algorithms, name, moment, "signature")]
    findings += _signature_policy(signature, context.policy)
    if signer is None or purpose is not Purpose.DOCUMENT:
        return findings
    arc, scheme = context.policy.arc, context.policy.identities
    identity = signer_identity(signer, arc, scheme)
    clinician = is_clinician(identity, arc, scheme)
    barred = context.policy.professions and identity.profession not in context.policy.professions
    if (context.policy.require_admission and not clinician) or barred:
        role = identity.profession or "no profession"
        findings.append(indeterminate(Reason.PROFESSION_NOT_ADMITTED, SubIndication.SIG_CONSTRAINTS_FAILURE, role))
    findings += _fitting_profession(signature, identity.profession, context.policy)
    return findings


def _signature_policy(signature: ParsedSignature, policy: Policy) -> list[Finding]:
    """Check that the policy the signer names is accepted, and that it is the same document (EN 319 102-1 §5.2.4).

    One that is implied is the one at hand, whichever that is.
    """
    named = signature.policy
    if named is None:
        return []
    if named.name is None:
        return [note(Reason.SIGNATURE_POLICY_IMPLIED)]
    accepted = dict(policy.signature_policies).get(named.name)
    if accepted is None:
        unknown = SubIndication.SIGNATURE_POLICY_NOT_AVAILABLE
        return [indeterminate(Reason.SIGNATURE_POLICY_UNKNOWN, unknown, named.name[:200])]
    if accepted and named.digest is not None and named.digest not in accepted:
        other = SubIndication.POLICY_PROCESSING_ERROR
        return [indeterminate(Reason.SIGNATURE_POLICY_MISMATCH, other, named.name[:200])]
    return []


def _fitting_profession(signature: ParsedSignature, profession: str | None, policy: Policy) -> Iterator[Finding]:
    """Ask whether a profession may sign documents of this kind; one whose kind cannot be read is signed by none."""
    if not policy.professions_for:
        return
    constraint = SubIndication.SIG_CONSTRAINTS_FAILURE
    prescribes = signature.claims is not None and signature.claims.prescribes
    for item in signature.objects:
        try:
            kinds = _PRESCRIPTION if prescribes else resource_kinds(item.octets or ())
        except UNREADABLE as error:
            detail = f"the kind of document cannot be told: {error}"
            yield indeterminate(Reason.PROFESSION_NOT_ADMITTED, constraint, detail, item.what)
            continue
        for kind in sorted(kinds & policy.professions_for.keys()):
            if profession not in policy.professions_for[kind]:
                detail = f"{kind}: {profession or 'no profession'}"
                yield indeterminate(Reason.PROFESSION_NOT_ADMITTED, constraint, detail, item.what)


def _time_findings(
    signature: ParsedSignature,
    signer: Certificate | None,
    moment: Moment,
    stamps: tuple[TimestampVerdict, ...],
    later: tuple[TimestampVerdict, ...],
) -> list[Finding]:
    """Compare claimed, stamped and certified times; `later` are the document's time-stamps over the signature."""
    findings = [
        note(Reason.TIMESTAMP_IGNORED, str(s.sub_indication), s.id)
        for s in stamps
        if s.indication is not Indication.PASSED
    ]
    if _out_of_order(stamps + later):
        findings.append(indeterminate(Reason.TIMESTAMP_ORDER, SubIndication.TIMESTAMP_ORDER_FAILURE))
    claimed = signature.claimed_at
    if claimed is None or signer is None:
        return findings
    if moment.proven and claimed > moment.at:
        findings.append(note(Reason.CLAIMED_AFTER_PROOF, f"{claimed.isoformat()} > {moment.at.isoformat()}"))
    if claimed < signer.not_before:
        times = f"{claimed.isoformat()} < {signer.not_before.isoformat()}"
        proven_inside = moment.proven and moment.at >= signer.not_before
        findings.append(
            note(Reason.CLAIMED_BEFORE_CERTIFICATE, times)
            if proven_inside
            else indeterminate(Reason.CLAIMED_BEFORE_CERTIFICATE, SubIndication.NOT_YET_VALID, times)
        )
    return findings


def _out_of_order(stamps: tuple[TimestampVerdict, ...]) -> bool:
    """Say whether good time-stamps contradict each other: content before signature before archive, all in order."""
    times: dict[TimestampKind, list[datetime]] = {kind: [] for kind in TimestampKind}
    made: dict[str, datetime] = {}
    for stamp in stamps:
        if stamp.indication is Indication.PASSED and stamp.generated_at is not None:
            times[stamp.kind].append(stamp.generated_at)
            made[stamp.id] = stamp.generated_at
    if any(made[name] > made[s.id] for s in stamps if s.id in made for name in s.covers if name in made):
        return True  # what it covers cannot be younger
    content = times.pop(TimestampKind.CONTENT)
    proven = min((time for found in times.values() for time in found), default=None)
    if proven is None:
        return False
    signed = times.pop(TimestampKind.SIGNATURE)
    later = [time for found in times.values() for time in found]
    return max(content, default=proven) > proven or min(later, default=proven) < min(signed, default=proven)


def _conclude(signature: ParsedSignature, examined: _Examined, context: VerificationContext) -> SignatureVerdict:
    indication, sub_indication = conclude(examined.findings)
    moment, signer, policy = examined.moment, examined.signer, context.policy
    # A token's own time is the authority's word, not a signer's.
    stamped = moment.proven or signature.format is Format.TIMESTAMP
    proof = TimeProof.TIMESTAMP if stamped else TimeProof.CLAIMED
    care = _care(indication, signature, examined)
    usable = UNUSABLE.isdisjoint(finding.reason for finding in examined.findings)
    known_good = examined.judgement is not None and examined.judgement.leaf_known_good
    return SignatureVerdict(
        id=signature.id,
        format=signature.format,
        level=_level(signature, examined, stamped=moment.proven),
        indication=indication,
        sub_indication=sub_indication,
        crypto=examined.check.crypto,
        care=care if usable else Care.INVALID,
        assurance=assurance(signer, care, proof, policy.arc, known_good=known_good),
        algorithm=signature.algorithm_name,
        claimed_at=signature.claimed_at,
        claims=signature.claims,
        signature_policy=signature.policy,
        proven_at=moment.at if moment.proven else None,
        time_proof=proof,
        signer=None if signer is None else signer_identity(signer, policy.arc, policy.identities),
        chain=examined.judgement.chain if examined.judgement else (),
        covered=examined.check.covered,
        timestamps=examined.timestamps,
        statuses=examined.judgement.statuses if examined.judgement else (),
        findings=examined.findings,
    )


def _care(indication: Indication, signature: ParsedSignature, examined: _Examined) -> Care:
    """Say the one word: deferred only when nothing but fresh status or proven time is missing."""
    if indication is Indication.PASSED:
        return Care.VALID
    if indication is Indication.FAILED or examined.check.crypto is not Crypto.INTACT or examined.signer is None:
        return Care.INVALID
    open_points = {finding.reason for finding in examined.findings if finding.indication is not None}
    if not open_points <= _DEFERRABLE:
        return Care.INVALID
    claimed, signer = signature.claimed_at, examined.signer
    inside = claimed is not None and signer.not_before <= claimed <= signer.not_after
    return Care.DEFERRED if inside or Reason.CERTIFICATE_EXPIRED not in open_points else Care.INVALID


def _level(signature: ParsedSignature, examined: _Examined, *, stamped: bool) -> str | None:
    """Name the baseline level by what the container holds; a time-stamp of other data does not count."""
    if not signature.level.baseline:
        return None
    stamps = examined.timestamps
    fitting = [s for s in stamps if s.kind is TimestampKind.SIGNATURE and s.crypto is Crypto.INTACT]
    archiving = [s for s in stamps + examined.later if s.kind in (TimestampKind.ARCHIVE, TimestampKind.DOCUMENT)]
    archived = signature.level.archive_timestamp and any(s.indication is not Indication.FAILED for s in archiving)
    if not fitting and not stamped and not archived:
        return "B-B"
    if not (signature.level.revocation_values and signature.level.certificate_values):
        return "B-T"
    return "B-LTA" if archived else "B-LT"
