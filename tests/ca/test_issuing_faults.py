"""A device is away, a process dies, chance repeats itself: no certificate is lost or made twice."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select

from ca.service import CertificateAuthority
from ca.status.revocation import CertificateState
from ca.tables import certificates
from hsm.errors import HsmUnavailable
from hsm.soft import UnsafeSoftKeys
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.errors import Conflict, ErrorCode, ServiceError, Unavailable
from tests.ca.conftest import Ceremony
from tests.ca.test_registration_desk import actions
from tests.ca.world import (
    CITIZEN,
    SETTINGS,
    World,
    new_csr,
)


def rows(world: World) -> int:
    with world.database.read() as connection:
        return len(connection.execute(select(certificates.c.id)).all())


class DyingKeys:
    """A device that dies when it is to sign."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def signing_key(self, label: str) -> object:
        raise self._error


def authority_with(world: World, keys: object) -> CertificateAuthority:
    return CertificateAuthority(world.database, keys, SETTINGS, world.clock)  # type: ignore[arg-type]  # has what is used


def test_a_device_that_does_not_answer_leaves_an_abandoned_intent_and_no_certificate(world: World) -> None:
    authority = authority_with(world, DyingKeys(HsmUnavailable("gone")))
    file = world.approved()
    with pytest.raises(Unavailable):
        authority.issue("clin-sign", file.id, new_csr(), "clerk")
    (record,) = authority.certificates(file_id=file.id)
    assert (record.state, record.der) == (CertificateState.ABANDONED, None)
    assert actions(world.database, record.serial_hex) == {
        AuditAction.CERTIFICATE_INTENDED: 1,
        AuditAction.CERTIFICATE_ABANDONED: 1,
    }
    assert world.recovery.reconcile() == ()


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def test_a_process_killed_between_intent_and_result_leaves_an_intent_that_is_reconciled(world: World) -> None:
    authority = authority_with(world, DyingKeys(Killed()))
    file, csr = world.approved(), new_csr()
    with pytest.raises(Killed):
        authority.issue("clin-sign", file.id, csr, "clerk")
    (record,) = world.authority.certificates(file_id=file.id)
    assert record.state is CertificateState.INTENDED
    assert world.recovery.reconcile() == ()  # it could still be under way
    world.clock.move(minutes=6)
    assert world.recovery.reconcile() == (record.serial_hex,)
    assert world.authority.get(record.serial_hex).state is CertificateState.ABANDONED
    assert world.recovery.reconcile() == ()
    again = world.authority.issue("clin-sign", file.id, csr, "clerk")  # an abandoned intent holds no key back
    assert again.serial_hex != record.serial_hex


class SlowKeys(UnsafeSoftKeys):
    """A device so slow that the intent is given up while it signs."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self._keys, self._world = world.keys._keys, world

    def signing_key(self, label: str) -> object:  # type: ignore[override]  # the key itself is the good one
        self._world.clock.move(minutes=10)
        self._world.recovery.reconcile()
        return super().signing_key(label)


def test_a_signature_that_comes_after_its_intent_was_abandoned_is_delivered_to_nobody(world: World) -> None:
    authority = authority_with(world, SlowKeys(world))
    file = world.approved()
    with pytest.raises(ServiceError) as caught:
        authority.issue("clin-sign", file.id, new_csr(), "clerk")
    assert caught.value.code is ErrorCode.STATE_ILLEGAL
    (record,) = authority.certificates(file_id=file.id)
    assert (record.state, record.der) == (CertificateState.ABANDONED, None)


def test_the_intent_holds_the_digest_of_what_is_signed(world: World) -> None:
    issued = world.issue()
    with world.database.read() as connection:
        digest = connection.execute(
            select(certificates.c.tbs_sha256).where(certificates.c.serial == issued.serial_hex)
        ).scalar_one()
    assert digest == sha256(Certificate.parse(issued.der).tbs).digest()


def test_a_random_source_that_repeats_itself_cannot_make_a_second_certificate(world: World, ceremony: Ceremony) -> None:
    stuck = CertificateAuthority(world.database, ceremony.keys, SETTINGS, world.clock, random_bytes=lambda n: b"7" * n)
    file = world.approved()
    stuck.issue("clin-sign", file.id, new_csr(), "clerk")
    with pytest.raises(Conflict, match="drawn twice"):
        stuck.issue("clin-sign", file.id, new_csr(), "clerk")


KILL_SCRIPT = """
import os, sys
from pathlib import Path
from ca.service import CertificateAuthority
from hsm.provider import spki_of
from hsm.soft import UnsafeSoftKey
from storage.engine import open_database
from tests.ca.world import FakeClock, SETTINGS, new_csr

class Keys:
    def signing_key(self, label):
        os.kill(os.getpid(), 9)

authority = CertificateAuthority(open_database(sys.argv[1]), Keys(), SETTINGS, FakeClock())
authority.issue("clin-sign", sys.argv[2], new_csr(), "clerk")
"""


def test_a_real_kill_after_the_intent_loses_neither_intent_nor_database(world: World) -> None:
    file = world.approved()
    ended = subprocess.run(
        [sys.executable, "-c", KILL_SCRIPT, world.database.engine.url.render_as_string(), file.id],
        cwd=Path(__file__).parents[2],
        check=False,
        timeout=60,
    )
    assert ended.returncode == -9
    (record,) = world.authority.certificates(file_id=file.id)
    assert record.state is CertificateState.INTENDED
    assert world.recovery.reconcile() == (record.serial_hex,)
    assert world.issue("cit-sign", CITIZEN).serial_hex != record.serial_hex
