"""What the custodian asks of a thing that holds keys: PKCS#11 today, other key stores beside it later."""

from collections.abc import Callable
from typing import Protocol

from pki.keys import PublicKey, SignatureAlgorithm

Signer = Callable[[bytes], bytes]


class Device(Protocol):
    """Hold private keys by id. Used by one thread only.

    DeviceLost from any call means that `open` must be called again; SessionLost, that calling it again
    will do. Both end the life of every `Signer` given out before.
    """

    def open(self) -> None:
        """Connect and log in, from any state; PinIncorrect ends all trying."""
        ...

    def close(self) -> None:
        """Log out and disconnect; never raises."""
        ...

    def public_key(self, key_id: bytes, algorithm: SignatureAlgorithm) -> PublicKey:
        """Read the public half; DeviceLost when no such key is there, KeyMismatch when several are."""
        ...

    def signer(self, key_id: bytes, algorithm: SignatureAlgorithm) -> Signer:
        """Return what signs whole messages with the key, each signature in its X.509 encoding."""
        ...

    def generate(self, key_id: bytes, label: str, algorithm: SignatureAlgorithm) -> PublicKey:
        """Make a key pair whose private half is sensitive and was never extractable."""
        ...
