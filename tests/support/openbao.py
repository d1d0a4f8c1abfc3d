"""A real OpenBao server for tests: raft storage in a folder of its own, made, unsealed and fed by its API.

A room that wants it imports the fixtures in its own `conftest.py`:
`from tests.support.openbao import bao, bao_node, bao_server  # noqa: F401 - fixtures`.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hsm.private_files import write_private
from hsm.transit.settings import AppRoleFiles, TransitSettings

MOUNT = "mohr-keys"
START_SECONDS = 30

# What ARCHITECTURE.md tells an operator to write; `+` is one name, so neither `config` nor `rotate` below it.
SIGN_POLICY = f"""
path "{MOUNT}/sign/+" {{ capabilities = ["update"] }}
path "{MOUNT}/keys/+" {{ capabilities = ["read"] }}
"""
GENERATE_POLICY = f"""
path "{MOUNT}/sign/+" {{ capabilities = ["update"] }}
path "{MOUNT}/keys/+" {{ capabilities = ["create", "update", "read"] }}
"""


def find_bao() -> Path | None:
    """Return where the server's program is beside this interpreter; None when it is not installed."""
    found = shutil.which("bao", path=str(Path(sys.executable).parent))
    return None if found is None else Path(found)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _write_tls(folder: Path) -> None:
    """Make an authority and the server's certificate: `ca.pem`, `cert.pem`, `key.pem`."""
    now = dt.datetime.now(dt.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OpenBao test CA")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OpenBao test server")])
    builder = (
        x509.CertificateBuilder()
        .issuer_name(ca_name)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    ca = (
        builder.subject_name(ca_name)
        .public_key(ca_key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        builder.subject_name(name)
        .public_key(key.public_key())
        .serial_number(2)
        .add_extension(loopback, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@dataclass(kw_only=True)
class BaoServer:
    """One node: a plain and a TLS listener on loopback, its storage and, once started, its process."""

    folder: Path
    port: int = field(default_factory=_free_port)
    tls_port: int = field(default_factory=_free_port)
    cluster_port: int = field(default_factory=_free_port)
    unseal_key: str = ""
    root_token: str = ""
    process: subprocess.Popen[bytes] | None = None
    roles: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"

    def prepare(self) -> Self:
        (self.folder / "raft").mkdir(parents=True)
        _write_tls(self.folder)
        tls = {"tls_cert_file": str(self.folder / "cert.pem"), "tls_key_file": str(self.folder / "key.pem")}
        cluster = f"127.0.0.1:{self.cluster_port}"
        plain = {"address": f"127.0.0.1:{self.port}", "cluster_address": cluster, "tls_disable": True}
        secured = {"address": f"127.0.0.1:{self.tls_port}", "cluster_address": cluster, **tls}
        settings = {
            "storage": {
                "raft": {
                    "path": str(self.folder / "raft"),
                    "node_id": f"node-{self.port}",
                    "performance_multiplier": "1",
                }
            },
            "listener": [{"tcp": plain}, {"tcp": secured}],
            "api_addr": self.url,
            "cluster_addr": f"https://{cluster}",
            "disable_mlock": True,
        }
        (self.folder / "bao.json").write_text(json.dumps(settings))
        return self

    # --- the process --------------------------------------------------------------------------------

    def start(self) -> None:
        program = find_bao()
        assert program is not None
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(program), "server", f"-config={self.folder / 'bao.json'}"],
                env={"PATH": os.defpath, "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_for(200, 429, 501, 503)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        self.kill()
        self.start()
        self.unseal()

    # --- its API ------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, token: str | None = None) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            headers = {"X-Vault-Token": token or self.root_token}
            answer = session.request(method, f"{self.url}/v1/{path}", json=body, headers=headers, timeout=START_SECONDS)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def health(self) -> int:
        try:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(f"{self.url}/v1/sys/health", timeout=START_SECONDS).status_code
        except requests.ConnectionError:
            return 0

    def wait_for(self, *statuses: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (status := self.health()) not in statuses:
            assert time.monotonic() < deadline, f"OpenBao answers {status}: {(self.folder / 'log').read_text()[-2000:]}"
            time.sleep(0.02)

    def initialise(self) -> None:
        made = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.unseal_key, self.root_token = made["keys"][0], made["root_token"]
        self.unseal()
        self.call("POST", f"sys/mounts/{MOUNT}", {"type": "transit"})
        self.call("POST", "sys/auth/approle", {"type": "approle"})

    def unseal(self) -> None:
        self.call("PUT", "sys/unseal", {"key": self.unseal_key})
        self.wait_for(200)

    def join(self, leader: BaoServer) -> None:
        """Become a standby of `leader`."""
        self.unseal_key, self.root_token = leader.unseal_key, leader.root_token
        self.call("PUT", "sys/storage/raft/join", {"leader_api_addr": leader.url})
        self.call("PUT", "sys/unseal", {"key": self.unseal_key})
        self.wait_for(429)

    def seal(self) -> None:
        self.call("PUT", "sys/seal")

    # --- what custodians use ------------------------------------------------------------------------

    def make_key(self, name: str, key_type: str = "ecdsa-p256", **parameters: object) -> None:
        self.call("POST", f"{MOUNT}/keys/{name}", {"type": key_type, **parameters})

    def approle(self, policy: str = GENERATE_POLICY, **parameters: object) -> BaoRole:
        """Make an AppRole with a policy of its own and write its credential into owner-only files."""
        self.roles += 1
        name = f"custodian-{self.roles}"
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": policy})
        self.call("POST", f"auth/approle/role/{name}", {"token_policies": name, "token_ttl": "1h", **parameters})
        role = BaoRole(server=self, name=name, folder=self.folder / name)
        role.folder.mkdir(mode=0o700)
        role_id = self.call("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        write_private(role.folder / "role-id", f"{role_id}\n".encode())
        role.issue_secret()
        return role

    def token(self, policy: str = GENERATE_POLICY, **parameters: object) -> str:
        """Return an orphan token under a policy of its own."""
        self.roles += 1
        name = f"holder-{self.roles}"
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": policy})
        made = self.call("POST", "auth/token/create-orphan", {"policies": [name], **parameters})
        return str(made["auth"]["client_token"])


@dataclass(kw_only=True)
class BaoRole:
    """An AppRole, and the folder with its credential."""

    server: BaoServer
    name: str
    folder: Path
    secret_accessor: str = ""

    def issue_secret(self) -> None:
        made = self.server.call("POST", f"auth/approle/role/{self.name}/secret-id")["data"]
        self.secret_accessor = made["secret_id_accessor"]
        write_private(self.folder / "secret-id", f"{made['secret_id']}\n".encode())

    def revoke_secret(self) -> None:
        accessor = {"secret_id_accessor": self.secret_accessor}
        self.server.call("POST", f"auth/approle/role/{self.name}/secret-id-accessor/destroy", accessor)

    @property
    def settings(self) -> TransitSettings:
        return TransitSettings(
            url=self.server.url,
            mount=MOUNT,
            auth=AppRoleFiles(
                mount="approle", role_id_file=self.folder / "role-id", secret_id_file=self.folder / "secret-id"
            ),
        )

    @property
    def tls_settings(self) -> TransitSettings:
        return replace(self.settings, url=self.server.tls_url, ca_file=self.server.folder / "ca.pem")


@pytest.fixture(scope="session")
def bao_node() -> Iterator[Callable[[], BaoServer]]:
    """Make nodes that are not started yet; they are killed and removed with the session."""
    if find_bao() is None:
        pytest.skip("OpenBao is not installed (extra: dev)")
    nodes: list[BaoServer] = []

    def make() -> BaoServer:
        nodes.append(BaoServer(folder=Path(tempfile.mkdtemp(prefix="mohr-bao-")) / "node").prepare())
        return nodes[-1]

    yield make
    for node in nodes:
        node.kill()
        shutil.rmtree(node.folder.parent)


@pytest.fixture(scope="session")
def bao_server(bao_node: Callable[[], BaoServer]) -> BaoServer:
    node = bao_node()
    node.start()
    node.initialise()
    return node


@pytest.fixture
def bao(bao_server: BaoServer) -> Iterator[BaoServer]:
    """Return the session's server, unsealed; it runs unsealed again after a test that sealed or killed it."""
    yield bao_server
    if bao_server.process is None:
        bao_server.start()
    if bao_server.health() == 503:
        bao_server.unseal()
