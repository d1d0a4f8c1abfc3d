"""One door to all parsers: bytes in, a `ParsedFile` out, whatever the format."""

import hashlib
from dataclasses import replace

from pki.errors import ErrorCode, InvalidInput
from signer.parsers.asic import parse_asic
from signer.parsers.cades import parse_cms
from signer.parsers.cose import parse_cose
from signer.parsers.jades import parse_jws
from signer.parsers.model import Format, Note, ParsedFile, ParsedSignature, UnreadableSignature
from signer.parsers.tst import parse_token
from signer.validation.reasons import Reason


def parse(data: bytes, form: Format, content: bytes | None = None) -> ParsedFile:
    """Read `data` as `form`; `content` is what a detached signature covers, else something that is inside.

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

            return _about(parse_pdf(data), is_inside=content is None or data.startswith(content))
        case Format.ASIC:
            parsed = parse_asic(data)
            return _about(parsed, is_inside=content is None or content in _signed_files(parsed))
        case Format.COSE:
            return parse_cose(data, content)
        case Format.XADES:
            return _foreign(data, form)
    raise InvalidInput(ErrorCode.INPUT_FORMAT_UNKNOWN, str(form))


def _about(parsed: ParsedFile, *, is_inside: bool) -> ParsedFile:
    """Note where a signature over its own content was put beside another: it says nothing of that one."""
    return parsed if is_inside else replace(parsed, notes=(*parsed.notes, Note(reason=Reason.CONTENT_DIFFERS)))


def _signed_files(parsed: ParsedFile) -> set[bytes]:
    signatures = (one for one in parsed.signatures if isinstance(one, ParsedSignature))
    return {b"".join(item.octets) for one in signatures for item in one.objects if item.octets is not None}


def _foreign(data: bytes, form: Format) -> ParsedFile:
    name = f"F-{hashlib.sha256(data).hexdigest()[:16]}"
    note = Note(reason=Reason.FORMAT_NOT_SUPPORTED, detail=str(form))
    return ParsedFile(format=form, signatures=(UnreadableSignature(id=name, format=form, note=note, foreign=True),))
