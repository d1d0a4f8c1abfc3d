"""Reading what a person names, and writing what was made: whole or not at all."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from pki.errors import ErrorCode, InvalidInput

MAX_FILE_OCTETS: Final = 50 * 1024 * 1024


def read_file(path: Path) -> bytes:
    """Read a file of at most 50 MiB; InvalidInput when it is empty, larger or unreadable."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_OCTETS + 1)
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, path.name) from error
    if len(data) > MAX_FILE_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, path.name)
    if not data:
        raise InvalidInput(ErrorCode.INPUT_EMPTY, path.name)
    return data


def is_same_file(one: Path, other: Path) -> bool:
    """Whether both paths lead to one file that exists."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def check_writable(path: Path) -> None:
    """Refuse a place where `write_file` cannot succeed, before a PIN or a key is spent (`file-unwritable`)."""
    try:
        possible = not path.is_dir() and path.parent.is_dir() and os.access(path.parent, os.W_OK)
    except OSError as error:  # such as a name that is too long
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, path.name) from error
    if not possible:
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, path.name)


def write_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path`: a crash or an error leaves what was there, or nothing (`file-unwritable`)."""
    part = path.with_name(f".mohr-{secrets.token_hex(8)}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, path.name) from error
    finally:
        with suppress(OSError):  # it took its place, or was never there
            part.unlink()
