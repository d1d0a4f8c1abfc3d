"""The time-stamping service of a deployment: RFC 3161 answers from the TSA key, each with its audit event."""

import threading
from datetime import timedelta
from typing import Final

from ca.hierarchy import TSA
from ca.profiles import IssuerName
from ca.service import CertificateAuthority
from hsm.provider import KeyProvider
from pki.audit import AuditAction, AuditEvent
from pki.certificates import Certificate, serial_hex
from pki.errors import ErrorCode, NotFound
from pki.oids import OidArc
from signer.timestamps.authority import TimestampAuthority
from signer.timestamps.messages import Failure
from storage.clock_guard import ClockGuard
from storage.engine import Database

ACCURACY: Final = timedelta(seconds=1)


class TimestampDesk:
    """Answer time-stamp requests. Threads may share it.

    The authority behind it is made at the first request, so a server starts while its custodian is away; and anew
    after the clock was not believed, since an officer may have accepted an earlier time.
    """

    def __init__(
        self, database: Database, authority: CertificateAuthority, keys: KeyProvider, oids: OidArc, guard: ClockGuard
    ) -> None:
        self._database, self._authority, self._keys = database, authority, keys
        self._policy, self._guard = oids.timestamp_policy, guard
        self._lock = threading.Lock()
        self._tsa: TimestampAuthority | None = None

    def answer(self, request: bytes) -> bytes:
        """Answer one DER TimeStampReq; Unavailable when the TSA key or the database does not answer.

        `timeNotAvailable` while the clock is not believed (RFC 3161 §2.4.2).
        """
        answered = self._open().answer(request)
        if answered.error is not None:
            raise answered.error
        if answered.failure is Failure.TIME_NOT_AVAILABLE and self._guard.look().suspicion:
            with self._lock:
                self._tsa = None
        if answered.serial is not None and answered.generated_at is not None:
            event = AuditEvent(
                action=AuditAction.TIMESTAMP_ISSUED,
                at=answered.generated_at,
                actor=TSA,
                subject=serial_hex(answered.serial),
            )
            with self._database.begin() as unit:
                unit.audit.record(event)
        return answered.response

    def _open(self) -> TimestampAuthority:
        with self._lock:
            if self._tsa is None:
                found = [self._authority.named_certificate(name) for name in (TSA, IssuerName.SYSTEMS)]
                chain = [Certificate.parse(der) for der in found if der is not None]
                if len(chain) != len(found):
                    raise NotFound(ErrorCode.NOT_FOUND, "this deployment has no time-stamping certificate")
                self._tsa = TimestampAuthority(self._keys.signing_key(TSA), chain, self._policy, ACCURACY, self._guard)
            return self._tsa
