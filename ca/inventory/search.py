"""What certificates are searched for: words that all must hold, read from text, and what is found.

Identifiers are in bodies and options, never in a URL. A place to go on from is the serial number of the last
certificate that was seen.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

from ca.status.revocation import CertificateState, RevocationReason
from pki.errors import ErrorCode, InvalidInput
from pki.identity import ascii_digits, parse_name
from pki.instants import format_instant, parse_instant

MIN_PREFIX: Final = 4  # hexadecimal digits: fewer fit too many certificates to be worth listing
MAX_WORD: Final = 64
MAX_SERIAL_DIGITS: Final = 40
_AROUND: Final = dict.fromkeys([ord(":"), 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_PREFIX: Final = re.compile(rf"[0-9a-f]{{{MIN_PREFIX},40}}")


def parse_serial(text: str) -> str:
    """Read a serial number as people copy it into the form of rows; InvalidInput.

    Colons, spaces, capitals, Persian digits and the invisible marks of pages written from right to left are taken.
    """
    digits = "".join(ascii_digits(text).translate(_AROUND).split()).lower()
    if not 1 <= len(digits) <= MAX_SERIAL_DIGITS or any(digit not in "0123456789abcdef" for digit in digits):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a serial number is up to 40 hexadecimal digits")
    return digits.zfill(len(digits) + len(digits) % 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Conditions that all must hold; None asks nothing.

    `holder` is the register's identifier of the holder, whole: national code, SIAM id or a system's name. The
    window is `expires_from` ≤ end of validity < `expires_before`. InvalidInput for what no row can hold.
    """

    serial: str | None = None
    serial_prefix: str | None = None
    holder: str | None = field(default=None, repr=False)
    file_id: str | None = None
    licence: str | None = field(default=None, repr=False)
    siam_id: str | None = None
    profession: str | None = None
    province: str | None = None
    state: CertificateState | None = None
    profile: str | None = None
    expires_from: datetime | None = None
    expires_before: datetime | None = None

    def __post_init__(self) -> None:
        for name in self.asked:
            value = getattr(self, name)
            if isinstance(value, str) and not (1 <= len(value) <= MAX_WORD and value.isprintable()):
                raise InvalidInput(
                    ErrorCode.INPUT_MALFORMED, f"{name} is 1 to {MAX_WORD} characters that can be printed"
                )
        if self.serial_prefix is not None and not _PREFIX.fullmatch(self.serial_prefix):
            raise InvalidInput(
                ErrorCode.INPUT_MALFORMED, f"a serial number begins with {MIN_PREFIX} to 40 hexadecimal digits"
            )

    @property
    def asked(self) -> tuple[str, ...]:
        """The names of the conditions."""
        return tuple(one.name for one in fields(self) if getattr(self, one.name) is not None)

    @property
    def by_end(self) -> bool:
        """Whether what ends first comes first; otherwise what was asked for last does."""
        return self.expires_from is not None or self.expires_before is not None


def _state(text: str) -> CertificateState:
    try:
        return CertificateState(text)
    except ValueError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"state is one of {', '.join(CertificateState)}") from error


def _hexadecimal(text: str) -> str:
    return text.replace(":", "").replace(" ", "").lower()


def _word(text: str) -> str:
    return ascii_digits(text.strip())


_READERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "serial": ("serial", parse_serial),
    "serial_prefix": ("serial_prefix", _hexadecimal),
    "holder": ("holder", _word),
    "file": ("file_id", str.strip),
    "council_number": ("licence", _word),
    "siam_id": ("siam_id", lambda text: _word(text).lower()),
    "profession": ("profession", str.strip),
    "province": ("province", parse_name),
    "state": ("state", _state),
    "profile": ("profile", str.strip),
    "expires_from": ("expires_from", parse_instant),
    "expires_before": ("expires_before", parse_instant),
}

SEARCHABLE: Final = tuple(_READERS)


def parse_search(members: Mapping[str, object]) -> Search:
    """Read a search from text by member (`SEARCHABLE`); InvalidInput (`input-malformed`, `identity-invalid`)."""
    values: dict[str, Any] = {}
    for name, text in members.items():
        if text is None:
            continue
        if name not in _READERS:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"certificates are searched by {', '.join(SEARCHABLE)}")
        if not isinstance(text, str):
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"{name} is text")
        field_name, read = _READERS[name]
        values[field_name] = read(text)
    return Search(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryEntry:
    """One certificate as the inventory shows it: no national code, and no octets."""

    serial: str
    state: CertificateState
    profile: str
    issuer: str
    name: str = field(repr=False)
    file_id: str | None
    licence: str | None = field(repr=False)
    siam_id: str | None
    profession: str | None
    province: str | None
    unapproved: bool
    not_before: datetime
    not_after: datetime
    issued_at: datetime | None
    revoked_at: datetime | None
    reason: RevocationReason | None
    predecessor: str | None = None
    successor: str | None = None


def entry_members(entry: InventoryEntry) -> dict[str, str | bool | None]:
    """Write an entry for JSON and tables, members in the order of `COLUMNS`."""
    return {
        "serial": entry.serial,
        "state": str(entry.state),
        "profile": entry.profile,
        "issuer": entry.issuer,
        "name": entry.name,
        "file": entry.file_id,
        "council_number": entry.licence,
        "siam_id": entry.siam_id,
        "profession": entry.profession,
        "province": entry.province,
        "unapproved": entry.unapproved,
        "not_before": format_instant(entry.not_before),
        "not_after": format_instant(entry.not_after),
        "issued_at": None if entry.issued_at is None else format_instant(entry.issued_at),
        "revoked_at": None if entry.revoked_at is None else format_instant(entry.revoked_at),
        "reason": None if entry.reason is None else str(entry.reason),
        "predecessor": entry.predecessor,
        "successor": entry.successor,
    }


COLUMNS: Final = (
    "serial",
    "state",
    "profile",
    "issuer",
    "name",
    "file",
    "council_number",
    "siam_id",
    "profession",
    "province",
    "unapproved",
    "not_before",
    "not_after",
    "issued_at",
    "revoked_at",
    "reason",
    "predecessor",
    "successor",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Entries in order, and the serial number to go on from when there are more."""

    entries: tuple[InventoryEntry, ...]
    next: str | None
