from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from cryptography.x509 import ocsp
from sqlalchemy import delete, event, update

from ca.issuing.orders import Issued
from ca.service import CertificateAuthority
from ca.status import repository as status_rows
from ca.status.presigning import presign
from ca.status.revocation import RevocationReason
from ca.tables import certificates, status_changes
from hsm.errors import HsmUnavailable
from pki.errors import ErrorCode, Unavailable
from storage.engine import Database
from tests.ca.test_issuing_faults import DyingKeys
from tests.ca.world import CLERK, SETTINGS, START, World
from tests.support.officers import EveryOfficer

GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


def stored(world: World, issued: Issued) -> ocsp.OCSPResponse | None:
    """Return what is told without database and device."""
    found = world.authority.stored_answer(world.request_for(issued), world.clock.now())
    return None if found is None else ocsp.load_der_ocsp_response(found.der)


def told(world: World, issued: Issued) -> ocsp.OCSPCertStatus | None:
    found = stored(world, issued)
    return None if found is None else found.certificate_status


class Gone:
    """A database that does not answer."""

    def read(self) -> NoReturn:
        raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "gone")

    begin = read


def alone(world: World) -> CertificateAuthority:
    """A server whose database and device have stopped."""
    keys: Any = DyingKeys(HsmUnavailable("gone"))
    database: Any = Gone()
    return CertificateAuthority(database, keys, SETTINGS, world.clock, gate=EveryOfficer(), answers=world.answers)


def dies_after_the_commit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have changes committed by a process that is killed before it does anything else."""
    monkeypatch.setattr(world.authority, "presign_now", lambda _record: None)


def test_with_everything_else_stopped_answers_are_given_until_the_second_that_they_promise(world: World) -> None:
    good, bad = world.issue(), world.issue("hix-tls")
    world.authority.revoke(bad.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    world.authority.presign()
    server = alone(world)
    world.clock.move(hours=24, seconds=-1)
    for issued, status in ((good, GOOD), (bad, REVOKED)):
        answer = ocsp.load_der_ocsp_response(server.ocsp(world.request_for(issued)))
        assert (answer.certificate_status, answer.next_update_utc) == (status, START + timedelta(hours=24))
    with pytest.raises(Unavailable):
        server.follow_changes()
    assert server.ocsp(world.request_for(good))  # a database that is silent makes nothing untrue
    world.clock.move(seconds=1)
    for issued in (good, bad):
        with pytest.raises(Unavailable):
            server.ocsp(world.request_for(issued))


def test_a_change_withdraws_the_old_answer_and_stores_the_new_one(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    world.authority.hold(issued.serial_hex, CLERK)
    assert told(world, issued) is REVOKED
    world.authority.unhold(issued.serial_hex, CLERK)
    assert told(world, issued) is GOOD


def test_a_change_withdraws_the_old_answer_even_when_no_new_one_can_be_signed(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    keys: Any = DyingKeys(HsmUnavailable("gone"))
    server = CertificateAuthority(
        world.database, keys, SETTINGS, world.clock, gate=EveryOfficer(), answers=world.answers
    )
    server.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    assert stored(world, issued) is None
    world.authority.presign()
    assert told(world, issued) is REVOKED


def test_what_a_killed_server_left_is_withdrawn_by_any_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = world.issue()
    world.authority.presign()
    dies_after_the_commit(world, monkeypatch)
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    assert told(world, issued) is GOOD  # nobody has looked yet
    world.authority.follow_changes()
    assert stored(world, issued) is None
    assert world.ask(issued).certificate_status is REVOKED
    world.authority.presign()
    assert told(world, issued) is REVOKED


def test_a_change_while_answers_are_being_signed_is_not_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = world.issue()

    def slowly(*arguments: Any) -> Any:
        answers = presign(*arguments)
        monkeypatch.setattr("ca.status.answer_keeper.presign", presign)
        world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
        return answers

    monkeypatch.setattr("ca.status.answer_keeper.presign", slowly)
    world.authority.presign()
    assert told(world, issued) is REVOKED


def test_signing_that_is_killed_half_way_goes_on_where_it_stopped(world: World) -> None:
    known = [world.issue(profile) for profile in ("clin-sign", "hix-tls", "clin-auth", "hix-seal")]
    assert world.authority.presign(limit=3) == 3
    done = {issued.serial_hex: stored(world, issued) for issued in known}
    later = world.issue("tls-server")
    world.clock.move(seconds=10)
    world.authority.presign()
    for issued in (*known, later):
        before, after = done.get(issued.serial_hex), stored(world, issued)
        assert after is not None
        assert before is None or before.this_update_utc == after.this_update_utc
    assert world.authority.presign() == 0


def test_answers_of_a_clock_that_was_ahead_are_signed_anew_once(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    world.clock.move(days=3)
    world.authority.presign()
    world.clock.move(days=-3, seconds=5)
    assert stored(world, issued) is None
    assert 0 < world.authority.presign(limit=1000) < 1000
    answer = stored(world, issued)
    assert answer is not None
    assert answer.this_update_utc == world.clock.now()
    assert world.authority.presign(limit=1000) == 0


def test_a_file_that_is_lost_is_made_again_from_the_rows(world: World) -> None:
    good, bad = world.issue(), world.issue()
    world.authority.hold(bad.serial_hex, CLERK)
    world.authority.presign()
    assert world.answers is not None
    world.answers.close()
    world.answers.path.write_bytes(b"x" * 5000)
    world.authority.check_answers()
    world.authority.presign()
    assert (told(world, good), told(world, bad)) == (GOOD, REVOKED)


def test_where_a_change_could_not_be_written_nothing_is_answered_from_the_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = world.issue()
    world.authority.presign()
    assert world.answers is not None

    def refuse(*_arguments: object) -> NoReturn:
        raise Unavailable(ErrorCode.FILE_UNREADABLE, "the disk is full")

    with monkeypatch.context() as full:
        full.setattr(world.answers, "withdraw", refuse)
        world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
        assert stored(world, issued) is None
        with pytest.raises(Unavailable):
            world.authority.follow_changes()
        assert world.ask(issued).certificate_status is REVOKED
    world.authority.presign()
    assert told(world, issued) is REVOKED


def test_while_another_process_writes_for_long_a_change_is_answered_from_the_rows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = world.issue()
    world.authority.presign()
    assert world.answers is not None
    monkeypatch.setattr("ca.status.answer_store.WITHDRAW_SECONDS", 0.05)
    with closing(sqlite3.connect(world.answers.path)) as another:
        another.execute("BEGIN IMMEDIATE")
        world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
        assert stored(world, issued) is None
        assert world.ask(issued).certificate_status is REVOKED
        with pytest.raises(Unavailable):
            world.authority.follow_changes()
        another.rollback()
    world.authority.presign()
    assert told(world, issued) is REVOKED


def test_after_an_error_that_nobody_expected_nothing_is_answered_from_the_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = world.issue()
    world.authority.presign()

    def fails(*_arguments: object) -> NoReturn:
        raise ValueError("a fault of ours")

    with monkeypatch.context() as faulty:
        faulty.setattr(status_rows, "has_changed", fails)
        with pytest.raises(ValueError, match="a fault of ours"):
            world.authority.follow_changes()
    assert told(world, issued) is None
    world.authority.follow_changes()
    assert told(world, issued) is GOOD


def test_a_database_of_another_history_is_not_followed_but_begun_anew(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    with world.database.begin() as unit:  # what a restored backup does
        unit.connection.execute(delete(status_changes))
        unit.connection.execute(
            update(certificates)
            .where(certificates.c.serial == issued.serial_hex)
            .values(status_version=0, revoked_at=START, reason=RevocationReason.SUPERSEDED.value)
        )
    with pytest.raises(Unavailable):
        world.authority.follow_changes()
    assert stored(world, issued) is None
    world.authority.presign()
    assert told(world, issued) is REVOKED


def test_a_new_delegate_leaves_the_answers_of_the_old_one(world: World) -> None:
    issued = world.issue()
    world.clock.move(days=25)
    world.authority.presign()
    before = stored(world, issued)
    assert world.authority.renew_services()
    later = world.issue()
    world.authority.presign()
    after, newer = stored(world, issued), stored(world, later)
    assert before is not None
    assert after is not None
    assert newer is not None
    assert after.certificates == before.certificates
    assert newer.certificates != before.certificates
    assert world.authority.presign() == 0


def test_what_ended_is_answered_ahead_no_longer(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    with world.database.begin() as unit:
        ends = START + timedelta(hours=18)
        unit.connection.execute(
            update(certificates).where(certificates.c.serial == issued.serial_hex).values(not_after=ends)
        )
    world.clock.move(hours=20)
    world.authority.presign()
    assert stored(world, issued) is None
    assert world.authority.presign() == 0


def test_live_answers_and_signing_ahead_go_by_the_index_of_serial_numbers(sqlite_database: Database) -> None:
    seen: list[str] = []
    many = [f"{number:02x}" for number in range(64)]  # so many that another index tempts

    def keep(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        seen.append(statement)

    event.listen(sqlite_database.engine, "before_cursor_execute", keep)
    with sqlite_database.read() as connection:
        status_rows.told_statuses(connection, many)
        status_rows.to_presign(connection, many, START)
        status_rows.next_to_presign(connection, "01", START, 9)
        event.remove(sqlite_database.engine, "before_cursor_execute", keep)
        asked = [statement for statement in seen if statement.startswith("SELECT")]
        assert len(asked) == 3
        for statement in asked:
            values = ("01",) * statement.count("?") if "LIMIT" not in statement else ("01", 9, 0)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            assert "(serial" in plan[0][3], plan
