"""Devices of a real OpenBao server, and what their signatures must stand."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from hsm.device.contract import device_input
from hsm.errors import (
    HsmUnavailable,
)
from hsm.transit.settings import TransitSettings
from hsm.vault import TransitDevice
from pki.keys import PublicKey, SignatureAlgorithm, verify_signature, x509_signature

ES256 = SignatureAlgorithm.ES256
DIGEST = bytes(32)
MESSAGES = (b"first", b"second", b"third" * 1000)


@dataclass(kw_only=True)
class Clock:
    """A monotonic clock that a test can put forward or stop."""

    ahead: float = 0.0
    stopped_at: float | None = None

    def __call__(self) -> float:
        return (time.monotonic() if self.stopped_at is None else self.stopped_at) + self.ahead

    def stop(self) -> None:
        self.stopped_at = time.monotonic()


@dataclass(kw_only=True)
class Bench:
    """Devices that are closed when the test ends."""

    clock: Clock = field(default_factory=Clock)
    devices: list[TransitDevice] = field(default_factory=list)

    def device(self, settings: TransitSettings) -> TransitDevice:
        self.devices.append(TransitDevice(settings, monotonic=self.clock, random_octets=os.urandom))
        return self.devices[-1]

    def opened(self, settings: TransitSettings) -> TransitDevice:
        device = self.device(settings)
        device.open()
        return device


def sign_messages(
    device: TransitDevice, reference: bytes, algorithm: SignatureAlgorithm, messages: Sequence[bytes]
) -> list[bytes]:
    raw = device.sign(reference, algorithm, [device_input(algorithm, message) for message in messages])
    return [x509_signature(algorithm, signature) for signature in raw]


def verify_all(
    public_key: PublicKey, signatures: Sequence[bytes], messages: Sequence[bytes], algorithm: SignatureAlgorithm
) -> None:
    for signature, message in zip(signatures, messages, strict=True):
        verify_signature(public_key, signature, message, algorithm)


def how_it_fails(device: TransitDevice, reference: bytes) -> HsmUnavailable | None:
    try:
        device.sign(reference, ES256, [DIGEST])
    except HsmUnavailable as failure:
        return failure
    return None


def token_of(device: TransitDevice) -> str | None:
    assert device._login is not None
    return device._login.http.token
