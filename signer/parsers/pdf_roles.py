"""What objects are in a PDF, which says how they may change after a signature, and what may be added to it."""

from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject, IndirectObject, Reference
from pyhanko.sign.fields import enumerate_sig_fields

from signer.parsers.pdf_form import FormField
from signer.parsers.pdf_objects import MAX_PATH, NULL, Side, items, raw
from signer.parsers.pdf_permissions import Permissions


class Addition(Enum):
    """What later revisions may bring."""

    VALIDATION_DATA = "validation data"
    TIMESTAMP = "document time-stamp"
    SIGNATURE = "signature"
    FIELD = "signature field"
    FORM_VALUE = "form value"


class Role(Enum):
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


OF_ONE_PLACE: Final = frozenset({Role.FORM, Role.RESOURCES, Role.CATEGORY})  # may be written apart for the form

OF_FIELDS: Final = frozenset({Role.FIELD, Role.FILLED, Role.FILLABLE})


class Pair(NamedTuple):
    """The same place in the signed document and in the present one."""

    signed: Any
    now: Any
    role: Role
    path: str
    holder: Reference | None = None
    page: int | None = None

    def at(self, key: str | int, signed: Any, now: Any, role: Role = Role.CONTENT) -> "Pair":
        """Go one step down."""
        step = f"[{key}]" if isinstance(key, int) else key
        return Pair(signed, now, role, f"{self.path}{step}"[: MAX_PATH + 1], self.holder, self.page)


def roles_of_fields(
    signed: Side, filled: frozenset[Reference], fields: dict[Reference, FormField], permissions: Permissions
) -> Iterator[tuple[Reference, Role]]:
    """Say of each signed field and widget whether it may change: signed where it was empty, or filled in.

    `filled` are the signature fields that hold a signature now.
    """
    begun = signature_fields(signed, filled=False) & filled
    names = {fields[one].name for one in begun if one in fields} - {None}
    for reference, field in fields.items():
        if field.kind == "/Sig":
            is_free = field.name in names and not permissions.locks_field(field.name or "")
            is_signed = reference in begun or (field.is_widget and is_free)
            yield reference, Role.FILLED if is_signed and is_free else Role.FIELD
        else:
            is_free = field.takes_text and permissions.may_fill(field.name or "")
            yield reference, Role.FILLABLE if is_free else Role.FIELD


def page_tree(side: Side, top: Any, step: Callable[[], None]) -> Iterator[tuple[Reference, bool]]:
    """Yield the nodes of the tree of pages in their order, each once, and whether each is a page."""
    waiting, known = [top], set[Reference]()
    while waiting:
        step()
        node = waiting.pop()
        if isinstance(node, IndirectObject) and node.reference in known:
            continue
        found = side.object(node)
        below = side.object(raw(found, "/Kids")) if isinstance(found, DictionaryObject) else NULL
        if isinstance(node, IndirectObject):
            known.add(node.reference)
            yield node.reference, not isinstance(below, ArrayObject)
        if isinstance(below, ArrayObject):
            waiting += reversed(items(below))


def signature_fields(side: Side, *, filled: bool) -> frozenset[Reference]:
    """Return the signature fields that a verifier sees, by whether they hold a signature."""
    found = enumerate_sig_fields(side.reader, filled_status=filled)
    return frozenset(field.reference for _name, _value, field in found)
