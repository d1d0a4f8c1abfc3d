"""Reading PDF objects by whole tokens (ISO 32000-2 §7.2, §7.3), into the classes of pyHanko.

pyHanko reads octet by octet. What most files consist of is read here many times faster, and to the same values;
whatever is written in an unusual way (comments, escapes in names, nested parentheses, odd white space) is declined, and
then read by pyHanko, which alone says what is wrong with it.
"""

import binascii
import re
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

from pyhanko.pdf_utils.generic import (
    ArrayObject,
    BooleanObject,
    DictionaryObject,
    FloatObject,
    IndirectObject,
    NameObject,
    NullObject,
    NumberObject,
    Reference,
    StreamObject,
    pdf_string,
    read_string_from_stream,
)

MAX_DEPTH: Final = 60

_SPACE: Final = rb"[\0\t\n\f\r ]"
_END: Final = rb"(?=[\0\t\n\f\r /<>\[\]()])"
_REGULAR: Final = rb"/[!\"$&'*+,\-.0-9:;=?@A-Z\\^_`a-z|~]*+" + _END  # a name of every regular character but #
_TEXT: Final = rb"[^()\\]*+(?:\\.[^()\\]*+)*+"
_WHOLE_NUMBER: Final = rb"[+-]?\d{1,18}" + _END + rb"(?!\s+\d+\s+R)"  # which does not begin a reference
_REAL_NUMBER: Final = rb"[+-]?\d{0,18}\.\d{1,18}" + _END
_TOKEN: Final = re.compile(
    _SPACE + rb"*+(?:"
    rb"(" + _REGULAR + rb")"
    rb"|(\d{1,9}) (\d{1,5}) R" + _END + rb"|(" + _WHOLE_NUMBER + rb")|(" + _REAL_NUMBER + rb")"
    rb"|(<<)|(>>)|(\[)|(\])"
    rb"|(<)([0-9A-Fa-f]*+)>"
    rb"|\((" + _TEXT + rb")\)"
    rb"|(true|false|null)" + _END + rb")",
    re.DOTALL,
)
_NAME, _REFERENCE, _INTEGER, _REAL, _DICTIONARY, _DICTIONARY_END, _ARRAY, _ARRAY_END, _HEX, _STRING, _WORD = (
    *(1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13),
)
_CLOSES: Final = {_DICTIONARY: _DICTIONARY_END, _ARRAY: _ARRAY_END}
_PLAIN: Final = (  # what neither refers nor opens nor closes
    _REGULAR
    + rb"|"
    + _WHOLE_NUMBER
    + rb"|"
    + _REAL_NUMBER
    + rb"|<[0-9A-Fa-f]*+>|\("
    + _TEXT
    + rb"\)|(?:true|false|null)"
    + _END
)
_SKELETON: Final = re.compile(
    rb"(?:"
    + _SPACE
    + rb"*+(?:"
    + _PLAIN
    + rb")|(?!))*+"  # CPython before 3.11.5 goes on where the last try failed (gh-106052): this takes it back
    + _SPACE
    + rb"*+(?:(\d{1,9}) (\d{1,5}) R"
    + _END
    + rb"|(<<)|(>>)|(\[)|(\])|(?=endobj)())",
    re.DOTALL,
)
_ENDS: Final = {3: 4, 5: 6}  # of dictionaries and arrays, by the groups of the above
_FOLLOWS: Final = re.compile(_SPACE + rb"*(endobj|stream\r?\n)")
_HEADER: Final = re.compile(rb"(\d{1,9}) (\d{1,5}) obj" + _END)
_STREAM: Final = re.compile(_SPACE + rb"*stream\r?\n")
_STREAM_END: Final = re.compile(_SPACE + rb"*endstream" + _SPACE + rb"*endobj" + _SPACE + rb"*(?=[^\0\t\n\f\r %])")
_OBJECT_END: Final = re.compile(_SPACE + rb"*endobj" + _SPACE + rb"*(?=[^\0\t\n\f\r %])")

StandIns = Mapping[int, tuple[int, bytes]]
"""Where hex strings begin that are read as other digits: their ends, and those digits."""


def read_indirect(
    data: bytes, at: int, reference: Reference, resolve: Callable[[Reference], Any], stand_ins: StandIns
) -> tuple[Any, int] | None:
    """Read the object whose header stands at an offset, and where it ends; None to leave it to pyHanko.

    `resolve` gives the length of a stream that is written elsewhere.
    """
    header = _HEADER.match(data, at)
    if header is None or (int(header[1]), int(header[2])) != (reference.idnum, reference.generation):
        return None
    read = read_value(data, header.end(), reference, stand_ins)
    if read is None:
        return None
    value, end = read
    if isinstance(value, DictionaryObject) and (begun := _STREAM.match(data, end)) is not None:
        return _read_stream(data, begun.end(), value, resolve)
    ended = _OBJECT_END.match(data, end)
    return None if ended is None else (value, ended.end())


def _read_stream(
    data: bytes, start: int, entries: DictionaryObject, resolve: Callable[[Reference], Any]
) -> tuple[Any, int] | None:
    length: Any = dict.get(entries, "/Length")
    if isinstance(length, IndirectObject):
        length = resolve(length.reference)
    if not isinstance(length, NumberObject) or not 0 <= length <= len(data) - start:
        return None
    end = start + int(length)
    ended = _STREAM_END.match(data, end)
    if ended is None:
        return None
    stream = StreamObject(encoded_data=data[start:end])
    dict.update(stream, entries)
    stream.container_ref = entries.container_ref
    return stream, ended.end()


def read_value(data: bytes, at: int, reference: Reference, stand_ins: StandIns) -> tuple[Any, int] | None:
    """Read one value that is part of the object `reference`, and where it ends; None to leave it to pyHanko."""
    match, handler = _TOKEN.match, reference.pdf
    above: list[tuple[int, list[Any]]] = []
    here: list[Any] = []
    opening = 0
    while True:
        token = match(data, at)
        if token is None:
            return None
        at, kind = token.end(), token.lastindex
        value: Any
        if kind == _NAME:
            value = NameObject(token[_NAME].decode("ascii"))
        elif kind == _REFERENCE and token[2].strip(b"0"):
            value = IndirectObject(int(token[2]), int(token[3]), handler)  # type: ignore[no-untyped-call]  # untyped upstream
        elif kind == _INTEGER:
            value = NumberObject(token[_INTEGER])  # type: ignore[no-untyped-call]  # untyped upstream
        elif kind in (_DICTIONARY, _ARRAY):
            if len(above) == MAX_DEPTH:
                return None
            above.append((opening, here))
            opening, here = kind, []
            continue
        elif kind in (_DICTIONARY_END, _ARRAY_END):
            value = ArrayObject(here) if kind == _ARRAY_END else _dictionary(here)
            if kind != _CLOSES.get(opening) or value is None:
                return None
            opening, here = above.pop()
        elif kind == _HEX and (stand_in := stand_ins.get(token.start(_HEX) - 1)) is not None:
            at, value = stand_in[0], _hex_string(stand_in[1])
        else:
            value = _scalar(token)
            if value is None:
                return None
        value.container_ref = reference
        if not above:
            return value, at
        here.append(value)


def _dictionary(pairs: list[Any]) -> DictionaryObject | None:
    keys = pairs[::2]
    if len(pairs) % 2 or not all(type(key) is NameObject for key in keys):
        return None
    found = DictionaryObject()  # type: ignore[no-untyped-call]  # untyped upstream
    dict.update(found, zip(keys, pairs[1::2], strict=True))
    return found if len(found) == len(keys) else None


def _scalar(token: re.Match[bytes]) -> Any:
    match token.lastindex:
        case 12:
            written = token[_STRING]
            return read_string_from_stream(BytesIO(b"(%s)" % written)) if b"\\" in written else pdf_string(written)
        case 11:
            return _hex_string(token[_HEX])
        case 5:
            return FloatObject(token[_REAL].decode("ascii"))  # type: ignore[no-untyped-call]  # untyped upstream
        case 13 if token[_WORD] == b"null":
            return NullObject()
        case 13:
            return BooleanObject(token[_WORD] == b"true")  # type: ignore[no-untyped-call]  # untyped upstream
    return None


def _hex_string(digits: bytes) -> Any:
    return pdf_string(binascii.unhexlify(digits + b"0" if len(digits) % 2 else digits))


def references_in(data: bytes, at: int, *, is_framed: bool) -> tuple[frozenset[tuple[int, int]], int, bytes] | None:
    """Find what one value refers to without building it: numbers and generations, where it ends, and what follows.

    `is_framed`: a header stands before it, and `endobj` or a stream must follow. None for what is written unusually.
    """
    if is_framed:
        header = _HEADER.match(data, at)
        if header is None:
            return None
        at = header.end()
    found, openings = set[tuple[int, int]](), list[int]()
    while True:
        token = _SKELETON.match(data, at)
        if token is None:
            return None
        at, kind = token.end(), token.lastindex or 0
        if kind == 2:
            found.add((int(token[1]), int(token[2])))
        elif kind in _ENDS:
            openings.append(kind)
        elif kind == 7:  # a value without parts
            if openings or not is_framed:
                return None
        elif not openings or _ENDS[openings.pop()] != kind:
            return None
        if not openings:
            break
        if len(openings) > MAX_DEPTH:
            return None
    if not is_framed:
        return frozenset(found), at, b""
    follows = _FOLLOWS.match(data, at)
    return None if follows is None else (frozenset(found), follows.end(), follows[1])
