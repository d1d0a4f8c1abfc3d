"""What a policy asks of a path beyond RFC 5280: which keys it runs by, what it asserts, how fresh its trust is."""

from collections.abc import Iterator

from pki.certificates import Certificate
from signer.parsers.model import UNREADABLE
from signer.validation.anchors import is_named
from signer.validation.context import VerificationContext
from signer.validation.path import Path
from signer.validation.reasons import Reason
from signer.validation.verdict import Finding, SubIndication, indeterminate, note


def admission_findings(path: Path, context: VerificationContext) -> Iterator[Finding]:
    """Yield why the policy does not admit the path of a document's signer: decided on keys and policies, not names."""
    policy = context.policy
    constraint = SubIndication.CHAIN_CONSTRAINTS_FAILURE
    cluster = frozenset[str]() if policy.cluster is None else context.clusters.get(policy.cluster, frozenset())
    named = policy.path_through | cluster
    if (policy.path_through or policy.cluster is not None) and not any(is_named(c, named) for c in path.chain):
        detail = "" if named else f"no issuer of the cluster {policy.cluster} is configured"
        yield indeterminate(Reason.ANCHOR_NOT_ADMITTED, constraint, detail)
    missing = policy.required_policies - _asserted(path.chain[0])
    if missing:
        yield indeterminate(Reason.POLICY_NOT_ASSERTED, constraint, ", ".join(sorted(missing)))


def _asserted(leaf: Certificate) -> frozenset[str]:
    try:
        return frozenset(leaf.policies)
    except UNREADABLE:
        return frozenset()


def trust_findings(path: Path, context: VerificationContext) -> Iterator[Finding]:
    """Yield a finding when the path's anchor rests on a trust bundle that is outdated, or older than the policy takes.

    Whether it decides is the policy's to say.
    """
    bundle, policy = context.bundle, context.policy
    if bundle is None or path.anchor not in context.limits:
        return
    too_old = policy.max_trust_age is not None and bundle.age(context.at) > policy.max_trust_age
    if not too_old and not bundle.is_outdated(context.at - policy.clock_skew):
        return
    detail = f"{bundle.name} {bundle.sequence}, next update {bundle.next_update.isoformat()}"
    if too_old or policy.require_current_trust:
        yield indeterminate(Reason.TRUST_OUTDATED, SubIndication.TRY_LATER, detail)
    else:
        yield note(Reason.TRUST_OUTDATED, detail)
