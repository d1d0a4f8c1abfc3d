"""Keeping house: what time ends, what must be renewed. Idempotent; a worker repeats it."""

from datetime import timedelta
from typing import Final

from ca import certificate_queries, repository
from ca import file_repository as files
from ca.context import Authority, event
from ca.issuing.line import authority_of
from ca.issuing.service_orders import ServiceOrder
from ca.issuing_desk import IssuingDesk
from ca.own_certificates import LISTENER, OwnCertificate, common_name_of, own_certificates, service_of, spare_key
from ca.records import CertificateRecord
from ca.registration import KeyStorage
from ca.status.changes import changes_after, end_of_feed, forget_changes
from ca.status.revocation import RevocationReason
from ca.subjects import Subject, service_subject, subject_of
from pki.audit import AuditAction
from pki.errors import ErrorCode, NotFound, ServiceError
from pki.keys import SignatureAlgorithm

FEED_KEPT: Final = timedelta(days=30)
# A suspension may be lifted, and under a compromised authority nothing is made any more.
_NOT_RENEWED: Final = (RevocationReason.CERTIFICATE_HOLD, RevocationReason.CA_COMPROMISE)


class UpkeepDesk(IssuingDesk):
    """Use cases that nobody asks for."""

    def expire(self) -> int:
        """Note which certificates' validity has ended; return how many. What relying parties are told stays."""
        ended = 0
        while True:
            with self._database.begin() as unit:
                round_ended = len(repository.expire(unit.connection, self._now()))
            ended += round_ended
            if not round_ended:
                return ended

    def forget_changes(self) -> int:
        """Drop what the feed of status changes tells of long ago: lists and stored answers have it; return how many."""
        with self._database.begin() as unit:
            return forget_changes(unit.connection, self._now() - FEED_KEPT)

    # -- the services' own certificates -----------------------------------------------------------

    def own_certificates(self) -> tuple[OwnCertificate, ...]:
        """Return what the deployment's services use now."""
        with self._database.read() as connection:
            return own_certificates(certificate_queries.named(connection), self.profiles)

    def have_services_changed(self, after: int | None) -> tuple[int, bool]:
        """Whether a service's certificate has another status since a place in the feed, and the place where it ends.

        None is the end of the feed: nothing is new after it.
        """
        if after is None:
            return end_of_feed(self._database), False
        changed = set()
        for change in changes_after(self._database, after):
            changed.add(change.serial_hex)
            after = change.position
        if not changed or changed.isdisjoint(own.certificate.serial_hex for own in self.own_certificates()):
            return after, False
        self._forget_authorities()
        return after, True

    def name_listener(self, serial: str) -> None:
        """Say which certificate the mutual-TLS listener uses, so that it is renewed with the others."""
        with self._database.begin() as unit:
            repository.name_certificate(unit.connection, LISTENER, serial, LISTENER, self._now())

    def renew_services(self) -> tuple[str, ...]:
        """Renew the certificate of each service that is in its profile's window, or revoked; return their names.

        One that fails holds no other back; its failure is raised last. One that needs a new key waits for it; one that
        ends with its authority, or is on hold, is left alone.
        """
        renewed, failures = [], list[ServiceError]()
        for own in self.own_certificates():
            try:
                if self._renew_through(own):
                    renewed.append(own.name)
            except ServiceError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return tuple(renewed)

    def _renew_through(self, own: OwnCertificate) -> bool:
        """Renew one service if it is due; a restored register may name one whose successors were made long ago."""
        renewed = False
        while self._now() >= own.renews_from:
            if own.status.reason in _NOT_RENEWED:
                break
            if not own.status.listed and own.usable_until >= self._authority_of(own).certificate.not_after:
                break  # nothing ends after its issuer: another certificate would end no later
            label = self._label_for_next(own)
            if label is None:
                break
            was_made = self._renew(own, label)
            renewed = True
            if not was_made:
                break
            own = next(one for one in self.own_certificates() if one.name == own.name)
        return renewed

    def prepare_keys(self, *, early: bool = False) -> tuple[str, ...]:
        """Make the key of the next certificate of each service that needs a new one; return their labels.

        `early`: before the window begins too. It takes the right to make keys; one that is there is not made again.
        """
        made = []
        for own in self.own_certificates():
            service = service_of(own.name)
            due = early or self._now() >= own.renews_from
            if service is None or not own.needs_new_key or not due or self._spare(own) is not None:
                continue
            label = own.next_label()
            self._keys.generate(label, SignatureAlgorithm.ES256, service.purpose)
            with self._database.begin() as unit:
                unit.audit.record(event(AuditAction.KEY_GENERATED, self._now(), "operator", label))
            made.append(label)
        return tuple(made)

    def _spare(self, own: OwnCertificate) -> str | None:
        return spare_key(own, (key.label for key in self._keys.keys()))

    def _label_for_next(self, own: OwnCertificate) -> str | None:
        return self._spare(own) if own.needs_new_key else own.key_label

    def _renew(self, own: OwnCertificate, label: str) -> bool:
        """Give a service its next certificate: one that was made before a crash (True), else a new one."""
        with self._database.read() as connection:
            made = certificate_queries.living_successor(connection, own.certificate.serial_hex)
        serial = self._certify(own, label) if made is None or made.der is None else made.serial_hex
        with self._database.begin() as unit:
            repository.name_certificate(unit.connection, own.name, serial, label, self._now())
        self._forget_authorities()
        return made is not None and made.der is not None

    def _certify(self, own: OwnCertificate, label: str) -> str:
        service = service_of(own.name)
        old = self._record_of(own)
        if service is None:
            subject, hardware = self._of_file(own, old)
        else:
            subject, hardware = service_subject(self._settings, common_name_of(service, label)), True
        order = ServiceOrder(
            holder=old.holder,
            name=old.name,
            profile=own.profile.name,
            authority=self._authority_of(own),
            subject=subject,
            public_key=own.certificate.public_key if service is None else self._keys.signing_key(label).public_key(),
            predecessor=old.serial_hex,
            file_id=old.file_id,
            hardware=hardware,
            unapproved=old.unapproved,
        )
        return self.line.certify_service(order).serial_hex

    def _authority_of(self, own: OwnCertificate) -> Authority:
        service, authorities = service_of(own.name), self._authorities()
        return authority_of(own.profile, authorities) if service is None else authorities[service.issuer]

    def _of_file(self, own: OwnCertificate, old: CertificateRecord) -> tuple[Subject, bool]:
        """Say again what the listener's file says, whatever became of that file; and whether its key is in hardware."""
        with self._database.read() as connection:
            file = files.get_file(connection, old.file_id or "")
        subject = subject_of(own.profile, file.registration, self._settings, file_id=file.id, pseudonyms=None)
        return subject, file.registration.key_storage is KeyStorage.HARDWARE

    def _record_of(self, own: OwnCertificate) -> CertificateRecord:
        with self._database.read() as connection:
            found = certificate_queries.find(connection, own.certificate.serial_hex)
        if found is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no certificate with this serial number")
        return found
