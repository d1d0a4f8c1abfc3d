import socket
import threading
import time

import pytest

from pki.errors import ErrorCode, InvalidInput, Unavailable
from signer.http_exchange import exchange
from tests.support.raw_server import always, raw_server, reply


def test_a_whole_answer_comes_back_with_its_status_and_type() -> None:
    answer = reply(b"body", status="404 Not Found", headers="Content-Type: Text/Plain; charset=x\r\n")
    with raw_server(always(answer)) as (url, _heads):
        got = exchange(f"{url}/a?b", seconds=5, limit=4)
    assert (got.status, got.content_type, got.body) == (404, "text/plain", b"body")


def test_a_body_is_posted_with_its_headers() -> None:
    with raw_server(always(reply(b""))) as (url, heads):
        exchange(f"{url}/ocsp", seconds=5, limit=10, body=b"question", headers={"Content-Type": "application/x"})
    assert heads[0].startswith(b"POST /ocsp HTTP/1.1\r\n")
    assert b"Content-Type: application/x\r\n" in heads[0]


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with raw_server(always(reply(b""))) as (elsewhere, reached):
        moved = reply(b"", status="302 Found", headers=f"Location: {elsewhere}/x\r\n")
        with raw_server(always(moved)) as (url, _heads):
            assert exchange(url, seconds=5, limit=10).status == 302
    assert reached == []


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(always(reply(b"proxy"))) as (proxy, reached), raw_server(always(reply(b"true"))) as (url, _heads):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("HTTP_PROXY", proxy)
        assert exchange(url, seconds=5, limit=10).body == b"true"
    assert reached == []


@pytest.mark.parametrize(
    "answer", [reply(b"x" * 11), b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 11], ids=["announced", "unannounced"]
)
def test_an_answer_above_the_limit_is_refused(answer: bytes) -> None:
    with raw_server(always(answer)) as (url, _heads), pytest.raises(InvalidInput) as refused:
        exchange(url, seconds=5, limit=10)
    assert refused.value.code is ErrorCode.INPUT_TOO_LARGE


@pytest.mark.parametrize("before", [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_drips_cannot_outlast_the_deadline(before: bytes) -> None:
    stop = threading.Event()

    def drip(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(before)
        while not stop.wait(0.02):
            connection.sendall(b"1")

    with raw_server(drip) as (url, _heads):
        started = time.monotonic()
        with pytest.raises(Unavailable, match="too slow"):
            exchange(url, seconds=0.2, limit=1_000_000)
        assert time.monotonic() - started < 30
        stop.set()


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
def test_half_an_answer_is_none(answer: bytes) -> None:
    with raw_server(always(answer)) as (url, _heads), pytest.raises(Unavailable):
        exchange(url, seconds=5, limit=10)


@pytest.mark.parametrize(
    "url", ["http://[::1", "ftp://host/", "http://host:99999/", "http://a b/", "file:///etc/passwd"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        exchange(url, seconds=1, limit=1)
