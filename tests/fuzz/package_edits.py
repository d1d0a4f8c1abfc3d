"""Changes inside a ZIP's files, a PDF's objects and the signature in it, with places and lengths kept right."""

import binascii
import re
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from random import Random
from typing import Final
from warnings import catch_warnings

from tests.fuzz import der_edits

Change = Callable[[bytes], bytes]

_NAMES: Final = (
    *("mimetype", "META-INF/signature.p7s", "META-INF/signatures.xml", "META-INF/ASiCManifest.xml", "META-INF/"),
    *("META-INF/timestamp.tst", "META-INF/ASiCArchiveManifest1.xml", "../x", "/x", "a/", "A" * 600, "نام", "a\u202eb"),
)
_OBJECT: Final = re.compile(rb"(\d{1,5}) 0 obj\b(.*?)endobj", re.DOTALL)
_CONTENTS: Final = re.compile(rb"/Contents\s*<([0-9a-fA-F]{64,})>")
_ROOT: Final = re.compile(rb"/Root\s+(\d{1,5}) 0 R")
_LAST_XREF: Final = re.compile(rb"startxref\s+(\d{1,9})\s+%%EOF")
_TOKEN: Final = re.compile(rb"/[A-Za-z.0-9]+|\d+ 0 R|-?\d+(?:\.\d+)?|\([^()]{0,200}\)|<<|>>|\[|\]")
_WORDS: Final = (
    *(
        b"/Kids /Parent /Type /Catalog /Sig /FT /V /T /Fields /AcroForm /Annots /AP /N /DSS /VRI /Certs /CRLs /OCSPs"
        b" /Perms /DocMDP /Reference /ByteRange /Filter /FlateDecode /ASCIIHexDecode /Length /ObjStm /First /Extends"
        b" /Prev /Encrypt /P 0 -1 99999999999 1e9 null true << >> [ ] () <00>"
    ).split(),
    *(b"1 0 R", b"2 0 R", b"5 0 R", b"6 0 R", b"7 0 R", b"9999 0 R", b"<< /Kids [1 0 R] >>", b"[" * 60 + b"]" * 60),
)


def edited_zip(data: bytes, change: Change, chance: Random) -> bytes | None:
    """Change a file of a ZIP, its name or its place; None where it is no ZIP that can be read."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as container:
            files = [(one.filename, container.read(one)) for one in container.infolist()]
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, OSError, RuntimeError):
        return None
    if not files:
        return None
    at = chance.randrange(len(files))
    name, octets = files[at]
    match chance.randrange(9):
        case 0:
            del files[at]
        case 1:
            files.append((chance.choice(_NAMES), octets))
        case 2:
            files[at] = (chance.choice(_NAMES), octets)
        case 3:
            files.insert(0, files.pop(at))
        case 4:
            files += [(f"{number}{name[-400:]}", octets[:64]) for number in range(chance.choice((2, 60, 1100)))]
        case 5:
            files[at] = (name, data)
        case _:
            files[at] = (name, change(octets))
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as container, catch_warnings(action="ignore"):  # two files of one name
        for number, (name, octets) in enumerate(files):
            method = zipfile.ZIP_DEFLATED if number and chance.random() < 0.5 else zipfile.ZIP_STORED
            container.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), octets, method)
    return stream.getvalue()


def edited_pdf(data: bytes, other: bytes, chance: Random) -> bytes | None:
    """Change the signature in a PDF, add a revision with changed objects, or change one in its place."""
    objects = list(_OBJECT.finditer(data))
    if not objects:
        return None
    match chance.randrange(4):
        case 0:
            return _other_signature(data, other, chance)
        case 1:
            found = chance.choice(objects)
            changed = _changed_object(found[2], chance)
            return data[: found.start(2)] + changed[: len(found[2])].ljust(len(found[2])) + data[found.end(2) :]
        case _:
            return _added_revision(data, objects, chance)


def _other_signature(data: bytes, other: bytes, chance: Random) -> bytes | None:
    found = _CONTENTS.search(data)
    if found is None:
        return None
    octets = binascii.unhexlify(found[1][: len(found[1]) & ~1])
    size = 4 + int.from_bytes(octets[2:4], "big")
    changed = der_edits.edited(octets[:size], other, chance) or octets[: chance.randrange(size + 1)]
    digits = changed.hex().encode()[: len(found[1])].ljust(len(found[1]), b"0")
    return data[: found.start(1)] + digits + data[found.end(1) :]


def _added_revision(data: bytes, objects: list[re.Match[bytes]], chance: Random) -> bytes | None:
    root, places = _ROOT.search(data), _LAST_XREF.findall(data)
    if root is None or not places:
        return None
    out, entries = bytearray(data if data.endswith(b"\n") else data + b"\n"), []
    for found in chance.sample(objects, min(len(objects), chance.choice((1, 1, 2)))):
        number = int(found[1]) if chance.random() < 0.8 else chance.randrange(1, 40)
        entries.append(b"%d 1\n%010d 00000 n \n" % (number, len(out)))
        out += b"%d 0 obj%sendobj\n" % (number, _changed_object(found[2], chance))
    at = len(out)
    before = int(places[-1]) if chance.random() < 0.9 else at
    out += b"xref\n%strailer\n<< /Size 60 /Root %s 0 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n" % (
        b"".join(entries), root[1], before, at,
    )  # fmt: skip
    return bytes(out)


def _changed_object(body: bytes, chance: Random) -> bytes:
    tokens = list(_TOKEN.finditer(body))
    if not tokens:
        return body
    found = chance.choice(tokens)
    words = (*_WORDS, chance.choice(tokens)[0])
    word = chance.choice(words)
    match chance.randrange(3):
        case 0:
            return body[: found.start()] + word + body[found.end() :]
        case 1:
            return body[: found.end()] + b" " + word + b" " + chance.choice(words) + body[found.end() :]
        case _:
            return body[: found.start()] + body[found.end() :]
