"""How often each route answered with which status: counted by every server process, added up over all of them.

Each process has a slot of its own, a file that it alone replaces while it holds the slot's lock. Whoever takes a slot
over goes on from its numbers, so that no total ever goes down. What another process answered since its last `flush`,
which each server calls every half second or so, may be missing.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

from pki.errors import ServiceError
from pki.jose import compact_json, json_object
from webapp.atomic_files import make_folder

SLOTS: Final = 64
FLUSH_SECONDS: Final = 1.0


class RequestCounts:
    """Counts of one process and of its neighbours. Threads may share it."""

    def __init__(self, folder: Path | None, monotonic: Callable[[], float]) -> None:
        """Keep the counts in `folder`; with None, or where it cannot be written, they are this process's alone."""
        self._folder, self._monotonic = folder, monotonic
        self._lock = Lock()
        self._slot = self._descriptor = -1
        if folder is not None:
            self._take_slot(folder)
        self._counts = Counter(self._read(self._slot))
        self._flushed, self._unwritten = monotonic(), False

    def add(self, route: str, status: int) -> None:
        """Count one answer; `route` is a route's template, never an address."""
        with self._lock:
            self._counts[f"{status} {route}"] += 1
            self._unwritten = True
            if self._monotonic() - self._flushed >= FLUSH_SECONDS:
                self._flush()

    def flush(self) -> None:
        """Write what was counted and is not written, at most once a second."""
        with self._lock:
            if self._unwritten and self._monotonic() - self._flushed >= FLUSH_SECONDS:
                self._flush()

    def totals(self) -> dict[tuple[str, int], int]:
        """Return the answers of all processes by route and status."""
        with self._lock:
            self._flush()
            total = Counter(self._counts)
        for slot in range(SLOTS if self._slot >= 0 else 0):
            if slot != self._slot:
                total.update(self._read(slot))
        return {(route, int(status)): count for name, count in total.items() for status, route in (name.split(" ", 1),)}

    def close(self) -> None:
        """Write what is counted, and give the slot back."""
        with self._lock:
            self._flush()
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._slot = self._descriptor = -1

    def _take_slot(self, folder: Path) -> None:
        try:
            make_folder(folder)
            for slot in range(SLOTS):
                descriptor = os.open(folder / f"requests-{slot}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                else:
                    self._slot, self._descriptor = slot, descriptor
                    return
        except OSError:
            return

    def _file(self, slot: int) -> Path:
        return (self._folder or Path()) / f"requests-{slot}.json"

    def _read(self, slot: int) -> dict[str, int]:
        if slot < 0:
            return {}
        try:
            found = json_object(self._file(slot).read_bytes())
        except (OSError, ServiceError):
            return {}
        return {
            name: count
            for name, count in found.items()
            if isinstance(count, int) and name.split(" ", 1)[0].isdecimal() and " " in name
        }

    def _flush(self) -> None:
        """Replace the slot's file; a crash may lose the last second, so nothing waits for the disk."""
        self._flushed, self._unwritten = self._monotonic(), False
        if self._slot < 0:
            return
        file = self._file(self._slot)
        part = file.with_suffix(".part")
        try:
            part.write_bytes(compact_json(dict(self._counts)))
            part.replace(file)
        except OSError:
            return
