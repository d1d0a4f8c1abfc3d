"""What keeps a kill from losing a SoftHSM2 token: a copy of the one file that each login truncates and writes anew.

`token.object` holds the token's label and what the PIN opens: without it no private key can be read any more. At every
login SoftHSM2 (2.6.1) locks it (`fcntl`), truncates it, unlocks it and only then writes. So its lock does not say that
a writer is done, and who is killed in between leaves the file empty. The guard holds a lock of its own (`flock` on the
folder of tokens) from before the module is initialised until the login is over; a file that is torn then was torn by
one that is dead, or by a tool that does not know this lock: that one is given time to finish.

SoftHSM2 takes no notice of plain files in its folder of tokens: the copy of TOKEN/token.object is TOKEN.copy beside it.
"""

import contextlib
import fcntl
import logging
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hsm.errors import DeviceLost, HsmUnavailable
from hsm.private_files import write_private

CONFIGURATION_VARIABLE: Final = "SOFTHSM2_CONF"
TOKEN_FILE: Final = "token.object"

_DEFAULT_FOLDER: Final = Path("/var/lib/softhsm/tokens")
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MEND_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_OCTETS: Final = 64 * 1024  # it has 320
_SETTLE_TRIES: Final = 5
_SETTLE_SECONDS: Final = 0.01

_NUMBER: Final = struct.Struct("!Q")
_HEAD: Final = struct.Struct("!QQ")
_ULONG, _OCTETS = 2, 3
_VENDOR: Final = 0x8000_0000 + 0x5348
_FLAGS, _USER_PIN = _VENDOR + 3, _VENDOR + 5
_NEEDED: Final = {_VENDOR + 1, _VENDOR + 2, _FLAGS, _VENDOR + 4}  # label, serial number, flags, SO PIN
_USER_PIN_INITIALISED: Final = 0x08  # CKF_USER_PIN_INITIALIZED

_log = logging.getLogger("hsm.softhsm_guard")


def is_whole(content: bytes) -> bool:
    """Tell a `token.object` from one that is empty, cut short or overwritten.

    It is a generation (8 octets), then attributes to its very end: type (8), kind (8), then 8 octets for a number (kind
    2) or a length (8) and as many octets (kind 3). All numbers are big-endian. Whole means that nothing is left over
    and nothing is missing that an initialised token has, the user PIN's blob included when the flags promise it. What
    blobs say is not read.
    """
    found: dict[int, int] = {}
    offset = _NUMBER.size
    try:
        while offset < len(content):
            name, kind = _HEAD.unpack_from(content, offset)
            (found[name],) = _NUMBER.unpack_from(content, offset + _HEAD.size)
            offset += _HEAD.size + _NUMBER.size + (found[name] if kind == _OCTETS else 0)
            if kind not in (_ULONG, _OCTETS):
                return False
    except struct.error:
        return False
    if offset != len(content) or not found.keys() >= _NEEDED:
        return False
    return _USER_PIN in found or not found[_FLAGS] & _USER_PIN_INITIALISED


class SoftHsmGuard:
    """Looks after every token of one SoftHSM2 configuration, in a process that has not initialised the module."""

    def __init__(self, configuration: Path) -> None:
        """`configuration` is what SOFTHSM2_CONF names; it is read at each use."""
        self._configuration = configuration

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Put back and copy what must be, then let the block initialise the module and log in, alone.

        The copies are made before the login: that is the state which a kill during the login must lead back to.
        DeviceLost when the tokens are not there, and with its reason in place of the block's own when a token is torn
        that could not be put back.
        """
        with self.alone():
            torn = self.put_back()
            self.keep()
            try:
                yield
            except DeviceLost as error:
                if torn:
                    raise _lost(torn) from error
                raise

    def check(self) -> None:
        """Put back what is torn; DeviceLost where that cannot be. Under the lock."""
        if torn := self.put_back():
            raise _lost(torn)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock that every login of ours holds; DeviceLost."""
        try:
            descriptor = os.open(self.folder(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceLost(f"the tokens of {self._configuration.name}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def folder(self) -> Path:
        """Return the folder of the tokens, which is what the lock is on; DeviceLost."""
        try:
            lines = self._configuration.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DeviceLost(f"{self._configuration.name} cannot be read") from error
        for line in lines:
            name, _, value = line.partition("#")[0].partition("=")
            if name.strip() == "directories.tokendir":
                return Path(value.strip())
        return _DEFAULT_FOLDER

    def put_back(self) -> list[str]:
        """Write the copy over each file that is torn; return the tokens where that cannot be. Under the lock."""
        return [file.parent.name for file in self._files() if not _settled(file) and not self._restored(file)]

    def keep(self) -> None:
        """Copy each file that is whole and differs from its copy in more than its generation. Under the lock."""
        for file in self._files():
            content, copy = _read(file), _copy_of(file)
            if not is_whole(content) or content[_NUMBER.size :] == _read(copy)[_NUMBER.size :]:
                continue
            try:
                write_private(copy, content)
            except HsmUnavailable as error:  # the keys can be used all the same
                _log.warning("a kill during a login would lose this token: %s", error.detail)

    def _files(self) -> list[Path]:
        """Return those that are ours to mend: a neighbour's may be closed to us."""
        return sorted(file for file in self.folder().glob(f"*/{TOKEN_FILE}") if os.access(file, os.R_OK | os.W_OK))

    def _restored(self, file: Path) -> bool:
        content = _read(_copy_of(file))
        if not is_whole(content):
            _log.error("%s of %s is torn and has no copy", TOKEN_FILE, file.parent.name)
            return False
        try:
            with os.fdopen(os.open(file, _MEND_FLAGS), "r+b", buffering=0) as target:
                fcntl.lockf(target, fcntl.LOCK_EX)  # SoftHSM2's own lock: its other readers wait
                if is_whole(target.read(_MAX_OCTETS) or b""):
                    return True
                target.truncate(0)  # in place, so that it stays its owner's; torn again, it is put back again
                os.pwrite(target.fileno(), content, 0)
                os.fsync(target.fileno())
        except OSError as error:
            _log.error("%s of %s is torn and cannot be put back: %s", TOKEN_FILE, file.parent.name, error.strerror)
            return False
        _log.warning("%s of %s was torn and is put back from its copy", TOKEN_FILE, file.parent.name)
        return True


def _lost(torn: list[str]) -> DeviceLost:
    return DeviceLost(f"{TOKEN_FILE} of {', '.join(torn)} is torn and there is no copy: restore it from a backup")


def _copy_of(file: Path) -> Path:
    return file.parent.with_name(f"{file.parent.name}.copy")


def _settled(file: Path) -> bool:
    """Tell whether the file is whole, now or once a tool that is writing it is done."""
    for _ in range(_SETTLE_TRIES):
        if is_whole(_read(file)):
            return True
        time.sleep(_SETTLE_SECONDS)
    return False


def _read(path: Path) -> bytes:
    """Return the content; nothing for what cannot be read."""
    try:
        with os.fdopen(os.open(path, _READ_FLAGS), "rb") as file:
            return file.read(_MAX_OCTETS)
    except OSError:
        return b""
