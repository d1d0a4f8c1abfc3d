"""A deployment that is really served: by root as three system users, or by one user without rights.

Where this machine allows private views, everything may lie below a folder that is closed to other users; else it lies
in one that every user can pass, and where the interpreter of the tests lies behind a closed door, the system's own one
reads the same packages.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import flask
import pytest

from tests.support.programs import REPOSITORY, Ended
from webapp.deployment import Deployment
from webapp.private_view import ViewRefused, make_view
from webapp.reach import obstacles

SYSTEM_PYTHON = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
START_SECONDS = 60.0
PROCESS_SECONDS = 60.0


def until(condition: Callable[[], bool], what: str, said: Callable[[], str] = str) -> None:
    """Wait for what happens soon; `said` tells more of what did not."""
    end = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}\n{said()[-4000:]}"
        time.sleep(0.05)


def refusal_of_views() -> str:
    """Say why this machine allows us no private view, or nothing."""
    with open_folder() as folder:
        home = folder / "closed" / "home"
        home.mkdir(parents=True)
        home.parent.chmod(0o700)
        code = {Path(sys.prefix), Path(sys.base_prefix), Path(flask.__file__).parents[1], REPOSITORY / "webapp"}
        try:
            make_view(home, (*code, REPOSITORY / "hsm"), [home], []).close()
        except ViewRefused as error:
            return str(error)
    return ""


@contextmanager
def closed_folder() -> Iterator[Path]:
    """Lend a folder below one that only we can pass; its neighbour `secret` is nobody else's business."""
    with open_folder() as folder:
        folder.chmod(0o700)
        (folder / "secret").write_bytes(b"secret")
        (folder / "secret").chmod(0o644)
        inner = folder / "s"
        inner.mkdir()
        yield inner


@contextmanager
def open_folder() -> Iterator[Path]:
    """Lend a folder that every user can pass, under a short name."""
    folder = Path(tempfile.mkdtemp(prefix="mohr-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def reachable_python(folder: Path) -> Path:
    """Return an interpreter that every user can run, with our rooms and packages; skips where there is none."""
    packages = Path(flask.__file__).parents[1]
    closed = next(obstacles((REPOSITORY / "webapp" / "__init__.py", packages / "flask" / "__init__.py")), None)
    if closed is not None:
        pytest.skip(f"the code cannot be read by other users: {closed}")
    if not list(obstacles((Path(sys.executable), Path(os.__file__)))):
        return Path(sys.executable)
    if not SYSTEM_PYTHON.exists():
        pytest.skip("no interpreter can be run by other users")
    home = folder / "python"
    subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", home], check=True, cwd="/")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (home / "lib" / version / "site-packages" / "mohr.pth").write_text(f"{REPOSITORY}\n{packages}\n", encoding="utf-8")
    return home / "bin" / "python"


def free_ports() -> int:
    """Return a port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@dataclass(kw_only=True)
class Served:
    """A deployment and how it is run; `prefix` starts its programs as somebody, `environment` is added to theirs."""

    deployment: Deployment
    python: Path
    port: int
    prefix: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """What the served programs said."""
        return self.deployment.home.with_name("serve.log")

    @property
    def said(self) -> str:
        """All that the served programs said until now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def trouble(self) -> str:
        """What each part says of itself, and the served programs."""
        asked = [line for line in self.said.splitlines() if '"route": "/healthz"' not in line]
        return "\n".join([*asked, str(self.states())])

    def command(self, *arguments: str | Path) -> list[str]:
        """Return the command of `mohr` for this deployment."""
        words = [str(argument) for argument in arguments]
        return [*self.prefix, str(self.python), "-P", "-m", "webapp", *words, "--home", str(self.deployment.home)]

    def mohr(self, *arguments: str | Path, answers: str = "") -> Ended:
        """Run one command beside the served programs; `answers` is its standard input."""
        ended = subprocess.run(
            self.command(*arguments),
            env={**_environment(), **self.environment},
            cwd="/",
            input=answers.encode(),
            capture_output=True,
            timeout=PROCESS_SECONDS,
            check=False,
        )
        return Ended(
            status=ended.returncode,
            output=ended.stdout.decode(errors="replace"),
            messages=ended.stderr.decode(errors="replace"),
        )

    def answer(self, *arguments: str | Path, answers: str = "") -> dict[str, object]:
        """Run a command that must succeed; return its last JSON line."""
        ended = self.mohr(*arguments, answers=answers)
        assert ended.status == 0, ended.messages
        line: dict[str, object] = json.loads(ended.output.splitlines()[-1])
        return line

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Ask the plain listener."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answered = connection.getresponse()
            return answered.status, answered.read()
        finally:
            connection.close()

    def states(self) -> dict[str, str]:
        """Return what each part says of itself; empty while nobody answers."""
        try:
            _, body = self.ask("GET", "/healthz")
            return {name: str(part["state"]) for name, part in json.loads(body)["parts"].items()}
        except (OSError, http.client.HTTPException):
            return {}

    @contextmanager
    def serving(self) -> Iterator[int]:
        """Run `mohr serve` for the block, from when every part is well; give its process id."""
        self.deployment.worker_state.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                self.command("serve", "--bind", f"127.0.0.1:{self.port}"),
                env={**_environment(), **self.environment},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            until(lambda: process.poll() is not None or self._is_well(), "every part is well", lambda: self.said)
            assert process.poll() is None, self.said
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def _is_well(self) -> bool:
        states = self.states()
        if not states or set(states.values()) != {"ok"}:
            return False
        with socket.socket() as exchange:
            return exchange.connect_ex(("127.0.0.1", self.port + 1)) == 0


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


def descendants(pid: int) -> dict[int, str]:
    """Return the processes below `pid` with their command lines; parents come before their children."""
    parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}
    found: dict[int, str] = {}
    grown = True
    while grown:
        below = {child for child, parent in parents.items() if parent == pid or parent in found}
        grown = not below <= found.keys()
        found |= {child: _command_line(child) for child in below}
    return found


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return -1


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def user_of(pid: int) -> int:
    """Return the effective user of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return int(next(line.split()[2] for line in status.splitlines() if line.startswith("Uid:")))


def memory_holds(pid: int, needle: bytes) -> bool:
    """Whether `needle` is anywhere in the readable memory of a process; for root."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        return any(needle in _region(memory.fileno(), line) for line in maps if line.split()[1].startswith("r"))


def _region(memory: int, line: str) -> bytes:
    start, end = (int(part, 16) for part in line.split(maxsplit=1)[0].split("-"))
    pieces, at = [], start
    while at < end:
        try:
            piece = os.pread(memory, min(end - at, 1 << 24), at)
        except (OSError, OverflowError):  # a page of a device, or the kernel's own
            break
        if not piece:
            break
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)
