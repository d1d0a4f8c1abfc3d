"""The front of one custodian: `python -m hsm.custodian CONFIG.json INDEX [PARENT]`.

Composition root. It reads what it is asked to sign, judges it and keeps the journal; the PKCS#11 module, the PIN
and the sessions are in its child, the device process. It lives on while the device is away and ends with a code
that says why: a refused PIN is never tried again by a restart beyond the configured number of tries. With the
process id of its parent on the command line it ends when that process does.
"""

import fcntl
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

from hsm.child_process import ExitCode
from hsm.custodian.config import (
    MAX_CUSTODIANS,
    CustodianSettings,
    Pkcs11Settings,
    device_json,
    load_settings,
    pin_json,
)
from hsm.custodian.disk_sync import disk_sync
from hsm.custodian.journal import Journal
from hsm.custodian.key_records import KeyRecords
from hsm.custodian.marks import Marks
from hsm.custodian.policy import Policy, load_policy
from hsm.custodian.rates import Rates
from hsm.custodian.server import CustodianServer
from hsm.custodian.service import CustodianService
from hsm.custodian.steady_clock import SteadyClock
from hsm.daemon import collect_garbage_seldom, log_as_json, stop_signals
from hsm.device.child import DeviceOrder
from hsm.device.link import DEFAULT_PART, DeviceLink
from hsm.errors import ConfigurationInvalid, PinIncorrect
from hsm.hardening import end_with_parent, hide_memory
from hsm.listener import open_listener
from hsm.transit.settings import TransitSettings
from pki.errors import ServiceError

FIRST_OPENING_SECONDS: Final = 5.0
OTHERS_END_SECONDS: Final = 2.0

_log = logging.getLogger("hsm.custodian")


class _SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def _order(settings: CustodianSettings) -> DeviceOrder:
    """Return what the device process is told."""
    return DeviceOrder(
        device=device_json(settings.device),
        pin={} if settings.pin is None else pin_json(settings.pin),
        tries_file=settings.tries_file,
        pin_tries=settings.pin_tries,
        environment=settings.device.environment if isinstance(settings.device, Pkcs11Settings) else {},
    )


def _part(settings: CustodianSettings) -> int:
    """Return how many inputs travel to the device together: a Transit engine gains by each, a token does not."""
    return settings.device.batch if isinstance(settings.device, TransitSettings) else DEFAULT_PART


@contextmanager
def _sole_owner(lock_file: Path) -> Iterator[None]:
    """Be the one custodian of this index; ConfigurationInvalid when another one is, and does not end just now."""
    until = time.monotonic() + OTHERS_END_SECONDS
    with lock_file.open("wb") as lock:
        while not _is_locked(lock):
            if time.monotonic() > until:
                raise ConfigurationInvalid(f"another custodian holds {lock_file.name}")
            time.sleep(0.02)
        yield


def _is_locked(lock: BinaryIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _listening(settings: CustodianSettings, policy: Policy, index: int) -> Iterator[Mapping[str, socket.socket]]:
    """Listen for every role; the sockets are gone afterwards."""
    listeners: dict[str, socket.socket] = {}
    try:
        for role in policy.roles:
            listeners[role] = open_listener(settings.socket_path(role, index))
        yield MappingProxyType(listeners)
    finally:
        for role, listener in listeners.items():
            settings.socket_path(role, index).unlink(missing_ok=True)
            listener.close()


def _await_device(link: DeviceLink) -> None:
    """Give the device a moment to open, so that the first request finds it there; PinIncorrect ends us."""
    until = time.monotonic() + FIRST_OPENING_SECONDS
    before = link.reason
    link.open()
    while link.generation == 0 and link.reason == before and link.fatal is None and time.monotonic() < until:
        rest = min(link.tick(), until - time.monotonic())
        if link.socket is None or not select.select([link.socket], [], [], max(rest, 0))[0]:
            continue
        link.on_readable()
    if link.fatal is not None:
        raise link.fatal


def run(settings: CustodianSettings, index: int) -> ExitCode:
    """Serve until SIGTERM or SIGINT."""
    os.umask(0o077)
    hide_memory()
    if isinstance(settings.device, Pkcs11Settings) and not settings.device.module_path.is_file():
        raise ConfigurationInvalid(f"there is no module {settings.device.module_path.name}")
    policy = load_policy(settings.policy_file)
    if not policy.roles:
        raise ConfigurationInvalid(f"{settings.policy_file.name} names no role")
    with stop_signals() as wakeup, _sole_owner(settings.lock_file(index)):
        records = KeyRecords(settings.keys_file)
        journal = Journal(settings.journal_folder(index), time.monotonic, sync=disk_sync())
        if journal.incident:
            _log.error("the journal begins anew: %s", journal.incident)
        link = DeviceLink(_order(settings), time.monotonic, part=_part(settings))
        service = CustodianService(
            link=link,
            records=records,
            policy=policy,
            rates=Rates(time.monotonic),
            marks=Marks(settings.marks),
            journal=journal,
            clock=SteadyClock(_SystemClock(), time.monotonic, journal.last_at),
            monotonic=time.monotonic,
        )
        try:
            _await_device(link)
            with _listening(settings, policy, index) as listeners:
                server = CustodianServer(listeners, service, link, time.monotonic)
                server.stop_on(wakeup)
                try:
                    _log.info("ready")
                    collect_garbage_seldom()
                    server.serve()
                finally:
                    server.close()
        finally:
            link.close()
            journal.close()
    _log.info("stopped")
    return ExitCode.CLEAN


def main(arguments: list[str]) -> ExitCode:
    """Run the custodian that the command line names: its settings file, its index, its parent."""
    log_as_json()
    numbers = arguments[1:]
    if len(numbers) not in (1, 2) or not all(number.isascii() and number.isdecimal() for number in numbers):
        sys.stderr.write("usage: python -m hsm.custodian CONFIG.json INDEX [PARENT]\n")
        return ExitCode.USAGE
    try:
        if numbers[1:] and not end_with_parent(int(numbers[1])):
            return ExitCode.CLEAN
        if int(numbers[0]) >= MAX_CUSTODIANS:
            raise ConfigurationInvalid(f"an index is less than {MAX_CUSTODIANS}")
        return run(load_settings(Path(arguments[0])), int(numbers[0]))
    except PinIncorrect as error:
        _log.error("PIN refused: %s", error.detail)
        return ExitCode.PIN_REFUSED
    except ServiceError as error:
        _log.error("cannot serve: %s", error.detail)
        return ExitCode.CONFIGURATION
    except OSError as error:
        _log.error("cannot serve: %s", error.strerror)
        return ExitCode.CONFIGURATION


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
