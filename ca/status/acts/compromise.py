"""An issuing authority whose key is in strangers' hands: closed by one officer, ended by a second, in batches.

Declared, it issues nothing from that moment on and its orders under way are abandoned; that can be withdrawn.
Confirmed by another officer, everything below it is revoked (cACompromise), batch after batch, by whoever goes on: the
two said so. Its responder keeps its own certificate, which tells the others' end and is checked by nobody (RFC 6960
§4.2.2.2.1). Officers' certificates come last: the register knows them octet by octet, whoever signs others.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from ca import certificate_queries
from ca.context import event
from ca.errors import FourEyesRequired, IllegalTransition
from ca.issuing.endings import abandon, revoke_all_on_record
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import EVERYTHING
from ca.officers.tables import officer_certificates
from ca.profiles import ISSUING_AUTHORITIES, IssuerName, ProfileName
from ca.status.acts.tables import compromised_authorities
from ca.status.revocation import CertificateState, RevocationReason
from ca.tables import ENDED, certificates
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import ErrorCode, NotFound
from storage.engine import Database
from storage.unit_of_work import UnitOfWork, take_turn

BATCH: Final = 500

_c = certificates.c
_k = compromised_authorities.c
_INTENDED: Final = CertificateState.INTENDED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Compromise:
    """Where the end of an authority stands: what is `left` below it, and how many of those are officers' own."""

    authority: IssuerName
    declared_by: str
    declared_at: datetime
    confirmed_by: str | None
    confirmed_at: datetime | None
    left: int
    officers: int


def authority_named(name: str) -> IssuerName:
    """Return an issuing authority of ours; NotFound."""
    for authority in ISSUING_AUTHORITIES:
        if authority.value == name:
            return authority
    raise NotFound(ErrorCode.NOT_FOUND, f"an issuing authority is one of {', '.join(ISSUING_AUTHORITIES)}")


class CompromiseDesk:
    """Use cases of a compromised authority; safe to share between threads."""

    def __init__(self, database: Database, gate: OfficerGate, clock: Clock) -> None:
        self._database, self._gate, self._clock = database, gate, clock

    def standing(self, name: str) -> Compromise | None:
        """Return where the end of an authority stands; None where its key is not declared compromised. NotFound."""
        authority = authority_named(name)
        with self._database.read() as connection:
            return _standing(connection, authority)

    def act_of(self, name: str) -> Act | None:
        """Tell what an officer's word does next; None where two have said theirs."""
        found = self.standing(name)
        if found is None:
            return Act.COMPROMISE_DECLARE
        return Act.COMPROMISE_CONFIRM if found.confirmed_at is None else None

    def say(self, name: str, officer: Officer) -> Compromise:
        """Declare that an authority's key is compromised, or as a second officer confirm it.

        NotAllowed as the gate's (a role over everything in the topmost realm), FourEyesRequired for the same officer,
        IllegalTransition where it is confirmed, NotFound.
        """
        authority = authority_named(name)
        now = self._clock.now()
        with self._database.begin() as unit:
            take_turn(unit.connection, compromised_authorities)
            found = _standing(unit.connection, authority)
            if found is None:
                self._allow(unit, officer, Act.COMPROMISE_DECLARE, authority)
                row = {"authority": authority.value, "declared_by": officer.id, "declared_at": now}
                unit.connection.execute(insert(compromised_authorities), [row])
                ended = len(_abandon_intents(unit, authority, now))
                self._record(unit, AuditAction.COMPROMISE_DECLARED, officer, authority, now, abandoned=ended)
            else:
                self._allow(unit, officer, Act.COMPROMISE_CONFIRM, authority)
                self._confirm(unit, found, officer, now)
            done = _standing(unit.connection, authority)
        assert done is not None  # noqa: S101 - its row was written
        return done

    def _confirm(self, unit: UnitOfWork, found: Compromise, officer: Officer, now: datetime) -> None:
        if found.confirmed_at is not None:
            raise IllegalTransition("it is confirmed already")
        if found.declared_by == officer.id:
            raise FourEyesRequired("another officer confirms", "compromise.two-officers")
        confirmed = update(compromised_authorities).where(_k.authority == found.authority.value)
        unit.connection.execute(confirmed.values(confirmed_by=officer.id, confirmed_at=now))
        self._record(unit, AuditAction.COMPROMISE_CONFIRMED, officer, found.authority, now, left=found.left)

    def withdraw(self, name: str, officer: Officer) -> None:
        """Take back what was declared in error and not confirmed: the authority issues again. Errors as `say`."""
        authority = authority_named(name)
        now = self._clock.now()
        with self._database.begin() as unit:
            take_turn(unit.connection, compromised_authorities)
            self._allow(unit, officer, Act.COMPROMISE_WITHDRAW, authority)
            found = _standing(unit.connection, authority)
            if found is None or found.confirmed_at is not None:
                raise IllegalTransition("nothing is there to be withdrawn")
            if found.declared_by == officer.id:
                raise FourEyesRequired("another officer withdraws", "compromise.two-officers")
            unit.connection.execute(delete(compromised_authorities).where(_k.authority == authority.value))
            self._record(unit, AuditAction.COMPROMISE_WITHDRAWN, officer, authority, now)

    def revoke_batch(
        self, name: str, *, after: int = 0, limit: int = BATCH, officers_too: bool = False
    ) -> tuple[int, int]:
        """Revoke at most `limit` certificates below a confirmed authority, from the row behind `after` on.

        Return how many, and the row to go on behind. Nobody is asked again. IllegalTransition before the second
        officer's word; NotFound.
        """
        authority = authority_named(name)
        now = self._clock.now().replace(microsecond=0)
        with self._database.begin() as unit:
            actor = unit.connection.execute(
                select(_k.confirmed_by).where(_k.authority == authority.value)
            ).scalar_one_or_none()
            if actor is None:
                raise IllegalTransition("a second officer has to confirm it first")
            _abandon_intents(unit, authority, now)
            rest = () if officers_too else (~_officers(),)
            wanted = select(_c.id, _c.serial).where(_c.id > after, *_below(authority), *rest)
            rows = unit.connection.execute(wanted.order_by(_c.id).limit(limit).with_for_update()).all()
            records = certificate_queries.by_serials(unit.connection, [row.serial for row in rows])
            revoke_all_on_record(unit, records, RevocationReason.CA_COMPROMISE, str(actor), now)
        return len(rows), rows[-1].id if rows else after

    def _allow(self, unit: UnitOfWork, officer: Officer, act: Act, authority: IssuerName) -> None:
        self._gate.allow(officer, act, EVERYTHING, unit, subject=authority.value)

    def _record(
        self,
        unit: UnitOfWork,
        action: AuditAction,
        officer: Officer,
        authority: IssuerName,
        now: datetime,
        **facts: str | int,
    ) -> None:
        unit.audit.record(event(action, now, officer.id, authority.value, **facts))


def _below(authority: IssuerName) -> tuple[ColumnElement[bool], ...]:
    living = (_c.state.not_in(ENDED), _c.state != _INTENDED)
    return (_c.issuer == authority.value, _c.profile != str(ProfileName.OCSP), *living)


def _officers() -> ColumnElement[bool]:
    return _c.serial.in_(select(officer_certificates.c.serial))


def _standing(connection: Connection, authority: IssuerName) -> Compromise | None:
    row: Any = connection.execute(select(compromised_authorities).where(_k.authority == authority.value)).one_or_none()
    if row is None:
        return None
    counts = [
        int(connection.execute(select(func.count()).select_from(certificates).where(*wanted)).scalar_one())
        for wanted in (_below(authority), (*_below(authority), _officers()))
    ]
    return Compromise(
        authority=authority,
        declared_by=row.declared_by,
        declared_at=row.declared_at,
        confirmed_by=row.confirmed_by,
        confirmed_at=row.confirmed_at,
        left=counts[0],
        officers=counts[1],
    )


def _abandon_intents(unit: UnitOfWork, authority: IssuerName, now: datetime) -> tuple[str, ...]:
    intents = select(_c.serial).where(_c.state == _INTENDED, _c.issuer == authority.value)
    return abandon(unit, unit.connection.execute(intents).scalars().all(), now)
