"""For a day there is nothing but the web servers: no worker, no custodian, no database.

What was signed before is answered, to the second up to which it was promised and no longer, and no cache is told to
keep anything for longer than that.
"""

from __future__ import annotations

import base64
import http.client
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from tests.ca.status.histories_reader import ask_about, read_answer
from tests.e2e.faults.conftest import OnPostgres
from tests.support.hung import go_on, hang
from tests.support.separated import until

pytestmark = pytest.mark.real
TRY_LATER = bytes.fromhex("30030a0103")
LATE = timedelta(seconds=30)  # between what a test sets and when it is asked, at most
OCSP = "application/ocsp-request"


CLOCKS_DIFFER = timedelta(seconds=0.1)
"""How far the moved clocks of two processes may be apart."""


@dataclass(frozen=True, slots=True)
class Got:
    """An answer with what caches are told, and when it was asked for."""

    at: datetime
    body: bytes
    max_age: int | None
    expires: datetime | None


def fetch(served: OnPostgres, path: str) -> Got:
    at = served.moved_clock.now()
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body, told, expires = answer.read(), answer.headers["Cache-Control"], answer.headers["Expires"]
    finally:
        connection.close()
    assert answer.status == 200, (path, answer.status, body)
    if told == "no-store":
        assert expires is None
        return Got(at, body, None, None)
    return Got(at, body, int(told.rpartition("max-age=")[2]), parsedate_to_datetime(expires))


def ocsp_path(request: bytes) -> str:
    return "/ocsp/" + quote(base64.b64encode(request).decode(), safe="")


def post(served: OnPostgres, request: bytes) -> bytes:
    status, body = served.ask("POST", "/ocsp", request, Content_Type=OCSP)
    assert status == 200, body
    return body


def _until(end: datetime) -> timedelta:
    """Return how far, in whole seconds as the clock is set, an end is away: it is over, or is this moment."""
    return timedelta(seconds=math.ceil((end - datetime.now(UTC)).total_seconds()))


@contextmanager
def alone(served: OnPostgres) -> Iterator[None]:
    """Leave the web servers alone for the block: whoever would start the rest again is stopped."""
    hang(served.pid)
    try:
        assert served.kill("webapp.worker")
        assert served.kill("hsm.custodian")
        served.postgres.stop()
        try:
            yield
        finally:
            served.moved_clock.set_ahead(timedelta())
            served.postgres.start()
    finally:
        go_on(served.pid)
    until(served._is_well, "every part is well again", lambda: served.trouble)


def check_promise(got: Got, next_update: datetime | None) -> None:
    """Caches may keep what is answered no longer than it is good."""
    assert next_update is not None
    assert got.max_age is not None
    assert got.expires is not None
    assert timedelta() < timedelta(seconds=got.max_age) <= next_update - got.at + CLOCKS_DIFFER
    assert got.at - timedelta(seconds=1) <= got.expires <= next_update


def check_that_none_keeps(got: Got, body: bytes) -> None:
    assert (got.body, got.max_age, got.expires) == (body, None, None)


def test_what_was_promised_is_answered_for_a_day_and_not_a_second_longer(on_postgres: OnPostgres) -> None:
    served, clock = on_postgres, on_postgres.moved_clock
    until(served._is_well, "every part is well before")
    issuer = x509.load_der_x509_certificate(served.ask("GET", "/ca/persons.cer")[1])
    officer = served.deployment.officers / "clerk-parsa" / "certificate.pem"
    good = x509.load_pem_x509_certificate(officer.read_bytes()).serial_number
    status, waiting = served.issue_in_the_end()
    assert status == 201, waiting
    requests = {serial: ask_about(serial, issuer) for serial in (good, int(waiting, 16))}
    for request in requests.values():  # live answers have a signature of their own each time
        until(lambda request=request: post(served, request) == post(served, request), "stored")  # type: ignore[misc]  # bound now
    before = {serial: post(served, request) for serial, request in requests.items()}
    told = {serial: ocsp.load_der_ocsp_response(answer) for serial, answer in before.items()}
    assert told[good].certificate_status is ocsp.OCSPCertStatus.GOOD
    assert told[int(waiting, 16)].certificate_status is ocsp.OCSPCertStatus.REVOKED
    lists = {path: fetch(served, path).body for path in ("/crl/persons/0.crl", "/crl/persons/1.crl")}
    ends = {serial: answer.next_update_utc for serial, answer in told.items()}
    first, last = min(e for e in ends.values() if e), max(e for e in ends.values() if e)

    with alone(served):
        until(lambda: served.states().get("database") == "down", "health says so")
        start = datetime.now(UTC)
        for ahead in (timedelta(), timedelta(hours=1), timedelta(hours=12), first - start - LATE):
            clock.set_ahead(ahead)
            for serial, request in requests.items():
                got, end = fetch(served, ocsp_path(request)), ends[serial]
                assert got.body == before[serial] == post(served, request)
                assert end is not None
                assert read_answer(got.body, serial, issuer, clock.now()) is not None
                check_promise(got, ends[serial])
            for path, body in lists.items():
                got = fetch(served, path)
                assert got.body == body
                check_promise(got, x509.load_der_x509_crl(body).next_update_utc)
        assert post(served, ask_about(good, issuer, b"n" * 16)) == TRY_LATER
        check_that_none_keeps(fetch(served, ocsp_path(ask_about(12345, issuer))), TRY_LATER)

        clock.set_ahead(_until(last))
        for request in requests.values():
            check_that_none_keeps(fetch(served, ocsp_path(request)), TRY_LATER)
            assert post(served, request) == TRY_LATER
        ends_of_lists = [x509.load_der_x509_crl(body).next_update_utc for body in lists.values()]
        clock.set_ahead(_until(max(e for e in ends_of_lists if e)))
        for path, body in lists.items():
            check_that_none_keeps(fetch(served, path), body)
