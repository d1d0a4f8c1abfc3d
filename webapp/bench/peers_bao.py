"""`issue.openbao`: OpenBao's PKI engine signs prepared requests, stored by Raft with fsync and then in memory alone."""

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hsm.soft import UnsafeSoftKey
from pki.certificates import pem
from pki.csr import build_csr
from pki.errors import ErrorCode, Unavailable
from pki.jose import json_object
from pki.keys import SignatureAlgorithm
from webapp.bench.measure import Figure
from webapp.bench.openbao import OpenBao, find_bao, running_openbao
from webapp.http_client import DIRECTLY
from webapp.ports import LOOPBACK, free_port

CONNECTIONS: Final = 8
SECONDS: Final = 4.0
_REQUESTS: Final = 32
_START_SECONDS: Final = 20.0
_ROLE: Final = {
    "allow_any_name": True,
    "enforce_hostnames": False,
    "require_cn": False,
    "key_type": "any",
    "max_ttl": "26280h",
    "ttl": "26280h",
}


def openbao_figure(floor: str, floor_value: float) -> Figure | None:
    """Measure both ways of storing; None where the package is not installed."""
    program = find_bao()
    if program is None:
        return None
    with running_openbao(program) as server:
        in_memory = _rate(server)
    with tempfile.TemporaryDirectory(prefix="mohr-bao-") as folder, _durable(program, Path(folder)) as server:
        stored = _rate(server)
    return Figure(
        name="issue.openbao",
        value=stored,
        unit="1/s",
        peer="the same, stored in memory: nothing outlives it",
        peer_value=in_memory,
        floor=floor,
        floor_value=floor_value,
        note=f"POST pki/sign over plain HTTP, {CONNECTIONS} connections kept alive, one node, key in its own store: no "
        "lint before the signature, no approvals, no ledger, no key device",
    )


def _rate(server: OpenBao) -> float:
    """Return certificates a second."""
    _ask(server, "sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
    root = {"common_name": "peer", "key_type": "ec", "key_bits": 256, "ttl": "43800h"}
    _ask(server, "pki/root/generate/internal", root)
    _ask(server, "pki/roles/bench", _ROLE)
    keys = [UnsafeSoftKey.generate(SignatureAlgorithm.ES256) for _ in range(_REQUESTS)]
    wishes = [
        json.dumps({"csr": pem(build_csr(key, "bench"), "CERTIFICATE REQUEST"), "common_name": "bench"}).encode()
        for key in keys
    ]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        began = time.perf_counter()
        signed = sum(pool.map(lambda _: _sign(server, wishes, began + SECONDS), range(CONNECTIONS)))
        return round(signed / (time.perf_counter() - began), 1)


def _sign(server: OpenBao, wishes: Sequence[bytes], end: float) -> int:
    connection, signed = HTTPConnection(urlsplit(server.url).netloc, timeout=10), 0
    try:
        while time.perf_counter() < end:
            wish = wishes[signed % len(wishes)]
            connection.request("POST", "/v1/pki/sign/bench", wish, {"X-Vault-Token": server.token})
            with connection.getresponse() as answer:
                body = answer.read()
                if answer.status != 200:
                    raise Unavailable(ErrorCode.UNAVAILABLE, f"OpenBao answered {answer.status}: {body[:200]!r}")
            signed += 1
        return signed
    finally:
        connection.close()


def _ask(server: OpenBao, path: str, members: dict[str, Any], method: str = "POST") -> dict[str, Any]:
    headers = {"X-Vault-Token": server.token, "Content-Type": "application/json"}
    request = urllib.request.Request(  # noqa: S310 - http on loopback
        f"{server.url}/v1/{path}", json.dumps(members).encode(), headers, method=method
    )
    with DIRECTLY.open(request, timeout=30) as answer:
        return json_object(answer.read() or b"{}")


@contextmanager
def _durable(program: str, folder: Path) -> Iterator[OpenBao]:
    """Run one node that keeps everything by Raft, which waits for the disk at each entry."""
    address, cluster = f"{LOOPBACK}:{free_port()}", f"{LOOPBACK}:{free_port()}"
    (folder / "data").mkdir()
    settings = {
        "storage": {"raft": {"path": str(folder / "data"), "node_id": "peer"}},
        "listener": {"tcp": {"address": address, "tls_disable": True}},
        "api_addr": f"http://{address}",
        "cluster_addr": f"http://{cluster}",
        "disable_mlock": True,
    }
    (folder / "bao.json").write_text(json.dumps(settings), encoding="utf-8")
    process = subprocess.Popen(  # noqa: S603 - the program that the package installed
        [program, "server", f"-config={folder / 'bao.json'}"],
        env={"PATH": os.defpath, "HOME": "/nonexistent"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield _unsealed(f"http://{address}")
    finally:
        process.kill()
        process.wait()


def _unsealed(url: str) -> OpenBao:
    """Initialise a new node with one share and open it; Unavailable when it does not lead in time."""
    sealed, deadline = OpenBao(url=url, token=""), time.monotonic() + _START_SECONDS
    made: dict[str, Any] | None = None
    while time.monotonic() < deadline:
        try:
            made = made or _ask(sealed, "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            _ask(sealed, "sys/unseal", {"key": made["keys"][0]})
            server = OpenBao(url=url, token=str(made["root_token"]))
            with DIRECTLY.open(f"{url}/v1/sys/health", timeout=1):  # 200 from the leader alone
                return server
        except OSError:  # not listening yet, or not ready
            time.sleep(0.1)
    raise Unavailable(ErrorCode.UNAVAILABLE, "OpenBao did not start in time")
