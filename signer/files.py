"""The files that people name: read with a limit; written whole or not at all."""

import errno
import os
import secrets
import select
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from pki.errors import ErrorCode, InvalidInput

MAX_FILE_OCTETS: Final = 50 * 1024 * 1024
PATIENCE: Final = 8.0  # seconds: that a pipe may be silent while its writer works
_PIECE: Final = 1 << 20


def read_file(path: Path, *, limit: int = MAX_FILE_OCTETS) -> bytes:
    """Read a file; InvalidInput with a code when it is unreadable, silent, empty or larger than `limit` octets."""
    try:
        data = read_start(path, limit + 1)
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, path.name) from error
    if len(data) > limit:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, path.name)
    if not data:
        raise InvalidInput(ErrorCode.INPUT_EMPTY, path.name)
    return data


def read_start(path: Path, octets: int) -> bytes:
    """Read a file of any kind, no more than its first `octets`; OSError, also where nothing comes for `PATIENCE`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer opens, too
    try:
        poll, parts, left = select.poll(), [], octets
        poll.register(descriptor, select.POLLIN)
        while left:
            if not poll.poll(PATIENCE * 1000):
                raise TimeoutError(errno.ETIMEDOUT, "nobody writes into it")
            part = os.read(descriptor, min(left, _PIECE))
            if not part:
                break
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def is_same_file(one: Path, other: Path) -> bool:
    """Whether both paths lead to one file that exists."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def check_writable(path: Path) -> None:
    """Refuse a place where `write_file` cannot succeed, before a PIN or a key is spent (`file-unwritable`)."""
    try:
        if _is_written_through(path):
            possible = not path.is_dir() and os.access(path, os.W_OK)
        else:
            possible = path.parent.is_dir() and os.access(path.parent, os.W_OK)
    except OSError as error:  # such as a name that is too long
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, path.name) from error
    if not possible:
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, path.name)


def write_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path`: a crash or an error leaves what was there, or nothing (`file-unwritable`).

    A device, a pipe or a link, such as /dev/stdout, is not replaced but written to.
    """
    try:
        if _is_written_through(path):
            with path.open("wb") as file:
                file.write(data)
        else:
            _replace(path, data)
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, path.name) from error


def _is_written_through(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".mohr-{secrets.token_hex(8)}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):  # it may never have been there; the first error is the one to tell
            part.unlink()
        raise
