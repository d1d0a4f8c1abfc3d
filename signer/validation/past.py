"""Past certificate validation: until when a path surely was good (EN 319 102-1 §5.6.2.1, §5.6.2.2, §5.6.2.4).

What is expired, revoked or signed with a dead algorithm today may have been good when something was signed. Whoever
got hold of an authority's key afterwards can make certificates and lists of any date, so only what is proven to have
existed counts: the control time slides down the path, from the anchor to the signer, to when each next thing was last
known to be good.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise

from pki.certificates import Certificate
from signer.validation.answers import Good, Revoked, Silent
from signer.validation.context import VerificationContext
from signer.validation.evidence import Evidence
from signer.validation.moment import Moment, hash_of, reliable_until, validity_findings
from signer.validation.policy import Policy
from signer.validation.reasons import Reason
from signer.validation.revocation import (
    StatusOutcome,
    effective_time,
    exempt,
    has_outlived,
    is_reliable,
    keeps,
    last_fresh,
)
from signer.validation.verdict import Finding, SubIndication, indeterminate


class NotProven(Exception):
    """Something is not proven to have existed at the control time (NO_POE); says what."""


def judge_past(
    chain: tuple[Certificate, ...],
    now: Iterable[StatusOutcome],
    evidence: Evidence,
    moment: Moment,
    context: VerificationContext,
    *,
    revocation_lifted: bool,
) -> Iterator[Finding]:
    """Yield a finding unless what stands against a path today came after the proven `moment` (§5.6.2.4).

    `now` is what is known of its certificates at the validation time. `revocation_lifted`: that the leaf was revoked
    after the moment needs no further proof (§5.5.4).
    """
    doubt = _doubt(chain, tuple(now), context, revocation_lifted=revocation_lifted)
    if doubt is None:
        return
    try:
        control = slide(chain, evidence, context.policy)
    except NotProven as missing:
        yield indeterminate(Reason.EXISTENCE_NOT_PROVEN, doubt, str(missing))
    else:
        if moment.at > control:
            late = f"proven {moment.at.isoformat()}, good until {control.isoformat()}"
            yield indeterminate(Reason.EXISTENCE_NOT_PROVEN, doubt, late)


def _doubt(
    chain: tuple[Certificate, ...],
    now: tuple[StatusOutcome, ...],
    context: VerificationContext,
    *,
    revocation_lifted: bool,
) -> SubIndication | None:
    """Return what stands against a path at the validation time, None when nothing does that proof must lift."""
    said = {finding.sub_indication for outcome in now for finding in outcome.findings}
    if SubIndication.REVOKED_CA_NO_POE in said:
        return SubIndication.REVOKED_CA_NO_POE
    if SubIndication.REVOKED_NO_POE in said and not revocation_lifted:
        return SubIndication.REVOKED_NO_POE
    today = Moment(at=context.at)
    if any(True for _ in validity_findings(chain, today)):
        known_good = bool(now) and all(outcome.known.answer == "good" for outcome in now)
        authorities = any(True for _ in validity_findings(chain[1:], today)) if len(chain) > 2 else False
        if authorities or not known_good:
            return SubIndication.OUT_OF_BOUNDS_NO_POE
    for certificate, issuer in pairwise(chain):
        end = reliable_until(context.policy.algorithms, hash_of(certificate), issuer)
        if end is not None and end < context.at:
            return SubIndication.CRYPTO_CONSTRAINTS_FAILURE_NO_POE
    return None


def slide(chain: tuple[Certificate, ...], evidence: Evidence, policy: Policy) -> datetime:
    """Return the control time of a path (§5.6.2.2.4); NotProven where something did not provably exist by then.

    A status that is no longer fresh moves the control time to the last instant at which it was. The standard says: to
    when it was issued; but then no list would serve a signature that is younger, and lists of roots are months old.
    """
    existence = evidence.existence
    control = existence.at
    for certificate, issuer in reversed(tuple(pairwise(chain))):
        about = f"certificate {certificate.serial_hex}"
        end = reliable_until(policy.algorithms, hash_of(certificate), issuer) or control
        if existence.of(certificate.der) > min(control, end):
            raise NotProven(f"{about} at {min(control, end).isoformat()}")
        if not exempt(certificate) and (certificate is chain[0] or policy.require_ca_status):
            answer = _latest(certificate, issuer, evidence, control, policy)
            if answer is None:
                raise NotProven(f"status of {about} at {control.isoformat()}")
            control = _after(answer, control, policy)
        control = min(control, end)
    return control


def _latest(
    certificate: Certificate, issuer: Certificate, evidence: Evidence, control: datetime, policy: Policy
) -> Good | Revoked | None:
    """Return the youngest answer that was given, and provably existed, by the control time; a revocation before all."""
    existence = evidence.existence
    found = [
        answer
        for answer in evidence.answers(certificate, issuer, existence.at)
        if not isinstance(answer, Silent)
        and answer.this_update - policy.clock_skew <= control
        and existence.of_all(answer.drawn_from) <= control
        and is_reliable(answer, existence, policy)
        and (isinstance(answer, Revoked) or (keeps(answer, certificate) and not has_outlived(answer, existence)))
    ]
    return max(found, key=lambda answer: (isinstance(answer, Revoked), answer.this_update), default=None)


def _after(answer: Good | Revoked, control: datetime, policy: Policy) -> datetime:
    """Slide the control time by one status, and to the end of the algorithms that it is signed with."""
    good_until = effective_time(answer) if isinstance(answer, Revoked) else last_fresh(answer, control, policy)
    end = reliable_until(policy.algorithms, answer.hash_oid, answer.signer)
    return min(control, good_until, end or control)
