"""Enrolment and re-enrolment (RFC 7030 §4.2): who asks, for which file, by which profile.

Who asks proves it by the secret of a registration file or by a certificate of this register, whose octets the
connection showed. A certificate proves its holder for any file of the same holder, but never makes a key that signs
documents: that takes the file's secret. Renewal takes the very certificate that is renewed.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from ca import certificate_queries
from ca import file_repository as files
from ca.context import event
from ca.errors import ProfileMismatch
from ca.est.csr_attributes import csr_attributes
from ca.est.errors import EnrolmentUnproven
from ca.est.requests import check_same_identity
from ca.est.secrets import MACHINES, EnrolmentSecrets, ProvenSecret
from ca.issuing.orders import Channel, Issued, IssueOrder
from ca.issuing.renewal import IssuingDoor, RenewalDesk
from ca.issuing.succession import Succession
from ca.profiles import ISSUING_AUTHORITIES, CertificateProfile, IssuerName, KeyUsage, ProfileSet
from ca.records import CertificateRecord
from ca.registration import Registration, RegistrationFile, SystemIdentity
from ca.registration_states import BEFORE_APPROVERS
from ca.registration_terms import RegistrationTerms
from ca.status.revocation import CertificateState
from pki import oids
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.clock import Clock
from pki.csr import parse_csr
from pki.errors import ErrorCode, InvalidInput, NotAllowed, NotFound, ServiceError, Unavailable
from storage.engine import Database

RETRY_AFTER_SECONDS: Final = 300


class Authorities(Protocol):
    """What enrolment tells of the authorities."""

    @property
    def profiles(self) -> ProfileSet:
        """The profiles that they issue by."""
        ...

    def named_certificate(self, name: str) -> bytes | None:
        """Return the certificate (DER) of an authority, or None."""
        ...

    def certificates_above(self, name: str) -> tuple[bytes, ...]:
        """Return the certificates (DER) above an authority's own, its anchor last."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSecret:
    """What HTTP Basic carried: a file's id and its secret; an empty one leaves the proof to the certificate."""

    file_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The file is not decided yet: ask again after some seconds."""

    retry_after: int = RETRY_AFTER_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peer:
    """A good certificate of the register that a machine's connection showed."""

    record: CertificateRecord
    certificate: Certificate
    file: RegistrationFile


@dataclass(frozen=True, slots=True, kw_only=True)
class _Applicant:
    """Who asks, for which file, and what of it is used up."""

    file: RegistrationFile
    actor: str
    way: str
    secret: ProvenSecret | None = None


class EnrolmentDesk:
    """Enrolment without an officer in between. Threads may share it."""

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        door: IssuingDoor,
        clock: Clock,
        terms: RegistrationTerms | None = None,
    ) -> None:
        """Ask the registries of `terms` again at a renewal; by default there are none."""
        self._database, self._authorities, self._door, self._clock = database, authorities, door, clock
        self._renewals = RenewalDesk(database, door, RegistrationTerms() if terms is None else terms, clock)
        self._secrets = EnrolmentSecrets(database, clock)

    # -- what anybody may read ----------------------------------------------------------------------

    def authorities(self, profile_name: str | None) -> tuple[bytes, ...]:
        """Return the certificates (DER) of every authority, or those above a profile, up to the anchor; NotFound."""
        names: tuple[IssuerName, ...] = ISSUING_AUTHORITIES
        if profile_name is not None:
            issuer = self._profile(profile_name).issuer
            names = () if issuer is None else (issuer,)
        found = [self._authorities.named_certificate(name) for name in names]
        above = (der for name in names for der in self._authorities.certificates_above(name))
        return tuple(dict.fromkeys((*(der for der in found if der is not None), *above)))

    def attributes(self, profile_name: str) -> bytes:
        """Return what a request for a profile should hold (CsrAttrs, DER); NotFound."""
        return csr_attributes(self._profile(profile_name))

    def _profile(self, name: str) -> CertificateProfile:
        """Return a profile that machines enrol by; NotFound for every other name."""
        profile = self._authorities.profiles.profiles.get(name)
        if profile is None or profile.holder not in MACHINES:
            raise NotFound(ErrorCode.NOT_FOUND, "no such profile for enrolment")
        return profile

    # -- enrolment ----------------------------------------------------------------------------------

    def enrol(
        self, profile_name: str | None, csr: bytes, peer_der: bytes | None, basic: FileSecret | None
    ) -> bytes | Waiting:
        """Return a certificate (DER) for the key of a request, or Waiting while its file is not decided.

        `profile_name` None: that of the peer's certificate. EnrolmentUnproven; NotFound; InvalidInput (request, key);
        NotAllowed (`not-approved`, a profile that the proof does not reach); Unavailable.
        """
        applicant = self._applicant(peer_der, basic)
        try:
            profile = self._profile(self._name_or_peer_s(profile_name, peer_der))
            parse_csr(csr)
            if applicant.secret is None and profile.key_usage != {KeyUsage.DIGITAL_SIGNATURE}:
                detail = "a key that signs or decrypts takes the file's secret"
                raise NotAllowed(ErrorCode.NOT_ALLOWED, detail, reason="est.secret-needed")
            return self._issue(profile, applicant, csr)
        except ServiceError as error:
            self._record_refusal(applicant, error)
            raise

    def renew(self, profile_name: str | None, csr: bytes, peer_der: bytes | None) -> bytes:
        """Return a successor (DER) of the certificate that the connection showed, for the key of a request.

        One that was made before and never used is revoked as superseded. As `enrol`; NotAllowed, Unavailable by what
        the registries say now; InvalidInput (`identity-differs`) where subject, alternative names or profile are not
        its own.
        """
        peer = self._peer(peer_der)
        applicant = _Applicant(file=peer.file, actor=_actor(peer), way="renewal")
        try:
            if profile_name not in (None, str(peer.record.profile)):
                raise InvalidInput(
                    ErrorCode.IDENTITY_DIFFERS, "renewal keeps the profile", reason="est.profile-differs"
                )
            profile = self._profile(str(peer.record.profile))
            check_same_identity(parse_csr(csr), peer.certificate)
            issued = self._renewals.succeed_by_holder(peer.record, csr, applicant.actor)
        except ServiceError as error:
            self._record_refusal(applicant, error)
            raise
        self._record_enrolled(profile, applicant, issued)
        return issued.der

    # -- who asks -----------------------------------------------------------------------------------

    def _applicant(self, peer_der: bytes | None, basic: FileSecret | None) -> _Applicant:
        if basic is not None and basic.secret:
            secret = self._secrets.check(basic.file_id, basic.secret)
            with self._database.read() as connection:
                file = files.get_file(connection, basic.file_id)
            return _Applicant(file=file, actor=f"est file {file.id}", way="secret", secret=secret)
        peer = self._peer(peer_der)
        if basic is None:
            return _Applicant(file=peer.file, actor=_actor(peer), way="certificate")
        with self._database.read() as connection:
            named = files.find_files(connection, {basic.file_id}).get(basic.file_id)
        if named is None or not _same_holder(named.registration, peer.file.registration):
            raise EnrolmentUnproven("est.another-holder", "the certificate is not of the file's holder")
        return _Applicant(file=named, actor=_actor(peer), way="certificate")

    def _peer(self, peer_der: bytes | None) -> _Peer:
        """Return whose certificate the connection showed: octet by octet the register's, good, of a machine."""
        if peer_der is None:
            raise EnrolmentUnproven("est.no-proof", "a certificate or the secret of a file is needed")
        certificate = Certificate.parse(peer_der)
        with self._database.read() as connection:
            record = certificate_queries.find(connection, certificate.serial_hex)
            if record is None or record.der != peer_der or record.file_id is None:
                raise EnrolmentUnproven("est.certificate-unknown", "the certificate is not one of this register's")
            file = files.get_file(connection, record.file_id)
        in_time = record.not_before <= self._clock.now() < record.not_after
        if record.state is not CertificateState.GOOD or not in_time:
            raise EnrolmentUnproven("est.certificate-not-good", "the certificate is not in force")
        if oids.EKU_CLIENT_AUTH not in (certificate.extended_key_usage or ()):
            raise EnrolmentUnproven("est.certificate-purpose", "the certificate is not for logging in")
        if file.registration.kind not in MACHINES:
            raise EnrolmentUnproven("est.certificate-holder", "persons do not enrol by themselves")
        return _Peer(record=record, certificate=certificate, file=file)

    def _name_or_peer_s(self, profile_name: str | None, peer_der: bytes | None) -> str:
        if profile_name is not None:
            return profile_name
        if peer_der is None:
            raise NotFound(ErrorCode.NOT_FOUND, "name the profile in the address")
        return str(self._peer(peer_der).record.profile)

    # -- issuing ------------------------------------------------------------------------------------

    def _issue(self, profile: CertificateProfile, applicant: _Applicant, csr: bytes) -> bytes | Waiting:
        if applicant.file.registration.kind is not profile.holder:
            raise ProfileMismatch(
                f"{profile.name} is not for a {applicant.file.registration.kind}", "profile.wrong-holder"
            )
        if applicant.file.state in BEFORE_APPROVERS:
            return Waiting()
        secret = applicant.secret
        before = None if secret is not None else self._made_before(profile, applicant.file, csr)
        if (
            before is not None
            and before.der is not None
            and before.not_after - profile.renewal_window > self._clock.now()
        ):
            return before.der
        order = IssueOrder(
            profile=str(profile.name),
            file_id=applicant.file.id,
            csr=csr,
            actor=applicant.actor,
            channel=Channel.EST,
            idempotency_key=None if secret is None else secret.salt.hex(),
            succession=None if before is None else Succession(predecessor=before.serial_hex),
        )
        if secret is not None:
            self._secrets.take(secret, order.body_digest)
        try:
            issued = self._door.issue(order)
        except (InvalidInput, NotAllowed, NotFound):
            # These alone say that nothing was made; after any other error the same request may be sent again.
            if secret is not None:
                with suppress(Unavailable):
                    self._secrets.give_back(secret)
            raise
        self._record_enrolled(profile, applicant, issued)
        return issued.der

    def _made_before(self, profile: CertificateProfile, file: RegistrationFile, csr: bytes) -> CertificateRecord | None:
        """Return the good certificate that a file has by a profile for a key: its answer was lost, or it ends soon."""
        digest = sha256(parse_csr(csr).spki_der).digest()
        with self._database.read() as connection:
            found = certificate_queries.newest_for_key(connection, digest)
        if found is None or (found.file_id, str(found.profile)) != (file.id, str(profile.name)):
            return None
        return found if found.state is CertificateState.GOOD and self._clock.now() < found.not_after else None

    def _record_enrolled(self, profile: CertificateProfile, applicant: _Applicant, issued: Issued) -> None:
        facts = {"file": applicant.file.id, "profile": str(profile.name), "way": applicant.way}
        self._record(AuditAction.EST_ENROLLED, applicant.actor, issued.serial_hex, facts)

    def _record_refusal(self, applicant: _Applicant, error: ServiceError) -> None:
        """Keep why one whose proof held was refused; what others send must not make the ledger grow.

        A clock that is not believed dates nothing of it.
        """
        if error.code is ErrorCode.CLOCK_SUSPECT:
            return
        facts = {"way": applicant.way, "code": str(error.code), "reason": error.reason}
        with suppress(Unavailable):
            self._record(AuditAction.EST_REFUSED, applicant.actor, applicant.file.id, facts)

    def _record(self, action: AuditAction, actor: str, subject: str, facts: dict[str, str]) -> None:
        with self._database.begin() as unit:
            unit.audit.record(event(action, self._clock.now(), actor, subject, **facts))


def _actor(peer: _Peer) -> str:
    return f"est certificate {peer.record.serial_hex}"


def _same_holder(one: Registration, other: Registration) -> bool:
    """Tell whether two files are of one centre or one system; a system's name is its organisation's to give."""
    if (one.kind, one.holder) != (other.kind, other.holder):
        return False
    if isinstance(one.identity, SystemIdentity) and isinstance(other.identity, SystemIdentity):
        return one.identity.organization == other.identity.organization
    return True
