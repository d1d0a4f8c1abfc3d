"""A custodian's device process: `python -m hsm.device.process PARENT`, its socket as standard input.

Composition root. It alone loads the PKCS#11 module, or talks to the key store, and reads the PIN. It gets its
order first (see `DeviceOrder`), then requests, which it does one after the other; it decides nothing. What
hangs or crashes in a module hangs or crashes here, where its parent can kill it. It ends with its parent.
"""

import logging
import os
import secrets
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from hsm.child_process import ExitCode
from hsm.daemon import collect_garbage_seldom, log_as_json
from hsm.device.contract import Device
from hsm.device.wire import (
    MAX_FRAME_OCTETS,
    NOTICE_PIN_KNOWN,
    NOTICE_PIN_NEW,
    DeviceOperation,
    encode_done,
    encode_failure,
    encode_generated,
    encode_values,
    read_inputs,
    read_key,
    read_wish,
)
from hsm.errors import ConfigurationInvalid, DeviceLost, KeyAbsent, SessionLost
from hsm.framing import FrameReader, frame
from hsm.hardening import end_with_parent, hide_memory
from hsm.keeper.client import KeeperPin
from hsm.pin import PinFile, PinSource, PinTries
from hsm.provider import spki_of
from hsm.softhsm_guard import CONFIGURATION_VARIABLE, SoftHsmGuard
from pki.errors import InvalidInput, ServiceError
from pki.jose import compact_json, json_object

_RECEIVE_OCTETS: Final = 256 * 1024
_ANSWERS_AT_ONCE: Final = 4
_HOLD_SECONDS: Final = 0.0005
_AWAKE_SECONDS: Final = 0.00015  # about as long as it takes to fall asleep and be woken

_log = logging.getLogger("hsm.device.process")

Notice = Callable[[bool], None]


def build_device(order: Mapping[str, Any], notice: Notice) -> Device:
    """Make the device that the order describes; ConfigurationInvalid. Nothing is opened yet."""
    try:
        return _build(order, notice)
    except KeyError as error:
        raise ConfigurationInvalid(f"the device's settings lack {error}") from error
    except InvalidInput as error:
        raise ConfigurationInvalid(error.detail) from error


def _build(order: Mapping[str, Any], notice: Notice) -> Device:
    device = order["device"]
    match device.get("kind"):
        case "pkcs11":
            from hsm.key_uri import parse_token
            from hsm.pkcs11 import Pkcs11Device

            configuration = os.environ.get(CONFIGURATION_VARIABLE)
            return Pkcs11Device(
                module_path=Path(device["module"]),
                token=parse_token(device["token"]),
                pins=_pin_source(order["pin"]),
                tries=PinTries(Path(order["tries_file"]), order["pin_tries"], notice),
                opening=nullcontext if configuration is None else SoftHsmGuard(Path(configuration)).opening,
            )
        case "transit":
            from hsm.transit.settings import parse_transit_settings
            from hsm.vault import TransitDevice

            settings = parse_transit_settings(device, Path("/"))  # an order's paths are absolute
            return TransitDevice(settings, monotonic=time.monotonic, random_octets=secrets.token_bytes)
    raise ConfigurationInvalid("unknown kind of device")


def _pin_source(source: Mapping[str, str]) -> PinSource:
    match dict(source):
        case {"file": path}:
            return PinFile(Path(path))
        case {"keeper": path}:
            return KeeperPin(Path(path))
    raise ConfigurationInvalid("unknown source of the PIN")


class DeviceServer:
    """Do the requests of one parent, in their order, until it closes the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._device: Device | None = None
        self._lost: DeviceLost | SessionLost | None = DeviceLost("not opened yet")
        self._operations: dict[int, Callable[[Device, bytes], bytes]] = {
            DeviceOperation.OPEN: self._open,
            DeviceOperation.SIGN: _sign,
            DeviceOperation.PUBLIC_KEY: _public_key,
            DeviceOperation.GENERATE: _generate,
            DeviceOperation.ATTRIBUTES: _attributes,
        }

    def serve(self) -> None:
        """Serve until the parent closes or goes."""
        reader = FrameReader(MAX_FRAME_OCTETS)
        try:
            while data := self._receive():
                self._answer_all(reader.feed(data))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the parent went in the middle
        finally:
            if self._device is not None:
                self._device.close()

    def _receive(self) -> bytes:
        """Wait for requests, awake for a moment: under load the next ones come before a sleeper would have woken."""
        until = time.monotonic() + _AWAKE_SECONDS
        while time.monotonic() < until:
            try:
                return self._connection.recv(_RECEIVE_OCTETS, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
        return self._connection.recv(_RECEIVE_OCTETS)

    def _answer_all(self, requests: Sequence[bytes]) -> None:
        """Answer requests that came together: a few at once, which spares both sides a system call, but soon."""
        answers: list[bytes] = []
        began = time.monotonic()
        for request in requests:
            answers.append(frame(self._answer(request), MAX_FRAME_OCTETS))
            if len(answers) == _ANSWERS_AT_ONCE or time.monotonic() - began > _HOLD_SECONDS:
                self._connection.sendall(b"".join(answers))
                answers.clear()
                began = time.monotonic()
        if answers:
            self._connection.sendall(b"".join(answers))

    def _answer(self, request: bytes) -> bytes:
        try:
            if self._device is None:
                self._device = build_device(json_object(request), self._notify)
                return encode_done()
            if self._lost is not None and request[0] != DeviceOperation.OPEN:
                raise self._lost
            return self._operations[request[0]](self._device, request)
        except KeyAbsent as error:
            return encode_failure(error)
        except (DeviceLost, SessionLost) as error:
            # What was asked before the loss was known must not be done on what is left of the connection.
            self._lost = error
            return encode_failure(error)
        except ServiceError as error:
            return encode_failure(error)

    def _notify(self, known_good: bool) -> None:  # noqa: FBT001 - a callback's one argument
        self._connection.sendall(frame(NOTICE_PIN_KNOWN if known_good else NOTICE_PIN_NEW, MAX_FRAME_OCTETS))

    def _open(self, device: Device, _request: bytes) -> bytes:
        self._lost = DeviceLost("not opened")
        device.open()
        self._lost = None
        return encode_done()


def _sign(device: Device, request: bytes) -> bytes:
    reference, algorithm, offset = read_key(request)
    return encode_values(device.sign(reference, algorithm, read_inputs(request, offset)))


def _public_key(device: Device, request: bytes) -> bytes:
    reference, algorithm, _ = read_key(request)
    return encode_done(spki_of(device.public_key(reference, algorithm)))


def _generate(device: Device, request: bytes) -> bytes:
    made = device.generate(*read_wish(request))
    return encode_generated(made.reference, spki_of(made.public_key))


def _attributes(device: Device, request: bytes) -> bytes:
    return encode_done(compact_json(dict(device.attributes(request[1:]))))


def _connection() -> socket.socket:
    """Take the socket that we were given as standard input, and hold it so that nothing inherits it from us."""
    connection = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return connection


def main(arguments: list[str]) -> ExitCode:
    """Serve the parent named on the command line."""
    log_as_json()
    if len(arguments) != 1 or not arguments[0].isdecimal():
        sys.stderr.write("usage: python -m hsm.device.process PARENT <SOCKET\n")
        return ExitCode.USAGE
    os.umask(0o077)
    hide_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells our parent too, which ends us when it is done
    if not end_with_parent(int(arguments[0]), signal.SIGKILL):  # also when it is stopped or hangs
        return ExitCode.CLEAN
    with _connection() as connection:
        collect_garbage_seldom()
        try:
            DeviceServer(connection).serve()
        except Exception as error:  # noqa: BLE001 - its text could hold what only this process may know
            places = "".join(traceback.format_tb(error.__traceback__))
            _log.critical("ended by %s\n%s", type(error).__name__, places)
            return ExitCode.SOFTWARE
    return ExitCode.CLEAN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
