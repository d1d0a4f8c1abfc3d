"""What waits for its holder becomes good by two codes, and by nothing else."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.x509 import ocsp

from ca.activation.desk import LIFE, ActivationDesk
from ca.activation.records import ActivationState
from ca.errors import IllegalTransition
from ca.holder_codes.records import MAX_TRIES
from ca.lint.findings import Severity
from ca.officers.identity import Act
from ca.status.crl import read_crl, read_entry
from ca.status.revocation import CertificateState, RevocationReason
from pki.audit import AuditAction
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, NotFound
from storage.engine import Database
from tests.ca.activation.holding import WRONG, actions, refused, sent, state_of
from tests.ca.conftest import WorldMaker
from tests.ca.linting.judges import SpokenJudge, desk_of, finding
from tests.ca.world import CLERK, FIRST, SECOND, World, new_csr
from tests.support.officers import EveryOfficer


def test_nobody_is_told_good_before_the_holder_says_so(world: World) -> None:
    issued = world.issue_waiting()
    assert issued.state is CertificateState.ISSUED
    record = world.authority.get(issued.serial_hex)
    assert record.status.revoked_at == record.not_before
    answer = world.ask(issued)
    assert answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert answer.revocation_reason.value == "certificateHold"  # type: ignore[union-attr]
    entry = read_entry(read_crl(world.authority.publish_crl("persons", record.shard).der).entries)
    assert (entry.serial, entry.on_hold) == (record.serial, True)
    assert world.authority.presign() >= 1  # the answer that is signed ahead says the same
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.REVOKED

    codes = sent(world, issued)
    done = world.activation.activate(codes.id, *world.postbox.codes_of(codes.id), "test")
    assert [one.serial_hex for one in done.certificates] == [issued.serial_hex]
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.GOOD
    latest = world.authority.latest_crl("persons", record.shard)
    assert latest is not None
    assert world.authority.is_outdated(latest)
    assert read_crl(world.authority.publish_crl("persons", record.shard).der).entries == b""


@pytest.mark.parametrize("profile", ["hix-tls", "hix-seal", "tls-server", "officer-auth"])
def test_what_no_holder_activates_is_good_at_once(world: World, profile: str) -> None:
    issued = world.issue_waiting(profile)
    assert (issued.state, state_of(world, issued)) == (CertificateState.GOOD, CertificateState.GOOD)


def test_one_activation_covers_both_certificates_of_a_card(world: World) -> None:
    file = world.approved()
    sign, login = (world.authority.issue(name, file.id, new_csr(), "clerk") for name in ("clin-sign", "clin-auth"))
    other = world.issue_waiting("cit-sign")
    codes = sent(world, sign)
    done = world.activation.activate(codes.id, *world.postbox.codes_of(codes.id), "test")
    assert {one.serial_hex for one in done.certificates} == {sign.serial_hex, login.serial_hex}
    assert {state_of(world, sign), state_of(world, login)} == {CertificateState.GOOD}
    assert state_of(world, other) is CertificateState.ISSUED


def test_codes_that_had_ended_when_a_certificate_was_issued_are_followed_by_new_ones(world: World) -> None:
    first = world.issue_waiting()
    ended = sent(world, first)
    world.clock.move(days=LIFE.days + 1)
    assert world.activation.plan() == 0  # who is too late asks an officer
    file_id = str(world.authority.get(first.serial_hex).file_id)
    second = world.authority.issue("clin-sign", file_id, new_csr(), "clerk")
    assert (world.activation.plan(), world.activation.plan()) == (1, 0)
    assert world.activation.sweep() == 1
    made, waiting = world.activation.status(file_id)
    assert made is not None
    assert made.id != ended.id
    assert set(waiting) == {first.serial_hex, second.serial_hex}
    world.activation.activate(made.id, *world.postbox.codes_of(made.id), "test")
    assert state_of(world, second) is CertificateState.GOOD


def test_who_knows_no_name_holds_no_writer_up(world: World) -> None:
    with world.database.begin(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(refused, world, "0" * 12, WRONG, WRONG).result() is ErrorCode.ACTIVATION_REFUSED


def test_the_same_codes_again_are_answered_the_same_and_change_nothing(world: World) -> None:
    issued = world.issue_waiting()
    codes = sent(world, issued)
    typed = world.postbox.codes_of(codes.id)
    first, again = (world.activation.activate(codes.id, *typed, "test") for _ in range(2))
    assert (first.repeated, again.repeated) == (False, True)
    assert again.certificates == first.certificates
    world.clock.move(days=LIFE.days + 1)
    assert world.activation.activate(codes.id, *typed, "test").repeated
    assert actions(world, issued.serial_hex) == [AuditAction.CERTIFICATE_ACTIVATED]


@pytest.mark.parametrize("which", ["first", "second", "both", "swapped"])
def test_a_wrong_code_never_says_which(world: World, which: str) -> None:
    issued = world.issue_waiting()
    codes = sent(world, issued)
    a, b = world.postbox.codes_of(codes.id)
    typed = {"first": (WRONG, b), "second": (a, WRONG), "both": (WRONG, WRONG), "swapped": (b, a)}[which]
    with pytest.raises(NotAllowed) as error:
        world.activation.activate(codes.id, *typed, "test")
    said = (error.value.code, error.value.detail, error.value.reason)
    assert said == (ErrorCode.ACTIVATION_REFUSED, "", "activation.refused")
    assert state_of(world, issued) is CertificateState.ISSUED
    found, _ = world.activation.status(codes.file_id)
    assert found is not None
    assert found.tries == 1


def test_the_fifth_wrong_pair_locks_and_an_officer_opens(world: World) -> None:
    issued = world.issue_waiting()
    codes = sent(world, issued)
    right = world.postbox.codes_of(codes.id)
    wrong = [refused(world, codes.id, WRONG, right[1]) for _ in range(MAX_TRIES)]
    assert wrong == [ErrorCode.ACTIVATION_REFUSED] * (MAX_TRIES - 1) + [ErrorCode.ACTIVATION_LOCKED]
    assert refused(world, codes.id, *right) is ErrorCode.ACTIVATION_LOCKED
    locked, waiting = world.activation.status(codes.file_id)
    assert locked is not None
    assert (locked.state(world.clock.now()), waiting) == (ActivationState.LOCKED, (issued.serial_hex,))
    assert world.activation.sweep() == 0  # nobody but an officer

    new = sent(world, issued)
    assert refused(world, codes.id, *right) is ErrorCode.ACTIVATION_REFUSED
    world.activation.activate(new.id, *world.postbox.codes_of(new.id), "test")
    assert state_of(world, issued) is CertificateState.GOOD
    assert Counter(actions(world, codes.file_id, issued.serial_hex)) == {
        AuditAction.ACTIVATION_MADE: 2,
        AuditAction.ACTIVATION_SENT: 2,
        AuditAction.ACTIVATION_FAILED: MAX_TRIES,
        AuditAction.ACTIVATION_LOCKED: 1,
        AuditAction.CERTIFICATE_ACTIVATED: 1,
    }


def test_what_is_mistyped_costs_no_try(world: World) -> None:
    codes = sent(world, world.issue_waiting())
    a, b = world.postbox.codes_of(codes.id)
    for typed in ((codes.id, a, b[:-1]), (codes.id, "", b), ("no such", a, b), (codes.id, a + "0", b)):
        with pytest.raises(InvalidInput):
            world.activation.activate(*typed, "test")
    found, _ = world.activation.status(codes.file_id)
    assert found is not None
    assert found.tries == 0


def test_codes_end(world: World) -> None:
    issued = world.issue_waiting()
    codes = sent(world, issued)
    typed = world.postbox.codes_of(codes.id)
    world.clock.move(days=LIFE.days)
    assert refused(world, codes.id, *typed) is ErrorCode.ACTIVATION_EXPIRED
    assert refused(world, codes.id, typed[0], WRONG) is ErrorCode.ACTIVATION_REFUSED  # only who knows them hears it
    assert state_of(world, issued) is CertificateState.ISSUED
    assert world.activation.sweep() == 0


def test_what_the_linter_holds_waits_on_and_the_codes_stay_right(world: World) -> None:
    issued = world.issue_waiting()
    desk_of(world, SpokenJudge(words=(finding(Severity.ERROR),))).verdict_of(issued.serial_hex)
    codes = sent(world, issued)
    typed = world.postbox.codes_of(codes.id)
    assert [refused(world, codes.id, *typed) for _ in range(MAX_TRIES + 1)] == [ErrorCode.LINT_HOLD] * (MAX_TRIES + 1)
    desk = desk_of(world, None)
    for officer in (FIRST, SECOND):
        desk.close_alarm(desk.alarms()[0].id, officer, "seen") if desk.alarms() else None
    assert not world.activation.activate(codes.id, *typed, "test").repeated


def test_what_no_linter_saw_yet_waits(world: World) -> None:
    issued = world.issue_waiting()
    codes = sent(world, issued)
    blind = ActivationDesk(
        world.database,
        world.authority,
        EveryOfficer(),
        world.postbox,
        world.clock,
        judge=desk_of(world, None).verdict_of,
        cost=2,
    )
    with pytest.raises(Conflict) as error:
        blind.activate(codes.id, *world.postbox.codes_of(codes.id), "test")
    assert (error.value.code, error.value.reason) == (ErrorCode.LINT_HOLD, "lint.pending")


def test_what_was_revoked_meanwhile_is_left_out_for_good(world: World) -> None:
    file = world.approved()
    sign, login = (world.authority.issue(name, file.id, new_csr(), "clerk") for name in ("clin-sign", "clin-auth"))
    codes = sent(world, sign)
    revoked = world.authority.revoke(sign.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    assert revoked.status.revoked_at == revoked.not_before  # nothing signed before ever becomes good
    done = world.activation.activate(codes.id, *world.postbox.codes_of(codes.id), "test")
    assert [one.serial_hex for one in done.certificates] == [login.serial_hex]
    assert state_of(world, sign) is CertificateState.REVOKED


def test_nothing_left_to_activate_is_said(world: World) -> None:
    issued = world.issue_waiting()
    codes = sent(world, issued)
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    assert refused(world, codes.id, *world.postbox.codes_of(codes.id)) is ErrorCode.STATE_ILLEGAL
    with pytest.raises(IllegalTransition):
        world.activation.make(codes.file_id, CLERK)
    with pytest.raises(NotFound):
        world.activation.make("0" * 20, CLERK)


def test_what_waits_is_neither_held_nor_released(world: World) -> None:
    issued = world.issue_waiting()
    for act in (world.authority.hold, world.authority.unhold):
        with pytest.raises(IllegalTransition):
            act(issued.serial_hex, CLERK)


def test_what_is_never_activated_ends_as_suspended(world: World) -> None:
    issued = world.issue_waiting()
    world.clock.move(days=4 * 366)
    world.authority.expire()
    record = world.authority.get(issued.serial_hex)
    assert (record.state, record.status.listed) == (CertificateState.EXPIRED, True)


def test_an_officer_is_asked_for_leave_about_the_file(world: World) -> None:
    asked: list[tuple[str, Act, str, str]] = []

    class Refusing(EveryOfficer):
        def allow(self, officer, act, scope, unit, *, realm=None, subject="", digest=""):  # type: ignore[no-untyped-def]
            asked.append((officer.id, act, subject, digest))
            raise NotAllowed(ErrorCode.NOT_ALLOWED, reason="officer.no-role")

    file = world.authority.file(str(world.authority.get(world.issue_waiting().serial_hex).file_id))
    desk = ActivationDesk(
        world.database, world.authority, Refusing(), world.postbox, world.clock, judge=lambda _: None, cost=2
    )
    with pytest.raises(NotAllowed):
        desk.make(file.id, CLERK)
    assert asked == [(CLERK.id, Act.ACTIVATION_MAKE, file.id, file.digest)]
    assert desk.status(file.id)[0] is None


def test_two_activations_at_once_make_one_event(world: World, make_world: WorldMaker, database: Database) -> None:
    issued = world.issue_waiting()
    codes = sent(world, issued)
    typed = world.postbox.codes_of(codes.id)
    desks = [make_world(database).activation for _ in range(3)]

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda desk: desk.activate(codes.id, *typed, "test"), desks))
    assert sorted(one.repeated for one in done) == [False, True, True]
    assert actions(world, issued.serial_hex) == [AuditAction.CERTIFICATE_ACTIVATED]


def test_wrong_pairs_at_once_have_five_tries_together(world: World, make_world: WorldMaker, database: Database) -> None:
    codes = sent(world, world.issue_waiting())
    desks = [make_world(database).activation for _ in range(8)]

    def guess(desk: ActivationDesk) -> ErrorCode:
        with pytest.raises((NotAllowed, Conflict)) as error:
            desk.activate(codes.id, WRONG, WRONG, "test")
        return error.value.code

    with ThreadPoolExecutor(4) as pool:
        said = sorted(pool.map(guess, desks))
    assert said == [ErrorCode.ACTIVATION_LOCKED] * 4 + [ErrorCode.ACTIVATION_REFUSED] * 4
    assert actions(world, codes.file_id).count(AuditAction.ACTIVATION_FAILED) == MAX_TRIES
    assert actions(world, codes.file_id).count(AuditAction.ACTIVATION_LOCKED) == 1
