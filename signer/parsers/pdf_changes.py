"""What was added to a PDF after a signature: the document that a reader shows now, held against the signed one.

Both are walked from their catalogues at once (ISO 32000-2 §7.7.2). Whatever can be reached must be the same, but for
what later signatures need: entries of the form that are signature fields, their widgets on pages, and validation
data. Everything else is a change, also where some rule of PDF would allow it (fails closed). Where an object lies in
the file, and how often it was written, does not matter; objects that nothing points to do not either.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from pyhanko.pdf_utils.generic import (
    ArrayObject,
    ByteStringObject,
    DictionaryObject,
    IndirectObject,
    NameObject,
    NullObject,
    Reference,
    StreamObject,
    TextStringObject,
)
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.xref import ObjStreamRef, XRefSectionType

from signer.errors import PdfTooComplex

MAX_STEPS: Final = 500_000
MAX_PATH: Final = 160

_OF_NO_CONTENT: Final = frozenset({"/DSS", "/Extensions", "/Metadata", "/Version"})  # of the catalogue
_FILLED: Final = frozenset({"/V", "/AP", "/F", "/AS"})  # what signing writes into an empty signature field
_OF_NEW_FIELDS: Final = _FILLED | {
    *("/Type", "/Subtype", "/FT", "/T", "/TU", "/TM", "/Ff", "/Rect", "/P", "/MK", "/DA", "/BS", "/Border"),
    *("/Parent", "/Kids", "/Lock", "/SV", "/Lang", "/NM", "/M", "/C", "/H", "/Q", "/DR", "/StructParent"),
}
_NOT_IN_TEXT: Final = "/XObject"  # a default appearance shows text: it draws none of these (§12.7.4.3)
_OF_TWO_MEANINGS: Final = (XRefSectionType.HYBRID_MAIN, XRefSectionType.HYBRID_STREAM)
_NULL: Final = NullObject()


class ChangeFound(Exception):
    """Something that was signed is not as it was; says where and what."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path[:MAX_PATH] or 'catalogue'}: {what}")


class Addition(Enum):
    """What later revisions may bring."""

    VALIDATION_DATA = "validation data"
    TIMESTAMP = "document time-stamp"
    SIGNATURE = "signature"
    FIELD = "signature field"


class _Role(Enum):
    """What an object is in the document, which says how it may change."""

    CONTENT = auto()
    CATALOGUE = auto()
    FORM = auto()
    RESOURCES = auto()
    CATEGORY = auto()
    FIELDS = auto()
    FIELD = auto()
    PAGE = auto()
    ANNOTATIONS = auto()


class _Pair(NamedTuple):
    """The same place in the signed document and in the present one."""

    signed: Any
    now: Any
    role: _Role
    path: str

    def at(self, key: str | int, signed: Any, now: Any, role: _Role = _Role.CONTENT) -> "_Pair":
        """Go one step down."""
        step = f"[{key}]" if isinstance(key, int) else key
        return _Pair(signed, now, role, f"{self.path}{step}"[: MAX_PATH + 1])


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two documents."""

    reader: PdfFileReader

    def object(self, value: Any) -> Any:
        """Follow a reference; one that leads nowhere is null (ISO 32000-2 §7.3.10)."""
        if not isinstance(value, IndirectObject):
            return value
        if self.reader.xrefs[value.reference] is None:
            return _NULL
        return self.reader.get_object(value.reference)  # type: ignore[no-untyped-call]  # untyped upstream

    def place(self, reference: Reference) -> Any:
        """Return where an object lies: an offset, or an object stream's offset and the index in it; None: nowhere."""
        found = self.reader.xrefs[reference]
        if isinstance(found, ObjStreamRef):
            return self.reader.xrefs[Reference(found.obj_stream_id, 0)], found.ix_in_stream
        return found


def additions(signed: PdfFileReader, now: PdfFileReader) -> frozenset[Addition]:
    """Return what was added since a revision; ChangeFound, PdfTooComplex, or what pyHanko raises on a broken file."""
    return _Comparison(_Side(signed), _Side(now)).run()


class _Comparison:
    """One walk through two documents."""

    def __init__(self, signed: _Side, now: _Side) -> None:
        self._signed, self._now = signed, now
        self._roles: dict[Reference, _Role] = {}
        self._seen: set[tuple[Reference, Reference, _Role]] = set()
        self._steps = 0
        self._found: set[Addition] = set()
        self._new_widgets: frozenset[Reference] = frozenset()

    def run(self) -> frozenset[Addition]:
        before, after = self._signed.reader.xrefs, self._now.reader.xrefs
        added = map(after.get_xref_container_info, range(before.total_revisions, after.total_revisions))
        if any(section.xref_section_type in _OF_TWO_MEANINGS for section in added):
            raise ChangeFound("", "cross-references that readers understand in two ways")
        roots = self._signed.reader.trailer.raw_get("/Root"), self._now.reader.trailer.raw_get("/Root")
        signed, now = self._signed.object(roots[0]), self._now.object(roots[1])
        if not isinstance(signed, DictionaryObject) or not isinstance(now, DictionaryObject):
            raise ChangeFound("", "not a dictionary")
        for value, role in ((roots[0], _Role.CATALOGUE), (_raw(signed, "/AcroForm"), _Role.FORM)):
            if isinstance(value, IndirectObject):
                self._roles[value.reference] = role
        for page in self._tree(self._signed, _raw(signed, "/Pages"), "/Kids"):
            self._roles[page] = _Role.PAGE
        old_fields = self._form_fields(self._signed, signed)
        self._roles |= dict.fromkeys(old_fields, _Role.FIELD)
        self._new_widgets = self._form_fields(self._now, now) - old_fields
        encryption = _trailer(self._signed.reader, "/Encrypt"), _trailer(self._now.reader, "/Encrypt")
        self._walk([_Pair(*roots, _Role.CATALOGUE, ""), _Pair(*encryption, _Role.CONTENT, "/Encrypt")])
        return frozenset(self._found)

    def _form_fields(self, side: _Side, catalogue: DictionaryObject) -> frozenset[Reference]:
        form = side.object(_raw(catalogue, "/AcroForm"))
        if not isinstance(form, DictionaryObject):
            return frozenset()
        fields = side.object(_raw(form, "/Fields"))
        return frozenset(
            reference
            for field in (_items(fields) if isinstance(fields, ArrayObject) else ())
            for reference in self._tree(side, field, "/Kids")
        )

    def _tree(self, side: _Side, top: Any, branches: str) -> Iterator[Reference]:
        """Yield the references of a tree of dictionaries, each once."""
        waiting, known = [top], set[Reference]()
        while waiting:
            self._step()
            node = waiting.pop()
            if isinstance(node, IndirectObject):
                if node.reference in known:
                    continue
                known.add(node.reference)
                yield node.reference
            found = side.object(node)
            below = side.object(_raw(found, branches)) if isinstance(found, DictionaryObject) else _NULL
            if isinstance(below, ArrayObject):
                waiting += _items(below)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise PdfTooComplex

    # --- the walk ---

    def _walk(self, waiting: list[_Pair]) -> None:
        while waiting:
            self._step()
            resolved = self._resolved(waiting.pop())
            if resolved is not None:
                waiting += self._below(resolved)

    def _resolved(self, pair: _Pair) -> _Pair | None:
        """Follow references on both sides; None for what was compared before."""
        before, after, role = pair.signed, pair.now, pair.role
        if isinstance(before, IndirectObject):
            role = self._roles.get(before.reference, role)
            if isinstance(after, IndirectObject):
                key = (before.reference, after.reference, role)
                if key in self._seen:
                    return None
                self._seen.add(key)
                if before.reference == after.reference and self._is_untouched(before.reference):
                    found = self._now.object(after)
                    return _Pair(found, found, role, pair.path)
        return _Pair(self._signed.object(before), self._now.object(after), role, pair.path)

    def _is_untouched(self, reference: Reference) -> bool:
        """Whether both documents read an object from the same octets."""
        return bool(self._signed.place(reference) == self._now.place(reference))

    def _below(self, pair: _Pair) -> Iterable[_Pair]:
        """Compare two values and return what lies below them."""
        before, after = pair.signed, pair.now
        if pair.role is _Role.FIELDS:
            return self._fields(pair)
        if pair.role is _Role.ANNOTATIONS:
            return self._annotations(pair)
        if isinstance(before, DictionaryObject):
            if not isinstance(after, DictionaryObject) or isinstance(before, StreamObject) != isinstance(
                after, StreamObject
            ):
                raise ChangeFound(pair.path, "another kind of object")
            return self._dictionary(pair)
        if isinstance(before, ArrayObject):
            if not isinstance(after, ArrayObject) or len(before) != len(after):
                raise ChangeFound(pair.path, "another array")
            pairs = zip(_items(before), _items(after), strict=True)
            return [pair.at(i, one, other) for i, (one, other) in enumerate(pairs)]
        if before is not after and not _same_scalar(before, after):
            raise ChangeFound(pair.path, "another value")
        return ()

    def _dictionary(self, pair: _Pair) -> Iterator[_Pair]:
        before, after = pair.signed, pair.now
        if isinstance(before, StreamObject) and before is not after and before.encoded_data != after.encoded_data:
            raise ChangeFound(pair.path, "another stream")
        roles = self._special(pair)
        for key in sorted({*before, *after}):
            role = roles.get(key, _Role.CONTENT)
            if role is None or (key == "/Length" and isinstance(before, StreamObject)):
                continue
            yield pair.at(key, _raw(before, key), _raw(after, key), role)

    def _special(self, pair: _Pair) -> dict[str, _Role | None]:
        """Return which entries of a dictionary are something special; None: they may change as they like."""
        before, after = pair.signed, pair.now
        match pair.role:
            case _Role.CATALOGUE:
                if not isinstance(self._now.object(_raw(after, "/DSS")), NullObject):
                    self._found.add(Addition.VALIDATION_DATA)
                return dict.fromkeys(_OF_NO_CONTENT) | {"/AcroForm": _Role.FORM}
            case _Role.FORM:
                special: dict[str, _Role | None] = {key: None for key in ("/DA", "/DR") if key not in before}
                return {"/SigFlags": None, "/Fields": _Role.FIELDS, "/DR": _Role.RESOURCES} | special
            case _Role.RESOURCES:
                return {key: _Role.CATEGORY if key in before and key != _NOT_IN_TEXT else None for key in after}
            case _Role.CATEGORY:  # a name that is added changes none that is used
                return {key: None for key in after if key not in before}
            case _Role.PAGE:
                return {"/Annots": _Role.ANNOTATIONS}
            case _Role.FIELD:
                if str(before.get("/FT")) == "/Sig" and isinstance(self._signed.object(_raw(before, "/V")), NullObject):
                    self._note_value(after)
                    return dict.fromkeys(_FILLED)
                return {"/Kids": _Role.FIELDS}
        return {}

    # --- signatures that were added ---

    def _fields(self, pair: _Pair) -> Iterator[_Pair]:
        """Find every field where it was in the sequence; what stands between is a new signature field."""
        before, after = self._lists(pair)
        wanted = iter([*before, None])
        next_one = next(wanted)
        for index, field in enumerate(after):
            if next_one is not None and _refers_to(field) == _refers_to(next_one):
                yield pair.at(index, next_one, field, _Role.FIELD)
                next_one = next(wanted)
            else:
                self._check_new_field(field, pair.at(index, _NULL, field).path)
        if next_one is not None:
            raise ChangeFound(pair.path, "a field is gone")

    def _annotations(self, pair: _Pair) -> Iterator[_Pair]:
        """Find every annotation where it was in the sequence; what stands between is a new field's widget."""
        before, after = self._lists(pair)
        wanted = iter([*before, None])
        next_one = next(wanted)
        for index, annotation in enumerate(after):
            if next_one is not None and _refers_to(annotation) == _refers_to(next_one):
                yield pair.at(index, next_one, annotation)
                next_one = next(wanted)
            elif _refers_to(annotation) not in self._new_widgets:
                raise ChangeFound(pair.at(index, _NULL, _NULL).path, "an annotation was added")
        if next_one is not None:
            raise ChangeFound(pair.path, "an annotation is gone")

    def _lists(self, pair: _Pair) -> tuple[list[Any], list[Any]]:
        sides = []
        for value in (pair.signed, pair.now):
            if not isinstance(value, ArrayObject | NullObject):
                raise ChangeFound(pair.path, "not an array")
            sides.append(_items(value) if isinstance(value, ArrayObject) else [])
        return sides[0], sides[1]

    def _check_new_field(self, field: Any, path: str) -> None:
        """See that a field that was added is a signature field and nothing else."""
        found = self._now.object(field)
        if not isinstance(field, IndirectObject) or not isinstance(found, DictionaryObject):
            raise ChangeFound(path, "a field was added that is none")
        if str(found.get("/FT")) != "/Sig":
            raise ChangeFound(path, "a form field was added")
        widgets = self._now.object(_raw(found, "/Kids"))
        below = [self._now.object(kid) for kid in _items(widgets)] if isinstance(widgets, ArrayObject) else []
        for one in (found, *below):
            if not isinstance(one, DictionaryObject) or not _OF_NEW_FIELDS.issuperset(one):
                raise ChangeFound(path, "a signature field that does more than hold a signature")
        self._note_value(found)

    def _note_value(self, field: DictionaryObject) -> None:
        value = self._now.object(_raw(field, "/V"))
        if not isinstance(value, DictionaryObject):
            self._found.add(Addition.FIELD)
        elif str(value.get("/SubFilter")) == "/ETSI.RFC3161":
            self._found.add(Addition.TIMESTAMP)
        else:
            self._found.add(Addition.SIGNATURE)


def _raw(found: DictionaryObject, key: str) -> Any:
    """Return an entry as it is written, references too; null where there is none."""
    return found.raw_get(key) if key in found else _NULL


def _trailer(reader: PdfFileReader, key: str) -> Any:
    return reader.trailer.raw_get(key) if key in reader.trailer else _NULL


def _items(array: ArrayObject) -> list[Any]:
    """Return the elements as they are written, references too."""
    return [array.raw_get(index) for index in range(len(array))]


def _refers_to(value: Any) -> Reference | None:
    return value.reference if isinstance(value, IndirectObject) else None


def _same_scalar(one: Any, other: Any) -> bool:
    strings = (TextStringObject, ByteStringObject)
    if isinstance(one, strings) and isinstance(other, strings):
        return bool(one.original_bytes == other.original_bytes)
    if isinstance(one, NameObject) != isinstance(other, NameObject) or isinstance(one, strings) != isinstance(
        other, strings
    ):
        return False
    return bool(one == other)
