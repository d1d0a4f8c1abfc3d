"""What the demo needs around it: a running server and a reader with an emulated card in it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pki.errors import Conflict, ErrorCode, Unavailable
from webapp.atomic_files import write_atomically
from webapp.commands.serve import is_served
from webapp.demo.programs import Programs
from webapp.demo.story import AUTH_PIN, SIGN_PIN, Story
from webapp.deployment import Deployment
from webapp.short_folders import socket_folder

START_SECONDS = 30.0
STOP_SECONDS = 10.0


@contextlib.contextmanager
def _process(*arguments: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our programs beside the demo, its words going to `log`; end it with the block."""
    with log.open("wb") as words:
        child = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, "-m", *arguments],
            stdout=words,
            stderr=words,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _wait(what: str, is_there: Callable[[], bool], child: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not is_there():
        if child.poll() is not None or time.monotonic() > end:
            words = log.read_text(encoding="utf-8", errors="replace")[-600:]
            raise Unavailable(ErrorCode.UNAVAILABLE, f"{what} did not start: {words}")
        time.sleep(0.05)


@contextlib.contextmanager
def running_server(deployment: Deployment) -> Iterator[str]:
    """Have the deployment served at its public URL: by the server that runs already, else by one of our own.

    Conflict when somebody else answers there.
    """
    bind = deployment.settings().public_bind
    if deployment.is_served() and is_served(bind):
        yield bind
        return
    if is_served(bind):
        raise Conflict(ErrorCode.CONFLICT, f"another program answers at {bind}")
    log = deployment.run / "demo-serve.log"
    with _process("webapp", "serve", "--home", str(deployment.home), "--bind", bind, log=log) as child:
        _wait("the server", lambda: is_served(bind), child, log)
        yield bind


@contextlib.contextmanager
def emulated_card(folder: Path) -> Iterator[Path]:
    """Have a reader with a fresh emulated card; give the PC/SC socket to use."""
    socket = folder / "pcscd" / "pcscd.comm"
    log = folder / "emulate.log"
    (folder / "pins").write_text(f"{SIGN_PIN}\n{AUTH_PIN}\n", encoding="ascii")
    arguments = ("desk", "emulate", "--folder", str(folder), "--initial-pins", str(folder / "pins"))
    with _process(*arguments, log=log) as child:
        _wait("the emulated card", lambda: b"PCSCLITE_CSOCK_NAME=" in log.read_bytes(), child, log)
        yield socket


def play(deployment: Deployment, say: Callable[[str], None]) -> Story:
    """Tell the whole story against `deployment`; VerificationFailed at the first difference."""
    settings = deployment.settings()
    with (
        tempfile.TemporaryDirectory(prefix="mohr-demo-", dir=socket_folder()) as folder,
        running_server(deployment),
    ):
        card_folder = Path(folder) / "card"
        card_folder.mkdir(mode=0o700)
        with emulated_card(card_folder) as socket:
            story = Story(
                programs=Programs(folder=Path(folder), environment={"PCSCLITE_CSOCK_NAME": str(socket)}),
                home=deployment.home,
                public_url=settings.public_url,
                exchange_url=settings.exchange_url,
                say=say,
            )
            story.tell()
            _keep_files(Path(folder), deployment.demo_files)
            return story


def _keep_files(folder: Path, target: Path) -> None:
    """Keep what was signed, so that a person can try it on the portal."""
    for name in (
        "rx.json",
        "rx.jades.json",
        "rx.code.txt",
        "report.signed.pdf",
        "forged.jades.json",
        "late.jades.json",
    ):
        write_atomically(target / name, (folder / name).read_bytes())
