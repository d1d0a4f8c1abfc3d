"""Everything that a file and its context offer for judging it: certificates, and status from every source."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

from pki.certificates import Certificate
from signer.parsers.model import ParsedFile, ParsedSignature, ParsedTimestamp
from signer.validation.answers import StatusAnswer
from signer.validation.context import VerificationContext
from signer.validation.path import CertificatePool
from signer.validation.status import EmbeddedStatus, StatusSource

MAX_EMBEDDED: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Certificates and status sources of one verification; every source is asked once about a certificate."""

    pool: CertificatePool
    sources: tuple[StatusSource, ...]
    _answers: dict[tuple[Certificate, Certificate], tuple[StatusAnswer, ...]] = field(default_factory=dict)

    def answers(self, certificate: Certificate, issuer: Certificate, at: datetime) -> tuple[StatusAnswer, ...]:
        """Return what all sources say of a certificate; `at` is the one validation time."""
        key = (certificate, issuer)
        if key not in self._answers:
            asked = (source.answers(certificate, issuer, at) for source in self.sources)
            self._answers[key] = tuple(answer for answers in asked for answer in answers)
        return self._answers[key]


def gather(parsed: ParsedFile, context: VerificationContext) -> Evidence:
    """Collect the context's certificates first, then the file's, and all embedded status, within limits."""
    signatures = [s for s in parsed.signatures if isinstance(s, ParsedSignature)]
    stamps: list[ParsedTimestamp] = [*parsed.timestamps, *(stamp for s in signatures for stamp in s.timestamps)]
    holders = [*signatures, *(stamp.token.signature for stamp in stamps if stamp.token is not None)]
    certificates: list[Certificate] = [*context.anchors, *context.intermediates, *parsed.certificates]
    crls, responses = list(parsed.crls), list(parsed.ocsp_responses)
    for holder in holders:
        certificates += holder.certificates
        crls += holder.crls
        responses += holder.ocsp_responses
    embedded = EmbeddedStatus(crls=_first(crls), ocsp_responses=_first(responses))
    return Evidence(pool=CertificatePool(certificates), sources=(embedded, *context.status_sources))


def _first(found: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(islice(dict.fromkeys(found), MAX_EMBEDDED))
