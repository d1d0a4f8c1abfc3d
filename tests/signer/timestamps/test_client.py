import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki import der
from pki.errors import ErrorCode, InvalidInput, ServiceError, Unavailable, VerificationFailed
from signer.errors import TimestampInvalid, TimestampUnavailable
from signer.timestamps.authority import TimestampAuthority
from signer.timestamps.client import HttpTimestampClient, LocalTimeStamper
from signer.timestamps.messages import (
    MAX_RESPONSE_OCTETS,
    Failure,
    build_granted,
    build_rejection,
    build_request,
    read_response,
)

DIGEST = hashlib.sha256(b"data").digest()
REPLY = "application/timestamp-reply"


@contextmanager
def service(
    answer: Callable[[bytes], bytes], *, status: int = 200, kind: str = REPLY, pause: float = 0
) -> Iterator[str]:
    """Run a real HTTP server on loopback that answers each POST, with a pause between octets; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            reply = answer(body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()
            if not pause:
                self.wfile.write(reply)
            with suppress(OSError):  # the client hangs up in the middle
                for octet in reply if pause else b"":
                    self.wfile.write(bytes((octet,)))
                    time.sleep(pause)

        def log_message(self, *_: object) -> None:
            """Keep test output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tsa?x=1"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def test_a_token_comes_over_http(authority: TimestampAuthority) -> None:
    with service(authority.respond) as url:
        token = HttpTimestampClient(url).stamp(DIGEST)
    assert DIGEST in token
    assert der.parse(token).tag == der.SEQUENCE


def test_a_token_comes_from_the_same_process(stamper: LocalTimeStamper) -> None:
    assert DIGEST in stamper.stamp(DIGEST)


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (500, REPLY, TimestampUnavailable),
        (404, REPLY, TimestampUnavailable),
        (302, REPLY, TimestampUnavailable),
        (200, "text/html", TimestampInvalid),
    ],
    ids=["server-error", "not-found", "redirect", "web-page"],
)
def test_an_answer_that_is_no_reply_is_coded(
    authority: TimestampAuthority, status: int, kind: str, error: type[ServiceError]
) -> None:
    with service(authority.respond, status=status, kind=kind) as url, pytest.raises(error):
        HttpTimestampClient(url).stamp(DIGEST)


def test_an_endless_reply_is_cut_off() -> None:
    with service(lambda _: bytes(MAX_RESPONSE_OCTETS + 1)) as url, pytest.raises(TimestampInvalid, match="64 KiB"):
        HttpTimestampClient(url).stamp(DIGEST)


def test_silence_is_unavailable_and_retryable() -> None:
    def sleep(_: bytes) -> bytes:
        time.sleep(0.5)
        return b""

    with service(sleep) as url, pytest.raises(TimestampUnavailable) as silent:
        HttpTimestampClient(url, timeout=0.1).stamp(DIGEST)
    assert isinstance(silent.value, Unavailable)
    assert silent.value.retryable


def test_a_reply_that_drips_is_cut_off(authority: TimestampAuthority) -> None:
    with service(authority.respond, pause=0.02) as url, pytest.raises(TimestampUnavailable, match="too slow"):
        HttpTimestampClient(url, timeout=0.2).stamp(DIGEST)


def test_a_closed_port_is_unavailable() -> None:
    with pytest.raises(TimestampUnavailable):
        HttpTimestampClient("http://127.0.0.1:1/tsa", timeout=1).stamp(DIGEST)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://host/", "", "http://", "http://host:99999/", "http://host/\r\nX: y", "http://[::1"],
)
def test_only_web_addresses_are_taken(url: str) -> None:
    with pytest.raises(InvalidInput):
        HttpTimestampClient(url)


@pytest.fixture
def stamped(authority: TimestampAuthority) -> bytes:
    return answer_to(authority, DIGEST, 7)


def answer_to(authority: TimestampAuthority, digest: bytes, nonce: int) -> bytes:
    return authority.respond(build_request(digest, nonce))


def test_a_token_over_other_data_is_refused(authority: TimestampAuthority) -> None:
    other = answer_to(authority, hashlib.sha256(b"other").digest(), 7)
    with pytest.raises(TimestampInvalid, match="other data"):
        read_response(other, DIGEST, 7)


def test_a_replayed_token_is_refused(authority: TimestampAuthority) -> None:
    old = answer_to(authority, DIGEST, 7)
    assert read_response(old, DIGEST, 7)
    with pytest.raises(TimestampInvalid, match="another request"):
        read_response(old, DIGEST, 8)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure.SYSTEM_FAILURE, TimestampUnavailable),
        (Failure.TIME_NOT_AVAILABLE, TimestampUnavailable),
        (Failure.BAD_ALGORITHM, TimestampInvalid),
        (Failure.UNACCEPTED_POLICY, TimestampInvalid),
    ],
    ids=lambda value: value.words if isinstance(value, Failure) else "",
)
def test_a_refusal_says_whether_to_try_again(failure: Failure, error: type[ServiceError]) -> None:
    with pytest.raises(error) as refused:
        read_response(build_rejection(failure, "no"), DIGEST, 1)
    assert failure.words in refused.value.detail


MALFORMED = [
    b"",
    der.sequence(),
    der.sequence(der.sequence()),
    der.sequence(der.sequence(der.integer(0))),
    build_granted(der.null()),
    build_granted(der.sequence(der.oid("1.2.3"), der.context(0, der.null()))),
    build_granted(der.sequence()),
]


@pytest.mark.parametrize("data", MALFORMED)
def test_a_malformed_answer_is_invalid(data: bytes) -> None:
    with pytest.raises(TimestampInvalid) as refused:
        read_response(data, DIGEST, 1)
    assert isinstance(refused.value, VerificationFailed)
    assert refused.value.code is ErrorCode.TIMESTAMP_INVALID


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_mutated_answer_raises_nothing_but_ours(stamped: bytes, data: st.DataObject) -> None:
    answer = bytearray(stamped)
    answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_response(bytes(answer), DIGEST, 7)
    except ServiceError as error:
        assert error.code in (ErrorCode.TIMESTAMP_INVALID, ErrorCode.TIMESTAMP_UNAVAILABLE)


@given(st.binary(max_size=100))
def test_random_answers_raise_nothing_but_ours(data: bytes) -> None:
    with pytest.raises((TimestampInvalid, TimestampUnavailable)):
        read_response(data, DIGEST, 1)
