"""What was added to a PDF after a signature: the document that a reader shows now, held against the signed one.

Most files are judged by what later revisions wrote: an object that they did not write is as it was, and what they wrote
matters where the signed catalogue leads to it, also to a number that stood for nothing. Where that does not show that
all is well, both documents are compared as a whole, which finds out what is wrong and where.
"""

from typing import Any, Final

from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject, IndirectObject, Reference

from signer.bounded_pdf import BoundedReader
from signer.errors import PdfTooComplex
from signer.parsers.pdf_comparison import OF_NO_CONTENT, Comparison
from signer.parsers.pdf_objects import (
    ChangeFound,
    Effort,
    Side,
    items,
    items_below,
    raw,
    refers_to,
    sections,
    trailer_entry,
)
from signer.parsers.pdf_permissions import SILENT, Permissions
from signer.parsers.pdf_reach import Key, Leads, Reach, Unclear
from signer.parsers.pdf_roles import OF_ONE_PLACE, Addition, Pair, Role

MAX_TOLD_BY_PATH: Final = 10_000  # objects of a document; in a larger one a change is told by its object alone
MAX_LOOKED_AT: Final = 250_000  # objects, over all signatures of a file

_MAX_DEPTH: Final = 64


class Changes:
    """The comparisons of one file as it is now with its signed revisions, the oldest first."""

    def __init__(self, now: BoundedReader) -> None:
        self._now = Side(now)
        self._effort, self._whole_effort = Effort(MAX_LOOKED_AT), Effort()
        self._leads = Leads()

    def since(self, signed: BoundedReader, permissions: Permissions = SILENT) -> frozenset[Addition]:
        """Return what was added; ChangeFound, PdfTooComplex, or what pyHanko raises on broken files."""
        side = Side(signed)
        brief = _Brief(side, self._now, permissions, self._effort, self._leads)
        try:
            return brief.run()
        except (Unclear, ChangeFound) as found:
            if isinstance(found, ChangeFound) and brief.reached > MAX_TOLD_BY_PATH:
                raise
            try:
                return Comparison(side, self._now, permissions, self._whole_effort).run()
            except PdfTooComplex:
                raise (found if isinstance(found, ChangeFound) else PdfTooComplex) from None


class _Brief(Comparison):
    """A comparison of what later revisions wrote; Unclear wherever one of the whole documents could see more."""

    def __init__(self, signed: Side, now: Side, permissions: Permissions, effort: Effort, leads: Leads) -> None:
        super().__init__(signed, now, permissions, effort)
        self._leads, self._effort = leads, effort
        self.reached = 0

    def run(self) -> frozenset[Addition]:
        roots = self._prepare()
        if refers_to(roots[0]) is None or refers_to(roots[0]) != refers_to(roots[1]):
            raise Unclear
        if any("/Encrypt" in side.reader.trailer for side in (self._signed, self._now)):
            raise Unclear
        reach = Reach(self._signed, self._leads, self._written(), OF_NO_CONTENT, self._effort)
        self.reached = reach.objects
        for key in sorted(reach.referrers):
            reference = Reference(*key, self._signed.reader)
            role = self._role_of(reference, reach.referrers[key])
            before, after = self._signed.at(reference), self._now.at(reference)
            self._waiting += self._below(Pair(before, after, role, f"{key[0]} {key[1]} R"))
            self._walk()
        return frozenset(self._found)

    def _written(self) -> frozenset[Key]:
        """Return the objects that later revisions wrote or freed; Unclear where one holds others of the signed one."""
        xrefs, first = self._now.reader.xrefs, len(sections(self._signed.reader))
        written = {
            (one.idnum, one.generation)
            for number in range(first, xrefs.total_revisions)
            for one in xrefs.explicit_refs_in_revision(number)
        }
        streams = {one for number in range(first) for one in xrefs.get_xref_data(number).obj_streams_used}
        if any(number in streams for number, _ in written):
            raise Unclear
        return frozenset(written)

    def _resolved(self, pair: Pair) -> Pair | None:
        one, other = refers_to(pair.signed), refers_to(pair.now)
        if one is not None and one == other:
            return None  # compared by itself if anybody wrote it
        before = self._signed.object(pair.signed)
        if isinstance(before, DictionaryObject) and one is not other and pair.role not in OF_ONE_PLACE:
            raise Unclear
        return pair._replace(signed=before, now=self._now.object(pair.now))

    def _role_of(self, reference: Reference, referrers: set[Key]) -> Role:
        """Say what an object is by those who refer to it."""
        if reference in self._roles:
            return self._roles[reference]
        if self._is_page(reference):
            return Role.PAGE
        found = self._signed.at(reference)
        if isinstance(found, ArrayObject) and referrers:
            kinds = {self._held_by(reference, Reference(*one, self._signed.reader)) for one in referrers}
            if len(kinds) == 1:
                return kinds.pop()
        return Role.CONTENT

    def _held_by(self, reference: Reference, holder: Reference) -> Role:
        """Say what an array is to the one object that holds it, once and in one place."""
        found = self._signed.at(holder)
        if not isinstance(found, DictionaryObject) or _mentions(found, reference) != 1:
            return Role.CONTENT
        if refers_to(raw(found, "/Annots")) == reference and self._is_page(holder):
            return Role.ANNOTATIONS
        form = raw(found, "/AcroForm") if self._roles.get(holder) is Role.CATALOGUE else found
        is_form = self._roles.get(holder) in (Role.FORM, Role.CATALOGUE) and isinstance(form, DictionaryObject)
        return Role.FIELDS if is_form and refers_to(raw(form, "/Fields")) == reference else Role.CONTENT

    def _is_page(self, reference: Reference) -> bool:
        """Whether the tree of pages holds an object: each one above has it among its children, up to the catalogue."""
        catalogue = self._signed.object(trailer_entry(self._signed.reader, "/Root"))
        top, here = refers_to(raw(catalogue, "/Pages")), reference
        for _ in range(_MAX_DEPTH):
            if here == top:
                return True
            node = self._signed.at(here)
            above = raw(node, "/Parent") if isinstance(node, DictionaryObject) else None
            if not isinstance(above, IndirectObject):
                return False
            parent = self._signed.object(above)
            kids = self._signed.object(raw(parent, "/Kids")) if isinstance(parent, DictionaryObject) else None
            if not isinstance(kids, ArrayObject) or here not in map(refers_to, items(kids)):
                return False
            here = above.reference
        return False


def _mentions(value: Any, reference: Reference) -> int:
    """Count how often a value, without what it refers to, names an object."""
    count, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        count += refers_to(one) == reference
        waiting += items_below(one)
    return count
