"""Officers at work while something breaks: they order and approve over HTTP, and ask again until they are answered."""

from __future__ import annotations

import http.client
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

from sqlalchemy import text

from pki.errors import ErrorCode
from tests.e2e.faults.conftest import APPROVERS, Running, new_csr
from tests.support.deployment import PHYSICIAN
from tests.support.separated import START_SECONDS, until
from tests.support.signed_rows import Story, reading
from webapp.deployment import Deployment

ISSUER = "clerk-parsa"
REGISTRATIONS = "/api/v1/registrations"
UNANSWERED = (OSError, http.client.HTTPException)
PAUSE_SECONDS = 0.05
AGAIN = frozenset({ErrorCode.REQUEST_IN_PROGRESS, ErrorCode.OVERLOADED, ErrorCode.HSM_RATE_EXCEEDED})
_Answer = tuple[int, str]


@dataclass
class Work:
    """What officers do until they are told to stop, and what they were answered."""

    doors: list[Running]
    answers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    approved: list[str] = field(default_factory=list)
    last_begun: float = 0.0  # when the order that was answered last was given for the first time
    _stopping: threading.Event = field(default_factory=threading.Event)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def going_on(self, orderers: int = 2) -> Iterator[None]:
        """Order and approve by several threads for the block, and finish what was begun; raises what they raise."""
        story = Story.begin(self.doors[0].deployment, ISSUER)
        for door in self.doors:
            assert door.file_id  # everybody is known before anything breaks
        with ThreadPoolExecutor(orderers + 1) as pool:
            at_work = [pool.submit(self._order, number) for number in range(orderers)]
            at_work.append(pool.submit(self._approve))
            try:
                until(lambda: bool(self.answers) or _ended(at_work), "the first is answered")
                yield
            finally:
                self._stopping.set()
        for one in at_work:
            one.result()
        self._check(story)

    def _order(self, number: int) -> None:
        turn = number
        while not self._stopping.is_set():
            key, begun = uuid4().hex, time.monotonic()
            ask = partial(_give_order, new_csr(), key)
            for _ in range(1 + (turn % 4 == 0)):  # some ask again though they were answered
                serial = self._insist(ask, turn)
                with self._mutex:
                    self.answers[key].add(serial)
                    self.last_begun = max(self.last_begun, begun)
                turn += 1

    def _insist(self, ask: Callable[[Running], _Answer], turn: int) -> str:
        """Ask one server after the other until one does what is asked; what it refuses for good is a failure."""
        end = time.monotonic() + START_SECONDS
        while True:
            door = self.doors[turn % len(self.doors)]
            turn += 1
            try:
                status, said = ask(door)
            except UNANSWERED as error:
                status, said = 503, repr(error)
            if status in (200, 201):
                return said
            assert status >= 500 or said in AGAIN, said
            assert time.monotonic() < end, f"{said}\n{door.trouble[-4000:]}"
            time.sleep(PAUSE_SECONDS)

    def _approve(self) -> None:
        turn = 0
        with ThreadPoolExecutor(len(APPROVERS)) as pool:
            while not self._stopping.is_set():
                turn += 1
                file_id = self._insist(lambda door: _said(door, ISSUER, REGISTRATIONS, PHYSICIAN), turn)
                place = f"{REGISTRATIONS}/{file_id}/approvals"
                for done in [pool.submit(self._say_yes, name, place, turn) for name in APPROVERS]:
                    done.result()
                self.approved.append(file_id)

    def _say_yes(self, officer: str, place: str, turn: int) -> None:
        """Approve; that it was done already is as good, when the answer to an earlier request was lost."""

        def ask(door: Running) -> _Answer:
            status, said = door.officer(officer).tell(place, {})
            done_before = said.get("reason") == "officer.twice" or said.get("code") == ErrorCode.STATE_ILLEGAL
            return (200, "") if done_before else (status, str(said.get("code")))

        self._insist(ask, turn)

    def _check(self, story: Story) -> None:
        deployment = story.deployment
        assert all(len(serials) == 1 for serials in self.answers.values()), "one certificate for each key"
        until(lambda: not _intended(deployment), "what was cut off is told", lambda: self.doors[0].trouble)
        story.check({serial for serials in self.answers.values() for serial in serials})
        check_approvals(deployment, set(self.approved))


def _ended(at_work: list[Future[None]]) -> bool:
    return any(one.done() for one in at_work)


def _give_order(csr: bytes, key: str, door: Running) -> _Answer:
    return door.officer(ISSUER).order(door.file_id, csr, key)


def _said(door: Running, officer: str, path: str, members: dict[str, str]) -> _Answer:
    status, answer = door.officer(officer).tell(path, members)
    return status, str(answer["id"] if status == 201 else answer.get("code"))


def _intended(deployment: Deployment) -> int:
    with reading(deployment) as connection:
        waiting = text("SELECT count(*) FROM certificates WHERE state = 'intended'")
        return int(connection.execute(waiting).scalar_one())


def check_approvals(deployment: Deployment, approved: set[str]) -> None:
    """Check that no approval is a half one: file, approvals and events say the same, and these files are approved."""
    with reading(deployment) as connection:
        files = connection.execute(text("SELECT id, state, approvals FROM registration_files")).all()
        given: dict[str, list[str]] = defaultdict(list)
        for file_id, officer in connection.execute(text("SELECT file_id, officer FROM approvals")):
            given[file_id].append(officer)
        told: dict[tuple[str, str], int] = defaultdict(int)
        for subject, action in connection.execute(text("SELECT subject, action FROM audit_events")):
            told[subject, action] += 1
    for file_id, state, count in files:
        assert count == len(given[file_id]) == len(set(given[file_id]))
        assert (state == "approved") == (count == 2)
        assert told[file_id, "registration.approved"] == count
        assert told[file_id, "registration.submitted"] == 1
    assert approved <= {file_id for file_id, state, _ in files if state == "approved"}
