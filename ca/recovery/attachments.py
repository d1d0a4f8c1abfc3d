"""What is kept beside the ledger's events on disk: rows that an event tells of and does not hold.

A certificate with what its register says of it, and the lines of key uses that one event sums up. That a certificate
is the one issued, and lines the ones taken, their events prove; what else stands in a row is the worker's word.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, select

from ca.tables import certificates
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput
from pki.instants import parse_instant
from pki.jose import canonical_json, json_object
from storage.key_use_tables import key_use_segments, key_uses
from storage.ledger_entries import ProvableEvent, instant_text

CERTIFICATE: Final = "certificate"
KEY_USES: Final = "key-uses"

_ROUND: Final = 500
_c = certificates.c
_TEXTS: Final = (
    *("serial", "issuer", "profile", "file_id", "holder", "name", "requested_by"),
    *("licence", "profession", "province", "siam_id", "channel", "predecessor", "sign_group"),
)
_NUMBERS: Final = ("shard", "profile_version", "unapproved", "sign_position")
_INSTANTS: Final = ("not_before", "not_after", "intended_at", "issued_at")
_OCTETS: Final = ("spki_sha256", "tbs_sha256", "der")
COLUMNS: Final = (*_TEXTS, *_NUMBERS, *_INSTANTS, *_OCTETS)
_TELLING: Final = (AuditAction.CERTIFICATE_INTENDED.value, AuditAction.CERTIFICATE_ISSUED.value)


def attached_rows(connection: Connection, events: Sequence[ProvableEvent]) -> Iterator[bytes]:
    """Write the lines that stand beside these events."""
    serials: dict[str, None] = {}
    taken: list[str] = []
    for item in events:
        told = json_object(item.event)
        if told["action"] in _TELLING:
            serials[told["subject"]] = None
        elif told["action"] == AuditAction.KEYS_USED.value:
            taken.append(told["id"])
    known = list(serials)
    for start in range(0, len(known), _ROUND):
        query = select(*(_c[name] for name in COLUMNS)).where(_c.serial.in_(known[start : start + _ROUND]))
        for row in connection.execute(query).mappings():
            yield _line(CERTIFICATE, _encoded(row))
    yield from _key_uses(connection, taken)


def _key_uses(connection: Connection, event_ids: Sequence[str]) -> Iterator[bytes]:
    s, k = key_use_segments.c, key_uses.c
    for segment in connection.execute(select(key_use_segments).where(s.event_id.in_(event_ids))).all():
        query = (
            select(k.line)
            .where(k.custodian == segment.custodian, k.chain == segment.chain)
            .where(k.sequence.between(segment.first, segment.last))
            .order_by(k.sequence)
        )
        lines = [line.decode() for line in connection.execute(query).scalars()]
        yield _line(KEY_USES, {"event": segment.event_id, "lines": lines})


def _line(kind: str, row: Mapping[str, Any]) -> bytes:
    return canonical_json({"row": {"kind": kind, **row}})


def _encoded(row: RowMapping) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in COLUMNS:
        value = row[name]
        if isinstance(value, datetime):
            value = instant_text(value)
        elif isinstance(value, bytes):
            value = b64encode(value).decode()
        found[name] = value
    return found


def read_attached(lines: Iterable[bytes]) -> tuple[dict[str, dict[str, Any]], dict[str, list[bytes]]]:
    """Read lines of `attached_rows`: certificates' columns by serial number, lines of key uses by their event's id.

    InvalidInput for anything else.
    """
    found: dict[str, dict[str, Any]] = {}
    uses: dict[str, list[bytes]] = {}
    for line in lines:
        try:
            row = json_object(line)["row"]
            if row["kind"] == CERTIFICATE:
                found[row["serial"]] = _decoded(row)
            elif row["kind"] == KEY_USES:
                uses[row["event"]] = [text.encode() for text in row["lines"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(ErrorCode.JSON_MALFORMED, "a row beside the ledger cannot be read") from error
    return found, uses


def _decoded(row: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {name: row[name] for name in (*_TEXTS, *_NUMBERS)}
    for name in _INSTANTS:
        values[name] = None if row[name] is None else parse_instant(row[name])
    for name in _OCTETS:
        values[name] = None if row[name] is None else b64decode(row[name], validate=True)
    return values
