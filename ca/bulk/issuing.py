"""Issuing what the rows of a bulk job ask for, once their files are approved."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Protocol

from sqlalchemy import Connection, select

from ca.bulk import repository
from ca.bulk.records import ActingOfficer, BulkJob
from ca.bulk.tables import bulk_rows
from ca.issuing.orders import Channel, Issued, IssueOrder
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import NOTHING
from ca.registration_states import FileState
from ca.status.revocation import CertificateState
from ca.tables import certificates, registration_files
from pki.csr import parse_csr
from pki.errors import ErrorCode, NotFound, ServiceError
from storage.engine import Database

SLICE: Final = 200

_r = bulk_rows.c
_f = registration_files.c
_c = certificates.c


class CarriesOutOrders(Protocol):
    """The issuing line, as far as a job needs it."""

    def issue_many(self, orders: Iterable[IssueOrder]) -> Iterator[Issued | ServiceError]:
        """Carry out many orders; what became of each comes in their own sequence."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A row that asks for a certificate and has none yet."""

    line: int
    file_id: str
    profile: str
    csr: bytes = field(repr=False)

    @property
    def key(self) -> tuple[str, str, bytes]:
        """What makes two certificates one wish's: file, profile and the key's SHA-256."""
        return self.file_id, self.profile, sha256(parse_csr(self.csr).spki_der).digest()


class BulkIssuing:
    """Issues for the rows of a job. A program that is killed goes on without a second certificate for a row."""

    def __init__(self, database: Database, line: CarriesOutOrders, gate: OfficerGate) -> None:
        self._database, self._line, self._gate = database, line, gate

    def issue(self, job_id: str, officer: Officer) -> int:
        """Issue for every approved file of a job whose row asks; return how many were issued.

        NotAllowed as the gate's, asked for the job and, by the line, again for each order; NotFound. What refuses one
        row is that row's result.
        """
        act = Act.CERTIFICATE_ISSUE
        with self._database.begin() as unit:
            job = repository.find_job(unit.connection, job_id)
            if job is None:
                raise NotFound(ErrorCode.NOT_FOUND, "no such bulk job")
            subject = {"subject": job_id, "digest": job.sha256}
            self._gate.allow(officer, act, NOTHING, unit, realm=job.by.realm, **subject)
        standing = ActingOfficer.of(officer).standing(officer.national_code)
        line = issued = 0
        while wishes := self._wishes_after(job_id, line):
            issued += self._issue_slice(job, wishes, standing)
            line = wishes[-1].line
        return issued

    def _wishes_after(self, job_id: str, line: int) -> list[Wish]:
        asked = (_r.job_id == job_id, _r.line > line, _r.profile.is_not(None), _r.serial.is_(None))
        wanted = (
            select(_r.line, _r.file_id, _r.profile, _r.csr)
            .join_from(bulk_rows, registration_files, _r.file_id == _f.id)
            .where(*asked, _f.state == FileState.APPROVED.value)
            .order_by(_r.line)
            .limit(SLICE)
        )
        with self._database.read() as connection:
            return [
                Wish(line=row.line, file_id=row.file_id, profile=row.profile, csr=row.csr)
                for row in connection.execute(wanted)
            ]

    def _issue_slice(self, job: BulkJob, wishes: list[Wish], officer: Officer) -> int:
        outcomes: dict[int, dict[str, Any]] = {}
        with self._database.read() as connection:
            made = _made_before(connection, wishes)
        for wish in wishes:
            if (serial := made.get(wish.key)) is not None:
                outcomes[wish.line] = {"serial": serial, "code": None, "reason": None}
        rest = [wish for wish in wishes if wish.line not in outcomes]
        orders = [_order(job, wish, officer) for wish in rest]
        issued = 0
        for wish, outcome in zip(rest, self._line.issue_many(orders), strict=True):
            if isinstance(outcome, ServiceError):
                outcomes[wish.line] = repository.refusal(outcome)
            else:
                outcomes[wish.line] = {"serial": outcome.serial_hex, "code": None, "reason": None}
                issued += 1
        with self._database.begin() as unit:
            for line, columns in outcomes.items():
                repository.write_row(unit.connection, job.id, line, **columns)
        return issued


def _order(job: BulkJob, wish: Wish, officer: Officer) -> IssueOrder:
    return IssueOrder(
        profile=wish.profile,
        file_id=wish.file_id,
        csr=wish.csr,
        actor=officer.id,
        officer=officer,
        channel=Channel.BULK,
        idempotency_key=f"bulk-{job.id}-{wish.line}",
    )


def _made_before(connection: Connection, wishes: list[Wish]) -> dict[tuple[str, str, bytes], str]:
    """Return the serials of wishes that were fulfilled before a program was killed, whoever asked then."""
    mine = _c.file_id.in_([wish.file_id for wish in wishes])
    living = _c.state.not_in([CertificateState.INTENDED.value, CertificateState.ABANDONED.value])
    found = connection.execute(select(_c.file_id, _c.profile, _c.spki_sha256, _c.serial).where(mine, living))
    return {(row.file_id, row.profile, row.spki_sha256): row.serial for row in found}
