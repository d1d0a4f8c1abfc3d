"""Both listeners, as they run, beside senders that are silent, slow or wrong: others are answered, those are ended."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.clock import FakeClock
from tests.support.exchange_server import server_certificate
from tests.support.pki import NOW
from tests.support.programs import REPOSITORY
from webapp.deployment import Deployment

pytestmark = pytest.mark.real

SENDERS = 12  # of each kind; more than there are places to work in
APPLICATION = """
import sys, ssl
from pathlib import Path
from webapp.slow_peers import Pace
from webapp.whole_bodies import Room, unhurried
ROOM = Room(work=2, spare=6, small=32, large=32)
PACE = Pace(window=0.25, rate=1000, patience=1.0)
def application(environ, start_response):
    if environ["PATH_INFO"] == "/endless":
        start_response("200 OK", [])
        return iter(lambda: bytes(65536), b"")
    start_response("200 OK", [])
    return [str(len(environ["wsgi.input"].read())).encode()]
"""
PAGES = """
from webapp.page_server import serve_pages
if __name__ == "__main__":
    serve_pages(lambda: application, "127.0.0.1", int(sys.argv[1]), workers=1, room=ROOM, pace=PACE, head_seconds=1.0)
"""
EXCHANGE = """
from webapp.deployment import Deployment
from webapp.exchange_server import ExchangeServer
class Server(ExchangeServer):
    def load(self):
        return unhurried(application, int(sys.argv[1]), ROOM, PACE)
bind = "127.0.0.1:" + sys.argv[1]
sys.argv = sys.argv[:1]
sys.argv.append(bind.rpartition(":")[2])
Server(Deployment(Path(HOME)), bind).run()
"""
POST = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
STEADY = {
    "silent": b"",
    "half a head": b"GET / HTTP/1.1\r\nHo",
    "a large body that does not come": POST % (b"large", 20_000_000),
    "a small body that does not come": POST % (b"small", 100),
    "an answer that is not taken": b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n",
}


def ask(port: int, context: ssl.SSLContext | None = None) -> bytes:
    kind = http.client.HTTPConnection if context is None else http.client.HTTPSConnection
    words: dict[str, Any] = {} if context is None else {"context": context}
    connection = kind("127.0.0.1", port, timeout=30, **words)
    try:
        connection.request("POST", "/", bytes(100_000))
        return connection.getresponse().read()
    finally:
        connection.close()


@contextmanager
def program(source: str, folder: Path, context: ssl.SSLContext | None = None) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    file = folder / "program.py"
    file.write_text(source, encoding="utf-8")
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, file, str(port)], env={"PYTHONPATH": str(REPOSITORY)}, stdout=log, stderr=log
        ) as process,
    ):
        try:
            end = time.monotonic() + 30
            while True:
                with suppress(OSError, http.client.HTTPException):
                    assert ask(port, context) == b"100000"
                    break
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait(20)


def is_ended(sender: socket.socket) -> bool:
    """Read until the other side ends it; what was said meanwhile does not count."""
    sender.settimeout(20)
    try:
        while sender.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def open_senders(stack: ExitStack, port: int, first: bytes) -> list[socket.socket]:
    senders = [stack.enter_context(socket.socket()) for _ in range(SENDERS)]
    for sender in senders:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sender.connect(("127.0.0.1", port))
        sender.sendall(first)
    return senders


def test_the_pages_answer_beside_the_slow_and_end_them(tmp_path: Path) -> None:
    with program(APPLICATION + PAGES, tmp_path) as port, ExitStack() as stack:
        senders = {kind: open_senders(stack, port, first) for kind, first in STEADY.items()}
        dripping = open_senders(stack, port, POST % (b"large", 20_000_000))
        assert [ask(port) for _ in range(5)] == [b"100000"] * 5
        for _ in range(100):
            with suppress(ConnectionError):
                for sender in dripping:
                    sender.send(b"x")
                time.sleep(0.1)
                continue
            break
        else:
            pytest.fail("who sends an octet now and then is never ended")
        assert {kind: all(map(is_ended, each)) for kind, each in senders.items()} == dict.fromkeys(STEADY, True)
        assert ask(port) == b"100000"


def test_uploads_find_a_place_though_those_who_hold_them_all_are_not_too_slow_where_none_waits(tmp_path: Path) -> None:
    source = APPLICATION.replace("large=32", "large=2, patience=15.0") + PAGES
    with program(source, tmp_path) as port, ExitStack() as stack:
        senders = open_senders(stack, port, POST % (b"large", 20_000_000))
        stopping = threading.Event()

        def trickle() -> None:
            while not stopping.wait(0.1):
                for sender in senders:
                    with suppress(OSError):
                        sender.send(bytes(500))

        trickling = threading.Thread(target=trickle)
        trickling.start()
        stack.callback(trickling.join)
        stack.callback(stopping.set)
        end = time.monotonic() + 60
        while [ask(port) for _ in range(5)] != [b"100000"] * 5:  # refused: as many as may wait for a place do
            assert time.monotonic() < end


def test_the_exchange_answers_beside_the_slow_and_ends_them(tmp_path: Path) -> None:
    exchange = cast("Any", SimpleNamespace(clock=FakeClock(NOW), folder=tmp_path))
    certificate, key = server_certificate(exchange, tmp_path)
    deployment = Deployment(tmp_path / "home")
    for path, content in ((deployment.tls_certificate, certificate), (deployment.tls_key, key)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.read_bytes())
    deployment.exchange_clients.parent.mkdir(parents=True, exist_ok=True)
    deployment.exchange_clients.write_bytes(certificate.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    source = APPLICATION + EXCHANGE.replace("HOME", repr(str(deployment.home)))
    with program(source, tmp_path, context) as port, ExitStack() as stack:
        plain = {
            "silent": open_senders(stack, port, b""),
            "half a hello": open_senders(stack, port, bytes.fromhex("160301ffff")),
            "no hello": open_senders(stack, port, b"not TLS at all\r\n"),
        }
        behind = open_senders(stack, port, b"")
        greeted = [stack.enter_context(context.wrap_socket(sender)) for sender in behind]
        for sender in greeted:
            sender.sendall(STEADY["a large body that does not come"])
        assert [ask(port, context) for _ in range(5)] == [b"100000"] * 5
        assert {kind: all(map(is_ended, each)) for kind, each in plain.items()} == dict.fromkeys(plain, True)
        assert all(map(is_ended, greeted))
        assert ask(port, context) == b"100000"
