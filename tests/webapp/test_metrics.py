"""Measured values: their text, who may read them, and the counts of several server processes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client as WsgiClient

from pki.errors import InvalidInput
from tests.webapp.conftest import Client
from webapp.callers_allowed import LOOPBACK, is_allowed, networks
from webapp.metrics import counter, exposition, gauge
from webapp.request_counts import SLOTS, RequestCounts
from webapp.services import Services
from webapp.status import status_wsgi

LINE = re.compile(r'(# (HELP|TYPE) )?[a-z_]+(\{[a-z]+="(\\.|[^"\\\n])*"(,[a-z]+="(\\.|[^"\\\n])*")*\})? .+')


def test_values_are_written_as_prometheus_reads_them() -> None:
    written = exposition(
        (
            gauge("a_seconds", "How old.", [({"list": "persons/0"}, 1.5), ({}, -3)]),
            counter("b_total", "How many.", [({"route": 'a"\\\n', "status": "200"}, 12)]),
            gauge("nothing", "Left out.", ()),
        )
    )
    assert written.decode() == (
        "# HELP a_seconds How old.\n# TYPE a_seconds gauge\n"
        'a_seconds{list="persons/0"} 1.5\na_seconds -3\n'
        "# HELP b_total How many.\n# TYPE b_total counter\n"
        'b_total{route="a\\"\\\\\\n",status="200"} 12\n'
    )


@given(st.text(max_size=20))
def test_no_label_breaks_a_line(text: str) -> None:
    lines = exposition([gauge("a", "b", [({"c": text}, 1)])]).decode().removesuffix("\n").split("\n")
    assert len(lines) == 3
    assert all(LINE.fullmatch(line) for line in lines)


@pytest.mark.parametrize(
    ("environ", "allowed"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, True),
        ({"REMOTE_ADDR": "::1"}, True),
        ({"REMOTE_ADDR": "::ffff:127.0.0.1"}, True),
        ({"REMOTE_ADDR": "10.0.0.1"}, False),
        ({"REMOTE_ADDR": ""}, False),
        ({}, False),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, False),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=10.0.0.1"}, False),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_VIA": "1.1 proxy"}, False),
    ],
)
def test_only_direct_callers_of_the_named_networks_are_answered(environ: dict[str, str], allowed: bool) -> None:
    assert is_allowed(environ, networks(LOOPBACK)) is allowed


def test_a_deployer_names_other_networks_or_none() -> None:
    assert is_allowed({"REMOTE_ADDR": "10.1.2.3"}, networks(["10.1.2.0/24"]))
    assert not is_allowed({"REMOTE_ADDR": "127.0.0.1"}, networks([]))
    with pytest.raises(InvalidInput):
        networks(["10.1.2.3/24"])


def test_the_route_refuses_strangers(client_of: Client) -> None:
    http = client_of(metrics=lambda: b"a 1\n")
    answer = http.get("/metrics")
    assert (answer.status_code, answer.data) == (200, b"a 1\n")
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    for stranger in ({"environ_base": {"REMOTE_ADDR": "10.0.0.1"}}, {"headers": {"X-Forwarded-For": "127.0.0.1"}}):
        refused = http.get("/metrics", **stranger)
        assert refused.status_code == 403
        assert refused.json is not None
        assert refused.json["code"] == "not-allowed"


def test_answers_are_counted_by_template_and_status(client_of: Client, services: Services) -> None:
    counts = RequestCounts(None, lambda: 0.0)
    http = client_of(counted=counts.add)
    for path in ("/healthz", "/healthz", "/api/v1/certificates/00AA", "/nowhere/0000012343"):
        http.get(path)
    front = WsgiClient(status_wsgi(replace(services, counted=counts.add), http.application))
    front.get("/crl/persons/0.crl")
    totals = counts.totals()
    assert totals[("/healthz", 200)] == 2
    assert totals[("(none)", 404)] == 1
    assert totals[("/crl/{ca}/{shard}.crl", 503)] == 1
    assert not any("0000012343" in route or "00AA" in route for route, _ in totals)


def test_counts_of_all_processes_are_added_and_survive_their_process(tmp_path: Path) -> None:
    seconds = iter(range(1000))
    first, second = (RequestCounts(tmp_path, lambda: float(next(seconds))) for _ in range(2))
    for counts in (first, first, second):
        counts.add("/ocsp", 200)
    second.add("/tsa", 503)
    assert first.totals() == {("/ocsp", 200): 3, ("/tsa", 503): 1}
    assert second.totals() == first.totals()
    second.close()
    third = RequestCounts(tmp_path, lambda: float(next(seconds)))
    third.add("/ocsp", 200)
    assert third.totals() == first.totals() == {("/ocsp", 200): 4, ("/tsa", 503): 1}
    assert sum(1 for _ in tmp_path.glob("*.json")) == 2
    for counts in (first, third):
        counts.close()


def test_what_a_process_answered_before_it_was_idle_is_counted_by_others(tmp_path: Path) -> None:
    now = [0.0]
    first, second = (RequestCounts(tmp_path, lambda: now[0]) for _ in range(2))
    second.add("/ocsp", 200)
    second.flush()
    assert first.totals() == {}  # at most once a second
    now[0] = 1.0
    second.flush()
    assert first.totals() == {("/ocsp", 200): 1}
    (written,) = tmp_path.glob("requests-1.json")
    before = written.stat().st_ino
    now[0] = 2.0
    second.flush()
    assert written.stat().st_ino == before  # nothing new
    for counts in (first, second):
        counts.close()


def test_counts_that_cannot_be_kept_are_the_processs_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    counts = RequestCounts(tmp_path / "file" / "below", lambda: 0.0)
    counts.add("/ocsp", 200)
    assert counts.totals() == {("/ocsp", 200): 1}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"200 /ocsp": "many", "x": 1, "y /ocsp": 2}', b"\xff"])
def test_a_damaged_file_of_counts_counts_nothing(tmp_path: Path, data: bytes) -> None:
    for slot in range(SLOTS):
        (tmp_path / f"requests-{slot}.json").write_bytes(data)
    counts = RequestCounts(tmp_path, lambda: 0.0)
    assert counts.totals() == {}
    counts.close()
