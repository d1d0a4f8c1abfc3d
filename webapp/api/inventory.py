"""The inventory for officers over mutual TLS: certificates searched, handed out and counted."""

from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import datetime
from typing import Annotated, Any, Final

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from ca.inventory.search import MAX_WORD, entry_members, parse_search
from ca.line_formats import LineFormat
from ca.officers.identity import Officer
from ca.status.revocation import CertificateState
from pki.errors import ErrorCode
from pki.instants import format_instant
from webapp.json_requests import read_json
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.services import Services, installed

PATH: Final = "/api/v1/certificates"
MAX_PAGE: Final = 1000
_Word = Annotated[str | None, Field(min_length=1, max_length=MAX_WORD)]


class SearchWords(BaseModel):
    """Words that must all hold; one that is absent or null asks nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    serial: _Word = None
    serial_prefix: _Word = Field(default=None, description="How it begins, at least 4 hexadecimal digits.")
    holder: _Word = Field(default=None, description="National code, SIAM id or a system's name, whole.")
    file: _Word = Field(default=None, description="The registration file.")
    council_number: _Word = None
    siam_id: _Word = None
    profession: _Word = None
    province: _Word = None
    state: _Word = None
    profile: _Word = None
    expires_from: _Word = Field(default=None, description="RFC 3339; what ends first comes first.")
    expires_before: _Word = Field(default=None, description="RFC 3339; what ends first comes first.")


class SearchBody(SearchWords):
    """A search, and which page of it."""

    after: _Word = Field(default=None, description="Go on behind this serial number: `next` of the page before.")
    limit: int = Field(default=100, ge=1, le=MAX_PAGE)


class ExportBody(SearchWords):
    """A search, and how its certificates are written."""

    format: str = Field(default=LineFormat.NDJSON.value, pattern="^(ndjson|csv)$")


class CertificateEntry(BaseModel):
    """One certificate, without its holder's national code."""

    serial: str
    state: CertificateState
    profile: str
    issuer: str
    name: str
    file: str | None
    council_number: str | None
    siam_id: str | None
    profession: str | None
    province: str | None
    unapproved: bool
    not_before: datetime
    not_after: datetime
    issued_at: datetime | None
    revoked_at: datetime | None
    reason: str | None
    predecessor: str | None = Field(description="What it renews or replaces.")
    successor: str | None = Field(description="What renews or replaces it and has not ended.")


class CertificatePage(BaseModel):
    """Certificates, newest first or by the end of validity, and where the next page begins."""

    certificates: list[CertificateEntry]
    next: str | None


class StatisticsAnswer(BaseModel):
    """Counts of the last sweep by name (`state`, `profile` … `issued`) and value or day."""

    at: datetime | None
    counts: dict[str, dict[str, int]]


_REFUSED: Final = (ErrorCode.IDENTITY_INVALID,)
SEARCH: Final = Operation(
    method="POST",
    path=PATH + "/search",
    name="searchCertificates",
    summary="One page of what was found",
    description="Find certificates. Who looks at persons is recorded; no identifier is ever in an address.",
    answer=CertificatePage,
    body=SearchBody,
    problems=_REFUSED,
    security=OFFICER,
)
EXPORT: Final = Operation(
    method="POST",
    path=PATH + "/export",
    name="exportCertificates",
    summary="A line for each certificate",
    description="Hand out all certificates of a search: such an object a line, or CSV (RFC 4180). Recorded with the "
    "count and the SHA-256 of what went out.",
    answer=CertificateEntry,
    media_type="application/x-ndjson",
    body=ExportBody,
    problems=_REFUSED,
    security=OFFICER,
)
STATISTICS: Final = Operation(
    method="GET",
    path="/api/v1/statistics",
    name="certificateStatistics",
    summary="The latest counts",
    description="Counts by state, profile, profession, province and day, as of the last sweep; nothing is counted now.",
    answer=StatisticsAnswer,
    problems=(),
    security=OFFICER,
)


def _rejoined(first: bytes, rest: Generator[bytes, None, None]) -> Iterator[bytes]:
    """Yield all pieces; whatever ends this ends the export, and its record says how far it came."""
    with closing(rest):
        yield first
        yield from rest


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/certificates/search`, `…/export` and `/api/v1/statistics`."""

    def search(officer: Officer) -> Response:
        body = read_json(SearchBody)
        wanted = parse_search(body.model_dump(exclude={"after", "limit"}))
        page = installed(services.inventory).search(wanted, officer, after=body.after, limit=body.limit)
        found: dict[str, Any] = {"certificates": [entry_members(one) for one in page.entries], "next": page.next}
        return json_response(found)

    def export(officer: Officer) -> Response:
        body = read_json(ExportBody)
        form = LineFormat(body.format)
        wanted = parse_search(body.model_dump(exclude={"format"}))
        pieces = installed(services.exports).export(wanted, officer, form)
        first = next(pieces, b"")  # whoever may not is told so before the answer begins
        return Response(_rejoined(first, pieces), content_type=form.media_type)

    def statistics(officer: Officer) -> Response:
        del officer
        latest = installed(services.statistics).latest()
        at = None if latest.at is None else format_instant(latest.at)
        return json_response({"at": at, "counts": latest.counts})

    api.add(SEARCH, search)
    api.add(EXPORT, export)
    api.add(STATISTICS, statistics)
