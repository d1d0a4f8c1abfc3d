"""The form of a PDF (ISO 32000-2 §12.7): its fields by their full names, and what a new signature field may show."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, Final

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

from signer.parsers.pdf_objects import NULL, Side, items, raw

_FILLABLE: Final = frozenset({"/Tx", "/Ch", "/Btn"})
_PUSH_BUTTON: Final = 1 << 16
_HIDDEN: Final = 1 << 1
_WITHOUT_A_FACE: Final = frozenset({"/Popup", "/Link"})
_MAX_DEPTH: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One field or a widget of one: `name` is the full name (§12.7.4.2), None where a part of it is no text."""

    reference: Reference
    name: str | None
    kind: str
    flags: int
    is_widget: bool = False
    has_fields_below: bool = False

    @property
    def takes_text(self) -> bool:
        """Whether people fill this field in: it is no signature, no button to push and no mere group."""
        is_button = self.kind == "/Btn" and bool(self.flags & _PUSH_BUTTON)
        return self.kind in _FILLABLE and not is_button and not self.has_fields_below and self.name is not None


def form_fields(side: Side, catalogue: Any, step: Callable[[], None]) -> dict[Reference, FormField]:
    """Return every field and widget that the form reaches by reference, the first time it is reached."""
    form = side.object(raw(catalogue, "/AcroForm")) if isinstance(catalogue, DictionaryObject) else NULL
    found: dict[Reference, FormField] = {}
    waiting = [(one, "", "", 0, 0) for one in _below(side, form, "/Fields")]
    while waiting:
        step()
        node, parent, kind, flags, depth = waiting.pop()
        if not isinstance(node, IndirectObject) or node.reference in found or depth > _MAX_DEPTH:
            continue
        value = side.object(node)
        if not isinstance(value, DictionaryObject):
            continue
        own = side.object(raw(value, "/T"))
        own_kind, own_flags = side.object(raw(value, "/FT")), side.object(raw(value, "/Ff"))
        name = _joined(parent, own)
        kind = str(own_kind) if isinstance(own_kind, NameObject) else kind
        flags = int(own_flags) if isinstance(own_flags, int) else flags
        kids = _below(side, value, "/Kids")
        found[node.reference] = FormField(
            reference=node.reference,
            name=name,
            kind=kind,
            flags=flags,
            is_widget=isinstance(own, NullObject) and depth > 0,
            has_fields_below=any(_is_named(side, kid) for kid in kids),
        )
        waiting += [(kid, name if name is not None else "\0", kind, flags, depth + 1) for kid in kids]
    return found


def _joined(parent: str, own: Any) -> str | None:
    if isinstance(own, NullObject):
        return None if parent.startswith("\0") else parent
    if not isinstance(own, TextStringObject) or parent.startswith("\0") or "." in own:
        return None
    return f"{parent}.{own}" if parent else str(own)


def _below(side: Side, found: Any, key: str) -> list[Any]:
    below = side.object(raw(found, key)) if isinstance(found, DictionaryObject) else NULL
    return items(below) if isinstance(below, ArrayObject) else []


def _is_named(side: Side, kid: Any) -> bool:
    found = side.object(kid)
    return isinstance(found, DictionaryObject) and "/T" in found


def is_value(value: Any) -> bool:
    """Whether this can be the value of a field that people fill in."""
    simple = (TextStringObject, ByteStringObject, NameObject, NullObject, ArrayObject, StreamObject)
    return isinstance(value, simple)


def draws(side: Side, widget: DictionaryObject) -> bool:
    """Whether a widget has an appearance that draws anything."""
    appearance = side.object(raw(widget, "/AP"))
    if isinstance(appearance, NullObject):
        return False
    if not isinstance(appearance, DictionaryObject) or isinstance(appearance, StreamObject):
        return True
    faces = (side.object(raw(appearance, key)) for key in appearance)
    return not all(isinstance(face, StreamObject) and not face.data.strip() for face in faces)


Box = tuple[float, float, float, float]
_EVERYWHERE: Final[Box] = (-inf, -inf, inf, inf)


def box_of(side: Side, annotation: Any) -> Box | None:
    """Return the area of an annotation as left, bottom, right, top; None: none at all, everything where it is odd."""
    corners = side.object(raw(annotation, "/Rect")) if isinstance(annotation, DictionaryObject) else NULL
    if isinstance(corners, NullObject):
        return None
    try:
        one, two, three, four = (float(side.object(corner)) for corner in items(corners))
    except (AttributeError, TypeError, ValueError, OverflowError):
        return _EVERYWHERE
    box = min(one, three), min(two, four), max(one, three), max(two, four)
    return box if box[0] < box[2] and box[1] < box[3] else None


def is_shown(side: Side, widget: DictionaryObject) -> bool:
    """Whether a widget shows something on its page."""
    return box_of(side, widget) is not None and ("/MK" in widget or draws(side, widget))


def covers_any(side: Side, widget: DictionaryObject, others: Iterator[tuple[Side, Any]]) -> bool:
    """Whether the area of a widget lies over that of another annotation that can be seen."""
    box = box_of(side, widget)
    if box is None:
        return False
    for place, other in others:
        found = place.object(other)
        known = box_of(place, found)
        if known is None or str(found.get("/Subtype")) in _WITHOUT_A_FACE or _is_hidden(place, found):
            continue
        if box[0] < known[2] and known[0] < box[2] and box[1] < known[3] and known[1] < box[3]:
            return True
    return False


def _is_hidden(side: Side, annotation: DictionaryObject) -> bool:
    flags = side.object(raw(annotation, "/F"))
    return isinstance(flags, int) and bool(flags & _HIDDEN)
