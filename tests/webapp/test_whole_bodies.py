"""Bodies are read before a request takes a place of those who work; there is a bound on everything that waits."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.webapp import samples
from tests.webapp.conftest import FROM_OWN_PAGE, ORIGIN, FixedClock, healthy
from webapp.app import create_app
from webapp.services import Services
from webapp.slow_peers import AtWork, Pace, SlowPeers
from webapp.status import status_wsgi
from webapp.whole_bodies import SMALL_OCTETS, Room, WholeBodies

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

ROOM = Room(work=2, spare=6, small=1, large=2, octets=300_000, largest=250_000, patience=0.1)
LARGE = SMALL_OCTETS + 1


def in_front(application: WSGIApplication, room: Room = ROOM) -> WholeBodies:
    at_work = AtWork()
    return WholeBodies(application, room, at_work, SlowPeers(0, Pace(), at_work))


class Sent:
    """A body that comes when the sender is let go, and breaks off after `cut` octets."""

    def __init__(self, data: bytes, *, cut: int | None = None) -> None:
        self._data = BytesIO(data[:cut])
        self.asked, self.go = threading.Event(), threading.Event()

    def read(self, size: int = -1) -> bytes:
        """Wait, and give what is asked for."""
        self.asked.set()
        assert self.go.wait(20)
        return self._data.read(size)


@pytest.fixture
def bodies() -> WholeBodies:
    services = Services(
        public_url=ORIGIN,
        clock=FixedClock(),
        health=healthy,
        ocsp=lambda request: b"answer to " + request[:2],
        verify=lambda data, *, content, name: samples.SAMPLES["unknown-format"],
    )
    return in_front(status_wsgi(services, create_app(services)))


def asked(
    application: WSGIApplication, path: str, sent: Any, length: int | None, kind: str = "application/octet-stream"
) -> tuple[int, bytes, Any]:
    headers = {**FROM_OWN_PAGE, **({"Transfer-Encoding": "chunked"} if length is None else {})}
    environ = EnvironBuilder(path=path, method="POST", headers=[*headers.items()], content_type=kind).get_environ()
    environ |= {"wsgi.input": sent, "wsgi.input_terminated": True, "CONTENT_TYPE": kind}
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    body, status, answered = run_wsgi_app(application, environ, buffered=True)
    return int(status[:3]), b"".join(body), answered


def ready(data: bytes, *, cut: int | None = None) -> Sent:
    sent = Sent(data, cut=cut)
    sent.go.set()
    return sent


@contextmanager
def waiting(application: WSGIApplication, count: int, length: int) -> Iterator[Callable[[], list[int]]]:
    """Have so many senders begin; give what lets them go on and tells their answers."""
    senders = [Sent(bytes(length)) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        under_way = [pool.submit(asked, application, "/api/v1/verify", sent, length) for sent in senders]
        try:
            assert all(sent.asked.wait(20) for sent in senders)

            def finish() -> list[int]:
                for sent in senders:
                    sent.go.set()
                return [one.result(20)[0] for one in under_way]

            yield finish
        finally:
            for sent in senders:
                sent.go.set()


def test_uploads_that_wait_keep_out_a_further_one_and_nothing_else(bodies: WholeBodies) -> None:
    with waiting(bodies, ROOM.large, LARGE) as finish:
        for path in ("/api/v1/verify", "/verify"):
            kind = "multipart/form-data; boundary=b" if path == "/verify" else "application/octet-stream"
            status, body, headers = asked(bodies, path, ready(bytes(LARGE)), LARGE, kind)
            assert (status, headers["Retry-After"].isdigit()) == (503, True)
        assert "<html" in body.decode()
        assert asked(bodies, "/ocsp", ready(b"ocsp"), 4, "application/ocsp-request")[1] == b"answer to oc"
        assert asked(bodies, "/api/v1/verify", ready(b"small"), 5)[0] == 200
        assert asked(bodies, "/nowhere", ready(bytes(LARGE)), LARGE)[0] == 404
        get = run_wsgi_app(bodies, EnvironBuilder(path="/healthz").get_environ(), buffered=True)
        assert get[1].startswith("200")
        assert finish() == [200] * ROOM.large
    assert asked(bodies, "/api/v1/verify", ready(bytes(LARGE)), LARGE)[0] == 200


def test_small_bodies_that_wait_keep_out_no_upload(bodies: WholeBodies) -> None:
    with waiting(bodies, ROOM.small, 10) as finish:
        assert asked(bodies, "/ocsp", ready(bytes(9000)), 9000, "application/ocsp-request")[0] == 503
        assert asked(bodies, "/ocsp", ready(b"ocsp"), 4, "application/ocsp-request")[0] == 200  # it is there at once
        assert asked(bodies, "/api/v1/verify", ready(bytes(LARGE)), LARGE)[0] == 200
        assert finish() == [200]


def test_who_waits_for_a_place_takes_the_next_that_gets_free_and_one_that_broke_off_takes_none() -> None:
    services = Services(public_url=ORIGIN, clock=FixedClock(), health=healthy, ocsp=lambda request: request[:2])
    patient = in_front(status_wsgi(services, create_app(services)), replace(ROOM, patience=20))
    with waiting(patient, ROOM.large, LARGE) as finish, ThreadPoolExecutor(1) as pool:
        broken = asked(patient, "/nowhere", ready(bytes(LARGE), cut=100), LARGE)
        assert broken[0] == 404
        sent = ready(bytes(LARGE))
        one = pool.submit(asked, patient, "/nowhere", sent, LARGE)
        assert sent.asked.wait(20)
        finish()
        assert one.result(20)[0] == 404
    assert sent._data.tell() == LARGE


def test_so_many_wait_for_a_place_and_no_more(bodies: WholeBodies) -> None:
    with waiting(bodies, ROOM.large, LARGE), waiting(bodies, ROOM.work + ROOM.spare // 2, LARGE):
        never = Sent(b"")
        assert asked(bodies, "/api/v1/verify", never, LARGE)[0] == 503
        assert not never.asked.is_set()


def test_bodies_beyond_the_memory_are_refused_and_it_is_given_back(bodies: WholeBodies) -> None:
    first = Sent(bytes(200_000))
    first.go.set()
    inside = threading.Event()
    leave = threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/first":
            inside.set()
            assert leave.wait(20)
        try:
            read = len(environ["wsgi.input"].read())
        except Exception as error:  # noqa: BLE001 - its name is the answer
            start_response(f"503 {type(error).__name__}", [])
            return [b""]
        start_response("200 OK", [])
        return [str(read).encode()]

    held = in_front(application)
    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(asked, held, "/first", first, 200_000)
        try:
            assert inside.wait(20)
            assert asked(held, "/second", ready(bytes(200_000)), 200_000)[0] == 503
            assert asked(held, "/third", ready(bytes(90_000)), 90_000)[1] == b"90000"
        finally:
            leave.set()
        assert one.result(20)[1] == b"200000"
    assert asked(held, "/fourth", ready(bytes(ROOM.largest)), ROOM.largest)[1] == b"250000"


@pytest.mark.parametrize(
    ("kind", "most"), [("application/octet-stream", 1.5), ("multipart/form-data; boundary=b", 2.5)]
)
def test_an_upload_is_in_memory_once_or_as_a_part_of_a_form_twice(kind: str, most: float) -> None:
    def verify(data: bytes, *, content: bytes | None, name: str) -> Any:
        del content, name
        assert data == file
        return samples.SAMPLES["unknown-format"]

    file = bytes(8 << 20)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = file if "form" not in kind else head + file + b"\r\n--b--\r\n"
    services = Services(public_url=ORIGIN, clock=FixedClock(), health=healthy, verify=verify)
    room = Room(work=2, spare=2, small=1, large=2)
    application = in_front(status_wsgi(services, create_app(services)), room)
    sent = ready(body)
    tracemalloc.start()
    try:
        assert asked(application, "/api/v1/verify", sent, len(body), kind)[0] == 200
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most * len(file)


def test_a_body_that_is_refused_half_way_is_memory_no_longer() -> None:
    services = Services(public_url=ORIGIN, clock=FixedClock(), health=healthy)
    room = Room(work=2, spare=2, small=1, large=2, octets=8 << 20)
    application = in_front(status_wsgi(services, create_app(services)), room)
    sent = ready(bytes(9 << 20))
    gc.disable()  # octets are gone at once, not when somebody looks for what is lost
    tracemalloc.start()
    try:
        assert asked(application, "/api/v1/verify", sent, 9 << 20)[0] == 503
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert kept < 4 << 20


def test_a_body_beyond_the_limit_is_not_read_and_one_that_broke_off_gets_no_verdict(bodies: WholeBodies) -> None:
    never = Sent(b"")
    assert asked(bodies, "/api/v1/verify", never, 60 * 1024 * 1024)[0] == 413
    assert not never.asked.is_set()
    assert asked(bodies, "/api/v1/verify", ready(bytes(100), cut=50), 100)[0] == 400
    assert asked(bodies, "/ocsp", ready(bytes(100), cut=50), 100, "application/ocsp-request")[0] == 400


def test_a_body_of_unknown_length_is_as_large_as_it_is_and_read_to_the_limit_at_most(bodies: WholeBodies) -> None:
    assert asked(bodies, "/ocsp", ready(b"ocsp"), None, "application/ocsp-request")[1] == b"answer to oc"
    endless = ready(bytes(1_000_000))
    assert asked(bodies, "/api/v1/verify", endless, None)[0] == 411
    assert endless._data.tell() == ROOM.largest + 1


def test_so_many_work_at_once_and_no_more() -> None:
    inside, most, lock = 0, 0, threading.Lock()
    full = threading.Barrier(ROOM.work)

    def application(_environ: Any, start_response: Any) -> list[bytes]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        full.wait(20)
        with lock:
            inside -= 1
        start_response("200 OK", [])
        return [b""]

    bodies = in_front(application)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(asked, bodies, "/", BytesIO(), 0) for _ in range(4 * ROOM.work)]
        assert [one.result(20)[0] for one in answers] == [200] * (4 * ROOM.work)
    assert most == ROOM.work
