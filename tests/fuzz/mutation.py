"""One change to one file: by what it is built of, or octets at random."""

from random import Random
from typing import Final

from pki.errors import ServiceError
from signer.prescription_code import PREFIXES, from_text, to_text
from tests.fuzz import der_edits, json_edits, package_edits
from tests.fuzz.seeds import Kind, good_files, kind_of

_OCTETS: Final = (
    b"\0",
    b"\xff",
    b"\x80",
    b"0",
    b'"',
    b"(",
    b"<",
    b"\n",
    b"\xef\xbb\xbf",
    b"\x30\x80",
    b"%%EOF",
    b"A" * 300,
)


def mutated(data: bytes, chance: Random) -> bytes:
    """Return `data` changed: mostly so that it stays well-formed, and what reads it goes deep."""
    if data and chance.random() < 0.8:
        other = chance.choice(good_files()[Kind.DER])
        changed = _by_kind(data, other, chance)
        if changed is not None:
            return changed
    return _at_random(data, chance)


def _by_kind(data: bytes, other: bytes, chance: Random) -> bytes | None:
    match kind_of(data):
        case Kind.DER:
            return der_edits.edited(data, other, chance)
        case Kind.ZIP:
            return package_edits.edited_zip(data, lambda inner: mutated(inner, chance), chance)
        case Kind.PDF:
            return package_edits.edited_pdf(data, other, chance)
        case _ if data.startswith(PREFIXES):
            return _recoded(data, chance)
        case _:
            return json_edits.edited(data, other, chance)


def _recoded(text: bytes, chance: Random) -> bytes | None:
    """Change the COSE within the text of a code."""
    try:
        return to_text(_at_random(from_text(text), chance))
    except ServiceError:
        return None


def _at_random(data: bytes, chance: Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + chance.choice(_OCTETS) + data[at:]
            case 2:
                data = data[:at] + data[at + chance.randrange(1, 9) :]
            case 3:
                start = chance.randrange(len(data) + 1)
                data = data[:at] + data[start : start + chance.randrange(1, 200)] + data[at:]
            case _:
                data = data[:at] + bytes((chance.randrange(256),)) + data[at + 1 :]
    return data
