"""The time-stamping authority: strict requests in, RFC 3161 answers out, never an exception.

Tokens follow ETSI EN 319 422: SHA-2 imprints, accuracy always stated, milliseconds, serials of 127 random
bits, signing-certificate-v2. Time never runs backwards within a process: a clock that falls behind by
more than the accuracy stops the service (time-not-available) until it has caught up. Outside the time in which the
key may be used, by its certificate, nothing is stamped (system-failure).
"""

import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pki import der, oids
from pki.certificates import Certificate
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput, ServiceError, Unavailable
from pki.key_period import key_period
from pki.keys import SigningKey
from signer.formats.cms import digest_method, sign_digest
from signer.formats.signing import signer_of
from signer.timestamps.messages import (
    Failure,
    RequestRefused,
    Status,
    TimestampRequest,
    build_granted,
    build_rejection,
    parse_request,
)

SERIAL_BITS: Final = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampAnswer:
    """What the authority answered, for the wire and for the audit ledger.

    `serial` and `generated_at` are there when a token was granted, `failure` when not; `error` is set when
    the refusal came from our side (key device, clock) and somebody should look.
    """

    response: bytes
    status: Status
    serial: int | None = None
    generated_at: datetime | None = None
    failure: Failure | None = None
    error: ServiceError | None = None


class TimestampAuthority:
    """Answer time-stamp requests with one key under one policy. Safe to share between threads."""

    def __init__(
        self,
        key: SigningKey,
        chain: Sequence[Certificate],
        policy_oid: str,
        accuracy: timedelta,
        clock: Clock,
        *,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        """Take the TSA's certificate first in `chain`; accuracy is 1 ms to 999 s.

        InvalidInput when the certificate is not for time-stamping alone, marked critical (RFC 3161 §2.3);
        SignerMismatch when it is another key's.
        """
        leaf = signer_of(key, chain)
        usage = leaf.extensions.get(oids.EXTENDED_KEY_USAGE)
        if leaf.extended_key_usage != (oids.EKU_TIME_STAMPING,) or usage is None or not usage.critical:
            raise InvalidInput(ErrorCode.KEY_REFUSED, "not a time-stamping certificate")
        if not timedelta(milliseconds=1) <= accuracy < timedelta(seconds=1000):
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "accuracy out of range")
        self._period = key_period(leaf)
        self._key, self._chain, self._clock, self._random_bits = key, tuple(chain), clock, random_bits
        self._policy, self._accuracy = policy_oid, accuracy
        self._digest = digest_method(key.algorithm).new
        self._policy_der, self._accuracy_der = der.oid(policy_oid), _encode_accuracy(accuracy)
        self._name_der = der.context(0, der.context(4, leaf.subject_der))
        self._lock = threading.Lock()
        self._last: datetime | None = None
        with suppress(Unavailable):  # then nothing was stated by it
            self._last = clock.now()

    def respond(self, request_der: bytes) -> bytes:
        """Answer one DER TimeStampReq with a DER TimeStampResp; a refusal is an answer too."""
        return self.answer(request_der).response

    def answer(self, request_der: bytes) -> TimestampAnswer:
        """Answer as `respond` does, and tell what was answered."""
        try:
            return self._grant(parse_request(request_der))
        except RequestRefused as error:
            return _reject(error.failure, error.detail)
        except ServiceError as error:
            return _reject(Failure.SYSTEM_FAILURE, "the authority cannot sign now", error)

    def _grant(self, request: TimestampRequest) -> TimestampAnswer:
        if request.policy not in (None, self._policy):
            return _reject(Failure.UNACCEPTED_POLICY, "the policy asked for is not this authority's")
        moment = self._moment()
        if moment is None:
            return _reject(Failure.TIME_NOT_AVAILABLE, "the authority's clock is being corrected")
        begins, ends = self._period
        if not begins <= moment <= ends:
            return _reject(Failure.SYSTEM_FAILURE, "the time in which the authority's key is used is over")
        serial = self._random_bits(SERIAL_BITS) | 1 << (SERIAL_BITS - 1)
        info = self._encode_info(request, serial, moment)
        token = sign_digest(
            self._digest(info).digest(),
            self._key,
            self._chain,
            content_type=oids.TST_INFO,
            content=info,
            certificates=None if request.certificates else (),
        )
        return TimestampAnswer(response=build_granted(token), status=Status.GRANTED, serial=serial, generated_at=moment)

    def _moment(self) -> datetime | None:
        """Return the time to state, whole milliseconds, never before the last; None when the clock fell behind.

        None as well while the clock is not believed (Unavailable `clock-suspect` from it).
        """
        with self._lock:
            try:
                now = self._clock.now()
            except Unavailable as error:
                if error.code is not ErrorCode.CLOCK_SUSPECT:
                    raise
                return None
            if self._last is not None:
                if now < self._last - self._accuracy:
                    return None
                now = max(now, self._last)
            self._last = now
            return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _encode_info(self, request: TimestampRequest, serial: int, moment: datetime) -> bytes:
        return der.sequence(
            der.integer(1),
            self._policy_der,
            request.imprint_der,
            der.integer(serial),
            der.generalized_time(moment, fraction=True),
            self._accuracy_der,
            b"" if request.nonce is None else der.integer(request.nonce),
            self._name_der,
        )


def _reject(failure: Failure, text: str, error: ServiceError | None = None) -> TimestampAnswer:
    response = build_rejection(failure, text)
    return TimestampAnswer(response=response, status=Status.REJECTION, failure=failure, error=error)


def _encode_accuracy(accuracy: timedelta) -> bytes:
    """Encode Accuracy: whole seconds, then [0] milliseconds (RFC 3161 §2.4.2)."""
    seconds, millis = accuracy.seconds, accuracy.microseconds // 1000
    return der.sequence(
        der.integer(seconds) if seconds else b"",
        der.integer(millis, tag=0x80) if millis else b"",
    )
