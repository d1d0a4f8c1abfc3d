"""The PIN of a device: read late, wiped early, and never tried once too often."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, NoReturn, Protocol, Self

from hsm.errors import ConfigurationInvalid, HsmUnavailable, PinIncorrect
from hsm.private_files import read_private, read_private_line, write_private
from pki.errors import InvalidInput
from pki.jose import compact_json, json_object

MAX_PIN_OCTETS = 128
_MAX_STATE_OCTETS: Final = 1024
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Pin:
    """A secret that shows itself to nobody who does not ask by name; wiped when its block ends.

    Wiping is best effort: the PKCS#11 binding takes a `str`, whose copies Python frees when it likes.
    """

    __slots__ = ("_octets", "identity")

    def __init__(self, octets: bytes | bytearray, identity: str = "") -> None:
        """`identity` names where and when the PIN came from, and says nothing of it; empty: not known again."""
        self._octets = bytearray(octets)
        self.identity = identity

    def reveal(self) -> str:
        """Return the PIN for the one call that needs it."""
        return self._octets.decode()

    def wipe(self) -> None:
        """Overwrite the octets."""
        self._octets[:] = bytes(len(self._octets))
        self._octets.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return "Pin(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PIN is not copied or pickled")


class PinSource(Protocol):
    """Where a device's PIN comes from each time it is needed."""

    def read(self) -> Pin:
        """Return the PIN; the caller wipes it."""
        ...


class PinFile:
    """A PIN in an owner-only file, read for each login so that it does not stay in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Pin:
        """Read the PIN; ConfigurationInvalid when the file is open to others or holds no PIN."""
        before = self._identity()
        octets = read_private_line(self._path, MAX_PIN_OCTETS)
        try:
            # A file that was replaced while we read it is not recognised: its PIN counts as new.
            return Pin(octets, before if before == self._identity() else "")
        finally:
            octets[:] = bytes(len(octets))

    def _identity(self) -> str:
        try:
            status = self._path.lstat()
        except OSError as error:
            raise ConfigurationInvalid(f"{self._path.name}: {error.strerror}") from error
        return f"file:{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"


class _State(NamedTuple):
    """What the file of tries says: tries not seen to succeed; the PIN that did last, and the one refused, by name."""

    failed: int = 0
    known_good: str = ""
    refused: str = ""


class PinTries:
    """Count logins that were not seen to succeed, on disk, so that restarts cannot lock the device.

    A try is counted before the device sees the PIN, so that a crash in between counts as a failure. The PIN
    that the device took last is not counted in advance: a device that hangs or dies during its login, however
    often, did not do so for the PIN. One that the device refused before it ever took it is not tried again: whoever
    mistyped it has another try. Custodians that share the file log in one after the other.
    """

    def __init__(self, path: Path, allowed: int, notice: Callable[[bool], None] = lambda _known_good: None) -> None:
        """`notice` is called as a try begins, with whether its PIN is known to be good."""
        self._path, self._allowed, self._notice = path, allowed, notice

    @property
    def failed(self) -> int:
        """How many tries are not known to have succeeded since the last success."""
        return self._load().failed

    @contextmanager
    def attempt(self, identity: str) -> Iterator[None]:
        """Count one login, which is made inside; PinIncorrect, before it, when no more may be made.

        PinIncorrect from inside is a failure, any other error leaves the try undecided: it counts unless
        the PIN is the one that last succeeded.
        """
        with self._alone():
            state = self._load()
            if state.failed >= self._allowed:
                raise PinIncorrect(f"{state.failed} tries failed; correct the PIN, then remove {self._path.name}")
            if identity != "" and identity == state.refused:
                raise PinIncorrect("the device refused this PIN, which is not tried again: give it another one")
            known_good = identity != "" and identity == state.known_good
            counted = _State(state.failed + 1, refused=state.refused)
            if not known_good:
                self._store(counted)
            self._notice(known_good)
            try:
                yield
            except PinIncorrect:
                self._store(counted if known_good else counted._replace(refused=identity))
                raise
            if not (known_good and state.failed == 0):
                self._store(_State(known_good=identity))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            descriptor = os.open(self._path.with_name(f"{self._path.name}.lock"), _LOCK_FLAGS, 0o600)
        except OSError as error:
            raise HsmUnavailable(f"the PIN tries cannot be locked: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _load(self) -> _State:
        if not self._path.exists():
            return _State()
        text = bytes(read_private(self._path, _MAX_STATE_OCTETS)).strip()
        if text.isdigit():  # as it was written before PINs had an identity
            return _State(int(text))
        try:
            members = json_object(text)
            failed, known_good, refused = members["failed"], members["known_good"], members.get("refused", "")
        except (InvalidInput, KeyError) as error:
            raise ConfigurationInvalid(f"{self._path.name} does not hold a count") from error
        if type(failed) is not int or failed < 0 or type(known_good) is not str or type(refused) is not str:
            raise ConfigurationInvalid(f"{self._path.name} does not hold a count")
        return _State(failed, known_good, refused)

    def _store(self, state: _State) -> None:
        write_private(self._path, compact_json(state._asdict()) + b"\n")
