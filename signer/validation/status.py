"""What a status source answers: good, revoked, or silence. Silence is never taken for either.

Every answer says where it comes from and how old it is; whether it is fresh enough is the engine's question.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pki.certificates import Certificate
from pki.errors import ServiceError
from signer.parsers.model import UNREADABLE
from signer.validation import crl, ocsp
from signer.validation.answers import Good, Revoked, Silent, StatusAnswer

__all__ = ["EmbeddedStatus", "Good", "Revoked", "Silent", "StatusAnswer", "StatusSource"]


class StatusSource(Protocol):
    """Somewhere that certificates' revocation can be asked."""

    def answers(self, certificate: Certificate, issuer: Certificate, at: datetime) -> Iterable[StatusAnswer]:
        """Yield what is known at time `at` of a certificate that `issuer` issued; never raises."""
        ...


class IssuerSource(Protocol):
    """Somewhere that missing issuers' certificates can be had."""

    def issuers(self, certificate: Certificate) -> tuple[Certificate, ...]:
        """Return certificates that may have issued this one, by its own pointers; never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedStatus:
    """CRLs and OCSP responses that travel inside the signed file."""

    crls: tuple[bytes, ...] = ()
    ocsp_responses: tuple[bytes, ...] = ()

    def answers(self, certificate: Certificate, issuer: Certificate, at: datetime) -> Iterable[StatusAnswer]:
        """Yield an answer for each piece of evidence that speaks of the certificate."""
        for data in self.crls:
            yield judge_crl(data, certificate, issuer, at, origin="embedded CRL")
        for data in self.ocsp_responses:
            yield judge_ocsp(data, certificate, issuer, at, origin="embedded OCSP")


def judge_crl(data: bytes, certificate: Certificate, issuer: Certificate, at: datetime, *, origin: str) -> StatusAnswer:
    """Read and evaluate one CRL; whatever is wrong with it makes it silent."""
    try:
        return crl.evaluate(crl.parse_crl(data), certificate, issuer, at, origin=origin)
    except UNREADABLE as error:
        return Silent(origin=origin, detail=_detail(error))


def judge_ocsp(
    data: bytes, certificate: Certificate, issuer: Certificate, at: datetime, *, origin: str, nonce: bytes | None = None
) -> StatusAnswer:
    """Read and evaluate one OCSP response; whatever is wrong with it makes it silent."""
    try:
        return ocsp.evaluate(ocsp.parse_response(data), certificate, issuer, at, origin=origin, nonce=nonce)
    except UNREADABLE as error:
        return Silent(origin=origin, detail=_detail(error))


def urls_of(read: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Read addresses out of a certificate; none when the extension that holds them cannot be read."""
    try:
        return read()
    except UNREADABLE:
        return ()


def _detail(error: Exception) -> str:
    return error.detail if isinstance(error, ServiceError) else "unreadable"
