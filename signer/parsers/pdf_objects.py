"""Objects of a PDF as a comparison of two documents reads them: references kept, nothing repaired."""

from dataclasses import dataclass, field
from typing import Any, Final

from pyhanko.pdf_utils.generic import (
    ArrayObject,
    ByteStringObject,
    DictionaryObject,
    EncryptedObjAccess,
    IndirectObject,
    NameObject,
    NullObject,
    Reference,
    TextStringObject,
)
from pyhanko.pdf_utils.xref import ObjStreamRef, XRefSectionMetaInfo

from signer.bounded_pdf import BoundedReader
from signer.errors import PdfTooComplex

MAX_PATH: Final = 160
MAX_STEPS: Final = 90_000  # of comparing whole documents, over all signatures of a file
NULL: Final = NullObject()


class ChangeFound(Exception):
    """Something that was signed is not as it was; says where and what, and in `about` in which object of which page."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path[:MAX_PATH] or 'catalogue'}: {what}")
        self.about = ""


class Effort:
    """The steps that one file may take, over all its signatures."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._left = steps

    def step(self) -> None:
        """Count one; PdfTooComplex when there is none left."""
        self._left -= 1
        if self._left < 0:
            raise PdfTooComplex


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two documents."""

    reader: BoundedReader
    places: dict[Reference, int | ObjStreamRef | None] = field(default_factory=dict, compare=False)

    def at(self, reference: Reference) -> Any:
        """Read an object; one that is nowhere is null. ChangeFound where it is a reference itself, which few follow."""
        if self.place(reference) is None:
            return NULL
        found = self.reader.get_object(reference)
        if isinstance(found, IndirectObject):
            raise ChangeFound("", "a reference that leads to a reference")
        return found

    def place(self, reference: Reference) -> int | ObjStreamRef | None:
        """Return where an object lies: an offset, or which place of which object stream; None: nowhere."""
        if reference not in self.places:
            self.places[reference] = self.reader.xrefs[reference]
        return self.places[reference]

    def object(self, value: Any) -> Any:
        """Follow a reference; one that leads nowhere is null (ISO 32000-2 §7.3.10)."""
        return self.at(value.reference) if isinstance(value, IndirectObject) else value


def raw(found: DictionaryObject, key: str) -> Any:
    """Return an entry as it is written, references too; null where there is none."""
    if (
        key == "/Contents" and "/ByteRange" in found and key in found
    ):  # a signature value is never encrypted (ISO 32000-2 §7.6.2)
        return found.raw_get(key, decrypt=EncryptedObjAccess.RAW)
    return found.raw_get(key) if key in found else NULL


def items(array: ArrayObject) -> list[Any]:
    """Return the elements as they are written, references too."""
    return [array.raw_get(index) for index in range(len(array))]


def items_below(value: Any) -> list[Any]:
    """Return what an array or a dictionary holds, as it is written."""
    if isinstance(value, DictionaryObject):
        return [value.raw_get(key) for key in value]
    return items(value) if isinstance(value, ArrayObject) else []


def named(reference: Reference, page: int | None = None) -> str:
    """Name an object as the file does, and the page that it is of (the first is 1)."""
    return f"{reference.idnum} {reference.generation} R" + (f", page {page}" if page else "")


def refers_to(value: Any) -> Reference | None:
    """Return the object that is meant; None for a value that stands in place."""
    return value.reference if isinstance(value, IndirectObject) else None


def same_scalar(one: Any, other: Any) -> bool:
    """Whether two values without parts are the same: strings by their octets, names as names."""
    strings = (TextStringObject, ByteStringObject)
    if isinstance(one, strings) and isinstance(other, strings):
        return bool(one.original_bytes == other.original_bytes)
    if isinstance(one, NameObject) != isinstance(other, NameObject) or isinstance(one, strings) != isinstance(
        other, strings
    ):
        return False
    return bool(one == other)


def sections(reader: BoundedReader) -> list[XRefSectionMetaInfo]:
    """Return where the cross-references of each revision lie, the first one first."""
    return [reader.xrefs.get_xref_container_info(number) for number in range(reader.xrefs.total_revisions)]


def trailer_entry(reader: BoundedReader, key: str) -> Any:
    """Return an entry of the trailer as it is written; null where there is none."""
    return reader.trailer.raw_get(key) if key in reader.trailer else NULL
