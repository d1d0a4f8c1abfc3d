"""The process inside a private reader stack: it owns pcscd and the emulated card, seen by nobody else.

`PrivateReaderStack` starts it under `unshare`, in namespaces of its own. It ends, with pcscd, as soon as its
standard input ends: that is how it learns that its parent died. `FOLDER/control` is a unix socket that takes
one word and answers with the card's place: `insert`, `remove`, `stop-service`, `start-service`, `state`.
"""

import argparse
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from cardreader.emulated.bridge import DEFAULT_PORT, InsertedCard
from cardreader.emulated.card import EmulatedCard
from cardreader.emulated.service import ReaderService, bind_runtime_folder, loopback_up
from cardreader.emulated.state import StateFile
from cardreader.errors import CardError

READY: Final = "ready"
RUNTIME_NAME: Final = "pcscd"
CONTROL_NAME: Final = "control"
MAX_WORD: Final = 64


class Supervisor:
    """Obeys the control socket until standard input ends."""

    def __init__(self, service: ReaderService, card: EmulatedCard) -> None:
        self._service, self._card = service, card
        self._inserted: InsertedCard | None = None

    def obey(self, word: str) -> str:
        """Do what `word` says; return `inserted`, `empty`, `unknown` or the error's code."""
        try:
            match word:
                case "insert":
                    self._insert()
                case "remove":
                    self._remove()
                case "stop-service":
                    self._service.stop()
                    self._remove()
                case "start-service":
                    self._service.start()
                case "state":
                    pass
                case _:
                    return "unknown"
        except CardError as error:
            return str(error.code)
        return "inserted" if self._inserted is not None and self._inserted.present else "empty"

    def _insert(self) -> None:
        if self._inserted is None or not self._inserted.present:
            self._inserted = InsertedCard(self._card, DEFAULT_PORT)

    def _remove(self) -> None:
        if self._inserted is not None:
            self._inserted.pull()
            self._inserted = None

    def run(self, control: Path) -> None:
        """Listen on `control` until standard input ends."""
        control.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
            listener.bind(str(control))
            control.chmod(0o600)
            listener.listen()
            selector.register(listener, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            sys.stdout.write(f"{READY}\n")
            sys.stdout.flush()
            while True:
                for key, _events in selector.select():
                    if key.fileobj is listener:
                        self._answer(listener)
                    elif not os.read(sys.stdin.fileno(), MAX_WORD):
                        return

    def _answer(self, listener: socket.socket) -> None:
        connection, _address = listener.accept()
        with connection:
            connection.settimeout(1.0)
            try:
                word = connection.recv(MAX_WORD).decode("ascii", "replace").strip()
                connection.sendall(f"{self.obey(word)}\n".encode())
            except OSError:
                return  # the asker left before the answer

    def close(self) -> None:
        """Pull the card and end the service."""
        self._remove()
        self._service.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run inside the namespaces that `unshare` made; 0 at the end of standard input, 1 with a reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m cardreader.emulated.supervisor")
    parser.add_argument("folder", type=Path, help="the stack's own folder")
    parser.add_argument("state", type=Path, help="the emulated card's state file")
    parser.add_argument("--empty", action="store_true", help="start with no card in the reader")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    file = StateFile(options.state)
    try:
        bind_runtime_folder(options.folder / RUNTIME_NAME)
        loopback_up()
        with file.owned():
            supervisor = Supervisor(ReaderService(options.folder), EmulatedCard(file.load(), file.save))
            try:
                supervisor.obey("start-service")
                if not options.empty:
                    supervisor.obey("insert")
                supervisor.run(options.folder / CONTROL_NAME)
            finally:
                supervisor.close()
    except CardError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
