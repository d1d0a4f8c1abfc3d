"""Two documents compared: what a reader of a PDF shows now, and what was signed.

Both are walked from their catalogues at once (ISO 32000-2 §7.7.2). Whatever can be reached must be the same, but for
what later signatures need (entries of the form that are signature fields, their widgets on pages, validation data)
and values of form fields that the signers left free. Everything else is a change, also where some rule of PDF would
allow it (fails closed). Where an object lies in the file, and how often it was written, does not matter; objects that
nothing points to do not either. Which of two equal objects is meant does (layers are told apart by that alone): one
object is one object in both.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pyhanko.pdf_utils.generic import (
    ArrayObject,
    DictionaryObject,
    IndirectObject,
    NullObject,
    Reference,
    StreamObject,
)
from pyhanko.pdf_utils.xref import ObjStreamRef, XRefSectionType

from signer.parsers.pdf_default_appearance import check_default_appearance
from signer.parsers.pdf_form import FormField, covers_any, draws, form_fields, is_shown, is_value
from signer.parsers.pdf_objects import (
    NULL,
    ChangeFound,
    Effort,
    Side,
    items,
    items_below,
    named,
    raw,
    refers_to,
    same_scalar,
    sections,
    trailer_entry,
)
from signer.parsers.pdf_permissions import Permissions
from signer.parsers.pdf_roles import (
    OF_FIELDS,
    OF_ONE_PLACE,
    Addition,
    Pair,
    Role,
    page_tree,
    roles_of_fields,
    signature_fields,
)

OF_NO_CONTENT: Final = frozenset({"/DSS", "/Extensions", "/Metadata", "/Version"})  # of the catalogue
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


class Comparison:
    """One walk through two documents."""

    def __init__(self, signed: Side, now: Side, permissions: Permissions, effort: Effort) -> None:
        self._signed, self._now, self._permissions, self._step = signed, now, permissions, effort.step
        self._pages: dict[Reference, int] = {}
        self._fields_now: dict[Reference, FormField] = {}
        self._roles: dict[Reference, Role] = {}
        self._seen: set[tuple[Reference, Reference, Role]] = set()
        self._waiting: list[Pair] = []
        self._found: set[Addition] = set()
        self._new_widgets: frozenset[Reference] = frozenset()
        self._filled: frozenset[Reference] = frozenset()
        self._twins: tuple[dict[Reference, Reference], dict[Reference, Reference]] = {}, {}

    def run(self) -> frozenset[Addition]:
        """Return what was added; ChangeFound."""
        roots = self._prepare()
        for reference, is_page in page_tree(self._signed, raw(self._signed.object(roots[0]), "/Pages"), self._step):
            self._roles.setdefault(reference, Role.PAGE)
            if is_page:
                self._pages[reference] = len(self._pages) + 1
        encryption = trailer_entry(self._signed.reader, "/Encrypt"), trailer_entry(self._now.reader, "/Encrypt")
        self._waiting += [Pair(*roots, Role.CATALOGUE, ""), Pair(*encryption, Role.CONTENT, "/Encrypt")]
        self._walk()
        return frozenset(self._found)

    def _prepare(self) -> tuple[Any, Any]:
        """Learn of both forms and catalogues; return the references to the catalogues."""
        self._check_sections()
        roots = trailer_entry(self._signed.reader, "/Root"), trailer_entry(self._now.reader, "/Root")
        signed, now = self._signed.object(roots[0]), self._now.object(roots[1])
        if not isinstance(signed, DictionaryObject) or not isinstance(now, DictionaryObject):
            raise ChangeFound("", "not a dictionary")
        fields = form_fields(self._signed, signed, self._step)
        self._fields_now = form_fields(self._now, now, self._step)
        self._new_widgets = frozenset(self._fields_now.keys() - fields.keys())
        self._filled = signature_fields(self._now, filled=True)
        for value, role in ((roots[0], Role.CATALOGUE), (raw(signed, "/AcroForm"), Role.FORM)):
            if isinstance(value, IndirectObject):
                self._roles[value.reference] = role
        self._roles |= roles_of_fields(self._signed, self._filled, fields, self._permissions)
        self._check_stamps()
        if not isinstance(self._now.object(raw(now, "/DSS")), NullObject):
            self._found.add(Addition.VALIDATION_DATA)
        return roots

    def _check_stamps(self) -> None:
        """See that no later document time-stamp shows anything: anybody adds one, and a bad one fails no signature."""
        stamps = {one for one in self._filled if self._is_stamp(self._now.at(one))}
        if self._show(stamps) and self._show(stamps - signature_fields(self._signed, filled=True)):
            raise ChangeFound("/AcroForm", "a document time-stamp that shows something")

    def _show(self, fields: set[Reference]) -> bool:
        """Whether one of these fields of the present form shows more than a field that was there without a value."""
        names = {self._fields_now[one].name for one in fields if one in self._fields_now}
        widgets = {one for one, known in self._fields_now.items() if known.is_widget and known.name in names}
        shown = (one for one in fields | widgets if is_shown(self._now, self._now.at(one)))
        return any(one in self._new_widgets or draws(self._now, self._now.at(one)) for one in shown)

    def _check_sections(self) -> None:
        """See that the signed revisions are all there, and that what follows can be read in one way."""
        before, after = sections(self._signed.reader), sections(self._now.reader)
        if after[: len(before)] != before:
            raise ChangeFound("", "a revision that was signed is passed over")
        if any(section.xref_section_type in _OF_TWO_MEANINGS for section in after[len(before) :]):
            raise ChangeFound("", "cross-references that readers understand in two ways")

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

    def _placed(self, pair: Pair) -> Pair:
        """Say of which object and page a pair is."""
        one, other = refers_to(pair.signed), refers_to(pair.now)
        holder = other or one or pair.holder
        return pair._replace(holder=holder, page=self._pages.get(one, pair.page) if one else pair.page)

    def _resolved(self, pair: Pair) -> Pair | None:
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
        is_same = role is Role.CONTENT and one is not None and one == other and self._is_untouched(one)
        found = pair._replace(signed=there, now=there if is_same else self._now.object(after), role=role)
        if isinstance(found.signed, DictionaryObject) and role not in OF_ONE_PLACE:
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
            self._waiting.append(Pair(container, container, Role.CONTENT, "object stream"))
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

    def _below(self, pair: Pair) -> Iterable[Pair]:
        """Compare two values and return what lies below them."""
        before, after = pair.signed, pair.now
        if pair.role is Role.FIELDS:
            return self._fields(pair)
        if pair.role is Role.ANNOTATIONS:
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

    def _dictionary(self, pair: Pair) -> Iterator[Pair]:
        before, after = pair.signed, pair.now
        if isinstance(before, StreamObject) and before.encoded_data != after.encoded_data:
            raise ChangeFound(pair.path, "another stream")
        roles = self._special(pair)
        for key in sorted({*before, *after}):
            role = roles.get(key, Role.CONTENT)
            if role is not None:
                yield pair.at(key, raw(before, key), raw(after, key), role)

    def _special(self, pair: Pair) -> dict[str, Role | None]:
        """Return which entries of a dictionary are something special; None: they may change as they like."""
        before, after = pair.signed, pair.now
        match pair.role:
            case Role.CATALOGUE:
                return dict.fromkeys(OF_NO_CONTENT) | {"/AcroForm": Role.FORM}
            case Role.FORM:
                fields = [self._signed.at(one) for one, role in self._roles.items() if role in OF_FIELDS]
                check_default_appearance(fields, (self._signed, before), (self._now, after))
                special: dict[str, Role | None] = {key: None for key in ("/DA", "/DR") if key not in before}
                return {"/SigFlags": None, "/Fields": Role.FIELDS, "/DR": Role.RESOURCES} | special
            case Role.RESOURCES:
                return {key: Role.CATEGORY if key in before and key != _NOT_IN_TEXT else None for key in after}
            case Role.CATEGORY:  # a name that is added changes none that is used
                return {key: None for key in after if key not in before}
            case Role.PAGE:
                return {"/Annots": Role.ANNOTATIONS}
            case Role.FILLED:
                return dict.fromkeys(self._filled_in(before, after, pair.path))
            case Role.FILLABLE:
                return dict.fromkeys(self._value_keys(before, after, pair.path))
            case Role.FIELD:
                special = dict.fromkeys(self._flag_keys(before, after))
                return special | ({"/Kids": Role.FIELDS} if "/Kids" in before and "/FT" not in before else {})
        return {}

    # --- signatures that were added ---

    def _fields(self, pair: Pair) -> Iterator[Pair]:
        """Find every field where it was in the sequence; what stands between is a new signature field."""
        before, after = self._lists(pair)
        wanted = iter([*before, None])
        next_one = next(wanted)
        for index, field in enumerate(after):
            if next_one is not None and refers_to(field) == refers_to(next_one):
                yield pair.at(index, next_one, field, Role.FIELD)
                next_one = next(wanted)
            else:
                self._check_new_field(field, pair.at(index, NULL, field).path)
        if next_one is not None:
            raise ChangeFound(pair.path, "a field is gone")

    def _annotations(self, pair: Pair) -> Iterator[Pair]:
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

    def _lists(self, pair: Pair) -> tuple[list[Any], list[Any]]:
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
        self._check_face(raw(before, "/AP"), path)
        return changed | _SHOWN

    def _check_face(self, face: Any, path: str) -> None:
        """See that an appearance that is replaced belonged to widgets alone: what else it was part of is not known."""
        if not isinstance(face, IndirectObject):
            return
        reader = self._signed.reader
        waiting = [trailer_entry(reader, key) for key in reader.trailer]
        for number in range(reader.xrefs.total_revisions):
            refs = reader.xrefs.explicit_refs_in_revision(number)
            waiting += (self._signed.at(Reference(one.idnum, one.generation, reader)) for one in refs)
        while waiting:
            self._step()
            value = waiting.pop()
            if refers_to(value) == face.reference:
                raise ChangeFound(path, "an appearance that is used elsewhere")
            is_widget = isinstance(value, DictionaryObject) and str(value.get("/Subtype")) == "/Widget"
            waiting += [raw(value, key) for key in value if key != "/AP"] if is_widget else items_below(value)

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
        self._found.add(Addition.TIMESTAMP if self._is_stamp(field) else Addition.SIGNATURE)

    def _is_stamp(self, field: DictionaryObject) -> bool:
        value = self._now.object(raw(field, "/V"))
        return isinstance(value, DictionaryObject) and str(value.get("/SubFilter")) == "/ETSI.RFC3161"


def _is_of(widget: Any, allowed: frozenset[str]) -> bool:
    """Whether a dictionary is a signature field's or its widget's, and has these entries at most."""
    return (
        isinstance(widget, DictionaryObject)
        and allowed.issuperset(widget)
        and str(widget.get("/FT", "/Sig")) == "/Sig"
        and str(widget.get("/Subtype", "/Widget")) == "/Widget"
    )
