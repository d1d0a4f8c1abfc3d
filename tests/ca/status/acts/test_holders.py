"""Everything of a holder is revoked in one act: all of it or nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from ca.errors import FourEyesRequired
from ca.issuing.orders import Issued
from ca.notices import NoticeKind
from ca.status.acts.holders import HolderDesk
from ca.status.acts.notices import HolderNotices
from ca.status.revocation import CertificateState, RevocationReason
from pki.audit import AuditAction
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, NotFound
from tests.ca.test_registration_desk import actions
from tests.ca.world import CENTRE, CITIZEN, CLERK, CLINICIAN, FIRST, SETTINGS, World, new_csr
from tests.support.officers import EveryOfficer

CESSATION = RevocationReason.CESSATION_OF_OPERATION
COMPROMISE = RevocationReason.KEY_COMPROMISE


@pytest.fixture
def desk(world: World) -> HolderDesk:
    return HolderDesk(world.database, world.authority, EveryOfficer(), SETTINGS, world.clock)


def file_of(world: World, issued: Issued) -> str:
    return str(world.authority.get(issued.serial_hex).file_id)


def states(world: World, *issued: Issued) -> list[str]:
    return [world.authority.get(one.serial_hex).state.value for one in issued]


def test_everything_of_one_file_ends_and_of_the_holder_where_that_is_said(world: World, desk: HolderDesk) -> None:
    sign, login, waiting = world.issue(), world.issue("clin-auth"), world.issue_waiting()
    citizen, centre = world.issue("cit-sign", CITIZEN), world.issue("hix-tls", CENTRE)
    done = desk.revoke_all(file_of(world, sign), CESSATION, FIRST, whole_holder=False)
    assert [one.serial_hex for one in done.revoked] == [sign.serial_hex]
    assert states(world, sign, login, waiting) == ["revoked", "good", "issued"]
    done = desk.revoke_all(file_of(world, sign), CESSATION, FIRST, whole_holder=True)
    assert {one.serial_hex for one in done.revoked} == {login.serial_hex, waiting.serial_hex}
    assert states(world, login, waiting, citizen, centre) == ["revoked", "revoked", "good", "good"]
    assert actions(world.database, done.file_id)[AuditAction.HOLDER_REVOKED] == 2
    assert world.ask(login).certificate_status.name == "REVOKED"


def test_done_again_it_does_nothing_and_says_so(world: World, desk: HolderDesk) -> None:
    issued = world.issue()
    first = desk.revoke_all(file_of(world, issued), CESSATION, FIRST, whole_holder=True)
    second = desk.revoke_all(file_of(world, issued), COMPROMISE, FIRST, whole_holder=True)
    assert (len(first.revoked), second.revoked, second.abandoned) == (1, (), ())
    assert actions(world.database, first.file_id)[AuditAction.HOLDER_REVOKED] == 1
    assert world.authority.get(issued.serial_hex).status.reason is CESSATION


def test_what_is_on_hold_keeps_its_date_and_one_key_is_revoked_once(world: World, desk: HolderDesk) -> None:
    file, csr = world.approved(), new_csr()
    first, second = (world.authority.issue("clin-sign", file.id, csr, "clerk") for _ in range(2))
    world.activated(first)
    world.authority.hold(first.serial_hex, CLERK)
    held_at = world.clock.now()
    world.clock.move(hours=1)
    done = desk.revoke_all(file.id, COMPROMISE, FIRST, whole_holder=False)
    assert sorted(one.serial_hex for one in done.revoked) == sorted([first.serial_hex, second.serial_hex])
    assert world.authority.get(first.serial_hex).status.revoked_at == held_at
    assert actions(world.database, second.serial_hex)[AuditAction.CERTIFICATE_REVOKED] == 1


def test_codes_of_activation_are_void(world: World, desk: HolderDesk) -> None:
    waiting = world.issue_waiting()
    codes = world.activation.send(world.activation.make(file_of(world, waiting), CLERK).id)
    desk.revoke_all(file_of(world, waiting), CESSATION, FIRST, whole_holder=False)
    with pytest.raises(Conflict) as error:
        world.activation.activate(codes.id, *world.postbox.codes_of(codes.id), "test")
    assert error.value.code is ErrorCode.ACTIVATION_LOCKED


def test_an_order_under_way_comes_to_nothing(world: World, desk: HolderDesk) -> None:
    file = world.approved()
    sign = world.keys.signing_key
    done: list[int] = []

    def while_signing(label: str) -> object:
        if label == "ca-persons" and not done:
            done.append(len(desk.revoke_all(file.id, CESSATION, FIRST, whole_holder=True).abandoned))
        return sign(label)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.keys, "signing_key", while_signing)
        with pytest.raises(Conflict):
            world.authority.issue("clin-sign", file.id, new_csr(), "clerk")
    assert done == [1]
    assert [one.state for one in world.authority.certificates(file_id=file.id)] == [CertificateState.ABANDONED]


def test_all_or_nothing(world: World) -> None:
    """A gate that says no about one of the holder's files leaves every certificate as it was."""
    first, second = world.issue(), world.issue("clin-auth")
    here = file_of(world, first)

    class OneFile(EveryOfficer):
        def allow(self, *_: object, subject: str = "", **__: object) -> None:
            if subject != here:
                raise NotAllowed(ErrorCode.SCOPE_EXCEEDED, "elsewhere", reason="officer.out-of-realm")

    desk = HolderDesk(world.database, world.authority, OneFile(), SETTINGS, world.clock)
    with pytest.raises(NotAllowed):
        desk.revoke_all(here, CESSATION, FIRST, whole_holder=True)
    assert states(world, first, second) == ["good", "good"]


def test_nobody_revokes_everything_of_their_own_and_a_hold_is_no_reason(world: World, desk: HolderDesk) -> None:
    file_id = file_of(world, world.issue())
    holder = replace(FIRST, national_code=str(CLINICIAN["national_code"]))
    with pytest.raises(FourEyesRequired):
        desk.revoke_all(file_id, CESSATION, holder, whole_holder=True)
    with pytest.raises(InvalidInput):
        desk.revoke_all(file_id, RevocationReason.CERTIFICATE_HOLD, FIRST, whole_holder=True)
    with pytest.raises(NotFound):
        desk.revoke_all("absent", CESSATION, FIRST, whole_holder=True)


def test_the_holder_is_told(world: World, desk: HolderDesk) -> None:
    desk.revoke_all(file_of(world, world.issue()), CESSATION, FIRST, whole_holder=True)
    assert HolderNotices(world.database, world.postbox, world.clock).sweep() == 1
    assert [one.facts for one in world.postbox.notices.values() if one.kind is NoticeKind.REVOKED] == [
        {"certificates": 1}
    ]


def test_secrets_of_enrolment_are_void(world: World, desk: HolderDesk) -> None:
    from ca.est.secret_desk import SecretDesk
    from ca.est.tables import est_secrets

    file = world.approved(CENTRE)
    SecretDesk(world.database, EveryOfficer(), world.clock).make(file.id, CLERK)
    desk.revoke_all(file.id, CESSATION, FIRST, whole_holder=False)
    with world.database.read() as connection:
        assert connection.execute(select(est_secrets)).all() == []
