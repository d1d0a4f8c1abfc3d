"""The file of a bulk enrolment: one registration a line, as JSON (see `ca.registration`), at most 100,000 of them.

    {"kind": "citizen", "national_code": …, "given_name": …, "surname": …}
    {"kind": "clinician", …, "profile": "clin-sign", "csr": "-----BEGIN CERTIFICATE REQUEST-----…"}

`profile` and `csr` go together and are optional: the certificate that is to be issued once the file is approved.
What is wrong with one row is that row's own result; only what makes the lines themselves uncertain refuses a file.
The same as CSV: `ca.bulk.csv_rows`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ca.profiles import ProfileSet
from ca.strict_members import StrictMembers
from pki.csr import parse_csr
from pki.errors import ErrorCode, InvalidInput
from pki.jose import canonical_json, json_object

MAX_OCTETS: Final = 128 * 1024 * 1024
MAX_ROWS: Final = 100_000
MAX_ROW_OCTETS: Final = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRow:
    """One row: the registration as JSON, and the certificate that is wanted for it."""

    registration: bytes
    profile: str | None = None
    csr: bytes | None = None


def split_rows(data: bytes) -> tuple[bytes, ...]:
    """Split a file into its rows; InvalidInput (`input-too-large`, `bulk-malformed` with the line's number)."""
    if len(data) > MAX_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "a bulk file has at most 128 MiB")
    if data.count(b"\n") + (not data.endswith(b"\n")) > MAX_ROWS:  # before millions are made of it
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"a bulk file has at most {MAX_ROWS} rows")
    rows = tuple(data.removesuffix(b"\n").split(b"\n"))
    for line, row in enumerate(rows, 1):
        if not row.strip():
            raise malformed(f"line {line} is empty")
        if len(row) > MAX_ROW_OCTETS:
            raise malformed(f"line {line} is longer than 32 KiB")
        if not row.startswith(b"{"):
            raise malformed(f"line {line} is not a JSON object")
    return rows


def parse_row(row: bytes, profiles: ProfileSet) -> BulkRow:
    """Read one row; InvalidInput, and ProfileUnknown or ProfileRetired. The registration itself is not read yet."""
    members: Mapping[str, Any] = json_object(row)
    strict = StrictMembers("bulk row", members)
    if _holds_nul(members):
        raise strict.refusal("no text holds the character U+0000")  # PostgreSQL has none such, not even in a refusal
    profile, csr = strict.optional_text("profile"), strict.optional_text("csr")
    if (profile is None) != (csr is None):
        raise strict.refusal("profile and csr go together")
    if profile is not None and csr is not None:
        profiles.to_issue(profile)
        parse_csr(csr.encode())
    return BulkRow(
        registration=canonical_json(strict.rest()), profile=profile, csr=None if csr is None else csr.encode()
    )


def _holds_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_holds_nul(part) for member in value.items() for part in member)
    return any(map(_holds_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\0" in value


def malformed(detail: str) -> InvalidInput:
    """Return the error about a file whose lines themselves are uncertain."""
    return InvalidInput(ErrorCode.BULK_MALFORMED, detail)
