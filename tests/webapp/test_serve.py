from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from ssl import CERT_OPTIONAL, SSLError

import pytest
from gunicorn.http.errors import (
    InvalidChunkSize,
    InvalidRequestLine,
    InvalidResponseHeader,
    LimitRequestHeaders,
    LimitRequestLine,
)

from pki.errors import Conflict
from tests.webapp.test_deployment import SETTINGS
from webapp import exchange_server
from webapp.commands.serve import is_served, programs, serve_deployment
from webapp.deployment import Deployment
from webapp.exchange_server import ExchangeServer
from webapp.problems import CONTENT_TYPE
from webapp.separation import Separation
from webapp.system_users import Account, Accounts

TOGETHER = Separation(
    Accounts(custodian=Account(1, 1), server=Account(1, 1), worker=Account(1, 1), linter=Account(1, 1), data=1),
    "a test",
)
APART = Separation(
    Accounts(custodian=Account(1, 11), server=Account(2, 12), worker=Account(3, 13), linter=Account(4, 14), data=14)
)


@contextmanager
def _answering(answer: bytes) -> Iterator[str]:
    """Listen for one connection and answer it; give the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("answer", "served"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n", True),
        (b"SSH-2.0-somebody\r\n", False),
        (b"", False),
    ],
)
def test_only_what_speaks_http_is_a_server(answer: bytes, served: bool) -> None:
    with _answering(answer) as bind:
        assert is_served(bind) is served


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        free = silent.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free}")
    monkeypatch.delenv("no_proxy", raising=False)
    with _answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as bind:
        assert is_served(bind)


def _arguments(home: Path, bind: str) -> dict[str, Sequence[str]]:
    return {program.name: program.arguments for program in programs(Deployment(home), SETTINGS, bind, TOGETHER)}


def test_each_program_has_the_user_of_its_part(tmp_path: Path) -> None:
    users = {
        program.name.split()[0]: program.run_as and program.run_as.uid
        for program in programs(Deployment(tmp_path), SETTINGS, "h:8440", APART)
    }
    assert users == {"custodian": 1, "server": 2, "exchange": 2, "worker": 3, "linter": 4}
    assert {program.run_as for program in programs(Deployment(tmp_path), SETTINGS, "h:8440", TOGETHER)} == {None}


def test_no_module_is_taken_from_the_folder_that_we_are_in(tmp_path: Path) -> None:
    assert {arguments[1] for arguments in _arguments(tmp_path, "h:8440").values()} == {"-P"}


def test_an_ipv6_address_keeps_its_brackets_where_a_port_follows(tmp_path: Path) -> None:
    started = _arguments(tmp_path, "[::1]:8440")
    assert "[::1]:8441" in started["exchange"]
    assert started["server"][-2:] == ("::1", "8440")


def test_no_header_of_a_proxy_reaches_the_exchange(tmp_path: Path) -> None:
    server = ExchangeServer(Deployment(tmp_path), "h:8441")
    assert server.cfg.forwarded_allow_ips == []
    assert server.cfg.cert_reqs == CERT_OPTIONAL


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequestLine("0012345678 \r\n"), 400, "input-malformed"),
        (InvalidChunkSize("0012345678"), 400, "input-malformed"),
        (SSLError("0012345678"), 400, "input-malformed"),
        (LimitRequestLine(5000, 4094), 413, "input-too-large"),
        (LimitRequestHeaders("0012345678"), 413, "input-too-large"),
        (InvalidResponseHeader("0012345678"), 500, "internal"),
        (RuntimeError("0012345678"), 500, "internal"),
    ],
)
def test_a_request_that_cannot_be_read_is_told_so_in_the_api_s_form(error: Exception, status: int, code: str) -> None:
    head, _, body = exchange_server.refusal_of(error, "r1").partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith(f"HTTP/1.1 {status} ")
    assert {f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {len(body)}", "Connection: close"} <= set(lines)
    said = json.loads(body)
    assert (said["status"], said["code"], said["request_id"]) == (status, code, "r1")
    assert b"0012345678" not in body


def test_a_deployment_is_served_once(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.create_folders()
    deployment.write_settings(SETTINGS)
    with deployment.serving(), pytest.raises(Conflict):
        serve_deployment(deployment, "127.0.0.1:8440", lambda _supervisor: None)
    with deployment.serving():
        assert (deployment.run / "serving.lock").stat().st_mode & 0o777 == 0o600


def test_a_listener_without_its_key_says_which_command_makes_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOHR_HOME", str(tmp_path))
    monkeypatch.setattr(exchange_server, "allow_descriptors", lambda _count: None)
    with pytest.raises(SystemExit, match="renew-services"):
        exchange_server.main()


MANY_LARGE = """
import resource, threading
def work():
    for _ in range(3):
        kept = [bytearray(8 << 20) for _ in range(4)]
        del kept
threads = [threading.Thread(target=work) for _ in range(4)]
for each in threads: each.start()
for each in threads: each.join()
print(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20)
"""


@pytest.mark.parametrize("name", ["server", "exchange"])
def test_large_bodies_that_are_gone_are_no_memory_of_a_server_any_more(tmp_path: Path, name: str) -> None:
    (program,) = (one for one in programs(Deployment(tmp_path), SETTINGS, "h:8440", TOGETHER) if one.name == name)
    said = subprocess.run([sys.executable, "-c", MANY_LARGE], env=program.environment, capture_output=True, check=True)
    assert int(said.stdout) < 30
