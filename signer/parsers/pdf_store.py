"""The document security store of a PDF: certificates, lists and OCSP responses, and where each lies.

ISO 32000-2 §12.8.4.3, with what its VRI dictionaries add (§12.8.4.4). Broken parts are left out: an unreadable store is
no evidence, and no defect.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from pyhanko.pdf_utils.generic import DictionaryObject, IndirectObject, StreamObject
from pyhanko.pdf_utils.reader import PdfFileReader

from pki.certificates import Certificate
from pki.errors import ServiceError

MAX_EVIDENCE: Final = 256

_KINDS: Final = (("/Certs", "/Cert"), ("/CRLs", "/CRL"), ("/OCSPs", "/OCSP"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityStore:
    """What the store of the last revision holds; lists and responses as DER.

    `ends` tells for each DER up to which octet of the file it is written, at the first of its places.
    """

    certificates: tuple[Certificate, ...] = ()
    crls: tuple[bytes, ...] = ()
    ocsp_responses: tuple[bytes, ...] = ()
    ends: dict[bytes, int] = field(default_factory=dict)

    def written_by(self, end: int) -> frozenset[bytes]:
        """Return what lies within the first `end` octets of the file."""
        return frozenset(value for value, last in self.ends.items() if last <= end)


def read_store(reader: PdfFileReader) -> SecurityStore:
    """Collect the document security store of the last revision."""
    ends: dict[bytes, int] = {}
    found: list[dict[bytes, None]] = [{} for _ in _KINDS]
    try:
        for array, holder in _arrays(reader.root["/DSS"]):
            for data in islice(_streams(reader, holder, ends), MAX_EVIDENCE - len(found[array])):
                found[array][data] = None
    except Exception:  # noqa: BLE001, S110 - documented boundary: pyHanko raises anything on hostile files
        pass
    certificates, crls, responses = map(tuple, found)
    return SecurityStore(certificates=tuple(_readable(certificates)), crls=crls, ocsp_responses=responses, ends=ends)


def _arrays(store: DictionaryObject) -> Iterator[tuple[int, Any]]:
    """Yield the store's arrays by their kind, then those of its VRI dictionaries."""
    for kind, (name, _) in enumerate(_KINDS):
        if name in store:
            yield kind, store[name]  # pyHanko resolves references on access
    related = store["/VRI"] if "/VRI" in store else {}  # noqa: SIM401 - pyHanko's get does not resolve references
    for key in islice(related, MAX_EVIDENCE):
        for kind, (_, name) in enumerate(_KINDS):
            if name in related[key]:
                yield kind, related[key][name]


def _streams(reader: PdfFileReader, items: Any, ends: dict[bytes, int]) -> Iterator[bytes]:
    for index in range(min(len(items), MAX_EVIDENCE)):
        stream = items[index]
        if not isinstance(stream, StreamObject):
            continue
        data = stream.data
        written = items.raw_get(index)
        place = reader.xrefs[written.reference] if isinstance(written, IndirectObject) else None
        if isinstance(place, int):
            end = place + len(stream.encoded_data)
            ends[data] = min(ends.get(data, end), end)
        yield data


def _readable(encoded: tuple[bytes, ...]) -> Iterator[Certificate]:
    for data in encoded:
        try:
            yield Certificate.parse(data)
        except ServiceError:
            continue  # an unreadable extra certificate proves nothing and harms nothing
