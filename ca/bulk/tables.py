"""Tables of bulk enrolment: jobs, their rows, and officers' yeses to whole jobs.

`line` of a job is the last row that was entered, `line` of an approval the last that the yes was written to: a program
that is killed goes on behind them.
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from storage.base import UtcDateTime, metadata

bulk_jobs: Final = Table(
    "bulk_jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False, unique=True),
    Column("rows", Integer, nullable=False),
    Column("line", Integer, nullable=False),
    Column("officer", String(128), nullable=False),
    Column("realm_id", String(36)),
    Column("certificate_sha256", LargeBinary(32)),
    Column("statement", LargeBinary),
    Column("signature", LargeBinary),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
)

bulk_rows: Final = Table(
    "bulk_rows",
    metadata,
    Column("job_id", String(36), ForeignKey("bulk_jobs.id"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("body", LargeBinary),
    Column("file_id", String(36), ForeignKey("registration_files.id")),
    Column("profile", String(32)),
    Column("csr", LargeBinary),
    Column("serial", String(40)),
    Column("code", String(32)),
    Column("reason", Text),
    Index("ix_bulk_rows_file_id", "file_id"),
)

bulk_approvals: Final = Table(
    "bulk_approvals",
    metadata,
    Column("job_id", String(36), ForeignKey("bulk_jobs.id"), primary_key=True),
    Column("officer", String(128), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("line", Integer, nullable=False),
    Column("silence_reason", Text),
    Column("realm_id", String(36)),
    Column("certificate_sha256", LargeBinary(32)),
    Column("statement", LargeBinary),
    Column("signature", LargeBinary),
)
