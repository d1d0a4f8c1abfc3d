"""PAdES signatures in PDF (ETSI EN 319 142-1 §6): baseline B, and T when given a time-stamping service.

pyHanko writes the incremental update; the CMS is ours, put into a reservation of fixed size, so nothing is
signed twice to measure it. No signing-time attribute: the claimed time is /M (EN 319 142-1 §6.3). Only this
module and the validator touch pyHanko, and what it raises on odd files ends here as a coded error.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import FieldMDPAction, FieldMDPSpec, SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.signers.cms_embedder import PdfCMSEmbedder, SigIOSetup, SigMDPSetup, SigObjSetup
from pyhanko.sign.signers.pdf_byterange import SignatureObject

from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.keys import SigningKey
from signer.bounded_pdf import open_pdf
from signer.errors import DocumentUnsignable, PdfTooComplex, SignerMismatch
from signer.findings import Finding, FindingCode
from signer.formats.cades import add_signature_timestamp
from signer.formats.cms import digest_method, sign_digest
from signer.formats.signing import check_size, signer_of
from signer.timestamps.client import TimeStamper

RESERVED_OCTETS: Final = 16 * 1024
MAX_SECONDS: Final = 5.0
MAX_OBJECTS: Final = 200_000  # names, numbers and strings count too
_SCRIPTS: Final = frozenset({"/JavaScript", "/JS"})
# What hangs below these holds no action: content, fonts, images, structure, and the way back up.
_PASSIVE: Final = frozenset(
    {"/Contents", "/Resources", "/Parent", "/P", "/AP", "/StructTreeRoot", "/Metadata", "/Dests", "/Dest", "/Prev"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfFacts:
    """What is known of a PDF before signing. `pages` is None when it is encrypted."""

    pages: int | None
    findings: tuple[Finding, ...]


def inspect_pdf(pdf: bytes) -> PdfFacts:
    """Look through `pdf` for what acts or hides; InvalidInput when it is no readable PDF."""
    check_size(pdf)
    try:
        with _reading():
            return _inspect(open_pdf(pdf))
    except PdfTooComplex:
        return PdfFacts(pages=None, findings=(Finding(code=FindingCode.PDF_TOO_COMPLEX),))


def sign_pades(
    pdf: bytes,
    key: SigningKey,
    chain: Sequence[Certificate],
    *,
    signed_at: datetime,
    reason: str | None = None,
    location: str | None = None,
    stamper: TimeStamper | None = None,
) -> bytes:
    """Append an invisible approval signature to `pdf` and return the new file; the old bytes are its start.

    Level B-B, or B-T with a `stamper`. Form fields that are there are locked (/FieldMDP); an empty signature
    field stays empty. DocumentUnsignable for what `FindingCode.refuses`, InvalidInput for an unreadable,
    empty or oversized file, SignerMismatch for a key that is not the certificate's.
    """
    check_size(pdf)
    method = digest_method(key.algorithm)
    signer_of(key, chain)
    embedding = _prepare(pdf, method.new(b"").name, signed_at, reason, location)
    cms = sign_digest(embedding.digest, key, chain)
    if stamper is not None:
        cms = add_signature_timestamp(cms, stamper)
    signed = embedding.finish(cms)
    _check_result(pdf, signed, embedding, cms)
    return signed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Embedding:
    """A PDF written out but for its signature, with the hole that waits for it."""

    digest: bytes
    algorithm: str
    begin: int
    end: int
    file: BytesIO

    def finish(self, cms: bytes) -> bytes:
        """Put `cms`, hexadecimal, into the hole; the rest of the hole stays zero digits."""
        if len(cms) > RESERVED_OCTETS:
            raise DocumentUnsignable(f"the signature takes {len(cms)} octets, at most {RESERVED_OCTETS}")
        self.file.seek(self.begin + 1)
        self.file.write(cms.hex().encode())
        return self.file.getvalue()


def _prepare(pdf: bytes, algorithm: str, signed_at: datetime, reason: str | None, location: str | None) -> _Embedding:
    with _reading():
        reader = open_pdf(pdf)
        _refuse(_inspect(reader).findings)
        writer = IncrementalPdfFileWriter.from_reader(reader)
        form = _form(reader.root)
        field = _free_name(form)
        steps = PdfCMSEmbedder(SigFieldSpec(field)).write_cms(field, writer)
        next(steps)
        placeholder = SignatureObject(
            timestamp=signed_at,
            subfilter=SigSeedSubFilter.PADES,
            reason=reason,
            location=location,
            bytes_reserved=2 * RESERVED_OCTETS,  # counted in hexadecimal digits
        )
        steps.send(SigObjSetup(sig_placeholder=placeholder, mdp_setup=_lock(form, algorithm)))
        prepared, file = steps.send(SigIOSetup(md_algorithm=algorithm))
        return _Embedding(
            digest=prepared.document_digest,
            algorithm=algorithm,
            begin=prepared.reserved_region_start,
            end=prepared.reserved_region_end,
            file=file,
        )


def _check_result(pdf: bytes, signed: bytes, embedding: _Embedding, cms: bytes) -> None:
    """Read back what was written: old bytes first, the hole where it should be, the digest as signed."""
    view = memoryview(signed)
    digest = hashlib.new(embedding.algorithm, view[: embedding.begin])
    digest.update(view[embedding.end :])
    hole = signed[embedding.begin : embedding.end]
    expected = b"<" + cms.hex().encode().ljust(2 * RESERVED_OCTETS, b"0") + b">"
    if not signed.startswith(pdf) or hole != expected or digest.digest() != embedding.digest:
        raise SignerMismatch("the file written is not the file that was signed")


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever pyHanko raises on an odd file into InvalidInput (`input-malformed`)."""
    try:
        yield
    except ServiceError:
        raise
    except Exception as error:  # pyHanko raises KeyError, AssertionError and others on odd files
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"not a readable PDF ({type(error).__name__})") from error


def _refuse(findings: tuple[Finding, ...]) -> None:
    for finding in findings:
        if finding.code.refuses:
            raise DocumentUnsignable(finding.code)


def _inspect(reader: PdfFileReader) -> PdfFacts:
    if reader.encrypted:
        return PdfFacts(pages=None, findings=(Finding(code=FindingCode.PDF_ENCRYPTED),))
    root = reader.root
    codes: dict[FindingCode, None] = {}
    if reader.xrefs.hybrid_xrefs_present:
        codes[FindingCode.PDF_HYBRID] = None
    if _change_is_forbidden(root):
        codes[FindingCode.PDF_CERTIFIED] = None
    deadline = time.monotonic() + MAX_SECONDS
    for count, found in enumerate(_objects(root)):
        if count > MAX_OBJECTS or time.monotonic() > deadline:
            raise PdfTooComplex
        if isinstance(found, generic.DictionaryObject):
            codes.update(dict.fromkeys(_content_codes(found)))
    pages = root["/Pages"]["/Count"]
    return PdfFacts(pages=int(pages), findings=tuple(Finding(code=code) for code in codes))


def _objects(root: Any) -> Iterator[Any]:
    """Yield what can be reached from `root` and may act, each object once; streams are not decoded."""
    seen: set[Any] = set()
    waiting: list[Any] = [root]
    while waiting:
        found = waiting.pop()
        if isinstance(found, generic.IndirectObject):
            if found.reference in seen:
                continue
            seen.add(found.reference)
            found = _resolve(found)
        if isinstance(found, generic.DictionaryObject):
            waiting.extend(value for name, value in found.items() if name not in _PASSIVE)
        elif isinstance(found, generic.ArrayObject):
            waiting.extend(list.__iter__(found))
        yield found


def _content_codes(found: Any) -> Iterator[FindingCode]:
    action = found.get("/S")
    if action in _SCRIPTS or "/JS" in found or "/JavaScript" in found:
        yield FindingCode.PDF_SCRIPT
    if action == "/Launch":
        yield FindingCode.PDF_LAUNCH
    if "/XFA" in found:
        yield FindingCode.PDF_XFA
    if "/OCProperties" in found:
        yield FindingCode.PDF_LAYERS
    if "/EmbeddedFiles" in found or "/EF" in found:
        yield FindingCode.PDF_ATTACHMENTS


def _change_is_forbidden(root: Any) -> bool:
    """Tell whether a certification signature has permission 1 (ISO 32000-2 §12.8.2.2)."""
    try:
        references = root["/Perms"]["/DocMDP"]["/Reference"]
    except KeyError:
        return False
    parameters = [reference.get("/TransformParams", {}) for reference in map(_resolve, references)]
    return any(parameter.get("/P", 2) == 1 for parameter in parameters)


def _resolve(value: Any) -> Any:
    return value.get_object()


def _form(root: Any) -> dict[str, bool]:
    """Read the names of the form's top fields and whether each is a signature field."""
    try:
        fields = root["/AcroForm"]["/Fields"]
    except KeyError:
        return {}
    return {str(field["/T"]): field.get("/FT") == "/Sig" for field in map(_resolve, fields) if "/T" in field}


def _free_name(form: dict[str, bool]) -> str:
    return next(name for name in (f"Mohr{number}" for number in range(1, len(form) + 2)) if name not in form)


def _lock(form: dict[str, bool], algorithm: str) -> SigMDPSetup | None:
    """Lock the fields that hold answers now; signature fields stay free for those who sign after."""
    names = [name for name, is_signature in form.items() if not is_signature]
    if not names:
        return None
    return SigMDPSetup(md_algorithm=algorithm, field_lock=FieldMDPSpec(action=FieldMDPAction.INCLUDE, fields=names))
