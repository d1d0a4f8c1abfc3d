"""Answering OCSP: from the pre-signed store where it fits, else signed now by the authority's delegate."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from ca.context import Authority, AuthorityContext, Responder
from ca.records import ToldStatus
from ca.status import repository as status_rows
from ca.status.answer_keeper import AnswerKeeper
from ca.status.answer_store import StoredAnswer
from ca.status.ocsp import (
    OcspRequest,
    ResponseStatus,
    SingleAnswer,
    build_response_data,
    error_response,
    names_issuer,
    parse_request,
)
from ca.status.presigning import living_responder, sign_responses
from pki.certificates import serial_hex
from pki.errors import InvalidInput, Unavailable
from storage.gathering import Gathering

UNKNOWN_VALIDITY: Final = timedelta(minutes=5)
MAX_TOGETHER: Final = 64
_Asked = tuple[OcspRequest, Authority]
_Known = dict[tuple[str, str], ToldStatus]


def never() -> bool:
    """Say that nothing is over."""
    return False


class OcspDesk(AuthorityContext):
    """Use cases of the OCSP responder."""

    def ocsp(self, request_der: bytes) -> bytes:
        """Answer one request with a whole OCSPResponse.

        What cannot be read is answered `malformedRequest`, an issuer that is not ours `unauthorized`. Unavailable
        when the answer needs a signature and no device, valid delegate or clock that is believed is there (`tryLater`).
        """
        stored = self.stored_answer(request_der, self._now())
        if stored is not None:
            return stored.der
        try:
            request = parse_request(request_der)
        except InvalidInput:
            return error_response(ResponseStatus.MALFORMED_REQUEST)
        authority = self._asked_authority(request)
        if authority is None:
            return error_response(ResponseStatus.UNAUTHORIZED)
        answer = self._signing.run((request, authority))
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    def stored_answer(self, request_der: bytes, now: datetime) -> StoredAnswer | None:
        """Return the answer that was signed before, if it holds now; neither database nor device is asked."""
        return None if self._answers is None else self._answers.find(request_der, now.timestamp())

    def _asked_authority(self, request: OcspRequest) -> Authority | None:
        """Find the one authority that every CertID names; RFC 6960 has one signer for a response."""
        for authority in self._authorities().values():
            if authority.responder is not None and all(
                names_issuer(cert_id, authority.certificate) for cert_id in request.cert_ids
            ):
                return authority
        return None

    @cached_property
    def _signing(self) -> Gathering[_Asked, bytes | Unavailable]:
        return Gathering(self._sign_together, limit=MAX_TOGETHER)

    def _sign_together(self, asked: Sequence[_Asked]) -> list[bytes | Unavailable]:
        """Answer several requests with one look at the rows and one turn of each delegate; who cannot be is told why.

        A database or device that does not answer is waited for once, not for each.
        """
        try:
            now = self._believed.now().replace(microsecond=0)
            known = self._known(asked)
        except Unavailable as error:
            return [error] * len(asked)
        answers: list[bytes | Unavailable | None] = [None] * len(asked)
        for label in {authority.issuer.label for _, authority in asked}:
            places = [at for at, (_, authority) in enumerate(asked) if authority.issuer.label is label]
            found = self._sign_of(asked[places[0]][1], [asked[at][0] for at in places], known, now)
            for at, answer in zip(places, found, strict=True):
                answers[at] = answer
        return [answer for answer in answers if answer is not None]

    def _known(self, asked: Sequence[_Asked]) -> _Known:
        serials = {serial_hex(cert_id.serial) for request, _ in asked for cert_id in request.cert_ids}
        signers = (authority.responder for _, authority in asked)
        serials |= {signer.certificate.serial_hex for signer in signers if signer is not None}
        with self._database.read() as connection:
            return status_rows.told_statuses(connection, sorted(serials))

    def _sign_of(
        self, authority: Authority, requests: Sequence[OcspRequest], known: _Known, now: datetime
    ) -> Sequence[bytes | Unavailable]:
        try:
            authority = self._as_it_is(authority, known)
            responder = living_responder(authority, now, known)
            data = [self._response_data(request, authority, responder, known, now) for request in requests]
            return sign_responses(self._keys, responder, data)
        except Unavailable as error:
            return [error] * len(requests)

    def _as_it_is(self, authority: Authority, known: _Known) -> Authority:
        """Return an authority read again where its delegate, which was read up to a minute ago, has a successor."""
        responder, label = authority.responder, authority.issuer.label
        told = None if responder is None else known.get((responder.certificate.serial_hex, label.value))
        if told is None or not told.status.listed:
            return authority
        self._forget_authorities()
        return self._authorities().get(label, authority)

    def _response_data(
        self, request: OcspRequest, authority: Authority, responder: Responder, known: _Known, now: datetime
    ) -> bytes:
        latest = responder.certificate.not_after
        answers = []
        for cert_id in request.cert_ids:
            told = known.get((serial_hex(cert_id.serial), authority.issuer.label.value))
            life = UNKNOWN_VALIDITY if told is None else self._settings.ocsp_validity
            answers.append(
                SingleAnswer(
                    cert_id=cert_id.raw,
                    status=None if told is None else told.status,
                    this_update=now,
                    next_update=min(now + life, latest),
                    cert_sha256=None if told is None else told.cert_sha256,
                    archive_cutoff=None if told is None else authority.certificate.not_before,
                )
            )
        return build_response_data(responder.certificate, answers, now, nonce=request.nonce)

    # -- the stored answers ------------------------------------------------------------------------

    def presign(self, *, limit: int = 100_000, is_over: Callable[[], bool] = never) -> int:
        """Sign anew what is missing, untrue or soon to end, for at most `limit` certificates; return how many.

        Stops between two rounds once `is_over`.
        """
        keeper = self._keeper()
        if keeper is None:
            return 0
        signing = [authority for authority in self._authorities().values() if authority.responder is not None]
        try:
            return keeper.sign_ahead(signing, limit, is_over)
        except Unavailable:
            self._forget_authorities()  # a delegate that signs no more may have a successor
            raise

    def check_answers(self) -> None:
        """Read the stored answers through; a file that is damaged is set aside, and made again by `presign`."""
        if self._answers is not None:
            self._answers.check()

    def follow_changes(self) -> None:
        """Take away the stored answers that the feed of changes says are untrue; Unavailable."""
        keeper = self._keeper()
        if keeper is not None:
            keeper.follow()

    def _keeper(self) -> AnswerKeeper | None:
        if self._answers is None:
            return None
        return AnswerKeeper(self._answers, self._database, self._keys, self._settings, self._believed)
