"""What the custodians know of their keys: a JSON file they own, beside the device.

The device holds the private keys; this file says what each is for, which public key it must show and,
once its certificate exists, whose name it signs in. A key that is not recorded is never used.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from hsm.errors import ConfigurationInvalid, HsmUnavailable, KeyExists, KeyNotFound
from hsm.private_files import read_private, write_private
from hsm.provider import KeyInfo, KeyPurpose, check_label
from pki.errors import Conflict, ErrorCode, InvalidInput
from pki.jose import canonical_json, json_object
from pki.keys import SignatureAlgorithm

MAX_KEYS: Final = 4096
MAX_FILE_OCTETS: Final = 16 * 1024 * 1024
LOCK_TRIES: Final = 20
LOCK_WAIT_SECONDS: Final = 0.01
_VERSION: Final = 1

_Identity = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One key: what a caller may know (`info`), its public key and, once bound, its issuer's Name (DER)."""

    info: KeyInfo
    spki_der: bytes
    issuer_der: bytes | None = None


class KeyRecords:
    """The records that the custodians of one device share: kept in memory, written through, read again when changed.

    A change is made under a lock and on top of what the file says then, so that no custodian undoes another's.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, if it exists; ConfigurationInvalid when it cannot be understood."""
        self._path, self._name = path, str(path)
        self._identity: _Identity | None = None
        self.version = 0  # counts the changes that were seen here, ours and others'
        self._records: dict[str, KeyRecord] = {}
        self.refresh()

    def refresh(self) -> bool:
        """Read the file again if another custodian wrote it; tell whether it did.

        ConfigurationInvalid when it cannot be understood, or was there and is gone.
        """
        identity = _identity(self._name)
        if identity == self._identity:
            return False
        if identity is None:
            raise ConfigurationInvalid(f"{self._path.name} is gone")
        self._records = _load(self._path)
        self._identity = identity
        self.version += 1
        return True

    def get(self, label: str) -> KeyRecord:
        """Return the record of `label`; KeyNotFound."""
        record = self._records.get(label)
        if record is None:
            raise KeyNotFound("no key goes by this label")
        return record

    def issuer_of(self, record: KeyRecord) -> KeyRecord | None:
        """Return the record of the authority whose name a responder's key is bound to, if it is among ours."""
        if record.info.purpose is not KeyPurpose.OCSP or record.issuer_der is None:
            return None
        return next(
            (
                other
                for other in self._records.values()
                if other.info.purpose is KeyPurpose.CERTIFICATE_AUTHORITY and other.issuer_der == record.issuer_der
            ),
            None,
        )

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
        """Keep a new record durably; KeyExists when another custodian took its label meanwhile."""
        with self._changing():
            self.check_free(record.info.label)
            if any(record.info.id == other.info.id for other in self._records.values()):
                raise Conflict(ErrorCode.CONFLICT, "the key of the device is recorded under another label")
            self._write({**self._records, record.info.label: record})

    def set_issuer(self, label: str, issuer_der: bytes) -> KeyRecord:
        """Bind a key to an issuer's Name; Conflict when it is already bound."""
        with self._changing():
            record = self.get(label)
            if record.issuer_der is not None:
                raise Conflict(ErrorCode.CONFLICT, f"{label} is already bound to an issuer")
            bound = replace(record, issuer_der=issuer_der)
            self._write({**self._records, label: bound})
            return bound

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock for a change; HsmUnavailable when another custodian does not let go of it."""
        with self._opened_lock() as lock:
            for _ in range(LOCK_TRIES):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(LOCK_WAIT_SECONDS)
            else:
                raise HsmUnavailable("another custodian is changing the key records")
            self.refresh()
            yield

    def _opened_lock(self) -> BinaryIO:
        try:
            return self._path.with_name(f"{self._path.name}.lock").open("wb")
        except OSError as error:
            raise HsmUnavailable(f"{self._path.name} cannot be written: {error.strerror}") from error

    def _write(self, records: dict[str, KeyRecord]) -> None:
        members = [_to_json(records[label]) for label in sorted(records)]
        write_private(self._path, canonical_json({"version": _VERSION, "keys": members}) + b"\n")
        self._records, self._identity = records, _identity(self._name)
        self.version += 1


def _identity(path: str) -> _Identity | None:
    """Tell one content of a file that is replaced from another; None when there is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - it is asked for with each request
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _load(path: Path) -> dict[str, KeyRecord]:
    return parse_records(bytes(read_private(path, MAX_FILE_OCTETS)), path.name)


def parse_records(data: bytes, name: str) -> dict[str, KeyRecord]:
    """Read a file of key records, by label; ConfigurationInvalid, with the file's `name`."""
    try:
        document = json_object(data)
        if document.get("version") != _VERSION:
            raise ConfigurationInvalid(f"{name} has an unknown version")
        records = [_from_json(member) for member in document["keys"]]
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInput) as error:
        if isinstance(error, ConfigurationInvalid):
            raise
        raise ConfigurationInvalid(f"{name} is not a key file") from error
    found = {record.info.label: record for record in records}
    if len(found) != len(records) or len({record.info.id for record in records}) != len(records):
        raise ConfigurationInvalid(f"{name} names a label or an id twice")
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
