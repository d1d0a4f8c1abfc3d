"""Two officers in the same moment, and officers whose right goes just then: exactly one outcome, on both engines."""

from __future__ import annotations

import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import pytest
from sqlalchemy import func, select

from ca.officers.identity import Officer, Role
from ca.registration import FileState
from ca.service import CertificateAuthority
from ca.tables import approvals
from pki.errors import ErrorCode, ServiceError
from storage.ledger_tables import audit_events
from tests.ca.officers.conftest import Offices
from tests.ca.world import CLINICIAN, SETTINGS, file_json

ROUNDS = 2
HELD_UP = {ErrorCode.STATE_ILLEGAL, ErrorCode.NOT_ALLOWED, ErrorCode.OFFICER_SUSPENDED, ErrorCode.FOUR_EYES}


@dataclass
class Scene:
    """A file with one approval, who may give the second, and who may take their rights away."""

    offices: Offices
    authority: CertificateAuthority
    file_id: str
    akbari: Officer
    bahrami: Officer
    parsa: Officer

    def approve(self, officer: Officer) -> object:
        return self.authority.approve(self.file_id, officer)

    def refuse(self, officer: Officer) -> object:
        return self.authority.refuse(self.file_id, officer, "licence lapsed")

    def remove_role(self) -> object:
        return self.offices.desk.remove_role("akbari", Role.APPROVER, "ministry", self.parsa)

    def suspend(self) -> object:
        return self.offices.desk.suspend("akbari", self.parsa, "on leave")


Act = Callable[[Scene], object]


@dataclass(frozen=True)
class Row:
    """What two do at once, and what may have been done of it: where there are two ways, the order decided."""

    first: Act
    second: Act
    outcomes: frozenset[tuple[int, int]]
    approving: tuple[int, int]  # which of the two approve the file


def _first_approves(scene: Scene) -> object:
    return scene.approve(scene.akbari)


ONE_OF_THEM = frozenset({(1, 0), (0, 1)})
BEFORE_IT_WENT = frozenset({(1, 1), (0, 1)})
MATRIX = {
    "two approve": Row(_first_approves, lambda scene: scene.approve(scene.bahrami), ONE_OF_THEM, (1, 1)),
    "one approves twice": Row(_first_approves, _first_approves, ONE_OF_THEM, (1, 1)),
    "one approves, one refuses": Row(_first_approves, lambda scene: scene.refuse(scene.bahrami), ONE_OF_THEM, (1, 0)),
    "two refuse": Row(
        lambda scene: scene.refuse(scene.akbari), lambda scene: scene.refuse(scene.bahrami), ONE_OF_THEM, (0, 0)
    ),
    "the role goes": Row(_first_approves, Scene.remove_role, BEFORE_IT_WENT, (1, 0)),
    "the officer is suspended": Row(_first_approves, Scene.suspend, BEFORE_IT_WENT, (1, 0)),
    "the requester approves too": Row(
        _first_approves, lambda scene: scene.approve(scene.parsa), frozenset({(1, 0)}), (1, 0)
    ),
}


def at_once(scene: Scene, row: Row) -> tuple[int, int]:
    """Do both in the same moment; return which were done."""
    barrier = Barrier(2)

    def run(act: Act) -> int:
        barrier.wait(20)
        try:
            act(scene)
        except ServiceError as error:
            assert error.code in HELD_UP, error.code
            return 0
        return 1

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, (row.first, row.second))
    return first, second


@pytest.mark.parametrize("name", MATRIX)
def test_what_two_do_at_once_has_one_outcome(founded: Offices, name: str) -> None:
    """The officers have read the queue: they hold what the connection proved then."""
    world, row = founded.world, MATRIX[name]
    authority = CertificateAuthority(world.database, world.keys, SETTINGS, world.clock, gate=founded.gate)
    parsa, akbari, bahrami = (founded.of(name) for name in ("parsa", "akbari", "bahrami"))
    nikan = founded.enrol("nikan", "ministry", parsa, akbari)
    founded.grant("nikan", Role.APPROVER, "ministry", parsa, bahrami)
    for _ in range(ROUNDS):
        file = authority.submit_file(file_json(CLINICIAN), parsa)
        authority.approve(file.id, nikan)
        scene = Scene(founded, authority, file.id, founded.of("akbari"), bahrami, parsa)
        done = at_once(scene, row)
        assert done in row.outcomes
        _agrees(scene, approved=any(map(operator.and_, done, row.approving)))
        if row.second is Scene.remove_role:
            founded.grant("akbari", Role.APPROVER, "ministry", parsa, bahrami)
        if row.second is Scene.suspend:
            founded.desk.restore("akbari", parsa)


def _agrees(scene: Scene, *, approved: bool) -> None:
    """File, approvals and events say the same: there is no half approval."""
    state = scene.authority.file(scene.file_id).state
    with scene.offices.world.database.read() as connection:
        count = select(func.count()).select_from(approvals).where(approvals.c.file_id == scene.file_id)
        given = connection.execute(count).scalar_one()
        told = select(func.count()).select_from(audit_events).where(audit_events.c.subject == scene.file_id)
        yes = connection.execute(told.where(audit_events.c.action == "registration.approved")).scalar_one()
        no = connection.execute(told.where(audit_events.c.action == "registration.refused")).scalar_one()
    assert (state is FileState.APPROVED) == approved
    assert given == yes == (2 if approved else 1)
    assert no == (state is FileState.REFUSED)
