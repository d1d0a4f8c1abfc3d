"""Start, watch and stop a custodian process from the program that needs it."""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from hsm.child_process import ExitCode, child_environment, module_command
from hsm.client import CustodianClient
from hsm.custodian.config import load_settings
from hsm.errors import ConfigurationInvalid, HsmUnavailable, PinIncorrect, RoleRefused

START_TIMEOUT: Final = timedelta(seconds=30)
STOP_TIMEOUT: Final = timedelta(seconds=5)
_POLL_SECONDS: Final = 0.01
_MAX_LAST_WORDS: Final = 4096


class CustodianProcess:
    """One custodian as a child of this process; it ends when we do.

    Start it from a thread that lives as long as the custodian should (see `hsm.hardening`).
    """

    def __init__(
        self, config_path: Path, index: int = 0, *, log_path: Path | None = None, launcher: Sequence[str] = ()
    ) -> None:
        """Take the settings file and which of its custodians this is; its log goes to `log_path`, or to our own.

        `launcher` are the words before its command by which root gives it its user and its view of the file system;
        without them it gets the user to whom its settings belong.
        """
        self._config_path, self._index, self._log_path = config_path.resolve(), index, log_path
        self._launcher = tuple(launcher)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._settings = load_settings(config_path)

    def socket_path(self, role: str) -> Path:
        """Return where this custodian listens for `role`."""
        return self._settings.socket_path(role, self._index)

    @property
    def pid(self) -> int | None:
        """The process id, or None when it was not started."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: timedelta = START_TIMEOUT) -> None:
        """Start it and wait until it answers on a socket; it may answer that its device is away.

        PinIncorrect, ConfigurationInvalid or HsmUnavailable when it ended or did not answer in time.
        """
        if self.running:
            return
        self._process = self._spawn()
        deadline = time.monotonic() + timeout.total_seconds()
        while not any(_answers(path) for path in self._settings.sockets.glob(f"*/{self._index}.sock")):
            if self._process.poll() is not None:
                raise _error_of(self._process.returncode, self._last_words())
            if time.monotonic() > deadline:
                self.stop()
                raise HsmUnavailable("the custodian did not answer after its start")
            time.sleep(_POLL_SECONDS)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = module_command("hsm.custodian", str(self._config_path), str(self._index), str(os.getpid()))
        try:
            log = None if self._log_path is None else self._log_path.open("ab")
        except OSError as error:
            raise ConfigurationInvalid(f"the custodian's log cannot be written: {error.strerror}") from error
        self._log_start = 0 if log is None else log.tell()
        try:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*self._launcher, *command],
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                **({"cwd": "/"} if self._launcher else _as_owner(self._config_path)),
            )
        except OSError as error:  # such as an interpreter that the custodian's user cannot reach
            raise ConfigurationInvalid(f"the custodian cannot be started: {error.strerror}") from error
        finally:
            if log is not None:
                log.close()

    def _last_words(self) -> str:
        """Return the last thing that it wrote into its log since its start, for whoever does not see that file."""
        if self._log_path is None:
            return "its log says why"
        try:
            with self._log_path.open("rb") as log:
                log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - _MAX_LAST_WORDS))
                return str(json.loads(log.read().splitlines()[-1])["text"])
        except (OSError, ValueError, LookupError, TypeError):
            return f"see {self._log_path}"

    def stop(self, timeout: timedelta = STOP_TIMEOUT) -> None:
        """Ask it to end and wait; a custodian that hangs in its device is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout.total_seconds())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Stop it, if it lives, and start it again."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _answers(path: Path) -> bool:
    client = CustodianClient(path)
    try:
        client.keys()
    except HsmUnavailable:
        return False
    except RoleRefused:
        return True  # it serves, though not us
    else:
        return True
    finally:
        client.close()


def _as_owner(config_path: Path) -> dict[str, Any]:
    """Return how root starts a custodian: as the user to whom its settings belong, with no other group."""
    owner = config_path.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return {}
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": (), "cwd": "/"}


def _error_of(code: int, last_words: str) -> PinIncorrect | ConfigurationInvalid | HsmUnavailable:
    if code == ExitCode.PIN_REFUSED:
        return PinIncorrect(f"the custodian ended: {last_words}")
    if code == ExitCode.CONFIGURATION:
        return ConfigurationInvalid(f"the custodian ended: its settings cannot be used ({last_words})")
    return HsmUnavailable(f"the custodian ended with code {code}")
