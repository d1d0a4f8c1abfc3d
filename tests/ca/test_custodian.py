"""The whole authority over real keys: SoftHSM2 behind the custodian, which reads everything it signs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from ca.hierarchy import adopt, create_hierarchy
from ca.issuing.orders import Issued, IssueOrder
from ca.service import CertificateAuthority
from ca.status.answer_store import AnswerStore
from ca.status.revocation import RevocationReason
from hsm.errors import PurposeRefused
from hsm.soft import UnsafeSoftKeys
from pki.certificates import Certificate
from pki.errors import Unavailable
from storage.engine import open_database
from storage.migrate import upgrade
from tests.ca.world import CLERK, FILE_PROFILES, SETTINGS, FakeClock, World, new_csr
from tests.support.officers import EveryOfficer
from tests.support.softhsm import CustodianHome, custodian_factory  # noqa: F401 - a fixture

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def home(custodian_factory: Callable[[], CustodianHome]) -> CustodianHome:  # noqa: F811 - a fixture
    made = custodian_factory()
    made.process.start()
    return made


@pytest.fixture(scope="module")
def real_world(home: CustodianHome, tmp_path_factory: pytest.TempPathFactory) -> World:
    clock = FakeClock()
    path: Path = tmp_path_factory.mktemp("real") / "mohr.db"
    database = open_database(f"sqlite:///{path}")
    upgrade(database)
    hierarchy = create_hierarchy(UnsafeSoftKeys(clock), home.client, SETTINGS, clock)
    adopt(database, hierarchy, SETTINGS, clock, "init")
    authority = CertificateAuthority(
        database, home.client, SETTINGS, clock, gate=EveryOfficer(), answers=AnswerStore(path.with_name("answers.db"))
    )
    return World(
        authority=authority,
        database=database,
        keys=home.client,  # type: ignore[arg-type]  # the tests of this module need a provider only
        hierarchy=hierarchy,
        clock=clock,
    )


@pytest.mark.parametrize("profile", FILE_PROFILES)
def test_every_profile_is_issued_and_answered_for(profile: str, real_world: World) -> None:
    issued = real_world.issue(profile)
    certificate = Certificate.parse(issued.der)
    certificate.verify_signed_by(Certificate.parse(real_world.hierarchy.certificate(issued.issuer)))
    for nonce in (None, b"n" * 32):
        assert real_world.ask(issued, nonce=nonce).certificate_status is ocsp.OCSPCertStatus.GOOD


def test_a_batch_is_signed_in_one_round_trip(real_world: World) -> None:
    file = real_world.approved()
    requests = [IssueOrder(actor="clerk", profile="clin-sign", file_id=file.id, csr=new_csr()) for _ in range(40)]
    outcomes = tuple(real_world.authority.line.issue_many(requests))
    assert all(isinstance(outcome, Issued) for outcome in outcomes)
    assert real_world.authority.presign() >= 40


def test_revocations_reach_a_signed_crl(real_world: World) -> None:
    issued = real_world.issue("hix-seal")
    record = real_world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    crl = x509.load_der_x509_crl(real_world.authority.publish_crl("institutions", record.shard).der)
    assert crl.get_revoked_certificate_by_serial_number(record.serial) is not None
    assert crl.is_signature_valid(real_world.issuer("institutions").public_key())  # type: ignore[arg-type]  # an EC key


def test_delegates_are_renewed(real_world: World) -> None:
    real_world.clock.move(days=25)
    assert len(real_world.authority.renew_services()) == 3


def test_the_custodian_holds_each_authority_to_its_own_name(real_world: World, home: CustodianHome) -> None:
    foreign = Certificate.parse(real_world.issue().der).tbs
    with pytest.raises(PurposeRefused):
        home.client.signing_key("ca-systems").sign(foreign)


def test_a_custodian_that_ends_is_told_apart_and_one_that_returns_is_used_again(
    real_world: World, home: CustodianHome
) -> None:
    file = real_world.approved()
    home.process.stop()
    with pytest.raises(Unavailable):
        real_world.authority.issue("clin-sign", file.id, new_csr(), "clerk")
    home.process.start()
    assert real_world.authority.issue("clin-sign", file.id, new_csr(), "clerk").issuer == "persons"
