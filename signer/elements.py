"""A FHIR document as a tree that knows which of its values were shown, and how its data types read.

Rendering marks the leaves it uses. What is left unmarked at the end is listed by path, so that nothing
under signature is hidden from the signer.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from signer.visible import mark_hidden

_YES: Final = "بله / yes"
_NO: Final = "خیر / no"


_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def _step(name: str, *, first: bool) -> str:
    """Write one member's step of a path; odd names are quoted, so that no two places share a path."""
    if _PLAIN_NAME.fullmatch(name):
        return name if first else f".{name}"
    return f"[{json.dumps(name)}]"


class Element:
    """One place in the document: a value, or nothing, and its path. Cheap to make; shares the set of shown paths."""

    __slots__ = ("_shown", "path", "value")

    def __init__(self, value: Any, path: str, shown: set[str]) -> None:
        self.value, self.path, self._shown = value, path, shown

    def __bool__(self) -> bool:
        return self.value is not None

    def get(self, name: str) -> "Element":
        """Return the member `name`; an empty element when there is none."""
        value = self.value.get(name) if isinstance(self.value, dict) else None
        return Element(value, self.path + _step(name, first=not self.path), self._shown)

    def each(self) -> "tuple[Element, ...]":
        """Return the items of a list, the element itself for a single value, nothing for none."""
        if isinstance(self.value, list):
            return tuple(Element(item, f"{self.path}[{i}]", self._shown) for i, item in enumerate(self.value))
        return (self,) if self else ()

    def members(self) -> "Iterator[tuple[str, Element]]":
        """Yield the members of an object in document order."""
        if isinstance(self.value, dict):
            for name in self.value:
                yield name, self.get(name)

    def peek(self) -> str:
        """Return a string or number without marking it as shown; empty for anything else."""
        return str(self.value) if isinstance(self.value, str) else ""

    def text(self) -> str:
        """Return a leaf as people read it and mark it as shown; empty for containers and nothing."""
        if not self.is_value:
            return ""
        self._shown.add(self.path)
        if isinstance(self.value, bool):
            return _YES if self.value else _NO
        return mark_hidden(str(self.value))[0]

    def leaves(self) -> "Iterator[Element]":
        """Yield every leaf below, null and empty containers included, in document order."""
        if isinstance(self.value, dict) and self.value:
            for _, member in self.members():
                yield from member.leaves()
        elif isinstance(self.value, list) and self.value:
            for i, item in enumerate(self.value):
                yield from Element(item, f"{self.path}[{i}]", self._shown).leaves()
        else:
            yield self

    @property
    def is_value(self) -> bool:
        """Whether this is a string, number or boolean."""
        return self.value is not None and not isinstance(self.value, dict | list)

    @property
    def shown(self) -> bool:
        """Whether this leaf was rendered."""
        return self.path in self._shown


def last_segment(uri: str) -> str:
    """Return what follows the last separator of a URI, to name a code system or extension in little room."""
    return mark_hidden(uri.rstrip("/").replace(":", "/").rsplit("/", 1)[-1])[0]


def join(*parts: str, by: str = " ") -> str:
    """Join the parts that are not empty."""
    return by.join(part for part in parts if part)


def quantity(element: Element) -> str:
    """Read a Quantity with its digits as written: `≤ 1.50 mg`."""
    unit, code = element.get("unit"), element.get("code")
    words = unit.text() or code.text()
    if code and words != code.peek():
        words = join(words, f"({code.text()})")
    return join(element.get("comparator").text(), element.get("value").text(), words, extensions(element))


def ratio(element: Element) -> str:
    """Read a Ratio; a denominator of plain 1 is left to the details."""
    denominator = element.get("denominator")
    plain = denominator.get("value").peek() == "1" and not denominator.get("unit") and not denominator.get("code")
    below = "" if plain else quantity(denominator)
    return join(join(quantity(element.get("numerator")), below, by=" / "), extensions(element))


def coding(element: Element) -> str:
    """Read a Coding: display and code, with the last part of its system."""
    display, code = element.get("display").text(), element.get("code").text()
    system = last_segment(element.get("system").peek())
    return join(display, f"[{join(system, code)}]" if code else "", extensions(element))


def concept(element: Element) -> str:
    """Read a CodeableConcept: its text, then its codings."""
    codings = join(*(coding(item) for item in element.get("coding").each()), by=", ")
    return join(element.get("text").text(), codings, extensions(element))


def identifier(element: Element) -> str:
    """Read an Identifier: its value, with the last part of its system and its type."""
    kind = join(last_segment(element.get("system").peek()), concept(element.get("type")), by=", ")
    return join(element.get("value").text(), f"({kind})" if kind else "", extensions(element))


def reference(element: Element) -> str:
    """Read what a Reference says itself: display and identifier; its target is followed elsewhere."""
    return join(element.get("display").text(), identifier(element.get("identifier")), extensions(element))


def human_name(element: Element) -> str:
    """Read a HumanName: prefix, given names, family name; else its text."""
    parts = [
        *(item.text() for item in element.get("prefix").each()),
        *(item.text() for item in element.get("given").each()),
        element.get("family").text(),
        *(item.text() for item in element.get("suffix").each()),
    ]
    whole, text = join(*parts), element.get("text").text()
    return join(whole, f"({text})" if whole and text and text != whole else "" if whole else text)


def address(element: Element) -> str:
    """Read an Address on one line."""
    lines = [item.text() for item in element.get("line").each()]
    names = ("district", "city", "state", "postalCode", "country")
    return join(element.get("text").text(), *lines, *(element.get(name).text() for name in names), by="، ")


def period(element: Element) -> str:
    """Read a Period; an open end is an ellipsis."""
    start, end = element.get("start").text(), element.get("end").text()
    return f"{start or '…'} – {end or '…'}" if start or end else ""


def timing(element: Element) -> str:
    """Read a Timing: its code, then how often (`3 × / 8 h`), then everything else it says."""
    repeat = element.get("repeat")
    often = join(repeat.get("frequency").text(), repeat.get("frequencyMax").text(), by="–")
    each = join(repeat.get("period").text(), repeat.get("periodMax").text(), by="–")
    every = join(each, repeat.get("periodUnit").text())
    rate = join(f"{often} ×" if often else "", f"/ {every}" if every else "")
    return join(concept(element.get("code")), rate, remaining(element), by=" · ")


_SHAPES: Final[Mapping[str, Callable[[Element], str]]] = {
    "Quantity": quantity,
    "Range": lambda element: join(quantity(element.get("low")), quantity(element.get("high")), by=" – "),
    "Ratio": ratio,
    "Coding": coding,
    "CodeableConcept": concept,
    "Identifier": identifier,
    "Reference": reference,
    "Period": period,
    "Timing": timing,
    "HumanName": human_name,
    "Address": address,
}


def choice(element: Element, prefix: str) -> str:
    """Read a choice member such as `value[x]`, which is spelt `valueQuantity`, `valueString` and so on."""
    for name, member in element.members():
        if name.startswith(prefix) and name != prefix and name[len(prefix)].isupper():
            return typed(member, name[len(prefix) :])
    return ""


def typed(element: Element, kind: str) -> str:
    """Read an element of a named data type; unknown types read as their members."""
    read = _SHAPES.get(kind)
    return read(element) if read and isinstance(element.value, dict) else element.text() or remaining(element)


def extensions(element: Element) -> str:
    """Read the extensions of an element: `name: value`, nested ones in brackets."""
    return join(*(_extension(item) for item in element.get("extension").each()), by="، ")


def _extension(element: Element) -> str:
    name, value, inner = last_segment(element.get("url").peek()), choice(element, "value"), extensions(element)
    return f"{name}: {join(value, f'({inner})' if inner else '')}"


def remaining(element: Element) -> str:
    """Read the values below that were not shown yet, each with its path from here."""
    unread = [leaf for leaf in element.leaves() if leaf.is_value and not leaf.shown]
    return join(*(f"{leaf.path[len(element.path) :].lstrip('.')}: {leaf.text()}" for leaf in unread), by=", ")
