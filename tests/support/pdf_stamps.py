"""Document time-stamps of PDF, which this project judges and others add."""

from io import BytesIO

from asn1crypto import cms
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.signers import PdfTimeStamper
from pyhanko.sign.timestamps import TimeStamper as PyHankoStamper

from signer.timestamps.client import TimeStamper


class _Stamper(PyHankoStamper):
    """Tokens of ours, as pyHanko asks for them."""

    def __init__(self, stamper: TimeStamper) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped upstream
        self._stamper = stamper

    async def async_timestamp(self, message_digest: bytes, md_algorithm: str) -> cms.ContentInfo:
        """Take a token over a SHA-256 digest."""
        del md_algorithm
        return cms.ContentInfo.load(self._stamper.stamp(message_digest))

    async def async_dummy_response(self, md_algorithm: str) -> cms.ContentInfo:
        """Take a token of the size that any has."""
        return await self.async_timestamp(bytes(32), md_algorithm)


def document_stamped(pdf: bytes, stamper: TimeStamper) -> bytes:
    """Add a document time-stamp in a revision of its own."""
    output = BytesIO()
    PdfTimeStamper(_Stamper(stamper)).timestamp_pdf(
        IncrementalPdfFileWriter(BytesIO(pdf)), "sha256", validation_context=None, output=output
    )
    return output.getvalue()
