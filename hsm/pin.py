"""The PIN of a device: read late, wiped early, and never tried once too often."""

from pathlib import Path
from types import TracebackType
from typing import NoReturn, Protocol, Self

from hsm.errors import ConfigurationInvalid, PinIncorrect
from hsm.private_files import read_private, read_private_line, write_private

MAX_PIN_OCTETS = 128


class Pin:
    """A secret that shows itself to nobody who does not ask by name; wiped when its block ends.

    Wiping is best effort: the PKCS#11 binding takes a `str`, whose copies Python frees when it likes.
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes | bytearray) -> None:
        self._octets = bytearray(octets)

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
        octets = read_private_line(self._path, MAX_PIN_OCTETS)
        try:
            return Pin(octets)
        finally:
            octets[:] = bytes(len(octets))


class PinTries:
    """Count logins that were not seen to succeed, on disk, so that restarts cannot lock the device.

    The count is written before the device sees the PIN: a crash in between counts as a failure.
    """

    def __init__(self, path: Path, allowed: int) -> None:
        self._path, self._allowed = path, allowed

    @property
    def failed(self) -> int:
        """How many tries are not known to have succeeded since the last success."""
        if not self._path.exists():
            return 0
        text = bytes(read_private(self._path, 16)).strip()
        if not text.isdigit():
            raise ConfigurationInvalid(f"{self._path.name} does not hold a number")
        return int(text)

    def begin(self) -> None:
        """Count a try before it is made; PinIncorrect when no more may be made."""
        failed = self.failed
        if failed >= self._allowed:
            raise PinIncorrect(f"{failed} tries failed; correct the PIN file, then remove {self._path.name}")
        write_private(self._path, b"%d\n" % (failed + 1))

    def succeeded(self) -> None:
        """Forget the failures: the device took the PIN."""
        write_private(self._path, b"0\n")

    def undecided(self) -> None:
        """Take the last count back: the device failed before it judged the PIN."""
        write_private(self._path, b"%d\n" % max(self.failed - 1, 0))
