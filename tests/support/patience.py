"""How long tests wait for what other processes do: far longer than that takes on a busy machine."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from hsm.errors import HsmUnavailable

T = TypeVar("T")
PATIENCE: Final = 60.0
PAUSE: Final = 0.02


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for what happens soon."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(PAUSE)


def in_the_end(act: Callable[[], T]) -> T:
    """Do again what finds the device away: it is opened anew where a key is not seen, or where the machine stalls."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except HsmUnavailable:
            assert time.monotonic() < end, "it stays away"
            time.sleep(PAUSE)
