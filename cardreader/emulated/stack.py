"""A PC/SC service of one's own, with an emulated card in its reader and nothing to collide with.

The stack lives in private mount and network namespaces: the virtual reader's TCP port, which listens on every
interface, is reachable from nowhere else. Clients reach the service through the unix socket alone, by giving
its path to libpcsclite in PCSCLITE_CSOCK_NAME before they first use it.
"""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from cardreader.emulated.bridge import DEFAULT_PORT, InsertedCard
from cardreader.emulated.card import EmulatedCard
from cardreader.emulated.service import program, virtual_reader_driver
from cardreader.emulated.state import StateFile
from cardreader.emulated.supervisor import CONTROL_NAME, MAX_WORD, READY, RUNTIME_NAME
from cardreader.errors import CardUnsupported, ReaderServiceDown

MAX_SOCKET_PATH: Final = 107  # unix(7)
_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]
_END_SECONDS: Final = 5.0
_CONTROL_SECONDS: Final = 10.0


def _namespaces() -> list[str]:
    """Return the command prefix that makes the namespaces, as root or as anybody."""
    ordinary = () if os.geteuid() == 0 else ("--map-root-user",)
    return [program("unshare"), *ordinary, "--mount", "--net"]


def namespaces_allowed() -> bool:
    """Try whether this machine lets us make namespaces."""
    tried = subprocess.run([*_namespaces(), program("true")], check=False, capture_output=True)  # noqa: S603  # fixed programs
    return tried.returncode == 0


class PrivateReaderStack:
    """pcscd, virtual reader and emulated card, all ended with the block or with this process.

    `folder` is the stack's own and short enough for a unix socket's path; `state_file` is one that
    `create_card` made. CardUnsupported when the machine lacks a part, ReaderServiceDown when namespaces are
    refused or the service does not start.
    """

    def __init__(self, folder: Path, state_file: Path, *, inserted: bool = True) -> None:
        self.folder, self._state_file, self._inserted = folder.resolve(), state_file.resolve(), inserted
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        """What PCSCLITE_CSOCK_NAME must say for a client of this stack."""
        return self.folder / RUNTIME_NAME / "pcscd.comm"

    def start(self) -> None:
        """Start everything; return when the service answers and the card, if wanted, is in."""
        for name in ("pcscd", "mount", "setpriv"):
            program(name)
        virtual_reader_driver()
        if len(os.fsencode(self.socket_path)) > MAX_SOCKET_PATH:
            raise CardUnsupported(f"the folder's path is too long for a unix socket ({MAX_SOCKET_PATH} octets)")
        if not namespaces_allowed():
            raise ReaderServiceDown(
                "this machine refuses private namespaces; use the virtual reader of the system's pcscd"
            )
        try:
            (self.folder / RUNTIME_NAME).mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            self._process = self._launch()
        except OSError as error:
            raise ReaderServiceDown("the private reader stack cannot use its folder") from error
        if self._process.stdout is None or self._process.stdout.readline().strip() != READY.encode():
            self.close()
            raise ReaderServiceDown(f"the private reader stack did not start: {self._last_words()}")

    def _launch(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "cardreader.emulated.supervisor", str(self.folder), str(self._state_file)]
        with (self.folder / "stack.log").open("wb") as log:
            return subprocess.Popen(  # noqa: S603  # fixed programs, single arguments
                [*_namespaces(), *words, *(() if self._inserted else ("--empty",))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=_PACKAGE_ROOT,
                start_new_session=True,
            )

    def _last_words(self) -> str:
        lines = (self.folder / "stack.log").read_text("utf-8", "replace").splitlines()
        return lines[-1] if lines else "no reason given"

    def _tell(self, word: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_CONTROL_SECONDS)
                connection.connect(str(self.folder / CONTROL_NAME))
                connection.sendall(word.encode())
                return connection.recv(MAX_WORD).decode().strip()
        except OSError as error:
            raise ReaderServiceDown("the private reader stack does not answer") from error

    def _expect(self, word: str, *answers: str) -> None:
        told = self._tell(word)
        if told not in answers:
            raise ReaderServiceDown(f"the private reader stack answered {told!r} to {word}")

    def insert(self) -> None:
        """Put the card in; returns when the reader holds it."""
        self._expect("insert", "inserted")

    def remove(self) -> None:
        """Pull the card out, in the middle of a command if one is being answered."""
        self._expect("remove", "empty")

    def stop_service(self) -> None:
        """Kill pcscd as a crash would; the card loses its reader."""
        self._expect("stop-service", "empty")

    def start_service(self) -> None:
        """Start pcscd again if it does not run; its reader is empty then."""
        self._expect("start-service", "empty", "inserted")

    def close(self) -> None:
        """End the stack; its supervisor sees its input end, and is killed if it does not obey."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):  # it ended at this very moment
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def serve_on_system_reader(state_file: Path, *, port: int = DEFAULT_PORT, timeout: float = 5.0) -> None:
    """Keep the card in the virtual reader of the machine's own pcscd until the reader lets it go.

    For where namespaces are refused. The virtual reader's port is open to everybody who can reach the
    machine: anybody may take the card's place. ReaderServiceDown when no virtual reader listens in `timeout` s.
    """
    file = StateFile(state_file)
    with file.owned():
        inserted = InsertedCard(EmulatedCard(file.load(), file.save), port, timeout=timeout)
        try:
            inserted.wait()
        finally:
            inserted.pull()
