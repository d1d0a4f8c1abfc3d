"""Objects read by whole tokens are those that pyHanko reads octet by octet, or are left to it."""

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyhanko.pdf_utils.generic import (
    ArrayObject,
    DictionaryObject,
    IndirectObject,
    NullObject,
    Reference,
    StreamObject,
    read_object,
)
from pyhanko.pdf_utils.reader import PdfFileReader

from signer.bounded_pdf import BoundedReader, Meter, open_pdf
from signer.errors import PdfTooComplex
from signer.pdf_tokens import read_indirect, read_value, references_in
from signer.samples import sample_pdf, write_pdf
from tests.signer.validation.test_pdf_permissions import DOSE, filled, second_signature, signed_form

READER = PdfFileReader(BytesIO(sample_pdf()))
OF = Reference(7, 0, READER)
space = st.sampled_from([b" ", b"\n", b"\r\n", b"\t", b"\0", b"  ", b""])
scalars = st.sampled_from(
    [
        *(b"/Name", b"/A.B-c_1", b"/", b"/A#20B", b"/\xc3\xa4", b"true", b"false", b"null", b"nul", b"{"),
        *(b"0", b"-12", b"+7", b"12345678901234567890", b"1.5", b"-.5", b"4.", b".", b"1 2"),
        *(b"()", b"(text)", rb"(a\(b\)\101\n)", b"(a(b)c)", b"(\xfe\xff\0a)", b"(\x81\x7f)", b"(", b"% a comment\n"),
        *(b"<>", b"<414>", b"<41 42>", b"<FEFF0041>", b"12 0 R", b"0 0 R", b"12  0 R", b"12 0 Rx", b"]", b">>"),
    ]
)


@st.composite
def values(draw: st.DrawFn, depth: int = 0) -> bytes:
    kind = draw(st.integers(0, 5 if depth < 3 else 3))
    if kind <= 3:
        return draw(scalars)
    below = draw(st.lists(st.tuples(values(depth + 1), space), max_size=4))
    if kind == 4:
        return b"[" + b"".join(value + gap for value, gap in below) + b"]"
    keys = [draw(st.sampled_from([b"/A", b"/B", b"/C", b"/D", b"/E"])) for _ in below]
    pairs = zip(keys, below, strict=True)
    return b"<<" + b"".join(key + b" " + value + gap for key, (value, gap) in pairs) + b">>"


def plain(value: Any) -> Any:
    """Return a value in parts that can be compared, with the kind of each."""
    if isinstance(value, IndirectObject):
        return "R", value.idnum, value.generation
    if isinstance(value, ArrayObject):
        return "array", [plain(value.raw_get(index)) for index in range(len(value))]
    if isinstance(value, DictionaryObject):
        data = value.encoded_data if isinstance(value, StreamObject) else None
        return type(value).__name__, data, [(str(key), plain(value.raw_get(key))) for key in value]
    return type(value).__name__, getattr(value, "original_bytes", None), None if value == NullObject() else str(value)


def referred(value: Any) -> set[tuple[int, int]]:
    if isinstance(value, IndirectObject):
        return {(value.idnum, value.generation)}
    parts = [value.raw_get(key) for key in value] if isinstance(value, DictionaryObject) else ()
    if isinstance(value, ArrayObject):
        parts = [value.raw_get(index) for index in range(len(value))]
    return set().union(*map(referred, parts))


@given(values(), space)
def test_a_value_is_pyhankos_or_left_to_it(written: bytes, gap: bytes) -> None:
    data = gap + written + b" endobj"
    read = read_value(data, 0, OF, {})
    if read is None:
        return
    stream = BytesIO(data[len(gap) :])
    expected = read_object(stream, OF)
    assert plain(read[0]) == plain(expected)
    assert read[1] == len(gap) + stream.tell()
    assert read[0].container_ref == OF


@given(values())
def test_references_are_those_of_the_value(written: bytes) -> None:
    data = b"7 0 obj " + written + b" endobj"
    found = references_in(data, 0, is_framed=True)
    read = read_indirect(data + b"\nx", 0, OF, lambda _reference: None, {})
    if found is not None and read is not None:
        assert found[0] == referred(read[0])


@pytest.mark.parametrize(
    "written",
    [b"<< /A [1 2.5 (x) <41>] /B 3 0 R /C << /D true /E null >> >>", b"[/A /B 1 0 R -7]", b"(a\\051)", b"<414>", b"12"],
)
def test_the_usual_is_read_at_once(written: bytes) -> None:
    data = b"7 0 obj\n" + written + b"\nendobj\nxref"
    read = read_indirect(data, 0, OF, lambda _reference: None, {})
    assert read is not None
    assert plain(read[0]) == plain(read_object(BytesIO(written + b" "), OF))
    assert references_in(data, 0, is_framed=True) is not None


@pytest.mark.parametrize("word", [b"true", b"null"])
def test_a_word_that_goes_on_is_left_to_pyhanko(word: bytes) -> None:
    assert references_in(b"7 0 obj [" + word + b"12 0 R] endobj", 0, is_framed=True) is None


@pytest.mark.parametrize(
    "data",
    [
        *(b"8 0 obj 1 endobj x", b"7 1 obj 1 endobj x", b"7 0 obj 1 endobj", b"7 0 obj 1 x", b" 7 0 obj 1 endobj x"),
        *(b"7 0 obj << /A 1 /A 2 >> endobj x", b"7 0 obj << (A) 1 >> endobj x", b"7 0 obj << /A >> endobj x"),
        *(b"7 0 obj [ >> endobj x", b"7 0 obj << ] endobj x", b"7 0 obj " + b"[" * 100 + b"]" * 100 + b" endobj x"),
        b"7 0 obj << /Length 9 >>\nstream\nabc\nendstream endobj x",
        b"7 0 obj << /Length -1 >>\nstream\nabc\nendstream endobj x",
        b"7 0 obj << /Length 1000 >>\nstream\nabc\nendstream endobj x",
        b"7 0 obj << /Length 3 0 R >>\nstream\nabc\nendstream endobj x",
    ],
)
def test_the_unusual_is_left_to_pyhanko(data: bytes) -> None:
    assert read_indirect(data, 0, OF, lambda _reference: None, {}) is None


def test_a_stand_in_is_read_where_it_stands_and_nowhere_else() -> None:
    data = b"7 0 obj << /A <0011> /B <0011> >> endobj x"
    gap = data.rindex(b"<0011>")
    read = read_indirect(data, 0, OF, lambda _reference: None, {gap: (gap + 6, b"abcdef")})
    assert read is not None
    assert [read[0].raw_get(key).original_bytes.hex() for key in ("/A", "/B")] == ["0011", "abcdef"]


def test_both_ways_of_reading_give_the_same_document() -> None:
    lta = second_signature(filled(signed_form(), DOSE))
    ours, theirs = open_pdf(lta), PdfFileReader(BytesIO(lta))
    assert isinstance(ours, BoundedReader)
    seen = 0
    for number in range(ours.xrefs.total_revisions):
        for reference in ours.xrefs.explicit_refs_in_revision(number):
            if theirs.xrefs[reference] is not None:
                one, other = (side.get_object(Reference(reference.idnum, 0, side)) for side in (ours, theirs))  # type: ignore[no-untyped-call]  # untyped upstream
                assert plain(one) == plain(other)
                seen += 1
    assert seen > 10


def object_stream_pdf(body: bytes, numbers: bytes, count: int) -> bytes:
    """Write a PDF whose objects 5 and 6 lie in the object stream 4."""
    stream = b"<< /Type /ObjStm /N %d /First %d /Length %d >>\nstream\n%s%s\nendstream"
    catalogue = b"<< /Type /Catalog /Pages 2 0 R /A 5 0 R /B 6 0 R >>"
    objects = [catalogue, b"<< /Type /Pages /Kids [] /Count 0 >>", b"null"]
    objects.append(stream % (count, len(numbers), len(numbers + body), numbers, body))
    at = len(write_pdf(objects).split(b"xref\n0 ")[0])
    plain_part = write_pdf(objects)[:at]
    offsets = [plain_part.index(b"\n%d 0 obj" % number) + 1 for number in range(1, 5)]
    rows = b"".join(b"\1%s\0" % offset.to_bytes(4, "big") for offset in offsets)
    rows = b"\0\0\0\0\0\xff" + rows + b"\2\0\0\0\4\0\2\0\0\0\4\1" + b"\1%s\0" % at.to_bytes(4, "big")
    table = b"7 0 obj\n<< /Type /XRef /Size 8 /W [1 4 1] /Root 1 0 R /Length %d >>\nstream\n%s\nendstream\nendobj\n"
    return plain_part + table % (len(rows), rows) + b"startxref\n%d\n%%%%EOF\n" % at


@pytest.mark.parametrize("numbers", [b"5 0 6 9 ", b"5 0 % one\n6 9 ", b"5 0 6 9 7 0 "])
def test_object_streams_are_opened_once_and_read_alike(numbers: bytes) -> None:
    pdf = object_stream_pdf(b"<< /A 1>>[/B 5 0 R]", numbers, len(numbers.replace(b"% one\n", b"").split()) // 2)
    ours, theirs = open_pdf(pdf), PdfFileReader(BytesIO(pdf))
    for key in ("/A", "/B"):
        assert plain(ours.root[key]) == plain(theirs.root[key])
    assert (ours.object_stream(4) is None) is (b"%" in numbers)
    assert ours.object_stream(4) is ours.object_stream(4)


def test_octets_read_are_counted_over_all_readers() -> None:
    meter = Meter(0)
    meter.count(15 * 1024 * 1024)
    with pytest.raises(PdfTooComplex):
        meter.count(2 * 1024 * 1024)
