"""A PIN divided among people: filled up with zero octets to what can be divided."""

from collections.abc import Callable, Sequence
from datetime import datetime

from hsm.errors import PinMalformed
from hsm.pin import Pin
from hsm.sharing.share_set import MAX_SECRET_OCTETS, MIN_SECRET_OCTETS, ShareSet
from hsm.sharing.shares import Share, split_secret


def check_pin(octets: bytes | bytearray | memoryview, limit: int) -> None:
    """Refuse what no PIN can be: it is 1 to `limit` characters of printable ASCII; PinMalformed."""
    if not 1 <= len(octets) <= limit or not all(0x20 <= octet < 0x7F for octet in octets):
        raise PinMalformed(f"a PIN is 1 to {limit} characters of printable ASCII")


def split_pin(
    pin: Pin,
    *,
    threshold: int,
    custodians: Sequence[str],
    about: str,
    created: datetime,
    random_octets: Callable[[int], bytes],
) -> tuple[ShareSet, tuple[Share, ...]]:
    """Divide a PIN of at most 64 characters, as `split_secret` does; `pin_of` takes it out again."""
    secret = bytearray(pin.reveal().encode())
    check_pin(secret, MAX_SECRET_OCTETS)
    secret += bytes(max(MIN_SECRET_OCTETS - len(secret), 0))
    try:
        return split_secret(
            secret,
            threshold=threshold,
            custodians=custodians,
            about=about,
            created=created,
            random_octets=random_octets,
        )
    finally:
        secret[:] = bytes(len(secret))


def pin_of(secret: bytearray) -> Pin:
    """Return the PIN that was divided, and wipe `secret`; PinMalformed when it was something else."""
    try:
        octets = secret.rstrip(b"\0")
        check_pin(octets, MAX_SECRET_OCTETS)
        pin = Pin(octets)
        octets[:] = bytes(len(octets))
        return pin
    finally:
        secret[:] = bytes(len(secret))
