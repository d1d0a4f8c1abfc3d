"""Certificates of a ceremony, written down as all others are: the intent first, the result after its signature.

The serial number is noted in the transcript before the intent is written, so a ceremony that breaks off anywhere
finds what became of it: issued, then it is taken; still an intent, then that is abandoned and never signed again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from sqlalchemy import select

from ca import certificate_queries, repository
from ca.config import AuthoritySettings
from ca.context import event
from ca.hierarchy import own_content
from ca.issuance import PreparedCertificate, prepare, sign_prepared
from ca.issuing.key_holders import KeyHolder, claim_keys
from ca.key_policy import spki_digest
from ca.parents import Path
from ca.profiles import IssuerName, ProfileName
from ca.records import NamedCertificate
from ca.status.revocation import CertificateState
from ca.subjects import service_subject
from ca.tbs import SERIAL_OCTETS, Issuer, serial_from
from hsm.provider import KeyProvider
from pki.audit import AuditAction
from pki.certificates import Certificate, serial_hex
from pki.clock import Clock
from pki.errors import Conflict, ErrorCode
from pki.signatures import AnyPublicKey
from storage.engine import Database
from storage.ledger_tables import audit_events
from storage.unit_of_work import UnitOfWork


class Notes(Protocol):
    """What one step noted of itself, durable when `note` returns."""

    def noted(self, name: str) -> str | None:
        """Return what was noted last under a name."""
        ...

    def note(self, **facts: str | int | bool) -> None:
        """Note facts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A certificate to be made. With `key_label` it becomes the named certificate of `holder`."""

    holder: str
    profile: ProfileName
    common_name: str
    public_key: AnyPublicKey
    authority: IssuerName | None = None
    key_label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """The deployment's register of certificates, as a ceremony writes it."""

    database: Database
    settings: AuthoritySettings
    clock: Clock
    random_bytes: Callable[[int], bytes]
    actor: str

    def named(self) -> dict[str, NamedCertificate]:
        """Return the certificates in use, by the names of their authorities and services."""
        with self.database.read() as connection:
            return certificate_queries.named(connection)

    def issuer(self, label: IssuerName) -> tuple[Issuer, str]:
        """Return an authority and its key's label; Conflict where it has no certificate yet."""
        own = self.named().get(label.value)
        if own is None:
            raise Conflict(ErrorCode.CONFLICT, f"the {label} has no certificate yet")
        with self.database.read() as connection:
            above = certificate_queries.certificates_above(connection, label.value)
        return Issuer.of(label, Certificate.parse(own.der), tuple(map(Certificate.parse, above))), own.key_label

    def certify(self, order: Order, issuer: Issuer, keys: KeyProvider, key_label: str, notes: Notes) -> Certificate:
        """Have a certificate signed by `key_label` and recorded, or return the one that this step made before.

        Conflict when the name or the subject is taken, or the key is certified for somebody else.
        """
        noted = f"serial:{order.holder}"
        made = self._made_before(notes.noted(noted))
        if made is not None:
            return made
        self._check(order)
        serial = serial_from(self.random_bytes(SERIAL_OCTETS))
        prepared = prepare(
            own_content(
                order.profile,
                order.common_name,
                order.public_key,
                issuer=issuer,
                serial=serial,
                now=self.clock.now(),
                settings=self.settings,
                authority=order.authority,
            ),
            self.settings,
        )
        notes.note(**{noted: serial_hex(serial)})
        self._intend(order, prepared)
        der = sign_prepared([prepared], keys, key_label, issuer)[0]
        self._record(order, prepared, der)
        return Certificate.parse(der)

    def _made_before(self, serial: str | None) -> Certificate | None:
        if serial is None:
            return None
        with self.database.begin() as unit:
            record = certificate_queries.find(unit.connection, serial)
            if record is not None and record.state is CertificateState.INTENDED:
                repository.abandon(unit.connection, [serial])
                now = self.clock.now()
                unit.audit.record(event(AuditAction.CERTIFICATE_ABANDONED, now, self.actor, serial))
        issued = record is not None and record.state not in (CertificateState.INTENDED, CertificateState.ABANDONED)
        return Certificate.parse(record.der) if issued and record is not None and record.der is not None else None

    def _check(self, order: Order) -> None:
        named = self.named()
        if order.key_label is not None and order.holder in named:
            raise Conflict(ErrorCode.CONFLICT, f"{order.holder} has its certificate already")
        subject = service_subject(self.settings, order.common_name).name.public_bytes()
        if any(Certificate.parse(own.der).subject_der == subject for own in named.values()):
            raise Conflict(ErrorCode.CONFLICT, f"{order.common_name!r} is the name of another authority or service")

    def _intend(self, order: Order, prepared: PreparedCertificate) -> None:
        content, now = prepared.content, self.clock.now()
        row = repository.intent_row(
            prepared,
            spki_sha256=spki_digest(order.public_key),
            file_id=None,
            holder=order.holder,
            name=order.common_name if order.key_label is None else order.holder,
            shard=self.settings.shard_of(content.issuer.label, content.serial),
            actor=self.actor,
            at=now,
        )
        facts = {"issuer": row["issuer"], "profile": row["profile"], "tbs_sha256": prepared.tbs_sha256.hex()}
        with self.database.begin() as unit:
            self._claim(unit, row)
            repository.insert_intents(unit.connection, [row])
            unit.audit.record(event(AuditAction.CERTIFICATE_INTENDED, now, self.actor, row["serial"], **facts))

    def _claim(self, unit: UnitOfWork, row: Mapping[str, Any]) -> None:
        claim = KeyHolder.of(row)
        if claim_keys(unit.connection, [claim])[claim.spki_sha256] != claim:
            raise Conflict(ErrorCode.KEY_REFUSED, "this key is certified for somebody else, or was compromised")

    def _record(self, order: Order, prepared: PreparedCertificate, der: bytes) -> None:
        content, now = prepared.content, self.clock.now()
        serial = serial_hex(content.serial)
        facts = {"issuer": content.issuer.label.value, "sha256": sha256(der).hexdigest()}
        with self.database.begin() as unit:
            repository.complete(unit.connection, {serial: der}, now)
            if order.key_label is not None:
                repository.name_certificate(unit.connection, order.holder, serial, order.key_label, now)
            unit.audit.record(event(AuditAction.CERTIFICATE_ISSUED, now, self.actor, serial, **facts))

    def install(self, authority: IssuerName, path: Path, key_label: str) -> bool:
        """Make a parent CA's certificate the one that an authority uses, and keep those above it.

        Done again, nothing changes and it returns False. Conflict where the serial number is taken by another
        certificate.
        """
        certificate, above = path.own, tuple(one.der for one in path.above)
        now, serial = self.clock.now(), certificate.serial_hex
        with self.database.begin() as unit:
            own = certificate_queries.named(unit.connection).get(authority.value)
            kept = certificate_queries.parents_of(unit.connection, authority.value)
            if own is not None and (own.der, kept) == (certificate.der, above):
                return False
            present = certificate_queries.find(unit.connection, serial)
            if present is not None and present.der != certificate.der:
                raise Conflict(ErrorCode.CONFLICT, "the register has another certificate of this serial number")
            if present is None:
                claim = KeyHolder(
                    spki_sha256=sha256(certificate.spki_der).digest(),
                    holder=authority.value,
                    profile=str(ProfileName.ISSUING_CA),
                )
                claim_keys(unit.connection, [claim])
                repository.insert_foreign(
                    unit.connection,
                    certificate,
                    issuer=IssuerName.PARENT,
                    profile=ProfileName.ISSUING_CA,
                    holder=authority.value,
                    actor=self.actor,
                    at=now,
                )
                facts = {"issuer": IssuerName.PARENT.value, "sha256": certificate.sha256.hex()}
                unit.audit.record(event(AuditAction.CERTIFICATE_ISSUED, now, self.actor, serial, **facts))
            repository.name_certificate(unit.connection, authority.value, serial, key_label, now)
            repository.keep_parents(unit.connection, authority.value, above)
            anchor = path.above[-1].sha256.hex()
            told = event(AuditAction.CHAIN_INSTALLED, now, self.actor, authority.value, serial=serial, anchor=anchor)
            unit.audit.record(told)
        return True

    def tell_once(self, action: AuditAction, subject: str, **facts: str | int | bool | None) -> None:
        """Put an event into the ledger unless this ceremony, or one of its name, did."""
        columns, now = audit_events.c, self.clock.now()
        told = select(columns.id).where(
            columns.action == action.value, columns.subject == subject, columns.actor == self.actor
        )
        with self.database.begin() as unit:
            if unit.connection.execute(told.limit(1)).first() is None:
                unit.audit.record(event(action, now, self.actor, subject, **facts))
