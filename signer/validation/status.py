"""What a status source answers: good, revoked, or silence. Silence is never taken for either.

Every answer says where it comes from and how old it is; whether it is fresh enough is the engine's question.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

from pki.certificates import Certificate
from signer.parsers.model import UNREADABLE
from signer.validation import ocsp
from signer.validation.answers import Good, Revoked, Silent, StatusAnswer, unreadable
from signer.validation.crl import parse_crl
from signer.validation.crl_judgement import ListSigners, NobodyElse, OriginalList, judge_lists

NOBODY_ELSE: Final[ListSigners] = NobodyElse()

__all__ = ["EmbeddedStatus", "Good", "Revoked", "Silent", "StatusAnswer", "StatusSource"]


class StatusSource(Protocol):
    """Somewhere that certificates' revocation can be asked."""

    def answers(
        self, certificate: Certificate, issuer: Certificate, at: datetime, others: ListSigners = NOBODY_ELSE
    ) -> Iterable[StatusAnswer]:
        """Yield what is known at time `at` of a certificate that `issuer` issued; never raises.

        `others` are relied on for lists that another key signed than the issuer's.
        """
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
    _lists: "list[tuple[list[OriginalList], list[Silent]]]" = field(default_factory=list, repr=False, compare=False)

    def answers(
        self, certificate: Certificate, issuer: Certificate, at: datetime, others: ListSigners = NOBODY_ELSE
    ) -> Iterable[StatusAnswer]:
        """Yield an answer for each piece of evidence that speaks of the certificate."""
        if not self._lists:  # read once: each list remembers whose signature it has
            self._lists.append(read_lists(self.crls, "embedded CRL"))
        lists, silent = self._lists[0]
        yield from silent
        yield from judge_lists(lists, certificate, issuer, at, others)
        for data in self.ocsp_responses:
            answer = judge_ocsp(data, certificate, issuer, at, origin="embedded OCSP")
            yield answer if isinstance(answer, Silent) else replace(answer, drawn_from=(data,))


def read_lists(crls: Iterable[bytes], origin: str) -> tuple[list[OriginalList], list[Silent]]:
    """Read CRLs (DER); those that are none are silent."""
    lists, silent = [], []
    for data in crls:
        try:
            lists.append(OriginalList(crl=parse_crl(data), origin=origin, octets=data))
        except UNREADABLE as error:
            silent.append(Silent(origin=origin, detail=unreadable(error)))
    return lists, silent


def judge_crl(
    data: bytes,
    certificate: Certificate,
    issuer: Certificate,
    at: datetime,
    *,
    origin: str,
    others: ListSigners = NOBODY_ELSE,
) -> StatusAnswer:
    """Read and evaluate one CRL; whatever is wrong with it makes it silent."""
    lists, silent = read_lists([data], origin)
    return next(iter((*silent, *judge_lists(lists, certificate, issuer, at, others))))


def judge_ocsp(
    data: bytes, certificate: Certificate, issuer: Certificate, at: datetime, *, origin: str, nonce: bytes | None = None
) -> StatusAnswer:
    """Read and evaluate one OCSP response; whatever is wrong with it makes it silent."""
    try:
        return ocsp.evaluate(ocsp.parse_response(data), certificate, issuer, at, origin=origin, nonce=nonce)
    except UNREADABLE as error:
        return Silent(origin=origin, detail=unreadable(error))


def urls_of(read: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Read addresses out of a certificate; none when the extension that holds them cannot be read."""
    try:
        return read()
    except UNREADABLE:
        return ()
