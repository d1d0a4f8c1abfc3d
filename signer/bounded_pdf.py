"""Opening PDF files of strangers through pyHanko without giving it unbounded time or memory.

pyHanko reads syntax octet by octet and takes quadratic time over object streams, so a small file can cost
minutes. Reads are counted and decoded streams are limited; a file that needs more is refused.
"""

from collections.abc import Mapping
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
_NOTHING: Final[Mapping[tuple[int, int], bytes]] = {}

_MIB: Final = 1024 * 1024
_LIMITS: Final = DecodeLimits(
    per_stream=StreamDecodeLimits(max_output_size=64 * _MIB),
    per_purpose={**DEFAULT_PURPOSE_LIMITS, DecodePurpose.OBJECT_STREAM: StreamDecodeLimits(max_output_size=_MIB)},
    document_budget=DocumentDecodeBudget(base_allowance=64 * _MIB, max_ratio=20),
)


class _MeteredFile(BytesIO):
    """A file in memory that can be read from a bounded number of times."""

    def __init__(self, data: bytes, reads: int, stand_ins: Mapping[tuple[int, int], bytes]) -> None:
        super().__init__(data)
        self._reads_left = reads
        self._steps: dict[int, tuple[bytes, int]] = {}
        for (start, end), digits in stand_ins.items():
            for at, digit in enumerate(digits, start + 1):
                self._steps[at] = (bytes((digit,)), at + 1)
            self._steps[start + 1 + len(digits)] = (b">", end)

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads_left -= 1
        if self._reads_left < 0:
            raise PdfTooComplex
        if self._steps and size == 1 and (step := self._steps.get(self.tell())) is not None:
            self.seek(step[1])
            return step[0]
        return super().read(size)


def open_pdf(
    pdf: bytes, *, max_reads: int = MAX_READS, stand_ins: Mapping[tuple[int, int], bytes] = _NOTHING
) -> PdfFileReader:
    """Open `pdf` strictly; PdfTooComplex now or later once `max_reads` is used up, else what pyHanko raises.

    `stand_ins` maps where a hex string lies, its brackets included, to the few hex digits that the reader sees
    in its place: pyHanko takes milliseconds over the thousands of digits of a signature value.
    """
    return PdfFileReader(_MeteredFile(pdf, max_reads, stand_ins), decode_limits=_LIMITS)
