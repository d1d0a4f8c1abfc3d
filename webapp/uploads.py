"""Uploaded bytes: bounded, kept in memory alone, gone with the answer."""

from dataclasses import dataclass
from io import BytesIO
from typing import IO, Final, cast

from flask import Flask, Request, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from pki.errors import ErrorCode, InvalidInput

MAX_REQUEST_OCTETS: Final = 50 * 1024 * 1024
MAX_FORM_PARTS: Final = 8
MAX_FORM_FIELD_OCTETS: Final = 512 * 1024  # bounds the parser's buffer too, which takes files in steps of 64 KiB
MAX_NAME_CHARS: Final = 255
UNNAMED: Final = "upload"


class MemoryRequest(Request):
    """A request whose uploaded files never touch a disk: they may be patients' documents."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        del total_content_length, content_type, filename, content_length
        return BytesIO()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file to verify, with what a detached signature in it covers."""

    name: str
    data: bytes
    content: bytes | None


def install(app: Flask) -> None:
    """Bound what a request may carry."""
    app.request_class = MemoryRequest
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_OCTETS
    app.config["MAX_FORM_PARTS"] = MAX_FORM_PARTS
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_FORM_FIELD_OCTETS


def read_upload() -> Upload:
    """Read the file of the request in hand: multipart fields `file` and `content`, or the body itself.

    InvalidInput (`input-empty`) without a file or with an empty one; `input-too-large` beyond the limit,
    `length-required` for a body of unknown length.
    """
    if request.content_length is None:
        # Werkzeug cuts a body of unknown length off at the limit; a verdict must never be about cut bytes.
        endless = request.environ.get("wsgi.input_terminated") and request.environ["wsgi.input"].read(1)
        raise InvalidInput(ErrorCode.LENGTH_REQUIRED if endless else ErrorCode.INPUT_EMPTY)
    try:
        upload = _read()
    except RequestEntityTooLarge as error:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"at most {MAX_REQUEST_OCTETS} octets") from error
    if not upload.data:
        raise InvalidInput(ErrorCode.INPUT_EMPTY)
    return upload


def _read() -> Upload:
    if request.mimetype == "multipart/form-data":
        file, content = request.files.get("file"), request.files.get("content")
        data = b"" if file is None else _whole(file)
        name = _name(file)
        detached = _whole(content) if content is not None and content.filename else None
    elif request.mimetype == "application/x-www-form-urlencoded":
        raise InvalidInput(ErrorCode.MEDIA_TYPE_REFUSED, "multipart/form-data or application/octet-stream")
    else:
        length = request.content_length or 0
        if length > MAX_REQUEST_OCTETS:
            raise RequestEntityTooLarge
        # As it lies in memory (`webapp.whole_bodies`): Werkzeug would copy it twice.
        data, name, detached = request.environ["wsgi.input"].read(length), UNNAMED, None
        if len(data) != length:  # the sender went away; a verdict must never be about cut bytes
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the body is shorter than announced")
    return Upload(name=name, data=data, content=detached)


def _whole(file: FileStorage) -> bytes:
    """Return its octets without a copy of them."""
    return cast("BytesIO", file.stream).getvalue()


def _name(file: FileStorage | None) -> str:
    name = (file.filename or "") if file is not None else ""
    return name.replace("\\", "/").rpartition("/")[2][:MAX_NAME_CHARS] or UNNAMED
