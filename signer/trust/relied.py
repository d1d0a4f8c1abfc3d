"""Everything that a verifier relies on, gathered: anchors of its own, a deployment's folder, a trust bundle."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pki.certificates import Certificate, load_certificates
from pki.errors import ErrorCode, InvalidInput
from pki.oids import OidArc
from signer.files import read_file
from signer.trust.bundle import MAX_BUNDLE_OCTETS, MAX_INTERMEDIATES, TrustBundle, key_digests, refused
from signer.trust.signed import SignedBundle, is_kept, read_bundle, read_kept
from signer.validation.anchors import HEALTH, Clusters
from signer.validation.answers import StatusAnswer
from signer.validation.context import VerificationContext
from signer.validation.crl import parse_crl
from signer.validation.crl_judgement import ListSigners, OriginalList, judge_lists
from signer.validation.policy import Policy
from signer.validation.status import NOBODY_ELSE, judge_ocsp
from signer.validation.status_local import LocalStatus, load_trust

MAX_CERTIFICATE_FILE = 4 * 1024 * 1024


def load_bundle(path: Path, signers: Iterable[Certificate], now: datetime) -> SignedBundle:
    """Read a bundle that one of the signers signed, or the bundle that a verifier keeps.

    InvalidInput (`trust-refused`) where neither says by whom it may be signed.
    """
    data, pinned = read_file(path, limit=2 * MAX_BUNDLE_OCTETS), key_digests(tuple(signers))
    signed = read_kept(data, now).signed if is_kept(data) else read_bundle(data, now)
    if pinned:
        return signed.by(pinned)
    if not is_kept(data):
        raise refused("signer", "nobody said who may sign it; name the signer, or keep it first (mohr trust keep)")
    return signed


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleStatus:
    """Lists and answers that came in a bundle, read once."""

    lists: tuple[OriginalList, ...]
    responses: tuple[bytes, ...]

    @staticmethod
    def of(bundle: TrustBundle) -> "BundleStatus":
        """Return what a bundle brings."""
        lists = tuple(OriginalList(crl=parse_crl(data), origin="CRL of the trust bundle") for data in bundle.crls)
        return BundleStatus(lists=lists, responses=bundle.ocsp_responses)

    def answers(
        self, certificate: Certificate, issuer: Certificate, at: datetime, others: ListSigners = NOBODY_ELSE
    ) -> Iterable[StatusAnswer]:
        """Yield what each piece says of a certificate."""
        yield from judge_lists(self.lists, certificate, issuer, at, others)
        for data in self.responses:
            yield judge_ocsp(data, certificate, issuer, at, origin="OCSP answer of the trust bundle")


def load_files(paths: Iterable[Path]) -> tuple[Certificate, ...]:
    """Read the certificates of files."""
    return tuple(one for path in paths for one in load_certificates(read_file(path, limit=MAX_CERTIFICATE_FILE)))


def with_issuers(context: VerificationContext, paths: Iterable[Path]) -> VerificationContext:
    """Add issuers that are trusted for nothing; InvalidInput for more than a bundle may hold."""
    found = load_files(paths)
    if len(found) > MAX_INTERMEDIATES:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"more than {MAX_INTERMEDIATES} issuers")
    return replace(context, intermediates=_joined(context.intermediates, found))


def with_anchors(context: VerificationContext, paths: Iterable[Path]) -> VerificationContext:
    """Add anchors from files. Whoever trusts an issuer, or a signer, says with it that paths may run by its key."""
    found = load_files(paths)
    issuers = key_digests([certificate for certificate in found if not certificate.self_issued])
    return replace(
        context, anchors=_joined(context.anchors, found), clusters=_united(context.clusters, {HEALTH: issuers})
    )


def with_deployment(context: VerificationContext, home: Path) -> VerificationContext:
    """Add the anchors, issuers and published lists of a deployment's folder; NotFound where it holds none."""
    local = load_trust(home)
    return replace(
        context,
        anchors=_joined(context.anchors, local.anchors),
        intermediates=_joined(context.intermediates, local.intermediates),
        clusters=_united(context.clusters, local.clusters),
        status_sources=(*context.status_sources, LocalStatus(folder=home / "public" / "crl")),
        policy=local.reading(context.policy),
    )


def with_bundle(context: VerificationContext, bundle: TrustBundle) -> VerificationContext:
    """Add what a bundle says; an anchor that is trusted without it stays so, without limits."""
    limits = {anchor.certificate: anchor.limits for anchor in bundle.anchors}
    return replace(
        context,
        anchors=_joined(context.anchors, tuple(limits)),
        limits={anchor: limit for anchor, limit in limits.items() if anchor not in context.anchors},
        intermediates=_joined(context.intermediates, bundle.intermediates),
        clusters=_united(context.clusters, bundle.clusters),
        status_sources=(*context.status_sources, BundleStatus.of(bundle)),
        policy=_reading(context.policy, bundle.arc),
        bundle=bundle.stamp(),
    )


def _reading(policy: Policy, arc: str | None) -> Policy:
    return replace(policy, arc=OidArc(arc=arc)) if arc is not None and policy.arc == OidArc() else policy


def _joined(one: tuple[Certificate, ...], other: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _united(one: Clusters, other: Clusters) -> Clusters:
    return {name: one.get(name, frozenset()) | other.get(name, frozenset()) for name in one.keys() | other.keys()}
