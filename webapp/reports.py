"""Reports on a verdict as files to take away: made when asked for, from the file sent again, and not kept."""

import hashlib
from typing import Final

from flask import Response

from pki.errors import ErrorCode, NotFound
from signer.isolation.order import ReportKind
from webapp.services import Services, installed
from webapp.uploads import Upload

MEDIA_TYPES: Final[dict[ReportKind, str]] = {
    ReportKind.PDF: "application/pdf",
    ReportKind.HTML: "text/html; charset=utf-8",
    ReportKind.JSON: "application/json; charset=utf-8",
    ReportKind.XML: "application/xml; charset=utf-8",
}
_NAME_DIGITS: Final = 12


def report_kind(name: str) -> ReportKind:
    """Return the form of that name; NotFound for none."""
    try:
        return ReportKind(name)
    except ValueError as error:
        raise NotFound(ErrorCode.NOT_FOUND) from error


def report_on(upload: Upload, kind: ReportKind, services: Services) -> Response:
    """Answer with the report on a file, to be saved under a name that the file's own cannot steer."""
    octets = installed(services.report)(upload.data, content=upload.content, name=upload.name, kind=kind)
    name = f"mohr-report-{hashlib.sha256(upload.data).hexdigest()[:_NAME_DIGITS]}.{kind.value}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(octets, content_type=MEDIA_TYPES[kind], headers=headers)
