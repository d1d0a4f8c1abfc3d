"""Status and issuers from the addresses that certificates carry: CRL, OCSP, caIssuers (RFC 5280 §4.2.2.1).

Only asked for certificates of a path that ends at an anchor, so a stranger's file cannot send the verifier
to addresses of its choice (issuers' certificates excepted, and only while a path is missing). Plain HTTP
is normal here: the answers are signed. Each fetch has a time and size limit, and all of them share a budget.
"""

import http.client
import math
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from pki.certificates import Certificate, load_certificates
from pki.errors import ErrorCode, ServiceError, Unavailable
from signer.http_exchange import HttpReply, exchange, parse_url
from signer.parsers.signed_data import read_signed_data
from signer.validation.answers import CLOCK_SKEW, Good, Revoked, Silent, StatusAnswer
from signer.validation.crl_judgement import ListSigners, OriginalList, judge_lists
from signer.validation.crl_scope import fresher_addresses
from signer.validation.ocsp import MAX_RESPONSE_OCTETS, build_request
from signer.validation.remembered import Remembered
from signer.validation.status import NOBODY_ELSE, judge_ocsp, read_lists, urls_of

MAX_CRL_DOWNLOAD: Final = 16 * 1024 * 1024
MAX_ISSUER_OCTETS: Final = 256 * 1024
MAX_ADDRESSES: Final = 3
MAX_GET_ADDRESS: Final = 255  # octets (RFC 5019 §5)
MAX_REMEMBERED: Final = 4096
MAX_REMEMBERED_OCTETS: Final = 64 * 1024 * 1024
SILENCE_SECONDS: Final = 60.0
"""How long whoever did not answer is not asked again."""

_OCSP_RESPONSE: Final = "application/ocsp-response"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineStatus:
    """Ask the network; `timeout` seconds a fetch, `budget` seconds for the life of this object.

    Answers are kept as long as the object lives, the oldest forgotten first: make one for each command or request.
    """

    timeout: float = 4.0
    budget: float = 8.0
    _spent: list[float] = field(default_factory=lambda: [0.0])
    _fetched: Remembered[tuple[str, bytes | None], "_Fetched"] = field(
        default_factory=lambda: Remembered(entries=MAX_REMEMBERED, octets=MAX_REMEMBERED_OCTETS)
    )

    def renewed(self) -> "OnlineStatus":
        """Return the same with all of its budget; what answered is not asked again, nor soon what did not."""
        return replace(self, _spent=[0.0])

    def answers(
        self, certificate: Certificate, issuer: Certificate, at: datetime, others: ListSigners = NOBODY_ELSE
    ) -> Iterable[StatusAnswer]:
        """Yield what the certificate's OCSP responders and CRL addresses say, until one answers for `at`."""
        for ask in (self._ask_ocsp, partial(self._ask_crls, others)):
            for answer in ask(certificate, issuer, at):
                yield answer
                if _settles(answer, at):
                    return

    def _ask_ocsp(self, certificate: Certificate, issuer: Certificate, at: datetime) -> Iterator[StatusAnswer]:
        for url in urls_of(lambda: certificate.ocsp_urls)[:MAX_ADDRESSES]:
            origin = f"OCSP {url[:120]}"
            try:
                data = self._fetch(url, MAX_RESPONSE_OCTETS, build_request(certificate, issuer))
            except ServiceError as error:
                yield Silent(origin=origin, detail=error.detail)
            else:
                yield judge_ocsp(data, certificate, issuer, at, origin=origin)

    def _ask_crls(
        self, others: ListSigners, certificate: Certificate, issuer: Certificate, at: datetime
    ) -> Iterator[StatusAnswer]:
        lists: list[OriginalList] = []
        for url in urls_of(lambda: certificate.crl_urls)[:MAX_ADDRESSES]:
            found, silent = self._list(url)
            yield from silent
            for one in found:
                lists.append(one)
                # A delta says what its full list does not say yet (RFC 5280 §5.2.6).
                for newer in fresher_addresses(one.crl)[:MAX_ADDRESSES]:
                    deltas, silent = self._list(newer)
                    lists += deltas
                    yield from silent
            yield from judge_lists(lists, certificate, issuer, at, others)

    def _list(self, url: str) -> tuple[list[OriginalList], list[Silent]]:
        origin = f"CRL {url[:120]}"
        try:
            return read_lists([self._fetch(url, MAX_CRL_DOWNLOAD, None)], origin)
        except ServiceError as error:
            return [], [Silent(origin=origin, detail=error.detail)]

    def issuers(self, certificate: Certificate) -> tuple[Certificate, ...]:
        """Fetch issuers by caIssuers; nothing when no address answers with certificates."""
        found: list[Certificate] = []
        for url in urls_of(lambda: certificate.issuer_urls)[:MAX_ADDRESSES]:
            try:
                found.extend(_certificates_in(self._fetch(url, MAX_ISSUER_OCTETS, None)))
            except ServiceError:
                continue  # a silent address leaves the path as it was: not found
        return tuple(found)

    def _fetch(self, url: str, limit: int, body: bytes | None) -> bytes:
        known = self._fetched.get((url, body))
        if known is None or time.monotonic() > known.until:
            if self._spent[0] >= self.budget:
                raise Unavailable(ErrorCode.UNAVAILABLE, "time for fetching is used up")
            known = self._asked(url, limit, body)
            self._fetched.keep((url, body), known, known.size)
        if isinstance(known.answer, ServiceError):
            raise known.answer
        return known.answer

    def _asked(self, url: str, limit: int, body: bytes | None) -> "_Fetched":
        try:
            answer = self._download(url, limit) if body is None else self._ocsp(url, limit, body)
        except ServiceError as error:
            return _Fetched(answer=error, until=time.monotonic() + SILENCE_SECONDS)
        return _Fetched(answer=answer, until=math.inf)

    def _ocsp(self, url: str, limit: int, request: bytes) -> bytes:
        """Ask by GET where the address stays short, so that caches may answer (RFC 5019 §5); else, or then, by POST."""
        short = f"{url.rstrip('/')}/{quote(b64encode(request).decode(), safe='')}"
        if len(short) <= MAX_GET_ADDRESS and not parse_url(url).query:
            reply = self._talk(short, limit)
            if reply.status == http.client.OK and reply.content_type == _OCSP_RESPONSE:
                return reply.body
        return self._download(url, limit, request, {"Content-Type": "application/ocsp-request"})

    def _download(
        self, url: str, limit: int, body: bytes | None = None, headers: Mapping[str, str] = MappingProxyType({})
    ) -> bytes:
        reply = self._talk(url, limit, body, headers)
        if reply.status != http.client.OK:
            raise Unavailable(ErrorCode.UNAVAILABLE, f"HTTP {reply.status}")
        return reply.body

    def _talk(
        self, url: str, limit: int, body: bytes | None = None, headers: Mapping[str, str] = MappingProxyType({})
    ) -> HttpReply:
        left = self.budget - self._spent[0]
        if left <= 0:
            raise Unavailable(ErrorCode.UNAVAILABLE, "time for fetching is used up")
        started = time.monotonic()
        try:
            return exchange(url, seconds=min(self.timeout, left), limit=limit, body=body, headers=headers)
        finally:
            self._spent[0] += time.monotonic() - started


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetched:
    """What an address answered, and until when (monotonic seconds) it is not asked again."""

    answer: bytes | ServiceError
    until: float

    @property
    def size(self) -> int:
        return len(self.answer) if isinstance(self.answer, bytes) else 0


def _settles(answer: StatusAnswer, at: datetime) -> bool:
    """Say whether there is no need to ask on: a "no", or a "yes" that has not run out."""
    if isinstance(answer, Good):
        # Without nextUpdate there is always something newer (RFC 6960 §2.4): the answer is for this moment alone.
        return (answer.next_update or answer.this_update + CLOCK_SKEW) >= at
    return isinstance(answer, Revoked)


def _certificates_in(data: bytes) -> tuple[Certificate, ...]:
    """Read what caIssuers points to: one DER certificate, PEM, or a certs-only CMS (RFC 5280 §4.2.2.1)."""
    try:
        return load_certificates(data)
    except ServiceError:
        return read_signed_data(data).certificates
