"""The time-stamping service of a deployment: RFC 3161 answers from the TSA key, each with its audit event."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from ca.hierarchy import TSA
from ca.own_certificates import OwnCertificate
from ca.profiles import IssuerName
from ca.service import CertificateAuthority
from hsm.provider import KeyProvider
from pki.audit import AuditAction, AuditEvent
from pki.certificates import Certificate, serial_hex
from pki.errors import ErrorCode, NotFound
from pki.oids import OidArc
from signer.timestamps.authority import TimestampAuthority
from storage.clock_guard import ClockGuard
from storage.engine import Database

ACCURACY: Final = timedelta(seconds=1)
LOOK_SECONDS: Final = 60.0


class TimestampDesk:
    """Answer time-stamp requests. Threads may share it.

    The authority behind it is made at the first request, so a server starts while its custodian is away; and anew
    when an officer has accepted an earlier time than what was recorded. A renewed unit, which has
    another key, is noticed within a minute.
    """

    def __init__(
        self,
        database: Database,
        authority: CertificateAuthority,
        keys: KeyProvider,
        oids: OidArc,
        guard: ClockGuard,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._authority, self._keys = database, authority, keys
        self._policy, self._guard = oids.timestamp_policy, guard
        self._lock = threading.Lock()
        self._tsa: TimestampAuthority | None = None
        self._forgiven = guard.forgiven()
        self._monotonic, self._looked, self._unit = monotonic, 0.0, b""

    def answer(self, request: bytes) -> bytes:
        """Answer one DER TimeStampReq; Unavailable when the TSA key or the database does not answer.

        `timeNotAvailable` while the clock is not believed, `systemFailure` once the time to use the unit's key is over
        and no other unit is certified (RFC 3161 §2.4.2).
        """
        answered = self._open().answer(request)
        if answered.error is not None:
            raise answered.error
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
        now, forgiven = self._monotonic(), self._guard.forgiven()
        with self._lock:
            if forgiven != self._forgiven:
                self._tsa, self._forgiven = None, forgiven
            if self._tsa is None or now - self._looked >= LOOK_SECONDS:
                unit = next((own for own in self._authority.own_certificates() if own.name == TSA), None)
                if unit is None:
                    raise _missing()
                if self._tsa is None or self._unit != unit.certificate.der:
                    self._tsa = self._make(unit)
                    self._unit = unit.certificate.der
                self._looked = now
            return self._tsa

    def _make(self, unit: OwnCertificate) -> TimestampAuthority:
        issuer = self._authority.named_certificate(IssuerName.SYSTEMS)
        if issuer is None:
            raise _missing()
        above = (issuer, *self._authority.certificates_above(IssuerName.SYSTEMS)[:-1])
        chain = (unit.certificate, *map(Certificate.parse, above))
        key = self._keys.signing_key(unit.key_label)
        return TimestampAuthority(key, chain, self._policy, ACCURACY, self._guard)


def _missing() -> NotFound:
    return NotFound(ErrorCode.NOT_FOUND, "this deployment has no time-stamping certificate")
