"""One door to all parsers: bytes in, a `ParsedFile` out, whatever the format."""

import hashlib

from pki.errors import ErrorCode, InvalidInput
from signer.parsers.asic import parse_asic
from signer.parsers.cades import parse_cms
from signer.parsers.cose import parse_cose
from signer.parsers.jades import parse_jws
from signer.parsers.model import Format, Note, ParsedFile, UnreadableSignature
from signer.parsers.tst import parse_token
from signer.validation.reasons import Reason


def parse(data: bytes, form: Format, content: bytes | None = None) -> ParsedFile:
    """Read `data` as `form`; `content` is what a detached signature covers.

    ServiceError when the container cannot be read. A format without a parser yields one signature that
    says so.
    """
    match form:
        case Format.JADES:
            return parse_jws(data, content)
        case Format.CMS | Format.CADES:
            return parse_cms(data, content)
        case Format.TIMESTAMP:
            return parse_token(data, content)
        case Format.PADES:
            from signer.parsers.pades import parse_pdf  # pyHanko takes half a second to load: for PDF alone

            return parse_pdf(data)
        case Format.ASIC:
            return parse_asic(data)
        case Format.COSE:
            return parse_cose(data, content)
        case Format.XADES:
            return _foreign(data, form)
    raise InvalidInput(ErrorCode.INPUT_FORMAT_UNKNOWN, str(form))


def _foreign(data: bytes, form: Format) -> ParsedFile:
    name = f"F-{hashlib.sha256(data).hexdigest()[:16]}"
    note = Note(reason=Reason.FORMAT_NOT_SUPPORTED, detail=str(form))
    return ParsedFile(format=form, signatures=(UnreadableSignature(id=name, format=form, note=note, foreign=True),))
