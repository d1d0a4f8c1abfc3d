"""Memory with an end: what was read or fetched, the oldest forgotten first where it grows too large."""

from collections.abc import Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Remembered(Generic[_Key, _Value]):
    """Values by key. Strangers' files say what is looked for, so neither their number nor their size is trusted."""

    def __init__(self, *, entries: int, octets: int) -> None:
        self._entries, self._octets, self._held = entries, octets, 0
        self._values: dict[_Key, tuple[_Value, int]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: _Key) -> _Value | None:
        """Return what is remembered under a key."""
        found = self._values.get(key)
        return None if found is None else found[0]

    def keep(self, key: _Key, value: _Value, size: int) -> None:
        """Remember a value of `size` octets, in place of what the key had; the last one is always kept."""
        self.forget(key)
        self._values[key] = (value, size)
        self._held += size
        while len(self._values) > 1 and (self._held > self._octets or len(self._values) > self._entries):
            self.forget(next(iter(self._values)))

    def forget(self, key: _Key) -> None:
        """Forget what is under a key."""
        found = self._values.pop(key, None)
        if found is not None:
            self._held -= found[1]
