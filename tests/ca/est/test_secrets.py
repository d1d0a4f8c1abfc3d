"""Enrolment secrets: tries are counted before they are compared, and a secret makes one certificate."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from ca.errors import IllegalTransition, ProfileMismatch
from ca.est import secrets as module
from ca.est.errors import EnrolmentUnproven
from ca.est.secrets import MAX_TRIES, EnrolmentSecret, EnrolmentSecrets
from ca.est.tables import est_secrets
from ca.registration import RegistrationFile
from pki.errors import ErrorCode, NotAllowed, NotFound
from tests.ca.world import CITIZEN, FIRST, SYSTEM, World

ONE, ANOTHER = bytes(32), bytes([1] * 32)


@pytest.fixture
def secrets(world: World) -> EnrolmentSecrets:
    return EnrolmentSecrets(world.database, world.clock)


def refused(secrets: EnrolmentSecrets, file_id: str, secret: str) -> str:
    with pytest.raises(EnrolmentUnproven) as refusal:
        secrets.check(file_id, secret)
    assert refusal.value.code is ErrorCode.ENROLMENT_UNPROVEN
    return refusal.value.reason


def guess(made: EnrolmentSecret, number: int) -> str:
    """A wrong secret by somebody who saw how the right one begins."""
    return f"{made.secret.partition('-')[0]}-{number}"


def tries(world: World) -> int:
    with world.database.read() as connection:
        return int(connection.execute(select(est_secrets.c.tries)).scalar_one())


def test_the_secret_of_a_file_proves_and_nothing_else_does(world: World, secrets: EnrolmentSecrets) -> None:
    file = world.approved(SYSTEM)
    made = secrets.make(file.id, "operator")
    assert secrets.check(file.id, made.secret).file_id == file.id
    assert refused(secrets, file.id, made.secret.upper()) == "est.secret-wrong"
    assert refused(secrets, file.id, "x" * 10_000) == "est.secret-wrong"
    assert refused(secrets, world.approved(SYSTEM).id, made.secret) == "est.secret-wrong"
    assert refused(secrets, "absent", made.secret) == "est.secret-wrong"
    for file_id, secret in (("\0", "a"), ("\udcff", "a"), ("", "a"), (file.id, "\0\udcff"), ("a" * 5000, "a")):
        assert refused(secrets, file_id, secret) == "est.secret-wrong"
    assert made.secret not in repr(made)


def test_five_wrong_tries_lock_it_also_for_who_knows_it(world: World, secrets: EnrolmentSecrets) -> None:
    file = world.approved(SYSTEM)
    made = secrets.make(file.id, "operator")
    for number in range(MAX_TRIES):
        secrets.check(file.id, made.secret) if number < MAX_TRIES - 1 else None
        assert refused(secrets, file.id, guess(made, number)) == "est.secret-wrong"
    for word in (guess(made, 9), made.secret, made.secret):
        assert refused(secrets, file.id, word) == "est.secret-locked"
    again = secrets.make(file.id, "operator")
    secrets.check(file.id, again.secret)
    assert refused(secrets, file.id, made.secret) == "est.secret-wrong"


def test_whoever_knows_the_file_alone_locks_nothing(world: World, secrets: EnrolmentSecrets) -> None:
    file = world.approved(SYSTEM)
    made = secrets.make(file.id, "operator")
    handle, _, rest = made.secret.partition("-")
    for word in ("wrong", rest, f"-{rest}", f"aaaaaaaa-{rest}", f"{handle}-{rest}-", handle, f"{handle}--{rest}"):
        for _ in range(MAX_TRIES + 1):
            assert refused(secrets, file.id, word) == "est.secret-wrong"
    assert tries(world) == 0
    assert secrets.check(file.id, made.secret).file_id == file.id


def test_two_secrets_of_one_file_begin_differently(world: World, secrets: EnrolmentSecrets) -> None:
    file = world.approved(SYSTEM)
    first, second = (secrets.make(file.id, "operator").secret for _ in range(2))
    assert first.partition("-")[0] != second.partition("-")[0]
    assert len(first) == len(second) == 41


def test_a_secret_of_before_there_were_handles_is_still_taken_and_locked(
    world: World, secrets: EnrolmentSecrets
) -> None:
    file = world.approved(SYSTEM)
    old = secrets.make(file.id, "operator").secret.partition("-")[2]
    with world.database.begin() as unit:
        unit.connection.execute(update(est_secrets).values(handle=None))
    assert secrets.check(file.id, old).file_id == file.id
    for number in range(MAX_TRIES):
        assert refused(secrets, file.id, f"wrong {number}") == "est.secret-wrong"
    assert refused(secrets, file.id, old) == "est.secret-locked"


def test_who_may_not_makes_no_secret_and_leaves_the_one_before(world: World, secrets: EnrolmentSecrets) -> None:
    file = world.approved(SYSTEM)
    before = secrets.make(file.id, "operator")

    def refuse(_unit: object, asked: RegistrationFile) -> None:
        assert asked.id == file.id
        raise NotAllowed(ErrorCode.NOT_ALLOWED, reason="officer.no-role")

    with pytest.raises(NotAllowed):
        secrets.make(file.id, "clerk", allow=refuse)
    assert secrets.check(file.id, before.secret).file_id == file.id


def test_a_try_is_on_disk_before_it_is_compared(
    world: World, secrets: EnrolmentSecrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = world.approved(SYSTEM)
    made = secrets.make(file.id, "operator")

    class Killed(BaseException):
        pass

    def killed(*_arguments: object) -> bytes:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "_hash", killed)
        for _ in range(MAX_TRIES):
            with pytest.raises(Killed):
                secrets.check(file.id, guess(made, 1))
    assert tries(world) == MAX_TRIES
    assert refused(secrets, file.id, made.secret) == "est.secret-locked"


def test_a_right_try_is_given_back_however_often(world: World, secrets: EnrolmentSecrets) -> None:
    file = world.approved(SYSTEM)
    made = secrets.make(file.id, "operator")
    for _ in range(MAX_TRIES + 2):
        secrets.check(file.id, made.secret)
    assert tries(world) == 0


def test_it_ends_and_only_who_knows_it_hears_so(world: World, secrets: EnrolmentSecrets) -> None:
    file = world.approved(SYSTEM)
    made = secrets.make(file.id, "operator", timedelta(days=1))
    world.clock.move(days=1)
    assert refused(secrets, file.id, made.secret) == "est.secret-expired"
    assert refused(secrets, file.id, guess(made, 1)) == "est.secret-wrong"


def test_it_is_taken_for_one_request(world: World, secrets: EnrolmentSecrets) -> None:
    file = world.approved(SYSTEM)
    made = secrets.make(file.id, "operator")
    proven = secrets.check(file.id, made.secret)
    secrets.take(proven, ONE)
    secrets.take(proven, ONE)
    with pytest.raises(EnrolmentUnproven, match="used before"):
        secrets.take(proven, ANOTHER)
    secrets.give_back(proven)
    secrets.take(proven, ANOTHER)


def test_who_proved_an_older_secret_cannot_take_a_newer_one(world: World, secrets: EnrolmentSecrets) -> None:
    file = world.approved(SYSTEM)
    older = secrets.check(file.id, secrets.make(file.id, "operator").secret)
    secrets.make(file.id, "operator")
    with pytest.raises(EnrolmentUnproven):
        secrets.take(older, ONE)


def test_persons_drafts_and_closed_files_have_none(world: World, secrets: EnrolmentSecrets) -> None:
    with pytest.raises(ProfileMismatch):
        secrets.make(world.approved(CITIZEN).id, "operator")
    closed = world.submitted(SYSTEM)
    world.authority.refuse(closed.id, FIRST, "no")
    with pytest.raises(IllegalTransition):
        secrets.make(closed.id, "operator")
    with pytest.raises(NotFound):
        secrets.make("absent", "operator")
