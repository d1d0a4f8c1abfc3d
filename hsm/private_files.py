"""Files that only their owner may read: the PIN, the key file, the counter of PIN tries."""

import os
import stat
from pathlib import Path

from hsm.errors import ConfigurationInvalid, HsmUnavailable


def read_private(path: Path, limit: int) -> bytearray:
    """Read a file that belongs to us and that nobody else may open; at most `limit` octets.

    ConfigurationInvalid when it is missing, too large, not a regular file or open to others. The
    octets come in a bytearray so that a secret can be wiped.
    """
    octets = bytearray(limit + 1)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _check_owner_only(path, os.fstat(descriptor))
            count = os.readv(descriptor, [octets])
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigurationInvalid(f"{path.name}: {error.strerror}") from error
    if count > limit:
        octets[:] = bytes(len(octets))
        raise ConfigurationInvalid(f"{path.name} is larger than {limit} octets")
    del octets[count:]
    return octets


def read_private_line(path: Path, limit: int) -> bytearray:
    """Read the one line of printable ASCII that is a PIN, a credential or a token; the caller wipes it.

    ConfigurationInvalid as `read_private` says, and for a file that holds anything else.
    """
    octets = read_private(path, limit)
    while octets and octets[-1] in b"\r\n":
        octets.pop()
    if not octets or not all(0x20 <= octet < 0x7F for octet in octets):
        octets[:] = bytes(len(octets))
        raise ConfigurationInvalid(f"{path.name} does not hold one line of printable ASCII")
    return octets


def _check_owner_only(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationInvalid(f"{path.name} is not a regular file")
    if status.st_uid != os.geteuid():
        raise ConfigurationInvalid(f"{path.name} belongs to another user")
    if status.st_mode & 0o077:
        raise ConfigurationInvalid(f"{path.name} may be opened by others; its mode must be 0600")


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` durably: a reader sees the old content or the new, also after a crash."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise HsmUnavailable(f"{path.name} cannot be written: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Make durable what was created, renamed or removed in `folder`; OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
