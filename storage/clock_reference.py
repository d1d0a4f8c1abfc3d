"""What this machine's clock is held against until it starts anew: one small file that every program here reads.

From one start of a machine to the next, the difference between its clock and its time since the start changes only
when somebody sets the clock.
"""

import json
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pki.errors import ErrorCode, ServiceError, Unavailable
from pki.instants import parse_instant
from pki.jose import json_object


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReference:
    """When the machine started, by a clock that was believed; `boot` names that start.

    Records up to `forgiven` may be of a later time than the clock's: an officer knows that they are wrong.
    """

    boot: str
    started: datetime
    forgiven: datetime | None = None


class ReferenceFile:
    """The file of the reference, read again when another program has replaced it. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[tuple[int, int], ClockReference | None] | None = None

    def read(self) -> ClockReference | None:
        """Return what is kept; None where nothing is, or nothing that can be read."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        version = (status.st_mtime_ns, status.st_ino)
        known = self._known
        if known is None or known[0] != version:
            known = self._known = (version, self._load())
        return known[1]

    def _load(self) -> ClockReference | None:
        try:
            members = json_object(self._path.read_bytes())
            forgiven = members.get("forgiven")
            return ClockReference(
                boot=str(members["boot"]),
                started=parse_instant(str(members["started"])),
                forgiven=None if forgiven is None else parse_instant(str(forgiven)),
            )
        except (OSError, ServiceError, KeyError):
            return None

    def write(self, reference: ClockReference) -> None:
        """Replace what is kept; Unavailable (`file-unwritable`) where that is not possible."""
        members = {"boot": reference.boot, "started": reference.started.isoformat()}
        if reference.forgiven is not None:
            members["forgiven"] = reference.forgiven.isoformat()
        part = None
        try:
            descriptor, part = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), stat.S_IMODE(self._path.parent.stat().st_mode) & 0o666)
                file.write(json.dumps(members).encode())
                file.flush()
                os.fsync(file.fileno())
            Path(part).replace(self._path)
        except OSError as error:
            with suppress(OSError):
                if part is not None:
                    Path(part).unlink()
            raise Unavailable(ErrorCode.FILE_UNWRITABLE, self._path.name) from error
