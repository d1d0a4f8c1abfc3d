"""Opening PDF files of strangers through pyHanko without giving it unbounded time or memory.

pyHanko reads syntax octet by octet and takes quadratic time over object streams, so a small file can cost
minutes. Most objects are read by whole tokens instead; what is left to pyHanko, and what is read at all, is counted,
and decoded streams are limited. A file that needs more is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from pyhanko.pdf_utils.decode_limits import (
    DEFAULT_PURPOSE_LIMITS,
    DecodeLimits,
    DecodePurpose,
    DocumentDecodeBudget,
    StreamDecodeLimits,
)
from pyhanko.pdf_utils.generic import IndirectObject, Reference, StreamObject
from pyhanko.pdf_utils.reader import PdfFileReader

from signer.errors import PdfTooComplex
from signer.pdf_tokens import read_indirect, read_value

MAX_READS: Final = 2_000_000
_READS_OF_ANY: Final = 100_000
_READS_AN_OCTET: Final = 20  # files of all writers we know need 1.4 at most, and end without an end need them all
_NOTHING: Final[Mapping[tuple[int, int], bytes]] = {}

_MIB: Final = 1024 * 1024
_TOKEN_STEP: Final = 16  # octets at a time, by which a token grows that is copied each time
_MAX_ROW: Final = 20_000
_MAX_OBJECTS: Final = 150_000  # that are asked for, read before or not
_EMPTY_ENTRIES: Final = re.compile(rb"/W\s*\[[\s0]{1,64}\]")
_REPEATED_END: Final = re.compile(rb"%%EOF((?:[\0\t\n\f\r ]+%%EOF)+)[\0\t\n\f\r ]*\Z")
_END_OCTETS: Final = 1024
_MAX_TIMES_READ: Final = 4  # how often a file may be read over
_LIMITS: Final = DecodeLimits(
    per_stream=StreamDecodeLimits(max_output_size=64 * _MIB),
    per_purpose={
        **DEFAULT_PURPOSE_LIMITS,
        DecodePurpose.OBJECT_STREAM: StreamDecodeLimits(max_output_size=_MIB),
        DecodePurpose.XREF_STREAM: StreamDecodeLimits(max_output_size=2 * _MIB),  # some 300,000 objects
    },
    document_budget=DocumentDecodeBudget(base_allowance=64 * _MIB, max_ratio=20),
)


class Meter:
    """What reading one file may cost: accesses octet by octet, and octets read; shared by all who open it."""

    def __init__(self, size: int, reads: int = MAX_READS) -> None:
        self.reads_left = min(reads, _READS_OF_ANY + _READS_AN_OCTET * size)
        self.objects_left = _MAX_OBJECTS
        self._octets_left = _MAX_TIMES_READ * size + 16 * _MIB

    def count(self, octets: int) -> None:
        """Count octets; PdfTooComplex when there were too many."""
        self._octets_left -= octets
        if self._octets_left < 0:
            raise PdfTooComplex


class _MeteredFile(BytesIO):
    """A file in memory that is read under a meter."""

    def __init__(self, data: bytes, meter: Meter, stand_ins: Mapping[tuple[int, int], bytes]) -> None:
        super().__init__(data)
        self._meter = meter
        self._row = 0
        self._steps: dict[int, tuple[bytes, int]] = {}
        for (start, end), digits in stand_ins.items():
            for at, digit in enumerate(digits, start + 1):
                self._steps[at] = (bytes((digit,)), at + 1)
            self._steps[start + 1 + len(digits)] = (b">", end)

    def read(self, size: int | None = -1, /) -> bytes:
        self._meter.reads_left -= 1
        if self._meter.reads_left < 0:
            raise PdfTooComplex
        if size == 1:
            self._row = 0
            if self._steps and (step := self._steps.get(self.tell())) is not None:
                self.seek(step[1])
                return step[0]
            return super().read(1)
        self._row = self._row + 1 if size == _TOKEN_STEP else 0
        if self._row > _MAX_ROW:
            raise PdfTooComplex
        read = super().read(size)
        self._meter.count(len(read))
        return read


@dataclass(frozen=True, slots=True)
class ObjectStream:
    """A decoded object stream: its octets, the numbers of its objects and where each begins."""

    data: bytes
    numbers: list[int]
    offsets: list[int]


class BoundedReader(PdfFileReader):
    """pyHanko's reader, which takes objects from whole tokens where it can."""

    def __init__(self, data: bytes, meter: Meter, stand_ins: Mapping[tuple[int, int], bytes]) -> None:
        self.octets = data
        self._meter = meter
        self._stand_ins = {start: (end, digits) for (start, end), digits in stand_ins.items()}
        self._opened: dict[int, ObjectStream | None] = {}
        if _EMPTY_ENTRIES.search(data):
            raise PdfTooComplex  # without octets of their own, entries have no end
        super().__init__(_MeteredFile(data, meter, stand_ins), decode_limits=_LIMITS)

    def get_object(self, ref: Any, *args: Any, **options: Any) -> Any:
        """Return an object; PdfTooComplex when too many were asked for: trees of shared branches have no other end."""
        self._meter.objects_left -= 1
        if self._meter.objects_left < 0:
            raise PdfTooComplex
        return super().get_object(ref, *args, **options)  # type: ignore[no-untyped-call]  # untyped upstream

    def object_stream(self, number: int) -> ObjectStream | None:
        """Decode an object stream once; None where it is written in an unusual way."""
        if number not in self._opened:
            self._opened[number] = self._open_stream(number)
        return self._opened[number]

    def _read_object(self, ref: Any, marker: Any, *args: Any, **options: Any) -> Any:
        if isinstance(marker, int) and not args and not any(options.values()) and "/Encrypt" not in self.trailer:
            of_this = Reference(ref.idnum, ref.generation, self)
            read = read_indirect(self.octets, marker, of_this, self.get_object, self._stand_ins)
            if read is not None:
                self._meter.count(read[1] - marker)
                return read[0]
        return super()._read_object(ref, marker, *args, **options)

    def _get_object_from_stream(self, idnum: int, stmnum: int, idx: int) -> Any:
        opened = self.object_stream(stmnum)
        if opened is not None and opened.numbers[idx : idx + 1] == [idnum] and opened.numbers.index(idnum) == idx:
            read = read_value(opened.data, opened.offsets[idx], Reference(idnum, 0, self), {})
            if read is not None and not isinstance(read[0], IndirectObject):
                self._meter.count(read[1] - opened.offsets[idx])
                return read[0]
        return super()._get_object_from_stream(idnum, stmnum, idx)  # type: ignore[no-untyped-call]  # untyped upstream

    def _open_stream(self, number: int) -> ObjectStream | None:
        stream = Reference(number, 0, self).get_object()
        if not isinstance(stream, StreamObject) or stream.get("/Type") != "/ObjStm":
            return None
        count, first = stream.get("/N"), stream.get("/First")
        data = stream.read_data(DecodePurpose.OBJECT_STREAM)
        if not isinstance(count, int) or not isinstance(first, int) or not 0 <= first <= len(data):
            return None
        words = data[:first].split()
        if len(words) != 2 * count or not all(word.isdigit() and len(word) < 10 for word in words):
            return None
        numbers = [int(word) for word in words]
        return ObjectStream(data, numbers[::2], [first + offset for offset in numbers[1::2]])


def open_pdf(
    pdf: bytes, *, meter: Meter | None = None, stand_ins: Mapping[tuple[int, int], bytes] = _NOTHING
) -> BoundedReader:
    """Open `pdf` strictly; PdfTooComplex now or later once the meter is used up, else what pyHanko raises.

    `stand_ins` maps where a hex string lies, its brackets included, to the few hex digits that the reader sees
    in its place: pyHanko takes milliseconds over the thousands of digits of a signature value.
    """
    repeated = _REPEATED_END.search(pdf, max(0, len(pdf) - _END_OCTETS))
    if repeated is not None:
        pdf = pdf[: repeated.start(1)]  # some writers end a file twice; pyHanko looks for the table before the last
    return BoundedReader(pdf, meter or Meter(len(pdf)), stand_ins)
