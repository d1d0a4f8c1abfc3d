"""What must not run backwards from one signature to the next, on disk and for all custodians of a key store.

A mark for each key and scope of its CRLs: the number, the time and the digest of the list signed last. It is
advanced before a list is signed, so a crash can cost a number and never repeat one; the same bytes may be asked
for again, since a client that lost its answer does. A list that lies in our own future was signed by a wrong clock:
an earlier time follows it, and a higher number all the same. Marks are small files in a folder that is locked
meanwhile.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from hsm.custodian.limits import KeyLimits
from hsm.custodian.reading.messages import MessageRead
from hsm.errors import ConfigurationInvalid, HsmUnavailable, PurposeRefused
from hsm.private_files import read_private, write_private
from pki.errors import InvalidInput
from pki.instants import format_instant, parse_instant
from pki.jose import canonical_json, json_object

MAX_MARK_OCTETS: Final = 1024
MAX_MARKS: Final = 65_536
FUTURE: Final = timedelta(minutes=15)  # more than any list may be ahead of the clock when it is signed
LOCK_TRIES: Final = 200
LOCK_WAIT_SECONDS: Final = 0.002
_SUFFIX: Final = ".mark"


@dataclass(frozen=True, slots=True)
class _Mark:
    number: int
    this_update: datetime
    digest: bytes


class Marks:
    """The marks in one folder. Used by one thread of each custodian."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is made if need be; HsmUnavailable."""
        self._folder = folder
        self._stamps: dict[str, datetime] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(error) from error

    def advance(self, label: str, read: MessageRead, limits: KeyLimits, digest: bytes, now: datetime) -> None:
        """Take note of what is about to be signed; PurposeRefused when it runs backwards, HsmUnavailable.

        `digest` is the message's SHA-256. A genTime may lie before the last that this custodian signed since its
        start by no more than the key's tolerance.
        """
        if read.instant is None:
            return
        if read.crl_scope is not None:
            self.check_and_advance(label, read.crl_scope, read.crl_number, read.instant, digest, now)
            return
        last, tolerance = self._stamps.get(label, read.instant), limits.timestamp_tolerance_ms
        if tolerance is not None and read.instant < last - timedelta(milliseconds=tolerance):
            raise PurposeRefused("genTime is earlier than the last time-stamp's")
        self._stamps[label] = max(read.instant, last)

    def clock_was_accepted(self) -> None:
        """Forget the time-stamps of before: an operator knows that the clock was wrong then."""
        self._stamps.clear()

    def check_and_advance(
        self, label: str, scope: bytes, number: int, this_update: datetime, digest: bytes, now: datetime
    ) -> None:
        """Let the list of a scope follow the one before: a higher number, no earlier time; or the same list again.

        PurposeRefused, and HsmUnavailable when the mark cannot be read or made durable.
        """
        name = sha256(label.encode() + b"\0" + scope).hexdigest()
        path = self._folder / f"{name}{_SUFFIX}"
        with self._locked():
            last = _read(path)
            if last is None:
                self._check_room()
            elif (number, this_update, digest) == (last.number, last.this_update, last.digest):
                return
            elif number <= last.number:
                raise PurposeRefused(f"CRL number {number} does not follow {last.number}")
            elif this_update < last.this_update <= now + FUTURE:
                raise PurposeRefused("thisUpdate is earlier than the last list's")
            write_private(
                path,
                canonical_json(
                    {
                        "digest": digest.hex(),
                        "key": label,
                        "number": f"{number:x}",
                        "this_update": format_instant(this_update),
                    }
                ),
            )

    def _check_room(self) -> None:
        if sum(1 for entry in os.scandir(self._folder) if entry.name.endswith(_SUFFIX)) >= MAX_MARKS:
            raise PurposeRefused("lists of too many scopes")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unusable(error) from error
        try:
            _lock(descriptor)
            yield
        except OSError as error:
            raise _unusable(error) from error
        finally:
            os.close(descriptor)


def _read(path: Path) -> _Mark | None:
    if not path.exists():
        return None
    try:
        raw = json_object(bytes(read_private(path, MAX_MARK_OCTETS)))
        return _Mark(int(raw["number"], 16), parse_instant(raw["this_update"]), bytes.fromhex(raw["digest"]))
    except (ConfigurationInvalid, InvalidInput, KeyError, TypeError, ValueError) as error:
        raise HsmUnavailable("what the last CRL was cannot be read; nothing follows it until a person looks") from error


def _lock(descriptor: int) -> None:
    """Lock the folder; HsmUnavailable when another custodian does not let go of it: nothing here waits for ever."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_WAIT_SECONDS)
        else:
            return
    raise HsmUnavailable("another custodian holds the marks")


def _unusable(error: OSError) -> HsmUnavailable:
    return HsmUnavailable(f"the marks cannot be used: {error.strerror}")
