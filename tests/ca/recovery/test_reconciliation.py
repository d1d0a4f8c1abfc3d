"""A database that is a day old, with the ledger on disk and the last lists, knows everything again."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select

from ca.errors import FourEyesRequired, IllegalTransition
from ca.recovery.guard import Stage
from ca.status.acts.tables import compromised_authorities
from ca.status.revocation import CertificateState, RevocationReason
from pki.audit import AuditAction, AuditEvent
from pki.certificates import Certificate
from pki.errors import Conflict, ErrorCode, VerificationFailed
from pki.journal import DONE, KeyUse, journal_line, line_hash
from pki.journal import START as START_HASH
from storage.database_copy import copy_postgresql, fill, put_back_postgresql
from storage.engine import Database
from storage.key_use_events import JournalPlace
from storage.key_uses import KeyUses, continuing
from storage.ledger import Ledger
from storage.migrate import head_revision
from tests.ca.conftest import WorldMaker
from tests.ca.recovery.site import Site, begin, statuses
from tests.ca.world import FIRST, SECOND, SYSTEM, World
from tests.support.databases import DatabaseMaker


def test_every_status_is_as_it_was_and_numbers_go_on(site: Site, make_world: WorldMaker) -> None:
    world = site.world
    file = world.approved(SYSTEM)
    kept, held, freed = (site.issue(file.id) for _ in range(3))
    world.authority.hold(freed.serial_hex, FIRST)
    site.publish()
    site.seal()
    backup = site.backup()
    world.clock.move(hours=1)
    world.authority.hold(held.serial_hex, FIRST)
    world.authority.unhold(freed.serial_hex, FIRST)
    world.authority.revoke(kept.serial_hex, RevocationReason.KEY_COMPROMISE, FIRST)
    new = site.issue(file.id)
    later = site.issue(file.id)
    world.authority.revoke(later.serial_hex, RevocationReason.SUPERSEDED, FIRST, invalidity_date=world.clock.now())
    world.clock.move(minutes=1)
    site.publish()
    site.seal()
    last = {place: world.authority.latest_crl(*place) for place in site.lists}

    again, desk, guard = site.restored(site.open(backup), make_world)
    assert guard.look().stage is Stage.UNRECONCILED
    report = site.reconcile(desk)

    assert statuses(again.database) == statuses(world.database)
    assert again.authority.get(new.serial_hex).der == new.der
    assert report["findings"] == {}
    assert report["certificates_new"] == 2
    assert guard.look().stage is Stage.RECONCILED
    checked = Ledger(again.database).verify(site.log.public_key, site.log.name, site.mark[0].decode())  # type: ignore[index]
    assert checked.intact
    again.clock.move(minutes=1)
    for place, before in last.items():
        crl = again.authority.publish_crl(*place)
        assert before is not None
        assert crl.number > before.number
        assert crl.entries == before.entries


def test_acts_of_one_second_are_put_back_in_their_order(site: Site, make_world: WorldMaker) -> None:
    file = site.world.approved(SYSTEM)
    site.seal()
    backup = site.backup()
    issued = [site.issue(file.id).serial_hex for _ in range(6)]
    for act in (site.world.authority.hold, site.world.authority.unhold, site.world.authority.hold):
        for serial in issued:
            act(serial, FIRST)
    site.seal()
    again, desk, _guard = site.restored(site.open(backup), make_world)
    site.reconcile(desk)
    assert statuses(again.database) == statuses(site.world.database)
    assert {again.authority.get(serial).status_version for serial in issued} == {1004}


def test_lists_go_on_where_what_came_back_was_never_on_one(site: Site, make_world: WorldMaker) -> None:
    file = site.world.approved(SYSTEM)
    site.publish()
    site.seal()
    backup = site.backup()
    issued = site.issue(file.id)
    site.seal()
    again, desk, _guard = site.restored(site.open(backup), make_world)
    site.reconcile(desk)
    assert again.authority.get(issued.serial_hex).state is CertificateState.GOOD
    assert all(crl.entries == 0 for crl in again.authority.publish_all_crls())


def test_two_officers_release_it_and_only_once_it_is_reconciled(site: Site, make_world: WorldMaker) -> None:
    site.seal()
    backup = site.backup()
    site.issue(site.world.approved(SYSTEM).id)
    site.seal()
    database = site.open(backup)
    world, desk, guard = site.restored(database, make_world)
    begin(database, world)
    recovery = desk.open_recovery()
    assert recovery is not None
    with pytest.raises(IllegalTransition):
        desk.release(recovery.id, FIRST)
    site.reconcile(desk)
    assert desk.release(recovery.id, FIRST) == 1
    with pytest.raises(FourEyesRequired):
        desk.release(recovery.id, FIRST)
    assert guard.look().stage is Stage.RECONCILED
    assert desk.release(recovery.id, SECOND) == 2
    assert guard.look().stage is Stage.WHOLE
    with pytest.raises(Conflict):
        site.reconcile(desk)


def test_what_is_known_by_a_list_alone_is_revoked(site: Site, make_world: WorldMaker) -> None:
    site.seal()
    backup = site.backup()
    issued = site.issue(site.world.approved(SYSTEM).id)
    site.world.authority.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, FIRST)
    site.publish()  # and the ledger was never sealed again
    database = site.open(backup)
    world, desk, _guard = site.restored(database, make_world)
    begin(database, world)
    report = site.reconcile(desk)
    record = world.authority.get(issued.serial_hex)
    assert record.state is CertificateState.REVOKED
    assert record.status.reason is RevocationReason.KEY_COMPROMISE
    assert record.der is None
    assert report["findings"] == {"known-by-list": 1}
    again = site.reconcile(desk)  # as after a kill: officers still read all that was not put back
    assert again["findings"] == report["findings"]
    assert again["events"] == report["events"]
    recovery = desk.open_recovery()
    assert recovery is not None
    assert [found.subject for found in desk.findings(recovery.id, 10)] == [issued.serial_hex]


def test_a_list_revokes_what_the_backup_knows_as_waiting_for_its_holder(site: Site, make_world: WorldMaker) -> None:
    issued = site.world.issue_waiting()
    site.seal()
    backup = site.backup()
    site.world.authority.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, FIRST)
    crl = site.world.authority.publish_crl("persons", site.world.authority.get(issued.serial_hex).shard)
    site.lists[crl.issuer, crl.shard] = crl.der  # and the ledger was never sealed again
    database = site.open(backup)
    world, desk, _guard = site.restored(database, make_world)
    begin(database, world)
    report = site.reconcile(desk)
    assert report["certificates_changed"] == 1
    record = world.authority.get(issued.serial_hex)
    assert record.state is CertificateState.REVOKED
    assert record.status.reason is RevocationReason.KEY_COMPROMISE


def test_an_export_alone_holds_what_it_cannot_show(site: Site, make_world: WorldMaker) -> None:
    site.seal()
    backup = site.backup()
    issued = site.issue(site.world.approved(SYSTEM).id)
    site.seal()
    for file in (site.folder / "ledger").iterdir():
        file.unlink()
    (site.folder / "ledger").rmdir()
    Ledger(site.world.database).export(site.folder / "ledger")
    world, desk, _guard = site.restored(site.open(backup), make_world)
    report = site.reconcile(desk)
    assert world.authority.get(issued.serial_hex).state is CertificateState.ON_HOLD
    assert report["findings"]["certificate-lost"] == 1


def test_a_ledger_that_ends_too_early_is_refused_unless_the_loss_is_accepted(
    site: Site, make_world: WorldMaker
) -> None:
    site.seal()
    backup = site.backup()
    followed = {file.name: file.read_bytes() for file in (site.folder / "ledger").iterdir()}
    site.issue(site.world.approved(SYSTEM).id)
    site.seal()
    for name, data in followed.items():
        (site.folder / "ledger" / name).write_bytes(data)
    database = site.open(backup)
    _world, desk, guard = site.restored(database, make_world)
    before = statuses(database)
    with pytest.raises(VerificationFailed) as refused:
        site.reconcile(desk)
    assert refused.value.code is ErrorCode.LEDGER_TRUNCATED
    assert desk.open_recovery() is None
    assert statuses(database) == before
    report = site.reconcile(desk, accept_loss=True)
    assert not report["continues"]
    assert report["findings"] == {"ledger-forked": 1}
    assert guard.look().stage is Stage.RECONCILED


def test_an_entry_that_was_edited_on_disk_is_refused(site: Site, make_world: WorldMaker) -> None:
    site.seal()
    backup = site.backup()
    issued = site.issue(site.world.approved(SYSTEM).id)
    site.world.authority.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, FIRST)
    site.seal()
    (file,) = (site.folder / "ledger").iterdir()
    file.write_bytes(file.read_bytes().replace(b"certificate.revoked", b"certificate.held   "))
    _world, desk, _guard = site.restored(site.open(backup), make_world)
    with pytest.raises(VerificationFailed):
        site.reconcile(desk)


def test_a_copy_that_differs_where_the_database_knows_better_is_told_by_its_entry(
    site: Site, make_world: WorldMaker
) -> None:
    site.issue(site.world.approved(SYSTEM).id)
    site.seal()
    backup = site.backup()
    site.issue(site.world.approved(SYSTEM).id)
    site.seal()
    (file,) = (site.folder / "ledger").iterdir()
    file.write_bytes(file.read_bytes().replace(b'"actor":"', b'"actor":"x', 1))
    _world, desk, _guard = site.restored(site.open(backup), make_world)
    with pytest.raises(VerificationFailed) as refused:
        site.reconcile(desk)
    assert (refused.value.code, refused.value.detail.split(";")[0]) == (
        ErrorCode.LEDGER_FORKED,
        "entry 0 is another than the database's",
    )


def test_what_is_killed_half_way_has_changed_nothing_and_goes_on(
    site: Site, make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.seal()
    backup = site.backup()
    issued = site.issue(site.world.approved(SYSTEM).id)
    site.world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, FIRST)
    site.publish()
    site.seal()
    child = os.fork()
    if child == 0:  # dies as by SIGKILL, with everything written and nothing committed
        try:
            monkeypatch.setattr("ca.recovery.state.reconciled", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            _world, desk, _guard = site.restored(site.open(backup), make_world)
            site.reconcile(desk)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    database = site.open(backup)
    world, desk, guard = site.restored(database, make_world)
    assert issued.serial_hex not in statuses(database)
    assert guard.look().stage is Stage.UNRECONCILED
    site.reconcile(desk)
    assert statuses(database) == statuses(site.world.database)
    assert world.authority.get(issued.serial_hex).der == issued.der


@pytest.mark.real
def test_a_copy_of_postgresql_is_put_back_and_told_the_same(
    postgresql: Database, postgres_maker: DatabaseMaker, make_world: WorldMaker, tmp_path: Path
) -> None:
    with closing(Site(world=make_world(postgresql), folder=tmp_path)) as site:
        file = site.world.approved(SYSTEM)
        first = site.issue(file.id)
        site.seal()
        with postgresql.read() as connection:
            rows = copy_postgresql(connection, tmp_path)
        second = site.issue(file.id)
        site.world.authority.hold(first.serial_hex, FIRST)
        site.publish()
        site.seal()
        put_back = postgres_maker()
        put_back_postgresql(put_back, tmp_path, rows, head_revision())
        with put_back.begin() as unit:
            fill(unit, tmp_path, rows)
        with pytest.raises(Conflict), put_back.begin() as unit:
            fill(unit, tmp_path, rows)
        world, desk, _guard = site.restored(put_back, make_world)
        assert second.serial_hex not in statuses(put_back)
        assert site.reconcile(desk)["findings"] == {}
        assert statuses(put_back) == statuses(postgresql)
        world.clock.move(seconds=1)
        assert site.issue(file.id).serial_hex
        assert world.authority.publish_crl("systems", 0).number > 1


def test_a_signature_that_nothing_explains_is_listed(site: Site, make_world: WorldMaker) -> None:
    site.seal()
    backup = site.backup()
    issued = site.issue(site.world.approved(SYSTEM).id)
    site.seal()
    put_back = site.open(backup)
    world, desk, _guard = site.restored(put_back, make_world)
    site.reconcile(desk)
    known = sha256(Certificate.parse(issued.der).tbs).digest()
    grouped = sha256(known).digest()
    uses = [_use(world, known, 1), _use(world, grouped, 2), _use(world, b"x" * 32, 1), _use(world, known, 1, act="crl")]
    lines, previous = [], START_HASH
    for sequence, use in enumerate(uses, 1):
        lines.append(journal_line(sequence, previous, use))
        previous = line_hash(lines[-1])
    KeyUses(put_back).take("custodian-0", JournalPlace(), continuing(JournalPlace(), lines), world.clock.now())
    assert desk.account_for_signatures() == 1
    recovery = desk.open_recovery()
    assert recovery is not None
    (found,) = (one for one in desk.findings(recovery.id, 100) if one.kind == "signed-unknown")
    assert found.subject == (b"x" * 32).hex()


def _use(world: World, digest: bytes, count: int, *, act: str = "certificate") -> KeyUse:
    return KeyUse(
        at=world.clock.now(), role="server", uid=0, key="systems", act=act, count=count, digest=digest, outcome=DONE
    )


def test_an_authority_that_was_closed_stays_closed(site: Site, make_world: WorldMaker) -> None:
    site.seal()
    backup = site.backup()
    with site.world.database.begin() as unit:
        for action, actor in ((AuditAction.COMPROMISE_DECLARED, "first"), (AuditAction.COMPROMISE_CONFIRMED, "second")):
            site.world.clock.move(seconds=1)
            now = site.world.clock.now()
            unit.audit.record(AuditEvent(action=action, at=now, actor=actor, subject="persons"))
    site.seal()
    put_back = site.open(backup)
    _world, desk, _guard = site.restored(put_back, make_world)
    site.reconcile(desk)
    with put_back.read() as connection:
        (row,) = connection.execute(select(compromised_authorities)).all()
    assert (row.authority, row.declared_by, row.confirmed_by) == ("persons", "first", "second")


def test_a_suspended_officer_is_suspended_again(site: Site, make_world: WorldMaker) -> None:
    site.seal()
    backup = site.backup()
    event = AuditEvent(
        action=AuditAction.OFFICER_SUSPENDED, at=site.world.clock.now(), actor="first", subject="officer-nikan"
    )
    with site.world.database.begin() as unit:
        unit.audit.record(event)
    site.seal()
    _world, desk, _guard = site.restored(site.open(backup), make_world)
    assert site.reconcile(desk)["findings"] == {"officer-suspended": 1, "to-do-again": 1}
    recovery = desk.open_recovery()
    assert recovery is not None
    assert {found.subject for found in desk.findings(recovery.id, 10)} == {"officer-nikan"}
