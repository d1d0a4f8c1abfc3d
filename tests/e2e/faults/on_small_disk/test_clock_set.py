"""The clock of a served deployment is set while it serves: nothing is signed by it until an officer says so."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import urlencode

import pytest
from asn1crypto import tsp

from ca.status.crl import read_crl
from pki.audit import AuditAction
from pki.errors import ErrorCode
from signer.timestamps.messages import Failure, build_rejection, build_request
from tests.e2e.faults.conftest import OnSmallDisk, new_csr
from tests.support.separated import until

pytestmark = pytest.mark.real
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SLOW = timedelta(minutes=2)  # from when an act is dated until its transaction is there, at most
BELIEVED, SUSPECT = "granted", "rejection"


@pytest.fixture
def deployment(on_small_disk: OnSmallDisk) -> Iterator[OnSmallDisk]:
    """The deployment, whose clock is right again in the end."""
    until(on_small_disk._is_well, "every part is well before", lambda: on_small_disk.trouble)
    yield on_small_disk
    if on_small_disk.clock.ahead:
        on_small_disk.clock.set_ahead(timedelta())
        accept(on_small_disk)


def accept(served: OnSmallDisk) -> None:
    """Have an officer say that the clock is right."""
    ended = served.mohr("audit", "accept-clock", "--officer", "officer-akbari", "--reason", "compared with a watch")
    assert ended.status == 0, ended.messages
    until(served._is_well, "every part is well by that clock", lambda: served.trouble)


def stamp(served: OnSmallDisk) -> tuple[str, datetime | None]:
    """Ask for a time-stamp; return the status and the time that was stated."""
    request = build_request(sha256(b"a document").digest(), 7)
    status, body = served.ask("POST", "/tsa", request, Content_Type="application/timestamp-query")
    assert status == 200, body
    if body == build_rejection(Failure.TIME_NOT_AVAILABLE, "the authority's clock is being corrected"):
        return SUSPECT, None
    answer = tsp.TimeStampResp.load(body)
    info = answer["time_stamp_token"]["content"]["encap_content_info"]["content"].parsed
    return BELIEVED, info["gen_time"].native


def list_of(served: OnSmallDisk) -> tuple[int, datetime]:
    """Return the number and time of a published list."""
    read = read_crl(served.ask("GET", "/crl/persons/0.crl")[1])
    return read.number, read.this_update


def alarms(served: OnSmallDisk) -> int:
    return sum(action == AuditAction.CLOCK_SUSPECTED for action, _ in events(served))


def events(served: OnSmallDisk) -> list[tuple[str, datetime]]:
    """Return the acts of the ledger and their times, in order."""
    with closing(sqlite3.connect(served.deployment.database_file)) as database:
        rows = database.execute("SELECT action, at FROM audit_events ORDER BY id").fetchall()
    return [(action, datetime.fromisoformat(at)) for action, at in rows]


def in_order(found: list[tuple[str, datetime]]) -> bool:
    """Whether no act is dated before an earlier one, but where an officer accepted another clock."""
    latest = found[0][1]
    for action, at in found:
        if at < latest - SLOW and action != AuditAction.CLOCK_ACCEPTED:
            return False
        latest = at if action == AuditAction.CLOCK_ACCEPTED else max(latest, at)
    return True


def check_that_nothing_is_signed(served: OnSmallDisk, alarms_before: int) -> None:
    """Ask for everything while the clock is not believed; see that the alarm is recorded once."""
    wish = served.deployment.home.with_name("wish.csr")
    wish.write_bytes(new_csr())
    issue = ("ca", "issue", "--profile", "clin-sign", "--file", served.file_id, "--csr", wish)
    if served.clock.ahead > timedelta():
        assert served.mohr(*issue).code == ErrorCode.CLOCK_SUSPECT
        assert served.issue() == (503, ErrorCode.CLOCK_SUSPECT)
    else:  # by that clock the officers' certificates are not in force yet, which is looked at first
        assert served.mohr(*issue).code == ErrorCode.OFFICER_UNKNOWN
    assert stamp(served) == (SUSPECT, None)
    form = urlencode({"grant_type": "client_credentials"}).encode()
    status, body = served.ask("POST", "/oauth2/token", form, Content_Type="application/x-www-form-urlencoded")
    assert (status, body) == (503, b'{"error": "temporarily_unavailable"}')
    assert served.mohr("ca", "crl").code == ErrorCode.CLOCK_SUSPECT
    until(lambda: served.states().get("clock") == "degraded", "health says so")
    until(lambda: alarms(served) == alarms_before + 1, "the alarm is recorded", lambda: served.trouble)


@pytest.mark.parametrize(
    "by", [-HOUR, pytest.param(DAY, marks=pytest.mark.stress)], ids=["an hour back", "a day ahead"]
)
def test_a_clock_that_is_set_signs_nothing_and_one_that_is_right_again_does(
    deployment: OnSmallDisk, by: timedelta
) -> None:
    served = deployment
    assert served.issue_in_the_end()[0] == 201
    assert stamp(served)[0] == BELIEVED
    before = alarms(served)
    served.clock.set_ahead(by)
    check_that_nothing_is_signed(served, before)
    served.clock.set_ahead(timedelta())
    until(served._is_well, "every part is well again", lambda: served.trouble)
    assert served.issue_in_the_end()[0] == 201
    assert stamp(served)[0] == BELIEVED
    assert in_order(events(served))


def test_an_officer_accepts_a_wrong_day_and_then_the_right_one_and_all_goes_on(deployment: OnSmallDisk) -> None:
    served = deployment
    number, _ = list_of(served)
    for ahead in (DAY, timedelta()):
        served.clock.set_ahead(ahead)
        until(lambda: served.states().get("clock") == "degraded", "the clock is not believed")
        accept(served)
        assert served.issue_in_the_end()[0] == 201, served.trouble[-2000:]
        state, stated = stamp(served)
        assert (state, stated is not None and abs(stated - served.clock.now()) < HOUR) == (BELIEVED, True)
        assert served.mohr("ca", "crl", "--issuer", "persons", "--shard", "0").status == 0
        before, (number, told) = number, list_of(served)
        assert (number > before, abs(told - served.clock.now()) < HOUR) == (True, True)
    assert in_order(events(served))
    assert served.mohr("audit", "verify").status == 0
