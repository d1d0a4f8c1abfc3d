"""The gate: who is an officer by what was proved, and whether they may do this now.

A proof names a certificate. That it is bound to the officer and good, that the officer is active and holds a role
that covers the act, is read in the transaction that decides: whoever loses the role half-way decides nothing.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Final, NoReturn, Protocol

from sqlalchemy import Connection

from ca.officers import repository
from ca.officers.identity import ROLES_FOR, Act, OfDeployment, Officer, Proof, SignedStatement, TlsPeer
from ca.officers.realms import Realm, reach
from ca.officers.records import Grant, OfficerRecord, OfficerState
from ca.officers.scopes import Scope
from ca.officers.statements import PATIENCE, parse_statement
from ca.status.revocation import CertificateState
from pki import oids
from pki.certificates import Certificate
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput, NotAllowed, VerificationFailed
from pki.keys import verify_signature
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

_STATE_REASONS: Final = {
    CertificateState.REVOKED.value: "officer.certificate-revoked",
    CertificateState.ON_HOLD.value: "officer.certificate-held",
    CertificateState.EXPIRED.value: "officer.certificate-expired",
}


class OfficerGate(Protocol):
    """What routes and commands ask for an officer, and desks for leave."""

    def of_peer(self, certificate_der: bytes | None) -> Officer:
        """Return the officer whose certificate authenticated the connection; NotAllowed."""
        ...

    def of_statement(self, data: bytes, signature: bytes, certificate_der: bytes) -> Officer:
        """Return the officer who signed a statement; NotAllowed, InvalidInput."""
        ...

    def allow(
        self,
        officer: Officer,
        act: Act,
        scope: Scope,
        unit: UnitOfWork,
        *,
        realm: str | None = None,
        subject: str = "",
        digest: str = "",
    ) -> None:
        """Return when the officer may do `act` in this transaction; NotAllowed.

        `scope` is what is acted on, in `realm` or else the topmost. `subject` and `digest` (SHA-256, hexadecimal)
        are what a signed statement must be about.
        """
        ...


def _waits_for_nothing(_act: Act) -> None:
    """Let every act go on."""


class RegisterGate:
    """The gate by the register of officers; safe to share between threads."""

    def __init__(
        self, database: Database, clock: Clock, *, waits: Callable[[Act], object] = _waits_for_nothing
    ) -> None:
        """Ask `waits` before any act: it raises a ServiceError for what nobody may do now, such as Unavailable."""
        self._database, self._clock, self._waits = database, clock, waits

    def of_peer(self, certificate_der: bytes | None) -> Officer:
        """Return the officer whose certificate authenticated the connection.

        NotAllowed: `officer-unknown` without a certificate or with one that is not bound and good,
        `officer-suspended`.
        """
        if certificate_der is None:
            _unknown("officer.no-certificate", "officers prove themselves by their certificate")
        return self._of(TlsPeer(certificate_sha256=sha256(certificate_der).digest()), certificate_der)

    def of_statement(self, data: bytes, signature: bytes, certificate_der: bytes) -> Officer:
        """Return the officer who signed a statement a moment ago; that it is used once, `allow` sees to.

        InvalidInput for what is no statement; NotAllowed as `of_peer`, and for a signature that does not hold or a
        statement of another time.
        """
        statement = parse_statement(data)
        proof = SignedStatement(
            certificate_sha256=sha256(certificate_der).digest(), statement=statement, data=data, signature=signature
        )
        officer = self._of(proof, certificate_der)
        try:
            verify_signature(Certificate.parse(certificate_der).public_key, signature, data)
        except (VerificationFailed, InvalidInput) as error:
            raise NotAllowed(
                ErrorCode.OFFICER_UNKNOWN, "the signature is not the officer's", reason="officer.signature-wrong"
            ) from error
        if abs(self._clock.now() - statement.at) > PATIENCE:
            _unknown("officer.statement-stale", "the statement is of another time")
        return officer

    def _of(self, proof: TlsPeer | SignedStatement, certificate_der: bytes) -> Officer:
        with self._database.read() as connection:
            officer_id, der = _proven(connection, proof, self._clock.now(), locked=False)
            record = _active(connection, officer_id, locked=False)
        if der != certificate_der:
            _unknown("officer.no-certificate", "the certificate is not the register's")
        return Officer(id=record.id, national_code=record.national_code, realm=record.realm, proof=proof)

    def allow(
        self,
        officer: Officer,
        act: Act,
        scope: Scope,
        unit: UnitOfWork,
        *,
        realm: str | None = None,
        subject: str = "",
        digest: str = "",
    ) -> None:
        """Return when the officer may do `act` in this transaction; what it read stays so until its end.

        NotAllowed: `officer-unknown`, `officer-suspended`, `not-allowed` without a role for the act,
        `scope-exceeded` where the role does not reach. Unavailable (`recovery-pending`) for what waits.
        """
        self._waits(act)
        proof = officer.proof
        if isinstance(proof, OfDeployment):
            return
        if proof is None:
            _unknown("officer.unknown", "a name proves nobody")
        connection = unit.connection
        officer_id, _der = _proven(connection, proof, self._clock.now(), locked=True)
        if officer_id != officer.id:
            _unknown("officer.unknown", "the certificate is another officer's")
        record = _active(connection, officer_id, locked=True)
        held = tuple(grant for grant in record.grants if grant.role in ROLES_FOR[act])
        if not held:
            raise NotAllowed(ErrorCode.NOT_ALLOWED, f"no role of this officer allows {act}", reason="officer.no-role")
        _check_reach(held, scope, repository.chain_of(connection, realm, locked=True))
        self._check_statement(connection, proof, act, subject, digest)

    def _check_statement(self, connection: Connection, proof: Proof, act: Act, subject: str, digest: str) -> None:
        """A signed statement speaks of this very act, and of it once."""
        if not isinstance(proof, SignedStatement):
            return
        said, now = proof.statement, self._clock.now()
        if (said.act, said.subject, said.sha256) != (act.value, subject, digest):
            _unknown("officer.statement-differs", "the statement is about something else")
        if abs(now - said.at) > PATIENCE:
            _unknown("officer.statement-stale", "the statement is of another time")
        if not repository.use_statement(connection, sha256(proof.data).digest(), said.at + 2 * PATIENCE, now):
            _unknown("officer.statement-used", "the statement was used before")


def _unknown(reason: str, detail: str) -> NoReturn:
    raise NotAllowed(ErrorCode.OFFICER_UNKNOWN, detail, reason=reason)


def _proven(
    connection: Connection, proof: TlsPeer | SignedStatement, now: datetime, *, locked: bool
) -> tuple[str, bytes]:
    """Return whom the certificate of a proof is bound to, and its DER in the register."""
    bound = repository.bound_certificate(connection, proof.certificate_sha256, locked=locked)
    if bound is None:
        _unknown("officer.unknown", "no officer is bound to this certificate")
    if bound.state != CertificateState.GOOD.value:
        _unknown(_STATE_REASONS.get(bound.state, "officer.certificate-not-good"), f"the certificate is {bound.state}")
    if not bound.not_before <= now < bound.not_after:
        _unknown("officer.certificate-expired", "the certificate is out of its time")
    check_purpose(Certificate.parse(bound.der))
    return bound.officer, bound.der


def check_purpose(certificate: Certificate) -> None:
    """Refuse a certificate that is not for logging in; NotAllowed (`officer-unknown`)."""
    if oids.EKU_CLIENT_AUTH not in (certificate.extended_key_usage or ()):
        _unknown("officer.certificate-purpose", "the certificate is not for logging in")


def _active(connection: Connection, officer_id: str, *, locked: bool) -> OfficerRecord:
    record = repository.find_officer(connection, officer_id, locked=locked)
    if record is None:
        _unknown("officer.unknown", "no such officer")
    if record.state is not OfficerState.ACTIVE:
        raise NotAllowed(ErrorCode.OFFICER_SUSPENDED, "this officer is suspended", reason="officer.suspended")
    return record


def _check_reach(held: tuple[Grant, ...], scope: Scope, chain: tuple[Realm, ...]) -> None:
    """One role must reach the realm, and its scope and every realm's above must cover what is acted on."""
    ids = {realm.id for realm in chain}
    here = tuple(grant for grant in held if grant.realm in ids)
    if not here:
        raise NotAllowed(ErrorCode.SCOPE_EXCEEDED, "the role is held in another realm", reason="officer.out-of-realm")
    limits = tuple(grant.scope.meet(reach(chain)) for grant in here)
    if any(limit.covers(scope) for limit in limits):
        return
    reason, what = "officer.out-of-province", "this province"
    if scope.provinces is None:
        reason, what = "officer.province-unsaid", "every province, and none is said"
    if not any(limit.covers(Scope(professions=scope.professions, provinces=frozenset())) for limit in limits):
        reason, what = "officer.out-of-profession", "this profession"
    raise NotAllowed(ErrorCode.SCOPE_EXCEEDED, f"the officer's role does not cover {what}", reason=reason)
