"""The device process as its parent sees it: started with an order, spoken to without waiting, killed when it hangs."""

import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hsm.child_process import child_environment, module_command
from hsm.device.wire import MAX_FRAME_OCTETS
from hsm.framing import FrameReader, frame
from pki.jose import compact_json

STOP_SECONDS: Final = 1.0
_RECEIVE_OCTETS: Final = 64 * 1024  # more, and each buffer would be mapped anew


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOrder:
    """What a device process is told: which device (`kind` and its members), and where its PIN comes from.

    Paths are absolute. `environment` is what the vendor's module reads, such as SOFTHSM2_CONF. No secret is in here.
    """

    device: Mapping[str, Any]
    pin: Mapping[str, str]
    tries_file: Path
    pin_tries: int
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Write the order as the process reads it."""
        members = {"device": dict(self.device), "pin": dict(self.pin), "pin_tries": self.pin_tries}
        return compact_json(members | {"tries_file": str(self.tries_file)})


class DeviceChild:
    """A device process and our end of its socket. Its log goes to our standard error."""

    def __init__(self, order: DeviceOrder) -> None:
        """Start it and send its order; OSError when that is not possible."""
        self.socket: socket.socket
        self.socket, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                module_command("hsm.device.process", str(os.getpid())),
                env=child_environment(**order.environment),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
            )
        except OSError:
            self.socket.close()
            raise
        finally:
            theirs.close()
        self.socket.settimeout(0)
        self._reader = FrameReader(MAX_FRAME_OCTETS)
        self._unsent = bytearray()
        self.send(order.to_json())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def wants_writing(self) -> bool:
        """True while something could not be sent yet."""
        return bool(self._unsent)

    def send(self, payload: bytes, *, later: bool = False) -> None:
        """Send a frame, or keep it for the next `flush`."""
        self._unsent += frame(payload, MAX_FRAME_OCTETS)
        if not later:
            self.flush()

    def flush(self) -> None:
        """Send what was kept, as far as the socket takes it; a broken connection shows when it is read."""
        if not self._unsent:
            return
        try:
            sent = self.socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._unsent)
        del self._unsent[:sent]

    def receive(self) -> list[bytes]:
        """Return the frames that arrived; ConnectionResetError when the process ended, ProtocolViolation."""
        try:
            data = self.socket.recv(_RECEIVE_OCTETS)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("the device process ended")
        return self._reader.feed(data)

    def kill(self) -> None:
        """End it at once; `reap` until it is gone."""
        self.socket.close()
        self._process.kill()

    def reap(self) -> bool:
        """Tell whether the process is gone, and take its remains."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Let it log out and end; one that does not is killed after a second."""
        self.socket.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._process.kill()
        self._process.wait()
