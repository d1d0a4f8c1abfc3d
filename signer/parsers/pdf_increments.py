"""What each later revision of a PDF wrote, for the people who read a report: object, page and what it is.

This explains and decides nothing: whether a document changed is found by comparing it (`pdf_changes`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject, IndirectObject, Reference, StreamObject

from signer.bounded_pdf import BoundedReader
from signer.errors import PdfTooComplex
from signer.parsers.pdf_form import form_fields
from signer.parsers.pdf_objects import Side, items, named, raw

MAX_REVISIONS: Final = 16
MAX_GROUPS: Final = 24  # of objects of one kind and page, named of one revision
MAX_NAMED: Final = 3  # objects of one group
MAX_NAME: Final = 64
MAX_LOOKED_AT: Final = 2_000

_MAX_DEPTH: Final = 32
_OF_THE_FILE: Final = frozenset({"/XRef", "/ObjStm"})
_OF_VALIDATION: Final = ("/Certs", "/CRLs", "/OCSPs", "/VRI")


@dataclass(frozen=True, slots=True)
class Increment:
    """One revision: its number (the first is 1), the octets that it takes up, and what it wrote, in words."""

    number: int
    start: int
    end: int
    written: tuple[str, ...]


class Increments:
    """The revisions of one file, each read once."""

    def __init__(self, reader: BoundedReader) -> None:
        self._reader = reader
        self._side = Side(reader)
        self._steps = 0
        self._known: dict[int, Increment] = {}
        self._kinds: dict[Reference, str] | None = None

    def since(self, end: int, size: int) -> tuple[Increment, ...]:
        """Return the revisions behind the octet `end` of a file of `size` octets, the oldest first."""
        xrefs = self._reader.xrefs
        places = [xrefs.get_xref_container_info(number).end_location for number in range(xrefs.total_revisions)]
        later = [number for number, place in enumerate(places) if place > end]
        found = []
        for number in later[:MAX_REVISIONS]:
            if number not in self._known:
                start = max([end, *(place for place in places[:number] if place < places[number])])
                self._known[number] = Increment(number + 1, start, min(places[number], size), self._written(number))
            found.append(self._known[number])
        return tuple(found)

    def _written(self, number: int) -> tuple[str, ...]:
        references = sorted(
            self._reader.xrefs.explicit_refs_in_revision(number), key=lambda one: (one.idnum, one.generation)
        )
        kinds = self._kinds if self._kinds is not None else self._special()
        groups: dict[tuple[str, int | None], list[Reference]] = {}
        for reference in references[:MAX_LOOKED_AT]:
            what, page = self._what(reference, kinds)
            if what:
                groups.setdefault((what, page), []).append(reference)
        said = [_listed(what, page, members) for (what, page), members in groups.items()]
        rest = len(said) - MAX_GROUPS + max(0, len(references) - MAX_LOOKED_AT)
        return (*said[:MAX_GROUPS], *([f"{rest} more"] if rest > 0 else []))

    def _what(self, reference: Reference, kinds: dict[Reference, str]) -> tuple[str, int | None]:
        """Name one object and its page; nothing for what is of the file alone and not of the document."""
        if self._reader.xrefs[reference] is None:
            return "removed", None
        if reference in kinds:
            return kinds[reference], self._page_of(reference)
        found = self._side.at(reference)
        if not isinstance(found, DictionaryObject):
            return "array" if isinstance(found, ArrayObject) else "value", None
        kind = str(found.get("/Type", ""))
        if kind in _OF_THE_FILE:
            return "", None
        if kind == "/Page":
            return "page", self._page(reference)
        return _described(found, kind, str(found.get("/Subtype", ""))), self._page_of(reference)

    def _special(self) -> dict[Reference, str]:
        """Say of objects of the present document what they are by their place in it; remembered."""
        kinds: dict[Reference, str] = {}
        self._kinds = kinds
        root = self._side.object(self._reader.trailer.raw_get("/Root"))
        if not isinstance(root, DictionaryObject):
            return kinds
        for reference, field in form_fields(self._side, root, self._step).items():
            what = "signature field" if field.kind == "/Sig" else "form field"
            kinds[reference] = (
                f"{'widget of ' if field.is_widget else ''}{what} {(field.name or '')[:MAX_NAME]}".strip()
            )
            value = raw(self._side.at(reference), "/V")
            if field.kind == "/Sig" and isinstance(value, IndirectObject):
                kinds[value.reference] = f"signature of {(field.name or 'a field')[:MAX_NAME]}"
        for key, what in (("/AcroForm", "form"), ("/Metadata", "description"), ("/DSS", "validation data")):
            for one in self._below(raw(root, key)) if key == "/DSS" else [raw(root, key)]:
                if isinstance(one, IndirectObject):
                    kinds.setdefault(one.reference, what)
        kinds[self._reader.trailer.raw_get("/Root").reference] = "catalogue"
        about = self._reader.trailer.raw_get("/Info") if "/Info" in self._reader.trailer else None
        if isinstance(about, IndirectObject):
            kinds[about.reference] = "description"
        return kinds

    def _below(self, store: Any) -> Iterator[Any]:
        """Yield what a document security store holds (§12.8.4.3)."""
        waiting, depth = [(store, 0)], 4
        while waiting:
            self._step()
            one, level = waiting.pop()
            yield one
            found = self._side.object(one)
            if level == depth or isinstance(found, StreamObject):
                continue
            if isinstance(found, DictionaryObject):
                waiting += [(raw(found, key), level + 1) for key in found if level or key in _OF_VALIDATION]
            elif isinstance(found, ArrayObject):
                waiting += [(item, level + 1) for item in items(found)]

    def _page_of(self, reference: Reference) -> int | None:
        """Return the page that an annotation says it stands on."""
        found = self._side.at(reference)
        page = raw(found, "/P") if isinstance(found, DictionaryObject) else None
        return self._page(page.reference) if isinstance(page, IndirectObject) else None

    def _page(self, reference: Reference) -> int | None:
        """Count the pages before one, by what its ancestors say; None where they contradict each other."""
        before, here = 0, reference
        for _ in range(_MAX_DEPTH):
            self._step()
            node = self._side.at(here)
            above = raw(node, "/Parent") if isinstance(node, DictionaryObject) else None
            if not isinstance(above, IndirectObject):
                return before + 1
            parent = self._side.object(above)
            kids = self._side.object(raw(parent, "/Kids")) if isinstance(parent, DictionaryObject) else None
            if not isinstance(kids, ArrayObject):
                return None
            siblings = [kid.reference if isinstance(kid, IndirectObject) else None for kid in items(kids)]
            if here not in siblings:
                return None
            place = siblings.index(here)
            if self._side.object(raw(parent, "/Count")) == len(siblings):
                before += place
            else:
                before += sum(self._count(sibling) for sibling in siblings[:place])
            here = above.reference
        return None

    def _count(self, reference: Reference | None) -> int:
        self._step()
        node = self._side.at(reference) if reference is not None else None
        count = self._side.object(raw(node, "/Count")) if isinstance(node, DictionaryObject) else None
        return int(count) if isinstance(count, int) else 1

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_LOOKED_AT * MAX_REVISIONS:
            raise PdfTooComplex


def _listed(what: str, page: int | None, members: list[Reference]) -> str:
    names = ", ".join(named(one) for one in members[:MAX_NAMED])
    rest = f" and {len(members) - MAX_NAMED} more" if len(members) > MAX_NAMED else ""
    where = f" {page}" if what == "page" else f" on page {page}"
    return f"{what}{where if page else ''} ({names}{rest})"


def _described(found: DictionaryObject, kind: str, subtype: str) -> str:
    if kind == "/Annot":
        return f"annotation {subtype[1:41]}"
    if kind == "/Pages":
        return "tree of pages"
    if subtype == "/Form":
        return "drawing"
    if kind in ("/Sig", "/DocTimeStamp"):
        return "signature value"
    label = (kind or subtype)[1:41]
    return label or ("stream" if isinstance(found, StreamObject) else "dictionary")
