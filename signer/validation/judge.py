"""Judging the certificate behind a signature or time-stamp: path, purpose, validity, status (EN 319 102-1 §5.2.6)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from typing import Final

from pki import oids
from pki.certificates import Certificate
from signer.parsers.model import UNREADABLE
from signer.validation.admission import admission_findings, trust_findings
from signer.validation.anchors import AnchorLimits, Purpose
from signer.validation.answers import Revoked, StatusAnswer
from signer.validation.context import VerificationContext
from signer.validation.evidence import Evidence
from signer.validation.moment import Moment, validity_findings, weak_chain
from signer.validation.names import readable_name
from signer.validation.past import judge_past
from signer.validation.path import CertificatePool, Path, find_paths, uncheckable
from signer.validation.policy import Policy
from signer.validation.reasons import Reason
from signer.validation.revocation import StatusOutcome, check_status, effective_time, exempt
from signer.validation.verdict import (
    Finding,
    Indication,
    KnownStatus,
    SubIndication,
    indeterminate,
    note,
    severity,
)

MAX_FETCHES: Final = 4
MAX_JUDGED: Final = 8

_UNLIMITED: Final = AnchorLimits()
_KEY_STANDS: Final = frozenset(("affiliationChanged", "superseded", "cessationOfOperation"))
_CODE_SIGNING: Final = "1.3.6.1.5.5.7.3.3"
_NOT_FOR_DOCUMENTS: Final = frozenset(
    (oids.EKU_SERVER_AUTH, oids.EKU_CLIENT_AUTH, oids.EKU_TIME_STAMPING, oids.EKU_OCSP_SIGNING, _CODE_SIGNING)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found about a signing certificate; `chain` is empty when no path was found."""

    chain: tuple[Certificate, ...]
    findings: tuple[Finding, ...]
    statuses: tuple[KnownStatus, ...] = ()

    @property
    def leaf_known_good(self) -> bool:
        """Whether a counted answer says that the leaf is not revoked."""
        return bool(self.statuses) and self.statuses[0].answer == "good"


def judge_certificate(
    leaf: Certificate, evidence: Evidence, moment: Moment, purpose: Purpose, context: VerificationContext
) -> Judgement:
    """Judge a certificate at a moment: from path to status, every step even when an earlier one failed.

    Of several paths the first counts about which there is no doubt, else the one with the least; but a key that is
    not to be relied on in one path is so in none.
    """
    paths, searched = _paths(leaf, evidence, moment, purpose, context)
    best: Judgement | None = None
    for path in islice(paths, MAX_JUDGED):
        judged = _judge_path(path, evidence, moment, purpose, context)
        if _is_final(judged):
            return judged
        if best is None or severity(judged.findings) > severity(best.findings):
            best = judged
    if best is not None:
        return best
    reason = Reason.ISSUER_NOT_FOUND if context.anchors else Reason.NO_ANCHOR_GIVEN
    finding = indeterminate(reason, SubIndication.NO_CERTIFICATE_CHAIN_FOUND, searched)
    unchecked = _unchecked(leaf, evidence.pool)
    return Judgement(chain=(), findings=(*_purpose(leaf, purpose, context.policy), finding, *unchecked))


def _judge_path(
    path: Path, evidence: Evidence, moment: Moment, purpose: Purpose, context: VerificationContext
) -> Judgement:
    findings: list[Finding] = []
    if path.problem is not None:
        general = SubIndication.CERTIFICATE_CHAIN_GENERAL_FAILURE
        findings.append(indeterminate(Reason.PATH_RULE_BROKEN, general, path.problem))
    findings += _purpose(path.chain[0], purpose, context.policy)
    findings += admission_findings(path, context) if purpose is Purpose.DOCUMENT else ()
    findings += trust_findings(path, context)
    findings += weak_chain(context.policy.algorithms, path.chain, moment)
    expired = list(validity_findings(path.chain, moment))
    outcomes = list(_statuses(path, evidence, moment, context))
    findings += _refined(expired, outcomes)
    findings += (finding for outcome in outcomes for finding in outcome.findings)
    findings += _given_up(path, evidence, moment, context)
    if moment.proven and moment.at < context.at and not any(finding.indication for finding in findings):
        now = _statuses(path, evidence, Moment(at=context.at), context)
        lifted = purpose is Purpose.DOCUMENT
        findings += judge_past(path.chain, now, evidence, moment, context, revocation_lifted=lifted)
    return Judgement(chain=path.chain, findings=tuple(findings), statuses=tuple(outcome.known for outcome in outcomes))


def _given_up(path: Path, evidence: Evidence, moment: Moment, context: VerificationContext) -> Iterator[Finding]:
    """Yield a finding for an issuer's key that was revoked, other than in name, in another certificate of it.

    Only certificates with a path of their own count: a stranger may put any other beside a signature.
    """
    for issuer in path.chain[1:-1]:
        twins = (c for c in evidence.pool.named(issuer.subject_der) if c != issuer and c.spki_der == issuer.spki_der)
        for twin in islice(twins, MAX_FETCHES):
            for other in islice(find_paths(twin, evidence.pool, evidence.anchors), 1):
                if other.problem is not None or other.directly_trusted:
                    continue
                for answer in evidence.answers(twin, other.chain[1], context.at):
                    if _ends_a_key(answer, moment):
                        sub = SubIndication.REVOKED_CA_NO_POE
                        yield indeterminate(Reason.CA_REVOKED, sub, answer.origin, f"certificate {twin.serial_hex}")


def _ends_a_key(answer: StatusAnswer, moment: Moment) -> bool:
    if not isinstance(answer, Revoked) or answer.on_hold or answer.reason in _KEY_STANDS:
        return False
    return effective_time(answer) <= moment.at


def _is_final(judged: Judgement) -> bool:
    """Whether no other path can change it: nothing is in doubt, or a key was given up and not just a certificate."""
    if all(finding.indication is None for finding in judged.findings):
        return True
    if any(leaf.answer in ("revoked", "on-hold") for leaf in judged.statuses[:1]):
        return True
    return any(issuer.answer == "revoked" and issuer.reason not in _KEY_STANDS for issuer in judged.statuses[1:])


def _paths(
    leaf: Certificate, evidence: Evidence, moment: Moment, purpose: Purpose, context: VerificationContext
) -> tuple[Iterator[Path], str]:
    """Return the paths to anchors for this purpose, and what was missed where there is none. Fetch issuers then."""
    pool = evidence.pool
    for attempt in range(MAX_FETCHES):
        found = _ranked(leaf, pool, moment, purpose, context)
        first = next(found, None)
        if first is not None or not context.anchors:
            return chain(() if first is None else (first,), found), ""
        top = _highest(leaf, pool)
        fetched: tuple[Certificate, ...] = ()
        if not context.offline and attempt < MAX_FETCHES - 1:
            fetched = tuple(c for source in context.issuer_sources for c in source.issuers(top))
        if not set(fetched) - set(pool.certificates):
            break
        pool = CertificatePool((*fetched, *pool.certificates))
    return iter(()), f"issuer of certificate {top.serial_hex}: {readable_name(top.issuer_der)}"


def _ranked(
    leaf: Certificate, pool: CertificatePool, moment: Moment, purpose: Purpose, context: VerificationContext
) -> Iterator[Path]:
    """Yield paths that break no rule, are admitted and valid at the moment, as they are found; then the others."""
    limits = context.limits
    anchors = frozenset(one for one in context.anchors if purpose in limits.get(one, _UNLIMITED).purposes)
    inputs = {anchor: limit.inputs() for anchor, limit in limits.items()}
    others: list[tuple[tuple[bool, ...], Path]] = []
    for path in find_paths(leaf, pool, anchors, inputs_of=inputs):
        faults = (
            path.problem is not None,
            purpose is Purpose.DOCUMENT and any(True for _ in admission_findings(path, context)),
            any(True for _ in validity_findings(path.chain, moment)),
        )
        if any(faults):
            others.append((faults, path))
        else:
            yield path
    yield from (path for _, path in sorted(others, key=itemgetter(0)))


def _unchecked(leaf: Certificate, pool: CertificatePool) -> Iterator[Finding]:
    """Tell of an issuer that is known, where nobody here can check its signature: that is no broken signature."""
    top = _highest(leaf, pool)
    for issuer in pool.named(top.issuer_der)[:MAX_FETCHES]:
        detail = None if issuer == top else uncheckable(top, issuer)
        if detail is not None:
            yield note(Reason.ALGORITHM_UNSUPPORTED, detail, f"certificate {top.serial_hex}")


def _highest(leaf: Certificate, pool: CertificatePool) -> Certificate:
    """Climb as far as loose certificates go: the last one is whose issuer is missing."""
    seen = [leaf]
    while True:
        above = next((c for c in pool.issuers(seen[-1]) if c not in seen), None)
        if above is None or len(seen) > MAX_FETCHES:
            return seen[-1]
        seen.append(above)


def _purpose(leaf: Certificate, purpose: Purpose, policy: Policy) -> Iterator[Finding]:
    try:
        problem = _document_problem(leaf, policy) if purpose is Purpose.DOCUMENT else _timestamp_problem(leaf)
    except UNREADABLE:
        problem = "an extension cannot be read"
    if problem is not None:
        reason = Reason.NOT_FOR_SIGNING if purpose is Purpose.DOCUMENT else Reason.NOT_FOR_TIMESTAMPING
        yield indeterminate(reason, SubIndication.CHAIN_CONSTRAINTS_FAILURE, problem)


def _document_problem(leaf: Certificate, policy: Policy) -> str | None:
    if leaf.is_ca:
        return "a CA certificate"
    usage, extended = leaf.key_usage, leaf.extended_key_usage
    if usage is not None and "nonRepudiation" not in usage:
        return "key usage without nonRepudiation"
    if usage is None and policy.require_non_repudiation:
        return "no key usage"
    if extended and _NOT_FOR_DOCUMENTS.issuperset(extended):
        return "extended key usage for other ends"
    return None


def _timestamp_problem(leaf: Certificate) -> str | None:
    """Ask for exactly the critical extended key usage timeStamping (RFC 3161 §2.3)."""
    extension = leaf.extensions.get(oids.EXTENDED_KEY_USAGE)
    if extension is None or not extension.critical or leaf.extended_key_usage != (oids.EKU_TIME_STAMPING,):
        return "extended key usage is not critical timeStamping alone"
    usage = leaf.key_usage
    if usage is not None and not usage & {"digitalSignature", "nonRepudiation"}:
        return "key usage without digitalSignature"
    return "a CA certificate" if leaf.is_ca else None


def _statuses(path: Path, evidence: Evidence, moment: Moment, context: VerificationContext) -> Iterator[StatusOutcome]:
    """Ask about every certificate below the anchor; of a directly trusted leaf only a "no" counts."""
    pairs = list(zip(path.chain, path.chain[1:], strict=False))
    if path.directly_trusted:
        leaf = path.chain[0]
        issuer = next((c for c in evidence.pool.issuers(leaf) if c != leaf), None)
        pairs = [] if issuer is None else [(leaf, issuer)]
    for index, (certificate, issuer) in enumerate(pairs):
        if exempt(certificate) or (index > 0 and not context.policy.require_ca_status):
            continue
        # A certificate that has expired by now is asked as of its last day (EN 319 102-1 §5.2.6.4).
        asked = Moment(at=min(moment.at, certificate.not_after), proven=moment.proven)
        outcome = check_status(
            certificate,
            evidence.answers(certificate, issuer, context.at),
            moment=asked,
            existence=evidence.existence,
            policy=context.policy,
            is_leaf=index == 0,
        )
        silent = path.directly_trusted and outcome.known.answer in ("silent", "stale")
        yield StatusOutcome(known=outcome.known, findings=()) if silent else outcome


def _refined(expired: list[Finding], outcomes: list[StatusOutcome]) -> Iterator[Finding]:
    """Turn OUT_OF_BOUNDS_NO_POE into OUT_OF_BOUNDS_NOT_REVOKED when everything is known to be good."""
    known_good = bool(outcomes) and all(outcome.known.answer == "good" for outcome in outcomes)
    for finding in expired:
        if known_good and finding.sub_indication is SubIndication.OUT_OF_BOUNDS_NO_POE:
            yield Finding(
                reason=finding.reason,
                indication=Indication.INDETERMINATE,
                sub_indication=SubIndication.OUT_OF_BOUNDS_NOT_REVOKED,
                detail=finding.detail,
                about=finding.about,
            )
        else:
            yield finding
