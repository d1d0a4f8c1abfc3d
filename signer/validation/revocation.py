"""From answers of status sources to findings: revoked before or after, on hold, stale, silent (EN 319 102-1 §5.2.6).

The rules that people ask about, in one place:
- a revocation stands for ever, from its invalidity date if that is earlier;
- a hold counts while the newest answer says so;
- "good" counts when produced at or after the moment, or while it covers the moment;
- an answer produced after the certificate expired counts only if its issuer keeps expired entries;
- silence is silence.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pki import oids
from pki.certificates import Certificate
from signer.validation.answers import Good, Revoked, Silent, StatusAnswer
from signer.validation.existence import Existence
from signer.validation.moment import Moment, reliable_until
from signer.validation.policy import Policy
from signer.validation.reasons import Reason
from signer.validation.verdict import Finding, KnownStatus, SubIndication, failed, indeterminate, note


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOutcome:
    """What the sources together say of one certificate: the answer that counted, and findings."""

    known: KnownStatus
    findings: tuple[Finding, ...]


def check_status(
    certificate: Certificate,
    answers: Iterable[StatusAnswer],
    *,
    moment: Moment,
    existence: Existence,
    policy: Policy,
    is_leaf: bool,
) -> StatusOutcome:
    """Weigh what all sources answered about a certificate, at `moment`."""
    usable: list[Good | Revoked] = []
    silent: list[Silent] = []
    outlived: list[Good] = []
    for answer in answers:
        if isinstance(answer, Silent):
            silent.append(answer)
        elif isinstance(answer, Good) and has_outlived(answer, existence):
            outlived.append(answer)
        elif is_reliable(answer, existence, policy):
            usable.append(answer)
        else:
            silent.append(Silent(origin=answer.origin, detail="signed with a weak algorithm"))
    about = f"certificate {certificate.serial_hex}"
    decisive = _decisive(usable)
    if isinstance(decisive, Revoked):
        findings = tuple(_revoked(decisive, moment, about, is_leaf=is_leaf))
        return StatusOutcome(known=_known(certificate, decisive), findings=findings)
    counted = _counted((a for a in usable if isinstance(a, Good)), certificate, moment, policy)
    if counted is not None:
        before = is_leaf and moment.proven and counted.this_update < moment.at
        findings = (note(Reason.STATUS_BEFORE_SIGNATURE, counted.this_update.isoformat(), about),) if before else ()
        return StatusOutcome(known=_known(certificate, counted), findings=findings)
    if outlived:
        newest = max(outlived, key=lambda answer: answer.this_update)
        detail = f"{newest.origin} of {newest.this_update.isoformat()}"
        sub_indication = SubIndication.REVOCATION_OUT_OF_BOUNDS_NO_POE
        finding = indeterminate(Reason.STATUS_SIGNER_EXPIRED, sub_indication, detail, about)
        return StatusOutcome(known=_known(certificate, newest, stale=True), findings=(finding,))
    if decisive is not None:
        detail = f"{decisive.origin} of {decisive.this_update.isoformat()}"
        stale = indeterminate(Reason.STATUS_STALE, SubIndication.TRY_LATER, detail, about)
        return StatusOutcome(known=_known(certificate, decisive, stale=True), findings=(stale,))
    return _silence(certificate, silent, about)


def _silence(certificate: Certificate, silent: list[Silent], about: str) -> StatusOutcome:
    detail = "; ".join(f"{answer.origin}: {answer.detail}" for answer in silent[:4]) or "no source was asked"
    finding = indeterminate(Reason.STATUS_SILENT, SubIndication.TRY_LATER, detail, about)
    known = KnownStatus(serial=certificate.serial_hex, answer="silent", origin=detail)
    return StatusOutcome(known=known, findings=(finding,))


def is_reliable(answer: Good | Revoked, existence: Existence, policy: Policy) -> bool:
    """Say whether an answer's own signature could still be relied on when the answer is proven to have existed.

    The date in it proves nothing: whoever can forge the signature chooses it.
    """
    end = reliable_until(policy.algorithms, answer.hash_oid, answer.signer)
    return end is None or existence.of_all(answer.drawn_from) <= end


def has_outlived(answer: Good, existence: Existence) -> bool:
    """Say whether a delegated responder's certificate ended before the answer is proven to have existed.

    Whoever has the responder's key by then can say "good" of any time (EN 319 102-1 §5.2.6.4); a "no" still counts.
    """
    if answer.signer.not_after >= existence.of_all(answer.drawn_from):
        return False
    return oids.EKU_OCSP_SIGNING in (answer.signer.extended_key_usage or ())


def _decisive(answers: list[Good | Revoked]) -> Good | Revoked | None:
    """Pick what stands: any revocation, the earliest first; else the newest answer, a hold before a good."""
    revoked = [a for a in answers if isinstance(a, Revoked) and not a.on_hold]
    if revoked:
        return min(revoked, key=effective_time)
    return max(answers, key=lambda a: (a.this_update, isinstance(a, Revoked)), default=None)


def effective_time(answer: Revoked) -> datetime:
    """Return from when a revocation counts: its date, or the declared invalidity date before it."""
    return min(answer.revoked_at, answer.invalid_since or answer.revoked_at)


def _revoked(answer: Revoked, moment: Moment, about: str, *, is_leaf: bool) -> Iterator[Finding]:
    since = effective_time(answer)
    detail = f"{answer.reason} since {since.isoformat()}, {answer.origin}"
    if since < answer.revoked_at:
        dates = f"revoked {answer.revoked_at.isoformat()}, invalid since {since.isoformat()}"
        yield note(Reason.INVALIDITY_DATE_USED, dates, about)
    if since > moment.at:
        yield note(Reason.CERTIFICATE_REVOKED_LATER, detail, about)
    elif answer.on_hold:
        yield indeterminate(Reason.CERTIFICATE_ON_HOLD, SubIndication.TRY_LATER, detail, about)
    elif not is_leaf:
        yield indeterminate(Reason.CA_REVOKED, SubIndication.REVOKED_CA_NO_POE, detail, about)
    elif moment.proven:
        yield failed(Reason.CERTIFICATE_REVOKED, SubIndication.REVOKED, detail, about)
    else:
        yield indeterminate(Reason.CERTIFICATE_REVOKED, SubIndication.REVOKED_NO_POE, detail, about)


def _counted(answers: Iterable[Good], certificate: Certificate, moment: Moment, policy: Policy) -> Good | None:
    """Return the newest good answer that may count for the moment."""
    fit = [answer for answer in answers if _counts(answer, certificate, moment, policy)]
    return max(fit, key=lambda answer: answer.this_update, default=None)


def keeps(answer: Good, certificate: Certificate) -> bool:
    """Say whether "good" means anything of a certificate that may have expired before it was said."""
    expired = answer.this_update > certificate.not_after
    return not expired or (answer.expired_since is not None and answer.expired_since <= certificate.not_after)


def _counts(answer: Good, certificate: Certificate, moment: Moment, policy: Policy) -> bool:
    if not keeps(answer, certificate):
        return False
    if answer.this_update >= moment.at:
        return True
    if moment.proven and policy.status_after_signature:
        return False
    return last_fresh(answer, moment.at, policy) == moment.at


def last_fresh(answer: Good, at: datetime, policy: Policy) -> datetime:
    """Return the last instant up to `at` at which an answer was fresh (EN 319 102-1 §5.2.5)."""
    if policy.max_status_age is not None:
        young = at - answer.this_update <= policy.max_status_age
        return at if young else answer.this_update + policy.max_status_age
    end = answer.next_update or answer.this_update
    return at if at - policy.clock_skew <= end else end


def exempt(certificate: Certificate) -> bool:
    """Say whether a certificate needs no status: an OCSP responder's by its own mark (RFC 6960 §4.2.2.2.1)."""
    marked = oids.OCSP_NO_CHECK in certificate.extensions
    return marked and oids.EKU_OCSP_SIGNING in (certificate.extended_key_usage or ())


def _known(certificate: Certificate, answer: Good | Revoked, *, stale: bool = False) -> KnownStatus:
    name = "stale" if stale else "good"
    revoked_at, reason = None, None
    if isinstance(answer, Revoked):
        name, revoked_at, reason = ("on-hold" if answer.on_hold else "revoked"), answer.revoked_at, answer.reason
    return KnownStatus(
        serial=certificate.serial_hex,
        answer=name,
        origin=answer.origin,
        this_update=answer.this_update,
        next_update=answer.next_update,
        revoked_at=revoked_at,
        reason=reason,
    )
