"""A device that can be lost and found: fail fast while it is away, reconnect when it may be back."""

from collections.abc import Callable
from typing import Final, TypeVar

from hsm.device import Device
from hsm.errors import ConfigurationInvalid, DeviceLost, HsmUnavailable, SessionLost
from pki.errors import ServiceError

FIRST_DELAY_SECONDS: Final = 0.05
LONGEST_DELAY_SECONDS: Final = 2.0

Result = TypeVar("Result")


class Lifeline:
    """Run work on a device that may be away.

    Away, work is refused at once with HsmUnavailable until a delay is over; the next work then tries
    to reconnect. The delay doubles with each failure, from 50 ms to 2 s. `generation` counts the
    connections: what was found in the device belongs to one generation.
    """

    def __init__(self, device: Device, monotonic: Callable[[], float]) -> None:
        """Take a device that is not open yet; `monotonic` tells seconds that never run backwards."""
        self._device, self._monotonic = device, monotonic
        self._open = False
        self._delay = FIRST_DELAY_SECONDS
        self._next_try = monotonic()
        self._reason = "not connected yet"
        self.generation = 0

    def connect(self) -> None:
        """Connect if need be.

        HsmUnavailable while the device is away, ConfigurationInvalid or PinIncorrect when it cannot be opened.
        """
        if self._open:
            return
        if self._monotonic() < self._next_try:
            raise HsmUnavailable(f"the device is away: {self._reason}")
        self._reconnect()

    def run(self, work: Callable[[], Result]) -> Result:
        """Do `work` on the connected device; a lost session is opened again and the work done once more.

        Settings that went bad since the start (a PIN file that is gone) are HsmUnavailable here: they are no
        fault of who asks for the work.
        """
        try:
            return self._run(work)
        except ConfigurationInvalid as error:
            raise HsmUnavailable(f"the device cannot be opened: {error.detail}") from error

    def _run(self, work: Callable[[], Result]) -> Result:
        self.connect()
        try:
            return work()
        except SessionLost:
            self._reconnect()
        except DeviceLost as error:
            self._lose(error)
            raise
        try:
            return work()
        except (SessionLost, DeviceLost) as error:
            self._lose(error)
            raise

    def _reconnect(self) -> None:
        try:
            self._device.open()
        except (HsmUnavailable, ConfigurationInvalid) as error:
            self._lose(error)
            raise
        self._open = True
        self._delay = FIRST_DELAY_SECONDS
        self.generation += 1

    def _lose(self, error: ServiceError) -> None:
        self._open = False
        self._reason = error.detail
        self._next_try = self._monotonic() + self._delay
        self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)
