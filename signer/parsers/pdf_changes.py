"""What was added to a PDF after a signature: the document that a reader shows now, held against the signed one.

Both are walked from their catalogues at once (ISO 32000-2 §7.7.2). Whatever can be reached must be the same, but for
what later signatures need (entries of the form that are signature fields, their widgets on pages, validation data)
and values of form fields that the signers left free. Everything else is a change, also where some rule of PDF would
allow it (fails closed). Where an object lies in the file, and how often it was written, does not matter; objects that
nothing points to do not either. Which of two equal objects is meant does (layers are told apart by that alone): one
object is one object in both.
"""

from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from pyhanko.pdf_utils.generic import (
    ArrayObject,
    DictionaryObject,
    IndirectObject,
    NullObject,
    Reference,
    StreamObject,
)
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.xref import ObjStreamRef, XRefSectionMetaInfo, XRefSectionType
from pyhanko.sign.fields import enumerate_sig_fields

from signer.errors import PdfTooComplex
from signer.parsers.pdf_default_appearance import check_default_appearance
from signer.parsers.pdf_form import FormField, covers_any, draws, form_fields, is_shown, is_value
from signer.parsers.pdf_objects import MAX_PATH, NULL, ChangeFound, Side, items, named, raw, refers_to, same_scalar
from signer.parsers.pdf_permissions import SILENT, Permissions

MAX_STEPS: Final = 500_000

_OF_NO_CONTENT: Final = frozenset({"/DSS", "/Extensions", "/Metadata", "/Version"})  # of the catalogue
_SHOWN: Final = frozenset({"/AP", "/F", "/AS"})  # what signing writes into the widget of an empty signature field
_OF_WIDGETS: Final = _SHOWN | {
    *("/Type", "/Subtype", "/FT", "/TU", "/TM", "/Ff", "/Rect", "/P", "/MK", "/DA", "/BS", "/Border", "/Parent"),
    *("/Lang", "/NM", "/M", "/C", "/H", "/Q", "/DR", "/StructParent"),
}
_OF_NEW_FIELDS: Final = _OF_WIDGETS | {"/V", "/T", "/Kids", "/Lock", "/SV"}
_NOT_IN_TEXT: Final = "/XObject"  # a default appearance shows text: it draws none of these (§12.7.4.3)
_VALUES: Final = frozenset({"/V", "/I", "/RV"})  # of a form field
_FACES: Final = frozenset({"/AP", "/AS", "/M"})  # of its widget
_READ_ONLY: Final = 1
_OF_TWO_MEANINGS: Final = (XRefSectionType.HYBRID_MAIN, XRefSectionType.HYBRID_STREAM)


class Addition(Enum):
    """What later revisions may bring."""

    VALIDATION_DATA = "validation data"
    TIMESTAMP = "document time-stamp"
    SIGNATURE = "signature"
    FIELD = "signature field"
    FORM_VALUE = "form value"


class _Role(Enum):
    """What an object is in the document, which says how it may change."""

    CONTENT = auto()
    CATALOGUE = auto()
    FORM = auto()
    RESOURCES = auto()
    CATEGORY = auto()
    FIELDS = auto()
    FIELD = auto()
    FILLED = auto()
    FILLABLE = auto()
    PAGE = auto()
    ANNOTATIONS = auto()


_OF_ONE_PLACE: Final = frozenset({_Role.FORM, _Role.RESOURCES, _Role.CATEGORY})  # may be written apart for the form

_OF_FIELDS: Final = frozenset({_Role.FIELD, _Role.FILLED, _Role.FILLABLE})


class _Pair(NamedTuple):
    """The same place in the signed document and in the present one."""

    signed: Any
    now: Any
    role: _Role
    path: str
    holder: Reference | None = None
    page: int | None = None

    def at(self, key: str | int, signed: Any, now: Any, role: _Role = _Role.CONTENT) -> "_Pair":
        """Go one step down."""
        step = f"[{key}]" if isinstance(key, int) else key
        return _Pair(signed, now, role, f"{self.path}{step}"[: MAX_PATH + 1], self.holder, self.page)


def additions(signed: PdfFileReader, now: PdfFileReader, permissions: Permissions = SILENT) -> frozenset[Addition]:
    """Return what was added since a revision; ChangeFound, PdfTooComplex, or what pyHanko raises on a broken file."""
    return _Comparison(Side(signed), Side(now), permissions).run()


class _Comparison:
    """One walk through two documents."""

    def __init__(self, signed: Side, now: Side, permissions: Permissions) -> None:
        self._signed, self._now, self._permissions = signed, now, permissions
        self._pages: dict[Reference, int] = {}
        self._fields_now: dict[Reference, FormField] = {}
        self._roles: dict[Reference, _Role] = {}
        self._seen: set[tuple[Reference, Reference, _Role]] = set()
        self._steps = 0
        self._waiting: list[_Pair] = []
        self._found: set[Addition] = set()
        self._new_widgets: frozenset[Reference] = frozenset()
        self._filled: frozenset[Reference] = frozenset()
        self._twins: tuple[dict[Reference, Reference], dict[Reference, Reference]] = {}, {}

    def run(self) -> frozenset[Addition]:
        self._check_sections()
        roots = self._signed.reader.trailer.raw_get("/Root"), self._now.reader.trailer.raw_get("/Root")
        signed, now = self._signed.object(roots[0]), self._now.object(roots[1])
        if not isinstance(signed, DictionaryObject) or not isinstance(now, DictionaryObject):
            raise ChangeFound("", "not a dictionary")
        for value, role in ((roots[0], _Role.CATALOGUE), (raw(signed, "/AcroForm"), _Role.FORM)):
            if isinstance(value, IndirectObject):
                self._roles[value.reference] = role
        for page in self._page_tree(raw(signed, "/Pages")):
            self._roles[page] = _Role.PAGE
        fields = form_fields(self._signed, signed, self._step)
        self._fields_now = form_fields(self._now, now, self._step)
        self._new_widgets = frozenset(self._fields_now.keys() - fields.keys())
        self._filled = _signature_fields(self._now, filled=True)
        self._roles |= self._roles_of(fields)
        encryption = _trailer(self._signed.reader, "/Encrypt"), _trailer(self._now.reader, "/Encrypt")
        self._waiting += [_Pair(*roots, _Role.CATALOGUE, ""), _Pair(*encryption, _Role.CONTENT, "/Encrypt")]
        self._walk()
        return frozenset(self._found)

    def _check_sections(self) -> None:
        """See that the signed revisions are all there, and that what follows can be read in one way."""
        before, after = _sections(self._signed.reader), _sections(self._now.reader)
        if after[: len(before)] != before:
            raise ChangeFound("", "a revision that was signed is passed over")
        if any(section.xref_section_type in _OF_TWO_MEANINGS for section in after[len(before) :]):
            raise ChangeFound("", "cross-references that readers understand in two ways")

    def _roles_of(self, fields: dict[Reference, FormField]) -> Iterator[tuple[Reference, _Role]]:
        """Say of each signed field and widget whether it may change: signed where it was empty, or filled in."""
        signed = _signature_fields(self._signed, filled=False) & self._filled
        names = {fields[one].name for one in signed if one in fields} - {None}
        for reference, field in fields.items():
            if field.kind == "/Sig":
                is_free = field.name in names and not self._permissions.locks_field(field.name or "")
                is_signed = reference in signed or (field.is_widget and is_free)
                yield reference, _Role.FILLED if is_signed and is_free else _Role.FIELD
            else:
                is_free = field.takes_text and self._permissions.may_fill(field.name or "")
                yield reference, _Role.FILLABLE if is_free else _Role.FIELD

    def _page_tree(self, top: Any) -> Iterator[Reference]:
        """Yield the nodes of the tree of pages in their order, each once, and count the pages."""
        waiting, known = [top], set[Reference]()
        while waiting:
            self._step()
            node = waiting.pop()
            if isinstance(node, IndirectObject):
                if node.reference in known:
                    continue
                known.add(node.reference)
                yield node.reference
            found = self._signed.object(node)
            below = self._signed.object(raw(found, "/Kids")) if isinstance(found, DictionaryObject) else NULL
            if isinstance(below, ArrayObject):
                waiting += reversed(items(below))
            elif isinstance(node, IndirectObject):
                self._pages[node.reference] = len(self._pages) + 1

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise PdfTooComplex

    # --- the walk ---

    def _walk(self) -> None:
        while self._waiting:
            self._step()
            pair = self._placed(self._waiting.pop())
            try:
                resolved = self._resolved(pair)
                if resolved is not None:
                    self._waiting += self._below(resolved)
            except ChangeFound as change:
                change.about = named(pair.holder, pair.page) if pair.holder is not None else ""
                raise

    def _placed(self, pair: _Pair) -> _Pair:
        """Say of which object and page a pair is."""
        one, other = refers_to(pair.signed), refers_to(pair.now)
        holder = other or one or pair.holder
        return pair._replace(holder=holder, page=self._pages.get(one, pair.page) if one else pair.page)

    def _resolved(self, pair: _Pair) -> _Pair | None:
        """Follow references on both sides; None for what was compared before."""
        before, after, role = pair.signed, pair.now, pair.role
        one, other = refers_to(before), refers_to(after)
        if one is not None:
            role = self._roles.get(one, role)
            if other is not None:
                if (one, other, role) in self._seen:
                    return None
                self._seen.add((one, other, role))
        there = self._signed.object(before)
        is_same = role is _Role.CONTENT and one is not None and one == other and self._is_untouched(one)
        found = pair._replace(signed=there, now=there if is_same else self._now.object(after), role=role)
        if isinstance(found.signed, DictionaryObject) and role not in _OF_ONE_PLACE:
            self._check_identity(one, other, pair.path)
        return found

    def _is_untouched(self, reference: Reference) -> bool:
        """Whether what the signed document reads of an object is what the present one reads.

        It is where both read it at the same place: the signed one found its end within its own octets. What its stream,
        or the one that it lies in, says by reference is compared as all else is.
        """
        place = self._signed.place(reference)
        if place is None or place != self._now.place(reference):
            return False
        if isinstance(place, ObjStreamRef):
            container = IndirectObject(place.obj_stream_id, 0, self._signed.reader)  # type: ignore[no-untyped-call]  # untyped upstream
            if not self._is_untouched(container.reference):
                return False
            self._waiting.append(_Pair(container, container, _Role.CONTENT, "object stream"))
        return True

    def _check_identity(self, one: Reference | None, other: Reference | None, path: str) -> None:
        """One object in the signed document is one object now, and one alone."""
        there, back = self._twins
        if one is None or other is None:
            is_same = one is other
        else:
            is_same = there.setdefault(one, other) == other and back.setdefault(other, one) == one
        if not is_same:
            raise ChangeFound(path, "another object")

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
            pairs = zip(items(before), items(after), strict=True)
            return [pair.at(i, one, other) for i, (one, other) in enumerate(pairs)]
        if not same_scalar(before, after):
            raise ChangeFound(pair.path, "another value")
        return ()

    def _dictionary(self, pair: _Pair) -> Iterator[_Pair]:
        before, after = pair.signed, pair.now
        if isinstance(before, StreamObject) and before.encoded_data != after.encoded_data:
            raise ChangeFound(pair.path, "another stream")
        roles = self._special(pair)
        for key in sorted({*before, *after}):
            role = roles.get(key, _Role.CONTENT)
            if role is not None:
                yield pair.at(key, raw(before, key), raw(after, key), role)

    def _special(self, pair: _Pair) -> dict[str, _Role | None]:
        """Return which entries of a dictionary are something special; None: they may change as they like."""
        before, after = pair.signed, pair.now
        match pair.role:
            case _Role.CATALOGUE:
                if not isinstance(self._now.object(raw(after, "/DSS")), NullObject):
                    self._found.add(Addition.VALIDATION_DATA)
                return dict.fromkeys(_OF_NO_CONTENT) | {"/AcroForm": _Role.FORM}
            case _Role.FORM:
                fields = [self._signed.at(one) for one, role in self._roles.items() if role in _OF_FIELDS]
                check_default_appearance(fields, (self._signed, before), (self._now, after))
                special: dict[str, _Role | None] = {key: None for key in ("/DA", "/DR") if key not in before}
                return {"/SigFlags": None, "/Fields": _Role.FIELDS, "/DR": _Role.RESOURCES} | special
            case _Role.RESOURCES:
                return {key: _Role.CATEGORY if key in before and key != _NOT_IN_TEXT else None for key in after}
            case _Role.CATEGORY:  # a name that is added changes none that is used
                return {key: None for key in after if key not in before}
            case _Role.PAGE:
                return {"/Annots": _Role.ANNOTATIONS}
            case _Role.FILLED:
                return dict.fromkeys(self._filled_in(before, after, pair.path))
            case _Role.FILLABLE:
                return dict.fromkeys(self._value_keys(before, after, pair.path))
            case _Role.FIELD:
                special = dict.fromkeys(self._flag_keys(before, after))
                return special | ({"/Kids": _Role.FIELDS} if "/Kids" in before and "/FT" not in before else {})
        return {}

    # --- signatures that were added ---

    def _fields(self, pair: _Pair) -> Iterator[_Pair]:
        """Find every field where it was in the sequence; what stands between is a new signature field."""
        before, after = self._lists(pair)
        wanted = iter([*before, None])
        next_one = next(wanted)
        for index, field in enumerate(after):
            if next_one is not None and refers_to(field) == refers_to(next_one):
                yield pair.at(index, next_one, field, _Role.FIELD)
                next_one = next(wanted)
            else:
                self._check_new_field(field, pair.at(index, NULL, field).path)
        if next_one is not None:
            raise ChangeFound(pair.path, "a field is gone")

    def _annotations(self, pair: _Pair) -> Iterator[_Pair]:
        """Find every annotation where it was in the sequence; what stands between is a new field's widget."""
        before, after = self._lists(pair)
        wanted = iter([*before, None])
        next_one = next(wanted)
        for index, annotation in enumerate(after):
            if next_one is not None and refers_to(annotation) == refers_to(next_one):
                yield pair.at(index, next_one, annotation)
                next_one = next(wanted)
            else:
                self._check_new_widget(annotation, before, pair.at(index, NULL, NULL).path)
        if next_one is not None:
            raise ChangeFound(pair.path, "an annotation is gone")

    def _lists(self, pair: _Pair) -> tuple[list[Any], list[Any]]:
        sides = []
        for value in (pair.signed, pair.now):
            if not isinstance(value, ArrayObject | NullObject):
                raise ChangeFound(pair.path, "not an array")
            sides.append(items(value) if isinstance(value, ArrayObject) else [])
        return sides[0], sides[1]

    def _check_new_widget(self, annotation: Any, there: list[Any], path: str) -> None:
        """See that an annotation that was added to a page is a new field's widget and hides nothing that was there."""
        if refers_to(annotation) not in self._new_widgets:
            raise ChangeFound(path, "an annotation was added")
        widget = self._now.object(annotation)
        if is_shown(self._now, widget) and covers_any(self._now, widget, ((self._signed, one) for one in there)):
            raise ChangeFound(path, "a signature field over another annotation")

    def _check_new_field(self, field: Any, path: str) -> None:
        """See that a field that was added is a signature field and nothing else."""
        found = self._now.object(field)
        if not isinstance(field, IndirectObject) or not isinstance(found, DictionaryObject):
            raise ChangeFound(path, "a field was added that is none")
        if str(found.get("/FT")) != "/Sig":
            raise ChangeFound(path, "a form field was added")
        kids = self._now.object(raw(found, "/Kids"))
        widgets = [self._now.object(kid) for kid in items(kids)] if isinstance(kids, ArrayObject) else []
        for one, allowed in ((found, _OF_NEW_FIELDS), *((widget, _OF_WIDGETS) for widget in widgets)):
            if not _is_of(one, allowed) or isinstance(one, StreamObject):
                raise ChangeFound(path, "a signature field that does more than hold a signature")
        shows = any(is_shown(self._now, one) for one in (found, *widgets))
        if shows and (self._permissions.is_certified or self._permissions.locks_field(self._name_of(field))):
            raise ChangeFound(path, "a new signature field that shows something where that was not left free")
        if field.reference in self._filled:
            self._note_value(found)
            return
        if any(draws(self._now, one) for one in (found, *widgets)):
            raise ChangeFound(path, "a signature field without a signature that shows something")
        self._found.add(Addition.FIELD)

    def _filled_in(self, before: DictionaryObject, after: DictionaryObject, path: str) -> frozenset[str]:
        """Return what may change where a signature was put into a field of before: its value, and how it is shown."""
        changed = frozenset({"/V"} if "/T" in before else ())
        if changed:
            self._note_value(after)
        if str(before.get("/Subtype")) != "/Widget":
            return changed
        if not isinstance(self._now.object(raw(after, "/F")), int | NullObject):  # of a widget: its flags
            raise ChangeFound(path, "a signature field that does more than hold a signature")
        return changed | _SHOWN

    def _name_of(self, field: IndirectObject) -> str:
        known = self._fields_now.get(field.reference)
        return (known.name if known is not None else None) or ""

    # --- fields that were filled in ---

    def _value_keys(self, before: DictionaryObject, after: DictionaryObject, path: str) -> frozenset[str]:
        """Return what may change where a form field was filled in that was left free."""
        if not is_value(self._now.object(raw(after, "/V"))):
            raise ChangeFound(path, "a value that is none")
        changed = _VALUES if "/T" in before else frozenset[str]()
        changed |= _FACES if str(before.get("/Subtype")) == "/Widget" else frozenset()
        if any(raw(before, key) != raw(after, key) for key in changed):
            self._found.add(Addition.FORM_VALUE)
        return changed | self._flag_keys(before, after)

    def _flag_keys(self, before: DictionaryObject, after: DictionaryObject) -> frozenset[str]:
        """Return the flags of a field where it became read-only and nothing more (§12.7.4.1)."""
        flags = self._signed.object(raw(before, "/Ff")), self._now.object(raw(after, "/Ff"))
        one, other = (flag if isinstance(flag, int) else 0 for flag in flags)
        is_closed = other == one | _READ_ONLY and not self._permissions.allows_no_changes
        return frozenset({"/Ff"} if is_closed and isinstance(flags[1], int) else ())

    def _note_value(self, field: DictionaryObject) -> None:
        value = self._now.object(raw(field, "/V"))
        is_stamp = isinstance(value, DictionaryObject) and str(value.get("/SubFilter")) == "/ETSI.RFC3161"
        self._found.add(Addition.TIMESTAMP if is_stamp else Addition.SIGNATURE)


def _is_of(widget: Any, allowed: frozenset[str]) -> bool:
    """Whether a dictionary is a signature field's or its widget's, and has these entries at most."""
    return (
        isinstance(widget, DictionaryObject)
        and allowed.issuperset(widget)
        and str(widget.get("/FT", "/Sig")) == "/Sig"
        and str(widget.get("/Subtype", "/Widget")) == "/Widget"
    )


def _signature_fields(side: Side, *, filled: bool) -> frozenset[Reference]:
    """Return the signature fields that a verifier sees, by whether they hold a signature."""
    found = enumerate_sig_fields(side.reader, filled_status=filled)
    return frozenset(field.reference for _name, _value, field in found)


def _sections(reader: PdfFileReader) -> list[XRefSectionMetaInfo]:
    """Return where the cross-references of each revision lie, the first one first."""
    return [reader.xrefs.get_xref_container_info(number) for number in range(reader.xrefs.total_revisions)]


def _trailer(reader: PdfFileReader, key: str) -> Any:
    return reader.trailer.raw_get(key) if key in reader.trailer else NULL
