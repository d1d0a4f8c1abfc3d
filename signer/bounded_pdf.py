"""Opening PDF files of strangers through pyHanko without giving it unbounded time or memory.

pyHanko reads syntax octet by octet and takes quadratic time over object streams, so a small file can cost
minutes. Reads are counted and decoded streams are limited; a file that needs more is refused.
"""

from io import BytesIO
from typing import Final

from pyhanko.pdf_utils.decode_limits import (
    DEFAULT_PURPOSE_LIMITS,
    DecodeLimits,
    DecodePurpose,
    DocumentDecodeBudget,
    StreamDecodeLimits,
)
from pyhanko.pdf_utils.reader import PdfFileReader

from signer.errors import PdfTooComplex

MAX_READS: Final = 2_000_000

_MIB: Final = 1024 * 1024
_LIMITS: Final = DecodeLimits(
    per_stream=StreamDecodeLimits(max_output_size=64 * _MIB),
    per_purpose={**DEFAULT_PURPOSE_LIMITS, DecodePurpose.OBJECT_STREAM: StreamDecodeLimits(max_output_size=_MIB)},
    document_budget=DocumentDecodeBudget(base_allowance=64 * _MIB, max_ratio=20),
)


class _MeteredFile(BytesIO):
    """A file in memory that can be read from a bounded number of times."""

    def __init__(self, data: bytes, reads: int) -> None:
        super().__init__(data)
        self._reads_left = reads

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads_left -= 1
        if self._reads_left < 0:
            raise PdfTooComplex
        return super().read(size)


def open_pdf(pdf: bytes, *, max_reads: int = MAX_READS) -> PdfFileReader:
    """Open `pdf` strictly; PdfTooComplex now or later once `max_reads` is used up, else what pyHanko raises."""
    return PdfFileReader(_MeteredFile(pdf, max_reads), decode_limits=_LIMITS)
