"""Bulk enrolment for officers: a file of registrations becomes a job, which the worker goes through."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from flask import Response, request
from pydantic import BaseModel

from ca.bulk.desk import BulkDesk
from ca.bulk.records import RowPage
from ca.bulk.repository import MAX_PAGE
from ca.line_formats import LineFormat, csv_line
from ca.officers.identity import Officer
from pki.errors import ErrorCode
from webapp.api.registrations import ApprovalBody
from webapp.json_requests import read_json, read_octets
from webapp.openapi import OFFICER, Api, Operation, Parameter, json_response
from webapp.queries import check_query, number_in_query
from webapp.registration_documents import ROW_COLUMNS, progress_members, row_members
from webapp.services import Services, installed

PATH: Final = "/api/v1/bulk"
MAX_OCTETS: Final = 48 * 1024 * 1024
"""What one request carries; larger files go through `mohr ca bulk`."""
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
_LAST_LINE: Final = 999_999


class BulkApprovalAnswer(BaseModel):
    """One officer's yes to a job, and on how many rows it is written."""

    officer: str
    at: datetime
    done: int
    silence_reason: str | None = None


class BulkAnswer(BaseModel):
    """A job and how far it is."""

    id: str
    state: str
    sha256: str
    rows: int
    done: int
    refused: int
    approved: int
    issued: int
    officer: str
    started_at: datetime
    finished_at: datetime | None
    approvals: list[BulkApprovalAnswer]


class BulkRowAnswer(BaseModel):
    """What became of a row: its file and the file's state, or code and reason of its last refusal."""

    line: int
    file: str | None
    state: str | None
    profile: str | None
    serial: str | None
    code: str | None
    reason: str | None


class BulkRowsAnswer(BaseModel):
    """Rows in the order of the file, and behind which line the next page begins."""

    rows: list[BulkRowAnswer]
    next: int | None


START: Final = Operation(
    method="POST",
    path=PATH,
    name="startBulk",
    summary="The job, which goes on by itself",
    description="Take one registration a line, at most 100,000 of them, as `mohr ca bulk` does: JSON, or CSV with a "
    "header. The same octets again are the same job.",
    answer=BulkAnswer,
    status=202,
    problems=(
        ErrorCode.BULK_MALFORMED,
        ErrorCode.INPUT_MALFORMED,
        ErrorCode.INPUT_EMPTY,
        ErrorCode.INPUT_TOO_LARGE,
        ErrorCode.LENGTH_REQUIRED,
    ),
    security=OFFICER,
    request_body={"required": True, "content": {NDJSON: {}, CSV: {}}},
)
SHOW: Final = Operation(
    method="GET",
    path=PATH + "/{job_id}",
    name="showBulk",
    summary="How far the job is",
    description="Counts alone; nothing about a person.",
    answer=BulkAnswer,
    problems=(ErrorCode.NOT_FOUND,),
    security=OFFICER,
)
ROWS: Final = Operation(
    method="GET",
    path=PATH + "/{job_id}/rows",
    name="listBulkRows",
    summary="One page of rows",
    description="What became of each row, by its line; nothing of what a row says of a person. Rows whose file one's "
    "roles do not cover are left out.",
    answer=BulkRowsAnswer,
    problems=(ErrorCode.NOT_FOUND, ErrorCode.INPUT_MALFORMED),
    security=OFFICER,
    parameters=(
        Parameter(place="query", name="after", description="Go on behind this line.", schema={"type": "integer"}),
        Parameter(
            place="query",
            name="limit",
            description="At most so many rows.",
            schema={"type": "integer", "minimum": 1, "maximum": MAX_PAGE},
        ),
    ),
)
RESULTS: Final = Operation(
    method="GET",
    path=PATH + "/{job_id}/results",
    name="exportBulkRows",
    summary="All rows as CSV",
    description="What became of each row, as `listBulkRows` tells it, for a spreadsheet (RFC 4180, UTF-8).",
    answer=None,
    media_types=(CSV,),
    problems=(ErrorCode.NOT_FOUND,),
    security=OFFICER,
)
APPROVE: Final = Operation(
    method="POST",
    path=PATH + "/{job_id}/approvals",
    name="approveBulk",
    summary="The job with this yes",
    description="Give one of the two approvals to every file of a job; what refuses a single file is its row's result.",
    answer=BulkAnswer,
    status=202,
    body=ApprovalBody,
    problems=(
        ErrorCode.NOT_FOUND,
        ErrorCode.FOUR_EYES,
        ErrorCode.STATE_ILLEGAL,
    ),
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/bulk`."""

    def start(officer: Officer) -> Response:
        desk = installed(services.bulk)
        form = LineFormat.CSV if request.mimetype == CSV else LineFormat.NDJSON
        job = desk.start(read_octets(MAX_OCTETS, CSV if form is LineFormat.CSV else NDJSON), officer, form)
        answer = json_response(progress_members(desk.progress(job.id)), 202)
        answer.headers["Location"] = f"{PATH}/{job.id}"
        return answer

    def show(officer: Officer, job_id: str) -> Response:
        return json_response(progress_members(installed(services.bulk).show(job_id, officer)))

    def rows(officer: Officer, job_id: str) -> Response:
        check_query(("after", "limit"))
        after = number_in_query("after", 0, lowest=0, highest=_LAST_LINE)
        limit = number_in_query("limit", MAX_PAGE, lowest=1, highest=MAX_PAGE)
        page = installed(services.bulk).page(job_id, officer, after=after, limit=limit)
        return json_response({"rows": [row_members(row) for row in page.rows], "next": page.next})

    def results(officer: Officer, job_id: str) -> Response:
        desk = installed(services.bulk)
        first = desk.page(job_id, officer, after=0, limit=MAX_PAGE)  # whoever may not is told so before the answer
        return Response(_lines(desk, job_id, officer, first), content_type=LineFormat.CSV.media_type)

    def approve(officer: Officer, job_id: str) -> Response:
        desk, said = installed(services.bulk), read_json(ApprovalBody).silence_reason
        desk.approve(job_id, officer, silence_reason=said)
        return json_response(progress_members(desk.progress(job_id)), 202)

    api.add(START, start)
    api.add(SHOW, show)
    api.add(ROWS, rows)
    api.add(RESULTS, results)
    api.add(APPROVE, approve)


def _lines(desk: BulkDesk, job_id: str, officer: Officer, page: RowPage) -> Iterator[bytes]:
    yield csv_line(ROW_COLUMNS)
    while True:
        yield b"".join(csv_line(row_members(row).values()) for row in page.rows)
        if page.next is None:
            return
        page = desk.page(job_id, officer, after=page.next, limit=MAX_PAGE)
