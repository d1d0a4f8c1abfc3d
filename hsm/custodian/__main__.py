"""The custodian process: `python -m hsm.custodian CONFIG.json [PARENT]`.

Composition root. It alone holds the PKCS#11 module, the PIN and the sessions, in one thread; it reads
what it is asked to sign. It lives on while the device is away and ends with a code that says why:
a refused PIN is never tried again by a restart beyond the configured number of tries. With the process id
of its parent on the command line it ends when that process does.
"""

import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hsm.child_process import ExitCode
from hsm.custodian.config import CustodianSettings, load_settings
from hsm.custodian.key_records import KeyRecords
from hsm.custodian.listener import open_listener
from hsm.custodian.server import CustodianServer
from hsm.custodian.service import CustodianService
from hsm.daemon import log_as_json, stop_signals
from hsm.errors import ConfigurationInvalid, HsmUnavailable, PinIncorrect
from hsm.hardening import end_with_parent, hide_memory
from hsm.key_uri import parse_token
from hsm.pin import PinFile, PinTries
from pki.errors import ServiceError

_log = logging.getLogger("hsm.custodian")


class _SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def _build_service(settings: CustodianSettings) -> CustodianService:
    from hsm.pkcs11 import Pkcs11Device

    device = Pkcs11Device(
        module_path=settings.module_path,
        token=parse_token(settings.token_label),
        pins=PinFile(settings.pin_file),
        tries=PinTries(settings.tries_file, settings.pin_tries),
    )
    return CustodianService(
        device=device,
        records=KeyRecords(settings.keys_file),
        clock=_SystemClock(),
        monotonic=time.monotonic,
    )


@contextmanager
def _sole_owner(keys_file: Path) -> Iterator[None]:
    """Hold the key file for this process alone; ConfigurationInvalid when another custodian has it."""
    with keys_file.with_name(f"{keys_file.name}.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationInvalid(f"another custodian holds {keys_file.name}") from error
        yield


def _connect_early(service: CustodianService) -> None:
    try:
        service.connect()
    except HsmUnavailable as error:
        _log.warning("the device is away: %s", error.detail)


def run(settings: CustodianSettings) -> ExitCode:
    """Serve until SIGTERM or SIGINT."""
    os.umask(0o077)
    hide_memory()
    if not settings.module_path.is_file():
        raise ConfigurationInvalid(f"there is no module {settings.module_path.name}")
    os.environ.update(settings.environment)
    with stop_signals() as wakeup, _sole_owner(settings.keys_file):
        service = _build_service(settings)
        _connect_early(service)
        server = CustodianServer(open_listener(settings.socket_path), service, settings, time.monotonic)
        server.stop_on(wakeup)
        try:
            _log.info("ready")
            server.serve()
        finally:
            settings.socket_path.unlink(missing_ok=True)
            server.close()
            service.close()
    _log.info("stopped")
    return ExitCode.CLEAN


def main(arguments: list[str]) -> ExitCode:
    """Run a custodian with the settings file, and for the parent, named on the command line."""
    log_as_json()
    if len(arguments) not in (1, 2) or arguments[0].startswith("-") or not all(map(str.isdecimal, arguments[1:])):
        sys.stderr.write("usage: python -m hsm.custodian CONFIG.json [PARENT]\n")
        return ExitCode.USAGE
    try:
        if arguments[1:] and not end_with_parent(int(arguments[1])):
            return ExitCode.CLEAN
        return run(load_settings(Path(arguments[0])))
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
