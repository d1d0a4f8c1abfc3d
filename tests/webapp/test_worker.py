from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from ca.custody_policy import WORKER
from ca.officers.identity import Officer
from ca.service import CertificateAuthority
from ca.status.revocation import RevocationReason
from hsm.client import CustodianClient
from pki.errors import ErrorCode, Unavailable
from pki.notes import open_checkpoint, parse_verifier_key
from storage.engine import Database, open_database
from storage.migrate import current_revision, head_revision, upgrade
from tests.support.clock import FakeClock
from tests.support.deployment import LiveDeployment, live  # noqa: F401 - a fixture
from webapp.checks import check_parts
from webapp.compose import Parts, RealClock, open_parts
from webapp.custody import sockets_for
from webapp.deployment import Deployment
from webapp.health import PartState
from webapp.list_upkeep import ListUpkeep
from webapp.worker import Sweep, Worker, seal

pytestmark = pytest.mark.real


@pytest.fixture
def parts(live: LiveDeployment) -> Iterator[Parts]:  # noqa: F811 - the fixture of that name
    opened = open_parts(live.deployment, WORKER)
    yield opened
    opened.keys.close()
    opened.database.close()


def _state(parts: Parts, name: str) -> PartState:
    return next(part.state for part in check_parts(parts).parts if part.name == name)


def test_sealing_publishes_a_checkpoint_that_the_published_key_verifies(parts: Parts) -> None:
    seal(parts)
    log = parse_verifier_key(parts.deployment.ledger_key.read_text(encoding="ascii").strip())
    opened = open_checkpoint(parts.deployment.checkpoint.read_text(encoding="utf-8"), log)
    assert opened.size > 0
    assert parts.ledger.verify(log.public_key, log.name, None).intact


def test_a_missing_list_is_put_back_and_a_fresh_one_is_left_alone(parts: Parts) -> None:
    file = parts.deployment.crl_file("persons", 0)
    before = file.read_bytes()
    file.unlink()
    ListUpkeep()(parts)
    assert file.read_bytes() == before


def test_a_list_that_a_crash_kept_from_its_file_is_put_there(parts: Parts) -> None:
    parts.authority.publish_crl("persons", 1)  # recorded; the program dies before it writes the file
    latest = parts.authority.latest_crl("persons", 1)
    assert latest is not None
    assert parts.deployment.published_crl("persons", 1) != latest.der
    ListUpkeep()(parts)
    assert parts.deployment.published_crl("persons", 1) == latest.der


def test_an_older_list_never_takes_the_place_of_a_newer_one(parts: Parts) -> None:
    older = parts.authority.publish_crl("persons", 2)
    newer = parts.publish_new_crl("persons", 2)
    parts.publish(older)  # a slower program's turn
    assert parts.deployment.published_crl("persons", 2) == newer.der


def test_a_change_whose_list_was_never_made_is_felt_at_the_next_sweep(
    live: LiveDeployment,  # noqa: F811 - the fixture of that name
    parts: Parts,
    tmp_path: Path,
) -> None:
    live.new_request(tmp_path / "csr")
    serial = live.answer(
        *("ca", "issue", "--profile", "clin-auth", "--file", live.file_id, "--csr", tmp_path / "csr"),
    )["serial"]
    live.activate(live.file_id)
    issuer, shard = parts.authority.get(serial).issuer, parts.authority.get(serial).shard

    def listed() -> bool:
        return bytes.fromhex(serial) in (parts.deployment.published_crl(issuer, shard) or b"")

    ListUpkeep()(parts)
    for change, expected in ((parts.authority.hold, True), (parts.authority.unhold, False)):
        change(serial, Officer.of_deployment("operator"))  # and the program ends here
        assert listed() is not expected
        ListUpkeep()(parts)
        assert listed() is expected
    number = getattr(parts.authority.latest_crl(issuer, shard), "number", 0)
    ListUpkeep()(parts)
    assert getattr(parts.authority.latest_crl(issuer, shard), "number", 0) == number


def test_a_look_that_finds_nothing_looks_at_no_list_and_a_change_at_its_own_alone(
    live: LiveDeployment,  # noqa: F811 - the fixture of that name
    parts: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live.new_request(tmp_path / "csr")
    serial = live.answer(
        *("ca", "issue", "--profile", "clin-auth", "--file", live.file_id, "--csr", tmp_path / "csr"),
    )["serial"]
    upkeep = ListUpkeep(monotonic=lambda: 5.0)
    upkeep(parts)
    looked: list[tuple[str, int]] = []
    whole = CertificateAuthority.is_list_due

    def is_due(self: CertificateAuthority, issuer: str, shard: int) -> bool:
        looked.append((issuer, shard))
        return whole(self, issuer, shard)

    monkeypatch.setattr(CertificateAuthority, "is_list_due", is_due)
    upkeep(parts)
    assert looked == []
    record = parts.authority.revoke(serial, RevocationReason.SUPERSEDED, Officer.of_deployment("a route"))
    upkeep(parts)
    assert looked[0] == (record.issuer, record.shard)
    assert set(looked) == {(record.issuer, record.shard)}
    delta = parts.authority.latest_delta(record.issuer, record.shard)
    assert delta is not None
    assert parts.deployment.delta_file(record.issuer, record.shard).read_bytes() == delta.der
    assert bytes.fromhex(serial) in delta.der


def test_a_list_that_the_server_may_not_write_is_published_by_the_worker(
    live: LiveDeployment,  # noqa: F811 - the fixture of that name
    parts: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live.new_request(tmp_path / "csr")
    serial = live.answer(
        *("ca", "issue", "--profile", "clin-auth", "--file", live.file_id, "--csr", tmp_path / "csr"),
    )["serial"]
    ListUpkeep()(parts)
    record = parts.authority.revoke(serial, RevocationReason.SUPERSEDED, Officer.of_deployment("a route"))
    before = parts.deployment.published_crl(record.issuer, record.shard)

    def closed(_deployment: Deployment) -> NoReturn:
        raise Unavailable(ErrorCode.FILE_UNWRITABLE, "publishing.lock")

    with monkeypatch.context() as patch:
        patch.setattr(Deployment, "publishing", closed)
        assert parts.publish_status_soon(serial) is None
    assert parts.deployment.published_crl(record.issuer, record.shard) == before
    ListUpkeep()(parts)
    latest = parts.authority.latest_crl(record.issuer, record.shard)
    assert latest is not None
    assert parts.deployment.published_crl(record.issuer, record.shard) == latest.der
    assert bytes.fromhex(serial) in latest.der
    assert isinstance(parts.publish_status_soon(serial), int)


def test_one_list_that_fails_holds_no_other_back(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    ListUpkeep()(parts)
    last = parts.deployment.crl_file("systems", 0)
    before = last.read_bytes()
    last.unlink()
    whole = CertificateAuthority.is_list_due

    def fails(self: CertificateAuthority, issuer: str, shard: int) -> bool:
        if issuer == "persons":
            raise Unavailable(ErrorCode.HSM_UNAVAILABLE)
        return whole(self, issuer, shard)

    monkeypatch.setattr(CertificateAuthority, "is_list_due", fails)
    with pytest.raises(Unavailable):
        ListUpkeep()(parts)
    assert last.read_bytes() == before


def test_a_checkpoint_file_that_is_older_is_put_right(parts: Parts) -> None:
    seal(parts)
    parts.deployment.checkpoint.write_bytes(b"an older one")
    seal(parts)
    assert parts.deployment.checkpoint.read_text(encoding="utf-8") == parts.ledger.latest_checkpoint()


def test_a_sweep_that_fails_is_told_by_the_heartbeat_and_recovers(parts: Parts) -> None:
    outcome: list[Exception] = [Unavailable(ErrorCode.HSM_UNAVAILABLE)]

    def act(_parts: Parts) -> None:
        if outcome:
            raise outcome.pop()

    worker = Worker(parts, sweeps=(Sweep(name="ledger", seconds=1, act=act),))
    worker.sweeps[0].run(parts, 0.0)
    worker.beat()
    assert _state(parts, "worker") is PartState.DEGRADED
    worker.sweeps[0].run(parts, 1.0)
    worker.beat()
    assert _state(parts, "worker") is PartState.OK


def test_the_end_of_a_failure_is_told_at_once_and_not_at_the_next_beat(parts: Parts) -> None:
    outcome = [Unavailable(ErrorCode.HSM_UNAVAILABLE)]
    worker = Worker(parts, sweeps=())

    def act(_parts: Parts) -> None:
        if outcome:
            raise outcome.pop()
        worker.stopping.set()

    worker.sweeps = (Sweep(name="ledger", seconds=0, act=act),)
    worker.run()
    assert _state(parts, "worker") is PartState.OK


def test_a_sweep_that_failed_is_tried_again_soon_and_then_at_its_own_pace(parts: Parts) -> None:
    outcome = [Unavailable(ErrorCode.HSM_UNAVAILABLE)]

    def act(_parts: Parts) -> None:
        if outcome:
            raise outcome.pop()

    hourly = Sweep(name="responders", seconds=3600, act=act)
    hourly.run(parts, 100.0)
    assert 100 < hourly.due <= 110
    hourly.run(parts, hourly.due)
    assert hourly.due > 3600


def test_parts_that_do_not_answer_are_told_apart(parts: Parts, tmp_path: Path) -> None:
    Worker(parts, sweeps=()).beat()
    first = CustodianClient(sockets_for(parts.deployment, WORKER)[0])  # no other custodian runs here
    assert _state(dataclasses.replace(parts, keys=first), "custodian") is PartState.OK
    first.close()
    later = FakeClock(RealClock().now() + timedelta(minutes=5))
    elsewhere = dataclasses.replace(parts, keys=CustodianClient(tmp_path / "nobody.sock"), clock=later)
    assert _state(elsewhere, "worker") is PartState.SILENT
    assert _state(elsewhere, "custodian") is PartState.DOWN
    assert _state(elsewhere, "database") is PartState.OK


def test_nothing_is_swept_before_the_schema_is_this_programs(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'mohr.db'}")
    swept: list[str | None] = []
    worker = Worker(dataclasses.replace(parts, database=database), sweeps=())
    outcome = [Unavailable(ErrorCode.DATABASE_UNAVAILABLE)]

    def act(_parts: Parts) -> None:
        swept.append(current_revision(database))
        worker.stopping.set()

    def bring_up_later(found: Database) -> None:
        if outcome:
            raise outcome.pop()
        upgrade(found)

    worker.sweeps = (Sweep(name="ledger", seconds=0, act=act),)
    monkeypatch.setattr("webapp.worker.RETRY_SECONDS", 0.1)
    monkeypatch.setattr("webapp.worker.bring_up", bring_up_later)
    worker.run()
    assert swept == [head_revision()]
    database.close()


def test_a_worker_that_cannot_write_its_heartbeat_goes_on(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[float] = []
    worker = Worker(parts, sweeps=())

    def act(_parts: Parts) -> None:
        runs.append(0.0)
        if len(runs) == 2:
            worker.stopping.set()

    def refuse(*_arguments: object, **_options: object) -> None:
        raise Unavailable(ErrorCode.FILE_UNWRITABLE)

    worker.sweeps = (Sweep(name="ledger", seconds=0, act=act),)
    monkeypatch.setattr("webapp.worker.write_atomically", refuse)
    worker.run()
    assert len(runs) == 2
