"""Everything that a file and its context offer for judging it: certificates, status, and since when each existed."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice, pairwise
from typing import Final

from pki import oids
from pki.certificates import Certificate
from pki.names import same_name
from signer.parsers.model import ParsedFile, ParsedTimestamp, with_counters
from signer.validation.answers import Good, Revoked, Silent, StatusAnswer
from signer.validation.context import VerificationContext
from signer.validation.crl import Crl, is_signed_by
from signer.validation.crl_judgement import ListSigners, may_sign_lists
from signer.validation.existence import Existence
from signer.validation.path import CertificatePool, Path, find_paths
from signer.validation.revocation import exempt
from signer.validation.status import EmbeddedStatus, StatusSource

MAX_EMBEDDED: Final = 256
MAX_SIGNERS_DEEP: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Certificates and status sources of one verification; every source is asked once about a certificate."""

    pool: CertificatePool
    sources: tuple[StatusSource, ...]
    anchors: frozenset[Certificate]
    existence: Existence
    _answers: dict[tuple[Certificate, Certificate], tuple[StatusAnswer, ...]] = field(default_factory=dict)
    _list_signers: dict[Crl, tuple[Certificate, ...]] = field(default_factory=dict)

    def answers(self, certificate: Certificate, issuer: Certificate, at: datetime) -> tuple[StatusAnswer, ...]:
        """Return what all sources say of a certificate; `at` is the one validation time."""
        key = (certificate, issuer)
        if key not in self._answers:
            found = self.ask(certificate, issuer, at, _SignersInPool(evidence=self, at=at))
            self._answers[key] = tuple(self._unless_revoked(answer, issuer, at) for answer in found)
        return self._answers[key]

    def _unless_revoked(self, answer: StatusAnswer, issuer: Certificate, at: datetime) -> StatusAnswer:
        """Silence an answer whose delegate is revoked; one that is marked so need not be asked about.

        RFC 6960 §4.2.2.2.1. Nobody can speak for themselves, and silence about a delegate changes nothing.
        """
        if isinstance(answer, Silent) or answer.signer == issuer or exempt(answer.signer):
            return answer
        if oids.EKU_OCSP_SIGNING not in (answer.signer.extended_key_usage or ()):
            return answer
        said = self.ask(answer.signer, issuer, at, _SignersInPool(evidence=self, at=at))
        if any(isinstance(one, Revoked) and one.signer != answer.signer for one in said):
            return Silent(origin=answer.origin, detail="its responder is revoked")
        return answer

    def ask(
        self, certificate: Certificate, issuer: Certificate, at: datetime, others: ListSigners
    ) -> tuple[StatusAnswer, ...]:
        """Ask every source now, relying on `others` for lists that another key signed than the issuer's."""
        asked = (source.answers(certificate, issuer, at, others) for source in self.sources)
        return tuple(answer for answers in asked for answer in answers)

    def signers_of(self, crl: Crl) -> tuple[Certificate, ...]:
        """Return the certificates whose key signed a list and that say themselves that it signs lists."""
        if crl not in self._list_signers:
            self._list_signers[crl] = tuple(
                one
                for one in self.pool.named(crl.issuer_der)
                if may_sign_lists(one) and self.pool.may_check() and is_signed_by(crl, one)
            )
        return self._list_signers[crl]


@dataclass(frozen=True, slots=True, kw_only=True)
class _SignersInPool:
    """Signers of lists whose path ends where the path of the certificate's issuer does (RFC 5280 §6.3.3 f).

    `asking` holds the signers that are being judged: a signer whose own status stands in a list of its own is not
    asked about again and again, and what others say of it decides.
    """

    evidence: Evidence
    at: datetime
    asking: frozenset[Certificate] = frozenset()

    def signer(self, crl: Crl, issuer: Certificate) -> Certificate | None:
        """Return whose key signed a list, when that may be relied on now."""
        if len(self.asking) >= MAX_SIGNERS_DEEP:
            return None
        pool, anchors = self.evidence.pool, self.evidence.anchors
        # A name alone proves nothing: another key of the issuer's comes from where the issuer's does, or from it.
        own = same_name(crl.issuer_der, issuer.subject_der)
        for candidate in self.evidence.signers_of(crl):
            if candidate == issuer or (own and not self._is_kin(candidate, issuer)):
                continue
            if candidate in self.asking or any(
                self._holds(path, issuer) for path in find_paths(candidate, pool, anchors)
            ):
                return candidate
        return None

    def _is_kin(self, one: Certificate, other: Certificate) -> bool:
        """Whether one signed the other, or one key signed both."""
        pool = self.evidence.pool
        if pool.is_signed_by(one, other) or pool.is_signed_by(other, one):
            return True
        return any(pool.is_signed_by(other, above) for above in pool.issuers(one))

    def _holds(self, path: Path, issuer: Certificate) -> bool:
        if path.problem is not None or not all(c.not_before <= self.at <= c.not_after for c in path.chain):
            return False
        if (
            issuer != path.anchor
            and next(find_paths(issuer, self.evidence.pool, frozenset((path.anchor,))), None) is None
        ):
            return False
        deeper = replace(self, asking=self.asking | {path.chain[0]})
        return all(deeper.is_good(*pair) for pair in pairwise(path.chain))

    def is_good(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Whether somebody says now that a certificate of a signer's path is good, and nobody that it is not."""
        answers = self.evidence.ask(certificate, issuer, self.at, self)
        ends = [answer.next_update for answer in answers if isinstance(answer, Good)]
        current = any(end is None or end >= self.at for end in ends)
        return current and not any(isinstance(answer, Revoked) for answer in answers)


def gather(parsed: ParsedFile, context: VerificationContext) -> Evidence:
    """Collect the context's certificates first, then the file's, and all embedded status, within limits."""
    signatures = list(with_counters(parsed.signatures))
    stamps: list[ParsedTimestamp] = [*parsed.timestamps, *(stamp for s in signatures for stamp in s.timestamps)]
    holders = [*signatures, *(stamp.token.signature for stamp in stamps if stamp.token is not None)]
    certificates: list[Certificate] = [*context.anchors, *context.intermediates, *parsed.certificates]
    crls, responses = list(parsed.crls), list(parsed.ocsp_responses)
    for holder in holders:
        certificates += holder.certificates
        crls += holder.crls
        responses += holder.ocsp_responses
    embedded = EmbeddedStatus(crls=_first(crls), ocsp_responses=_first(responses))
    return Evidence(
        pool=CertificatePool(certificates),
        sources=(embedded, *context.status_sources),
        anchors=frozenset(context.anchors),
        existence=Existence(context.at),
    )


def _first(found: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(islice(dict.fromkeys(found), MAX_EMBEDDED))
