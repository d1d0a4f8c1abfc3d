"""A small disk of one's own: memory that is mounted where this process and those that it starts see it, nobody else."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CLONE_NEWNS = 0x00020000  # <linux/sched.h>
_REC, _PRIVATE, _DETACH = 1 << 14, 1 << 18, 2  # <sys/mount.h>

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _check(failed: int) -> None:
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[str]:
    """Mount a disk of so many megabytes on a folder for the block; say why this machine allows none, or nothing."""
    try:
        _check(_libc.unshare(_CLONE_NEWNS))
        _check(_libc.mount(None, b"/", None, _REC | _PRIVATE, None))
        options = f"size={megabytes}m,mode=0755".encode()
        _check(_libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options))
    except OSError as error:
        yield str(error.strerror)
        return
    try:
        yield ""
    finally:
        with suppress(OSError):
            _check(_libc.umount2(os.fsencode(folder), _DETACH))


@contextmanager
def filled(folder: Path, leave: int) -> Iterator[None]:
    """Leave only so many octets free on a folder's disk, for the block."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while (rest := _free(folder) - leave) > 0:
                try:
                    file.write(bytes(min(rest, 1 << 20)))
                except OSError:  # others took the last of it
                    break
        yield
    finally:
        ballast.unlink(missing_ok=True)


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
