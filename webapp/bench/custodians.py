"""A custodian of the bench's own, over SoftHSM2, a lost-and-found SoftHSM2 or OpenBao, and eight requests in flight."""

import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ca.custody_policy import OPERATOR
from hsm.client import CustodianClient
from hsm.custodian.config import CustodianSettings, PinSettings, Pkcs11Settings, write_settings
from hsm.custodian.policy import Policy, permissive, write_policy
from hsm.custodian.protocol import MAX_ANSWER_OCTETS, decode_answer
from hsm.framing import FrameReader
from hsm.private_files import write_private
from hsm.process import CustodianProcess
from hsm.softhsm import SoftHsmToken, create_softhsm_token
from hsm.transit.settings import TransitSettings
from pki.errors import ErrorCode, Unavailable

IN_FLIGHT: Final = 8
PATIENCE: Final = timedelta(seconds=10)
_P11_KIT_CLIENTS: Final = (
    Path("/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"),
    Path("/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchCustodian:
    """A running custodian: a client of it and where it listens."""

    client: CustodianClient
    socket: Path

    def rate(self, request: bytes, count: int, seconds: float) -> float:
        """Keep eight connections busy with the same request from one thread; return signatures a second."""
        with _Load(self.socket, request) as load:
            load.run(min(seconds, 0.5))
            began = time.perf_counter()
            answered = load.run(seconds)
            return round(answered * count / (time.perf_counter() - began), 1)


class _Load:
    """Eight connections, each with one request under way at every moment."""

    def __init__(self, path: Path, request: bytes) -> None:
        self._request = request
        self._poll = select.epoll()
        self._peers: dict[int, tuple[socket.socket, FrameReader]] = {}
        for _ in range(IN_FLIGHT):
            peer = socket.socket(socket.AF_UNIX)
            peer.settimeout(PATIENCE.total_seconds())
            peer.connect(str(path))
            self._peers[peer.fileno()] = (peer, FrameReader(MAX_ANSWER_OCTETS))
            self._poll.register(peer, select.EPOLLIN)
            peer.sendall(request)

    def run(self, seconds: float) -> int:
        """Go on for a while and return how many requests were answered."""
        answered, until = 0, time.perf_counter() + seconds
        while time.perf_counter() < until:
            ready = self._poll.poll(PATIENCE.total_seconds())
            if not ready:
                raise Unavailable(ErrorCode.HSM_UNAVAILABLE, "the custodian does not answer")
            for descriptor, _ in ready:
                peer, reader = self._peers[descriptor]
                for answer in reader.feed(peer.recv(1 << 18)):
                    decode_answer(answer)
                    answered += 1
                    peer.sendall(self._request)
        return answered

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._poll.close()
        for peer, _ in self._peers.values():
            peer.close()


def new_token(folder: Path, label: str) -> SoftHsmToken:
    """Make a SoftHSM2 token of the bench's own."""
    return create_softhsm_token(folder / label, label)


@contextmanager
def running_custodian(
    folder: Path,
    device: Pkcs11Settings | TransitSettings,
    pin: str | None = None,
    policy: Policy | None = None,
) -> Iterator[BenchCustodian]:
    """Run one custodian in a new `folder`, its journal on that folder's disk."""
    folder.mkdir(mode=0o700)
    if pin is not None:
        write_private(folder / "pin", pin.encode() + b"\n")
    settings = CustodianSettings(
        device=device,
        pin=None if pin is None else PinSettings(file=folder / "pin"),
        keys_file=folder / "keys.json",
        policy_file=folder / "policy.json",
        marks=folder / "marks",
        journal=folder / "journal",
        sockets=folder / "run",
    )
    write_policy(policy or permissive({os.getuid()}), settings.policy_file)
    write_settings(settings, folder / "custodian.json")
    with CustodianProcess(folder / "custodian.json", log_path=folder / "custodian.log") as process:
        path = process.socket_path(OPERATOR)
        client = CustodianClient(path)
        try:
            yield BenchCustodian(client=client, socket=path)
        finally:
            client.close()


def over_softhsm(token: SoftHsmToken) -> Pkcs11Settings:
    """Return the settings of a token reached through SoftHSM2's own module."""
    return Pkcs11Settings(module_path=token.module_path, token=token.label, environment=token.environment)


class KillableHsm:
    """A token behind `p11-kit server`, which can be killed and started again."""

    def __init__(self, token: SoftHsmToken, folder: Path) -> None:
        self._token, self._socket = token, folder / "p11-kit.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def client_module() -> Path | None:
        """Return the module that reaches such a server; None where p11-kit is not installed."""
        if shutil.which("p11-kit") is None:
            return None
        return next((path for path in _P11_KIT_CLIENTS if path.exists()), None)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the client module must find in its environment."""
        return {"P11_KIT_SERVER_ADDRESS": f"unix:path={self._socket}"}

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._socket.unlink(missing_ok=True)
        command = ["p11-kit", "server", "--provider", str(self._token.module_path), "-f", "-n"]
        self._process = subprocess.Popen(  # noqa: S603 - Debian's own program
            [*command, f"unix:path={self._socket}", "pkcs11:"],
            env={**self._token.environment, "PATH": os.defpath},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + PATIENCE.total_seconds()
        while not self._socket.exists():
            if time.monotonic() > deadline:
                raise Unavailable(ErrorCode.UNAVAILABLE, "p11-kit server did not start")
            time.sleep(0.002)

    def kill(self) -> None:
        """Kill it and every session; nothing is left that answers."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
