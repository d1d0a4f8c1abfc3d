"""What is known of a bulk job, its rows and the yeses to it."""

from dataclasses import dataclass, field
from datetime import datetime

from ca.officers.identity import OfDeployment, Officer, SignedStatement, TlsPeer
from ca.officers.statements import parse_statement
from ca.registration_states import FileState


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingOfficer:
    """Who started or approved a job, and what proved it: kept, for the work outlives the request."""

    id: str
    realm: str | None = None
    certificate_sha256: bytes | None = None
    statement: bytes | None = field(default=None, repr=False)
    signature: bytes | None = field(default=None, repr=False)

    @staticmethod
    def of(officer: Officer) -> "ActingOfficer":
        """Keep what proves an officer."""
        proof, signed = officer.proof, officer.signed
        return ActingOfficer(
            id=officer.id,
            realm=officer.realm,
            certificate_sha256=None if proof is None or isinstance(proof, OfDeployment) else proof.certificate_sha256,
            statement=None if signed is None else signed.data,
            signature=None if signed is None else signed.signature,
        )

    def standing(self, national_code: str | None) -> Officer:
        """Return the officer by certificate alone: the statement was good once, for the whole job.

        Role, scope and certificate are still read for every row.
        """
        digest = self.certificate_sha256
        proof = None if digest is None else TlsPeer(certificate_sha256=digest)
        return Officer(id=self.id, national_code=national_code, realm=self.realm, proof=proof)

    def proven(self, national_code: str | None) -> Officer:
        """Return the officer with all that was proved."""
        if self.certificate_sha256 is None or self.statement is None or self.signature is None:
            return self.standing(national_code)
        proof = SignedStatement(
            certificate_sha256=self.certificate_sha256,
            statement=parse_statement(self.statement),
            data=self.statement,
            signature=self.signature,
        )
        return Officer(id=self.id, national_code=national_code, realm=self.realm, proof=proof)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkJob:
    """One file of registrations, known by its SHA-256; `line` is the last row that was entered."""

    id: str
    sha256: str
    rows: int
    line: int
    by: ActingOfficer
    started_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkApproval:
    """One officer's yes to a job; `line` is the last row that it was written to."""

    job_id: str
    by: ActingOfficer
    at: datetime
    line: int = 0
    silence_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """What became of one row: its file and the file's state, or the code and reason of its last refusal."""

    line: int
    file_id: str | None = None
    state: FileState | None = None
    code: str | None = None
    reason: str | None = None
    profile: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class RowPage:
    """The rows of a page that an officer sees, and behind which line the next one begins; None after the last."""

    rows: tuple[RowResult, ...]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is: rows entered so far, how many of them were refused, how many files are approved.

    `issued` counts the certificates that rows asked for and got.
    """

    job: BulkJob
    refused: int
    approved: int
    issued: int
    approvals: tuple[BulkApproval, ...]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do: every row is entered and every yes is written."""
        rows = self.job.rows
        return self.job.line >= rows and all(approval.line >= rows for approval in self.approvals)
