"""What the custodian knows of its keys: a JSON file it owns, beside the device.

The device holds the private keys; this file says what each is for, which public key it must show and,
once its certificate exists, whose name it signs in. A key that is not recorded is never used.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hsm.errors import ConfigurationInvalid, KeyExists, KeyNotFound
from hsm.private_files import read_private, write_private
from hsm.provider import KeyInfo, KeyPurpose, check_label
from pki.errors import Conflict, ErrorCode, InvalidInput
from pki.jose import canonical_json, json_object
from pki.keys import SignatureAlgorithm

MAX_KEYS = 4096
MAX_FILE_OCTETS = 16 * 1024 * 1024
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One key: what a caller may know (`info`), its public key and, once bound, its issuer's Name (DER)."""

    info: KeyInfo
    spki_der: bytes
    issuer_der: bytes | None = None


class KeyRecords:
    """The records, kept in memory and written through."""

    def __init__(self, path: Path) -> None:
        """Read the file, if it exists; ConfigurationInvalid when it cannot be understood."""
        self._path = path
        self._records: dict[str, KeyRecord] = _load(path) if path.exists() else {}

    def get(self, label: str) -> KeyRecord:
        """Return the record of `label`; KeyNotFound."""
        record = self._records.get(label)
        if record is None:
            raise KeyNotFound("no key goes by this label")
        return record

    def all(self) -> tuple[KeyRecord, ...]:
        """Return every record, by label."""
        return tuple(self._records[label] for label in sorted(self._records))

    def check_free(self, label: str) -> None:
        """Refuse a label that is malformed or taken."""
        check_label(label)
        if label in self._records:
            raise KeyExists(label)
        if len(self._records) >= MAX_KEYS:
            raise Conflict(ErrorCode.CONFLICT, f"a custodian holds at most {MAX_KEYS} keys")

    def add(self, record: KeyRecord) -> None:
        """Keep a new record durably."""
        self.check_free(record.info.label)
        self._write({**self._records, record.info.label: record})

    def set_issuer(self, label: str, issuer_der: bytes) -> KeyRecord:
        """Bind a key to an issuer's Name; Conflict when it is already bound."""
        record = self.get(label)
        if record.issuer_der is not None:
            raise Conflict(ErrorCode.CONFLICT, f"{label} is already bound to an issuer")
        bound = replace(record, issuer_der=issuer_der)
        self._write({**self._records, label: bound})
        return bound

    def _write(self, records: dict[str, KeyRecord]) -> None:
        members = [_to_json(records[label]) for label in sorted(records)]
        write_private(self._path, canonical_json({"version": _VERSION, "keys": members}) + b"\n")
        self._records = records


def _load(path: Path) -> dict[str, KeyRecord]:
    try:
        document = json_object(bytes(read_private(path, MAX_FILE_OCTETS)))
        if document.get("version") != _VERSION:
            raise ConfigurationInvalid(f"{path.name} has an unknown version")
        records = [_from_json(member) for member in document["keys"]]
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInput) as error:
        if isinstance(error, ConfigurationInvalid):
            raise
        raise ConfigurationInvalid(f"{path.name} is not a key file") from error
    found = {record.info.label: record for record in records}
    if len(found) != len(records) or len({record.info.id for record in records}) != len(records):
        raise ConfigurationInvalid(f"{path.name} names a label or an id twice")
    return found


def _to_json(record: KeyRecord) -> dict[str, str | None]:
    info = record.info
    return {
        "label": info.label,
        "id": info.id,
        "algorithm": info.algorithm,
        "purpose": info.purpose,
        "created": info.created.isoformat(),
        "public_key": record.spki_der.hex(),
        "issuer": None if record.issuer_der is None else record.issuer_der.hex(),
    }


def _from_json(member: dict[str, Any]) -> KeyRecord:
    check_label(member["label"])
    created = datetime.fromisoformat(member["created"])
    if created.tzinfo is None:
        raise ValueError("time without zone")
    issuer = member["issuer"]
    return KeyRecord(
        info=KeyInfo(
            label=member["label"],
            id=bytes.fromhex(member["id"]).hex(),
            algorithm=SignatureAlgorithm(member["algorithm"]),
            purpose=KeyPurpose(member["purpose"]),
            created=created,
        ),
        spki_der=bytes.fromhex(member["public_key"]),
        issuer_der=None if issuer is None else bytes.fromhex(issuer),
    )
