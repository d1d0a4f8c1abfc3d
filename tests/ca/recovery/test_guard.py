"""What a database that went backwards may do: restrict, and nothing else."""

from __future__ import annotations

import pytest

from ca.officers.identity import Act
from ca.recovery.guard import ALWAYS_ALLOWED, RecoveryGuard, Standing
from pki.errors import ErrorCode, Unavailable
from storage.engine import Database
from tests.ca.conftest import WorldMaker
from tests.ca.recovery.site import Site, begin
from tests.ca.world import SYSTEM


def test_what_makes_good_waits_and_what_restricts_does_not(site: Site, make_world: WorldMaker) -> None:
    site.seal()
    database = site.open(site.backup())
    world, _desk, guard = site.restored(database, make_world)
    for act in Act:
        guard.check_act(act)
    begin(database, world)
    guard.forget()
    for act in Act:
        if act in ALWAYS_ALLOWED:
            guard.check_act(act)
            continue
        with pytest.raises(Unavailable) as refused:
            guard.check_act(act)
        assert refused.value.code is ErrorCode.RECOVERY_PENDING
    lifting = {Act.CERTIFICATE_ISSUE, Act.CERTIFICATE_RELEASE, Act.REGISTRATION_APPROVE, Act.ROLE_APPROVE}
    assert not lifting & ALWAYS_ALLOWED


def test_a_file_that_was_copied_back_is_noticed_within_a_second(site: Site, make_world: WorldMaker) -> None:
    site.seal()
    old = site.backup()
    site.issue(site.world.approved(SYSTEM).id)
    site.seal()
    now = [0.0]
    guard = RecoveryGuard(site.world.database, lambda: site.mark, lambda: now[0])
    guard.check_issuing()
    guard._database = site.open(old)  # as if the file beneath it had been replaced
    guard.check_issuing()
    now[0] = 1.0
    with pytest.raises(Unavailable):
        guard.check_status()


def test_a_database_that_does_not_answer_is_waited_for_once_a_second(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def look() -> Standing:
        asked.append(1)
        raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE)

    guard = RecoveryGuard(sqlite_database, lambda: None, lambda: 5.0)
    monkeypatch.setattr(guard, "look", look)
    for _ in range(3):
        with pytest.raises(Unavailable):
            guard.check_issuing()
    assert len(asked) == 1
