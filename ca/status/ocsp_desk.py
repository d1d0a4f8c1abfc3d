"""Answering OCSP: from the pre-signed store where it fits, else signed now by the authority's delegate."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from ca.context import Authority, AuthorityContext
from ca.status import repository as status_rows
from ca.status.ocsp import (
    CertId,
    OcspRequest,
    ResponseStatus,
    SingleAnswer,
    build_response_data,
    error_response,
    issuer_prefix,
    names_issuer,
    parse_request,
    usual_cert_id,
)
from ca.status.presigning import MAX_ROUND, living_responder, presigned_rows, sign_responses
from pki.certificates import serial_hex
from pki.errors import InvalidInput

UNKNOWN_VALIDITY: Final = timedelta(minutes=5)


class OcspDesk(AuthorityContext):
    """Use cases of the OCSP responder."""

    def ocsp(self, request_der: bytes) -> bytes:
        """Answer one request with a whole OCSPResponse.

        What cannot be read is answered `malformedRequest`, an issuer that is not ours `unauthorized`. Unavailable
        when the answer needs a signature and no device, valid delegate or clock that is believed is there (`tryLater`).
        """
        try:
            request = parse_request(request_der)
        except InvalidInput:
            return error_response(ResponseStatus.MALFORMED_REQUEST)
        authority = self._asked_authority(request)
        if authority is None:
            return error_response(ResponseStatus.UNAUTHORIZED)
        return self._stored_answer(request, authority) or self._signed_answer(request, authority)

    def _asked_authority(self, request: OcspRequest) -> Authority | None:
        """Find the one authority that every CertID names; RFC 6960 has one signer for a response."""
        for authority in self._authorities().values():
            if authority.responder is not None and all(
                names_issuer(cert_id, authority.certificate) for cert_id in request.cert_ids
            ):
                return authority
        return None

    def _stored_answer(self, request: OcspRequest, authority: Authority) -> bytes | None:
        if len(request.cert_ids) != 1 or request.nonce is not None:
            return None
        cert_id = request.cert_ids[0]
        if cert_id.serial < 0 or cert_id.raw != usual_cert_id(issuer_prefix(authority.certificate), cert_id.serial):
            return None
        serial, label = serial_hex(cert_id.serial), authority.issuer.label.value
        with self._database.read() as connection:
            return status_rows.presigned(connection, serial, label, self._now())

    def _signed_answer(self, request: OcspRequest, authority: Authority) -> bytes:
        now = self._believed.now().replace(microsecond=0)
        responder = living_responder(authority, now)
        answers = self._answers(request.cert_ids, authority, now, responder.certificate.not_after)
        data = build_response_data(responder.certificate, answers, now, nonce=request.nonce)
        return sign_responses(self._keys, responder, [data])[0]

    def _answers(
        self, cert_ids: Sequence[CertId], authority: Authority, now: datetime, latest: datetime
    ) -> list[SingleAnswer]:
        serials = [serial_hex(cert_id.serial) for cert_id in cert_ids]
        with self._database.read() as connection:
            known = status_rows.status_by_serial(connection, serials, authority.issuer.label.value)
        answers = []
        for cert_id, serial in zip(cert_ids, serials, strict=True):
            status = known.get(serial)
            life = UNKNOWN_VALIDITY if status is None else self._settings.ocsp_validity
            answers.append(
                SingleAnswer(cert_id=cert_id.raw, status=status, this_update=now, next_update=min(now + life, latest))
            )
        return answers

    def presign(self, *, limit: int = 100_000) -> int:
        """Sign anew what is missing, outdated or soon to end, for at most `limit` certificates; return how many."""
        done = 0
        for authority in self._authorities().values():
            while authority.responder is not None and done < limit:
                count = self._presign_round(authority, min(MAX_ROUND, limit - done))
                done += count
                if not count:
                    break
        return done

    def _presign_round(self, authority: Authority, limit: int) -> int:
        now = self._believed.now()
        # A delegate near its end cannot promise the full time; asking for more than it can would never be done.
        horizon = living_responder(authority, now).certificate.not_after
        ending = min(now + self._settings.ocsp_refresh, horizon)
        with self._database.read() as connection:
            items = status_rows.without_response(
                connection, authority.issuer.label.value, now=now, ending_before=ending, limit=limit
            )
        rows = presigned_rows(self._keys, authority, items, now, self._settings)
        with self._database.begin() as unit:
            status_rows.store_responses(unit.connection, rows)
        return len(rows)
