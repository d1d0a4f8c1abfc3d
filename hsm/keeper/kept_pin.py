"""What the keeper keeps: one PIN in locked memory, and the shares that are on their way to one."""

from collections.abc import Callable
from typing import Final

from hsm.errors import HsmUnavailable
from hsm.keeper.locked_memory import LockedMemory, wipe
from hsm.keeper.protocol import UNLOCK_ID_OCTETS, KeeperState
from hsm.pin import MAX_PIN_OCTETS
from hsm.sharing.pin_shares import check_pin, pin_of
from hsm.sharing.share_set import ShareSet
from hsm.sharing.shares import Share, ShareCollection

COLLECTING_SECONDS: Final = 900.0


class KeptPin:
    """The PIN, once it was given, until it is forgotten."""

    def __init__(
        self,
        share_set: ShareSet | None,
        monotonic: Callable[[], float],
        random_octets: Callable[[int], bytes],
    ) -> None:
        """With a share set the PIN can also come in its shares; they are forgotten after 15 minutes without one."""
        self._share_set, self._now, self._random_octets = share_set, monotonic, random_octets
        self._memory = LockedMemory(MAX_PIN_OCTETS).view
        self._size = 0
        self._unlock_id = b""
        self._collection = None if share_set is None else ShareCollection(share_set)
        self._last_share = 0.0

    @property
    def locked(self) -> bool:
        """Whether the PIN is still waited for."""
        return not self._size

    def state(self) -> KeeperState:
        """Say how it is, without a secret."""
        if self._share_set is None or self._collection is None:
            return KeeperState(locked=self.locked)
        return KeeperState(
            locked=self.locked,
            ceremony=self._share_set.name,
            about=self._share_set.about,
            threshold=self._share_set.threshold,
            missing=self._collection.missing,
        )

    def copy_into(self, target: memoryview) -> int:
        """Write unlock id and PIN to the start of `target` and return how many octets; HsmUnavailable if locked."""
        if self.locked:
            raise HsmUnavailable("the token waits for its PIN")
        end = UNLOCK_ID_OCTETS + self._size
        target[:UNLOCK_ID_OCTETS] = self._unlock_id
        target[UNLOCK_ID_OCTETS:end] = self._memory[: self._size]
        return end

    def unlock(self, octets: memoryview | bytearray) -> None:
        """Take the PIN, whatever was kept before; PinMalformed when it cannot be one."""
        check_pin(octets, MAX_PIN_OCTETS)
        self.forget()
        self._memory[: len(octets)] = octets
        self._size = len(octets)
        self._unlock_id = self._random_octets(UNLOCK_ID_OCTETS)

    def add_share(self, octets: memoryview) -> int:
        """Take a share and return how many are still needed; with the last one the PIN is there.

        ShareMalformed, ShareWrong, ShareForeign, ShareRepeated; HsmUnavailable when no share opens this keeper.
        """
        if self._collection is None:
            raise HsmUnavailable("this keeper has no share set: it takes the PIN itself")
        missing = self._collection.add(Share(octets))
        self._last_share = self._now()
        if not missing:
            self._unlock_with_shares(self._collection)
        return missing

    def _unlock_with_shares(self, collection: ShareCollection) -> None:
        with collection, pin_of(collection.combine()) as pin:
            octets = bytearray(pin.reveal().encode())
            try:
                self.unlock(octets)
            finally:
                wipe(octets)

    def forget(self) -> None:
        """Wipe the PIN and every share."""
        wipe(self._memory)
        self._size = 0
        self._unlock_id = b""
        if self._collection is not None:
            self._collection.wipe()

    def tick(self) -> None:
        """Forget shares that nobody completed in time."""
        if (
            self._collection is not None
            and self._share_set is not None
            and self._collection.missing < self._share_set.threshold
            and self._now() - self._last_share > COLLECTING_SECONDS
        ):
            self._collection.wipe()
