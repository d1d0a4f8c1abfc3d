"""Which kinds of FHIR resources a signed document holds: what a policy lets a profession sign depends on it."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pki.errors import ErrorCode, InvalidInput
from pki.jose import strict_json
from signer.parsers.model import Octets

MAX_DOCUMENT_OCTETS: Final = 10 * 1024 * 1024

_BEFORE: Final = b"\xef\xbb\xbf \t\r\n"
_XML_ELEMENT: Final = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?([A-Z][A-Za-z]{2,60})[\s/>]")


def resource_kinds(octets: Octets) -> frozenset[str]:
    """Return the types of a document's resources, JSON or XML; none for what is no FHIR.

    InvalidInput for JSON that programs could read differently, and for a document above `MAX_DOCUMENT_OCTETS`.
    """
    size = sum(map(len, octets))
    document = b"".join(octets if size <= MAX_DOCUMENT_OCTETS else (bytes(octets[0][:4096]),))
    start = document.lstrip(_BEFORE)[:1]
    if size > MAX_DOCUMENT_OCTETS and start in (b"", b"{", b"<"):
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "a document whose kind is asked")
    if start == b"{":
        return frozenset(_types(strict_json(document)))
    if start != b"<" or b"http://hl7.org/fhir" not in document:
        return frozenset()
    return frozenset(found.decode("ascii") for found in _XML_ELEMENT.findall(document))


def _types(value: Any) -> Iterator[str]:
    """Yield the type of a resource, of those it contains, and of a Bundle's entries."""
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        return
    yield value["resourceType"]
    for part in _each(value.get("contained")):
        yield from _types(part)
    for entry in _each(value.get("entry")):
        if isinstance(entry, dict):
            yield from _types(entry.get("resource"))


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()
