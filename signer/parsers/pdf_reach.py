"""What a revision of a PDF can reach from its catalogue, found without reading a value.

Only references are looked at, so a document of thousands of objects costs milliseconds. What was found for one revision
serves the later ones: their files begin with the same octets.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from pyhanko.pdf_utils.generic import DictionaryObject, IndirectObject, Reference
from pyhanko.pdf_utils.xref import ObjStreamRef

from signer.parsers.pdf_objects import Effort, Side, items_below, raw, trailer_entry
from signer.pdf_tokens import references_in

Key = tuple[int, int]
"""An object's number and generation."""

_STREAM_END: Final = re.compile(rb"[\0\t\n\f\r ]*endstream")


class Unclear(Exception):
    """Something that is written too unusually to be sure of it without reading everything."""


class Leads:
    """What objects refer to, by the places where they are written."""

    def __init__(self) -> None:
        self._known: dict[object, frozenset[Key]] = {}

    def of(self, side: Side, reference: Reference) -> frozenset[Key]:
        """Return what an object of a revision refers to; Unclear."""
        place = side.place(reference)
        if place is None:
            return frozenset()
        key = (side.place(self._container(side, place)), place) if isinstance(place, ObjStreamRef) else place
        if key not in self._known:
            self._known[key] = self._read(side, reference, place)
        return self._known[key]

    def _container(self, side: Side, place: ObjStreamRef) -> Reference:
        return Reference(place.obj_stream_id, 0, side.reader)

    def _read(self, side: Side, reference: Reference, place: int | ObjStreamRef) -> frozenset[Key]:
        if isinstance(place, ObjStreamRef):
            opened = side.reader.object_stream(place.obj_stream_id)
            index = place.ix_in_stream
            if opened is None or opened.numbers[index : index + 1] != [reference.idnum]:
                raise Unclear
            found = references_in(opened.data, opened.offsets[index], is_framed=False)
            if found is None:
                raise Unclear
            return found[0] | {(place.obj_stream_id, 0)}
        data = side.reader.octets
        found = references_in(data, place, is_framed=True)
        if found is None:
            raise Unclear
        references, end, follows = found
        if follows != b"endobj":
            length = raw(side.at(reference), "/Length")
            size = side.object(length)
            if not isinstance(size, int) or _STREAM_END.match(data, end + int(size)) is None:
                raise Unclear
        return references


class Reach:
    """What can be reached in one revision; who refers to the objects that later revisions wrote."""

    def __init__(
        self, side: Side, leads: Leads, watched: frozenset[Key], without: Iterable[str], effort: Effort
    ) -> None:
        self._side = side
        self.referrers: dict[Key, set[Key]] = {}
        self.objects = 0
        self._spread(leads, watched, frozenset(without), effort.step)

    def _spread(self, leads: Leads, watched: frozenset[Key], without: frozenset[str], step: Callable[[], None]) -> None:
        root = trailer_entry(self._side.reader, "/Root")
        catalogue = self._side.object(root)
        if not isinstance(root, IndirectObject) or not isinstance(catalogue, DictionaryObject):
            raise Unclear
        first = (root.idnum, root.generation)
        known = {first}
        waiting = [(first, _references_below(raw(catalogue, key) for key in catalogue if key not in without))]
        if first in watched:
            self.referrers[first] = set()
        while waiting:
            here, targets = waiting.pop()
            for target in targets:
                if target in watched:
                    self.referrers.setdefault(target, set()).add(here)
                if target not in known:
                    step()
                    known.add(target)
                    self.objects += 1
                    reference = Reference(*target, self._side.reader)
                    waiting.append((target, leads.of(self._side, reference)))


def _references_below(values: Iterable[Any]) -> frozenset[Key]:
    found, waiting = set[Key](), list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, IndirectObject):
            found.add((value.idnum, value.generation))
        else:
            waiting += items_below(value)
    return frozenset(found)
