"""Ask the keeper of a PIN: custodians for the PIN, operators to unlock it or have it forgotten."""

import socket
import time
from pathlib import Path
from typing import Final

from hsm.errors import ConfigurationInvalid, HsmUnavailable, ProtocolViolation, RoleRefused
from hsm.keeper.locked_memory import wipe
from hsm.keeper.protocol import (
    LENGTH,
    MAX_MESSAGE_OCTETS,
    UNLOCK_ID_OCTETS,
    KeeperOperation,
    KeeperState,
    KeeperStatus,
    error_of,
)
from hsm.pin import Pin
from hsm.sharing.shares import Share
from hsm.socket_address import socket_address

READ_SECONDS: Final = 0.5
OPERATE_SECONDS: Final = 5.0


def _ask(path: Path, operation: KeeperOperation, body: bytes | bytearray, seconds: float) -> bytearray:
    """Exchange one request and return the body of its answer, which the caller wipes.

    HsmUnavailable when the keeper does not answer within `seconds`, or the error that its answer tells of.
    """
    if len(body) >= MAX_MESSAGE_OCTETS:
        raise ProtocolViolation("more octets than the keeper takes")
    message = bytearray(LENGTH.pack(1 + len(body))) + bytes((operation,)) + body
    try:
        answer = _exchange(path, message, time.monotonic() + seconds)
    except TimeoutError as error:
        raise HsmUnavailable("the keeper of the PIN did not answer in time") from error
    except OSError as error:
        raise HsmUnavailable(
            f"the keeper of the PIN cannot be reached: {error.strerror or 'it closed the connection'}"
        ) from error
    finally:
        wipe(message)
    if not answer or answer[0] != KeeperStatus.DONE:
        raise error_of(answer)
    del answer[0]
    return answer


def _exchange(path: Path, message: bytearray, deadline: float) -> bytearray:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_left(deadline))
        with socket_address(path) as address:
            sock.connect(address)
        try:
            sock.sendall(message)
        except BrokenPipeError:
            # A keeper that refuses us says why before it closes: what it said can still be read.
            sock.settimeout(_left(deadline))
        (length,) = LENGTH.unpack(_receive(sock, LENGTH.size, deadline))
        if length > MAX_MESSAGE_OCTETS:
            raise HsmUnavailable("the keeper's answer cannot be read")
        return _receive(sock, length, deadline)


def _receive(sock: socket.socket, size: int, deadline: float) -> bytearray:
    octets = bytearray(size)
    received = 0
    while received < size:
        sock.settimeout(_left(deadline))
        count = sock.recv_into(memoryview(octets)[received:])
        if not count:
            raise ConnectionResetError
        received += count
    return octets


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class KeeperPin:
    """A PIN that the keeper gives, once its operators have unlocked it."""

    def __init__(self, path: Path) -> None:
        """Take the path of the socket for custodians."""
        self._path = path

    def read(self) -> Pin:
        """Return the PIN; HsmUnavailable while it is waited for, ConfigurationInvalid when we are not its custodian.

        Its identity is that of the unlocking it came from.
        """
        try:
            answer = _ask(self._path, KeeperOperation.READ, b"", READ_SECONDS)
        except RoleRefused as error:
            raise ConfigurationInvalid("the keeper does not give its PIN to this user") from error
        try:
            if len(answer) <= UNLOCK_ID_OCTETS:
                raise HsmUnavailable("the keeper's answer cannot be read")
            return Pin(answer[UNLOCK_ID_OCTETS:], f"keeper:{answer[:UNLOCK_ID_OCTETS].hex()}")
        finally:
            wipe(answer)


class KeeperOperator:
    """What operators may do with a keeper; each call answers or fails within five seconds."""

    def __init__(self, path: Path) -> None:
        """Take the path of the socket for operators."""
        self._path = path

    def state(self) -> KeeperState:
        """Ask how it is."""
        return self._state(KeeperOperation.STATUS)

    def unlock(self, pin: Pin) -> KeeperState:
        """Give the PIN; PinMalformed. Whether it is right the device will say."""
        octets = bytearray(pin.reveal().encode())
        try:
            return self._state(KeeperOperation.UNLOCK, octets)
        finally:
            wipe(octets)

    def add_share(self, share: Share) -> KeeperState:
        """Give one share; ShareWrong, ShareForeign or ShareRepeated say which share and whose."""
        octets = share.octets()
        try:
            return self._state(KeeperOperation.ADD_SHARE, octets)
        finally:
            wipe(octets)

    def forget(self) -> KeeperState:
        """Have PIN and shares wiped."""
        return self._state(KeeperOperation.FORGET)

    def _state(self, operation: KeeperOperation, body: bytes | bytearray = b"") -> KeeperState:
        return KeeperState.from_json(bytes(_ask(self._path, operation, body, OPERATE_SECONDS)))
