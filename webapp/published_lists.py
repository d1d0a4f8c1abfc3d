"""What the published lists say of themselves, read from their files alone: no database, no custodian."""

import mmap
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, cast

from pki import der, oids
from pki.certificates import read_extensions
from pki.errors import ServiceError

MOST: Final = 100_000
_TIMES: Final = (der.UTC_TIME, der.GENERALIZED_TIME)
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListHead:
    """One published list without its entries; `name` is its file's, such as `persons/3`."""

    name: str
    is_delta: bool
    number: int
    this_update: datetime
    next_update: datetime
    octets: int


class PublishedLists:
    """The lists below a folder; a file is read again when it is another one. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[_Stamp, ListHead | None]] = {}

    def __call__(self) -> tuple[ListHead, ...]:
        """Return what is published now, in the order of names; what cannot be read is left out."""
        found: dict[Path, tuple[_Stamp, ListHead | None]] = {}
        for path in sorted(self._folder.rglob("*.crl"))[:MOST]:
            try:
                status = path.stat()
            except OSError:
                continue  # replaced at this very moment
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            before = self._read.get(path)
            name = path.relative_to(self._folder).with_suffix("").as_posix()
            known = before if before is not None and before[0] == stamp else (stamp, read_head_of(path, name))
            found[path] = known
        self._read = found
        return tuple(head for _, head in found.values() if head is not None)


def read_head_of(path: Path, name: str) -> ListHead | None:
    """Read the list in a file past its entries; None where there is no list of ours."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return read_head(cast("bytes", mapped), name)  # read in place: a list may have a million entries
    except (OSError, ServiceError, IndexError, KeyError, ValueError):
        return None


def read_head(data: bytes, name: str) -> ListHead:
    """Read a CertificateList past its entries (RFC 5280 §5.1); ServiceError, IndexError or KeyError for another thing.

    A list without number or nextUpdate is no list of ours.
    """
    fields = der.parse(data).expect(der.SEQUENCE).children(3)[0].expect(der.SEQUENCE).children(7)
    times = [field.time() for field in fields if field.tag in _TIMES]
    extensions = read_extensions(fields[-1].expect(0xA0).inner())
    return ListHead(
        name=name,
        is_delta=oids.DELTA_CRL_INDICATOR in extensions,
        number=der.parse(extensions[oids.CRL_NUMBER].value).integer(),
        this_update=times[0],
        next_update=times[1],
        octets=len(data),
    )
