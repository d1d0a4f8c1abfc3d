"""One code suspends all that is a holder's, from now on; a wrong one tells nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509 import ocsp
from sqlalchemy import select

from ca.errors import IllegalTransition
from ca.holder_codes.post import SENDING_PATIENCE
from ca.holder_codes.records import MAX_TRIES
from ca.issuing.orders import Issued
from ca.notices import Notice, NoticeKind
from ca.status.acts.codes import check_digit
from ca.status.acts.notices import HolderNotices
from ca.status.acts.records import TRIES_LAST
from ca.status.acts.suspension import NOBODY, SuspensionDesk
from ca.status.revocation import CertificateState, RevocationReason
from pki.audit import AuditAction
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, ServiceError, Unavailable
from storage.base import metadata
from storage.engine import Database
from tests.ca.status.test_revocation_desk import listed
from tests.ca.test_registration_desk import actions
from tests.ca.world import CITIZEN, CLERK, FIRST, World, new_csr
from tests.support.officers import EveryOfficer


def code_for(world: World, desk: SuspensionDesk, issued: Issued) -> str:
    """Have a code made for a certificate's holder, and return it as the letter says it."""
    file_id = str(world.authority.get(issued.serial_hex).file_id)
    desk.send(desk.make(file_id, CLERK, claimed=True))
    return letters(world)[-1]


def letters(world: World) -> list[str]:
    found = [one for one in world.postbox.notices.values() if one.kind is NoticeKind.SUSPENSION_CODE]
    return [str(one.facts["code"]) for one in found]


def wrong(code: str) -> str:
    """Another well-typed code of the same name."""
    plain = code.replace("-", "")
    said = plain[:14] + str((int(plain[14]) + 1) % 10)
    return said + check_digit(said)


def state_of(world: World, issued: Issued) -> CertificateState:
    return world.authority.get(issued.serial_hex).state


def refused(desk: SuspensionDesk, code: str) -> ServiceError:
    with pytest.raises(NotAllowed) as error:
        desk.suspend(code, "test")
    return error.value


def test_one_code_suspends_everything_of_its_holder_and_of_nobody_else(
    world: World, suspension: SuspensionDesk
) -> None:
    sign, again, other = world.issue(), world.issue("clin-auth"), world.issue("cit-sign", CITIZEN)
    waiting = world.issue_waiting()
    code = code_for(world, suspension, sign)
    world.clock.move(hours=1)
    done = suspension.suspend(code, "page")
    assert {one.serial_hex for one in done.changed} == {sign.serial_hex, again.serial_hex}
    assert [one.serial_hex for one in done.before] == [waiting.serial_hex]
    for issued in (sign, again):
        answer = world.ask(issued)
        assert answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
        assert answer.revocation_reason is x509.ReasonFlags.certificate_hold
        assert answer.revocation_time_utc == world.clock.now()  # from now on, and not from before
        assert listed(world, issued) is not None
        assert actions(world.database, issued.serial_hex)[AuditAction.CERTIFICATE_HELD] == 1
    assert state_of(world, other) is CertificateState.GOOD
    assert actions(world.database, done.file_id)[AuditAction.HOLDER_SUSPENDED] == 1


def test_given_again_it_changes_nothing_and_an_officer_lifts_it(world: World, suspension: SuspensionDesk) -> None:
    issued = world.issue()
    code = code_for(world, suspension, issued)
    first = suspension.suspend(code, "page")
    world.clock.move(minutes=1)
    second = suspension.suspend(code, "sms")
    assert (len(second.changed), len(second.before)) == (0, 1)
    assert second.before[0].status.revoked_at == first.at
    world.authority.unhold(issued.serial_hex, CLERK)
    assert state_of(world, issued) is CertificateState.GOOD
    suspension.suspend(code, "page")  # the code is good as long as the card may be lost again
    assert state_of(world, issued) is CertificateState.ON_HOLD


def test_what_is_on_its_way_ends_and_codes_of_activation_are_void(world: World, suspension: SuspensionDesk) -> None:
    waiting = world.issue_waiting()
    file_id = str(world.authority.get(waiting.serial_hex).file_id)
    codes = world.activation.send(world.activation.make(file_id, CLERK).id)
    suspension.suspend(code_for(world, suspension, waiting), "page")
    with pytest.raises(Conflict) as error:
        world.activation.activate(codes.id, *world.postbox.codes_of(codes.id), "test")
    assert error.value.code is ErrorCode.ACTIVATION_LOCKED
    assert world.activation.plan() == 0  # nobody but an officer has new ones made
    world.activated(waiting)
    assert state_of(world, waiting) is CertificateState.GOOD


def test_a_revoked_certificate_stays_revoked(world: World, suspension: SuspensionDesk) -> None:
    issued, other = world.issue(), world.issue("clin-auth")
    code = code_for(world, suspension, other)
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    assert [one.serial_hex for one in suspension.suspend(code, "page").changed] == [other.serial_hex]
    assert state_of(world, issued) is CertificateState.REVOKED


def test_every_wrong_code_is_refused_in_the_same_words(world: World, suspension: SuspensionDesk) -> None:
    issued = world.issue()
    code = code_for(world, suspension, issued)
    said = {str(refused(suspension, wrong(code)))}
    nobodys = "0" * 15 + check_digit("0" * 15)
    said.add(str(refused(suspension, nobodys)))
    for _ in range(MAX_TRIES):
        said.add(str(refused(suspension, wrong(code))))
    said.add(str(refused(suspension, code)))  # right, and too late
    assert said == {"suspension-refused"}
    assert state_of(world, issued) is CertificateState.GOOD
    file_id = str(world.authority.get(issued.serial_hex).file_id)
    assert actions(world.database, file_id)[AuditAction.SUSPENSION_REFUSED] == MAX_TRIES
    world.clock.move(seconds=TRIES_LAST.total_seconds())
    suspension.suspend(code, "page")
    assert state_of(world, issued) is CertificateState.ON_HOLD


def test_a_right_code_forgives_wrong_ones(world: World, suspension: SuspensionDesk) -> None:
    code = code_for(world, suspension, world.issue())
    for _ in range(3):
        for _ in range(MAX_TRIES - 1):
            refused(suspension, wrong(code))
        suspension.suspend(code, "page")


def test_tries_at_once_are_counted_one_by_one(world: World, suspension: SuspensionDesk) -> None:
    issued = world.issue()
    code = code_for(world, suspension, issued)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: refused(suspension, wrong(code)), range(8)))
    refused(suspension, code)
    assert state_of(world, issued) is CertificateState.GOOD


def test_what_is_mistyped_costs_no_try(world: World, suspension: SuspensionDesk) -> None:
    issued = world.issue()
    code = code_for(world, suspension, issued)
    for _ in range(MAX_TRIES + 1):
        with pytest.raises(InvalidInput):
            suspension.suspend(code[:-1], "page")
    suspension.suspend(code, "page")
    assert state_of(world, issued) is CertificateState.ON_HOLD


def test_an_officer_takes_the_code_of_a_holder_on_the_telephone(world: World, suspension: SuspensionDesk) -> None:
    issued = world.issue()
    done = suspension.suspend_for(code_for(world, suspension, issued), FIRST, "telephone")
    assert state_of(world, issued) is CertificateState.ON_HOLD
    with world.database.read() as connection:
        events = metadata.tables["audit_events"].c
        held = select(events.actor).where(events.action == AuditAction.HOLDER_SUSPENDED.value)
        assert connection.execute(held).scalars().all() == [FIRST.id]
    assert done.changed


def test_what_an_officer_tries_in_vain_is_on_record_and_what_strangers_try_fills_no_ledger(
    world: World, suspension: SuspensionDesk
) -> None:
    nobodys = "0" * 15 + check_digit("0" * 15)
    refused(suspension, nobodys)
    assert actions(world.database, NOBODY)[AuditAction.SUSPENSION_REFUSED] == 0
    with pytest.raises(NotAllowed):
        suspension.suspend_for(nobodys, FIRST, "telephone")
    assert actions(world.database, NOBODY)[AuditAction.SUSPENSION_REFUSED] == 1


def test_a_code_goes_out_with_the_first_activation_and_only_then(world: World, suspension: SuspensionDesk) -> None:
    first = world.issue_waiting()
    assert (suspension.sweep(), suspension.sweep()) == (1, 0)
    code = letters(world)[-1]
    world.activated(first)
    world.issue_waiting()  # another file of the same holder
    assert suspension.sweep() == 1
    world.issue("hix-tls")
    assert suspension.sweep() == 0  # what nobody activates gets one when an officer asks
    assert len(suspension.suspend(code, "page").changed) == 1


def test_a_new_code_voids_the_one_before_when_it_is_under_way_and_not_before(
    world: World, suspension: SuspensionDesk
) -> None:
    issued = world.issue()
    old = code_for(world, suspension, issued)
    file_id = str(world.authority.get(issued.serial_hex).file_id)
    suspension.make(file_id, CLERK)
    suspension.suspend(old, "page")
    assert suspension.sweep() == 1
    refused(suspension, old)
    assert len(suspension.suspend(letters(world)[-1], "page").before) == 1


def test_a_worker_killed_while_it_sends_is_followed_by_one_that_sends_another(
    world: World, suspension: SuspensionDesk
) -> None:
    class Silent:
        def send(self, _notice: Notice) -> None:
            raise Unavailable(ErrorCode.UNAVAILABLE)

    world.issue_waiting()
    dead = SuspensionDesk(world.database, world.authority, EveryOfficer(), Silent(), world.clock, cost=2)
    with pytest.raises(Unavailable):
        dead.sweep()
    assert suspension.sweep() == 0  # somebody may be at it
    world.clock.move(seconds=SENDING_PATIENCE.total_seconds() + 1)
    assert suspension.sweep() == 1
    suspension.suspend(letters(world)[-1], "page")


def test_there_is_no_code_for_nothing(world: World, suspension: SuspensionDesk) -> None:
    with pytest.raises(IllegalTransition):
        suspension.make(world.approved().id, CLERK)


def test_the_holder_is_told_once_and_no_code_is_stored(world: World, suspension: SuspensionDesk) -> None:
    issued = world.issue()
    code = code_for(world, suspension, issued)
    suspension.suspend(code, "page")
    suspension.suspend(code, "page")
    told = HolderNotices(world.database, world.postbox, world.clock)
    assert (told.sweep(), told.sweep()) == (1, 0)
    (notice,) = [one for one in world.postbox.notices.values() if one.kind is NoticeKind.SUSPENDED]
    assert notice.facts == {"certificates": 1, "way": "page"}
    assert code.replace("-", "")[8:] not in everything_in(world.database)


def test_a_notice_that_no_channel_takes_waits(world: World, suspension: SuspensionDesk) -> None:
    class Silent:
        def send(self, _notice: Notice) -> None:
            raise Unavailable(ErrorCode.UNAVAILABLE)

    suspension.suspend(code_for(world, suspension, world.issue()), "page")
    with pytest.raises(Unavailable):
        HolderNotices(world.database, Silent(), world.clock).sweep()
    world.clock.move(seconds=timedelta(days=1).total_seconds())
    assert HolderNotices(world.database, world.postbox, world.clock).sweep() == 1


def test_a_signature_under_way_does_not_outlive_the_suspension(world: World, suspension: SuspensionDesk) -> None:
    first = world.issue()
    code = code_for(world, suspension, first)
    file_id = str(world.authority.get(first.serial_hex).file_id)
    suspended: list[int] = []
    sign = world.keys.signing_key

    def while_signing(label: str) -> object:
        if label == "ca-persons" and not suspended:
            suspended.append(1)
            suspension.suspend(code, "page")
        return sign(label)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.keys, "signing_key", while_signing)
        with pytest.raises(Conflict):
            world.authority.issue("clin-sign", file_id, new_csr(), "clerk")
    assert suspended == [1]
    assert [one.state for one in world.authority.certificates(file_id=file_id)] == [
        CertificateState.ABANDONED,
        CertificateState.ON_HOLD,
    ]


def everything_in(database: Database) -> str:
    with database.read() as connection:
        return "".join(str(connection.execute(select(table)).all()) for table in metadata.sorted_tables)
