"""Keeping house: what a crash left, what time ends, what must be renewed. Idempotent; a worker repeats it."""

from datetime import timedelta
from hashlib import sha256
from typing import Final

from ca import certificate_queries, repository
from ca.carrying_out import Candidate, IssuanceRunner
from ca.context import WORKER, Authority, responder_common_name, responder_name
from ca.profiles import ProfileName
from ca.subjects import service_subject
from hsm.provider import spki_of
from pki.errors import ServiceError

INTENT_PATIENCE: Final = timedelta(minutes=5)
RESPONDER_RENEWAL: Final = timedelta(days=10)


class UpkeepDesk(IssuanceRunner):
    """Use cases that nobody asks for."""

    def reconcile(self, *, older_than: timedelta = INTENT_PATIENCE) -> tuple[str, ...]:
        """Abandon intents that a crash left without a result; return their serial numbers.

        Zero patience is for a start when no other server runs: an intent under way would lose its result.
        """
        abandoned: list[str] = []
        while True:
            with self._database.read() as connection:
                serials = certificate_queries.open_intents(connection, self._now() - older_than)
            if not serials:
                return tuple(abandoned)
            abandoned += self._abandon(serials, WORKER)

    def expire(self) -> int:
        """Note which certificates' validity has ended; return how many. What relying parties are told stays."""
        ended = 0
        while True:
            with self._database.begin() as unit:
                round_ended = len(repository.expire(unit.connection, self._now()))
            ended += round_ended
            if not round_ended:
                return ended

    def renew_responders(self) -> tuple[str, ...]:
        """Give each OCSP delegate whose certificate ends within ten days a new one for the same key; return names."""
        renewed = []
        for label, authority in self._authorities().items():
            responder = authority.responder
            if responder is None or responder.certificate.not_after - self._now() > RESPONDER_RENEWAL:
                continue
            name = responder_name(label)
            self._renew(name, authority, responder.key_label)
            renewed.append(name)
        return tuple(renewed)

    def _renew(self, name: str, authority: Authority, key_label: str) -> None:
        public_key = self._keys.signing_key(key_label).public_key()
        spki_der = spki_of(public_key)
        subject = service_subject(self._settings, responder_common_name(authority.issuer.label))
        profile = self._settings.profiles.to_issue(ProfileName.OCSP)
        prepared = self._prepare(profile, subject, authority, public_key, spki_der, hardware=True)
        candidate = Candidate(
            prepared=prepared, authority=authority, spki_sha256=sha256(spki_der).digest(), holder=name, name=name
        )
        outcome = self._carry_out({0: candidate}, WORKER)[0]
        if isinstance(outcome, ServiceError):
            raise outcome
        with self._database.begin() as unit:
            repository.name_certificate(unit.connection, name, candidate.serial, key_label, self._now())
        self._forget_authorities()
