from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from sqlalchemy import select

from ca.hierarchy import adopt, create_hierarchy
from ca.profiles import ISSUING_AUTHORITIES, IssuerName
from ca.service import CertificateAuthority
from ca.status.revocation import CertificateState
from hsm.errors import KeyExists, PurposeRefused
from hsm.provider import KeyPurpose
from hsm.soft import UnsafeSoftKeys
from pki import oids
from pki.certificates import Certificate
from pki.errors import Conflict, ErrorCode
from pki.keys import SignatureAlgorithm
from storage.engine import Database, open_database
from storage.ledger_tables import audit_events
from storage.migrate import upgrade
from tests.ca.conftest import Ceremony
from tests.ca.world import SETTINGS, FakeClock, World

NAMES = {
    "root",
    "persons",
    "institutions",
    "systems",
    "ocsp-persons",
    "ocsp-institutions",
    "ocsp-systems",
    "tsa",
    "service-seal",
}


def test_a_ceremony_makes_every_authority_and_service(ceremony: Ceremony) -> None:
    assert {made.name for made in ceremony.hierarchy.certificates} == NAMES
    for label in ISSUING_AUTHORITIES:
        issuing = Certificate.parse(ceremony.hierarchy.certificate(label))
        issuing.verify_signed_by(Certificate.parse(ceremony.hierarchy.certificate("root")))
        assert (issuing.is_ca, issuing.path_length) == (True, 0)
        assert issuing.extended_key_usage == SETTINGS.profiles.authority_usages(label)
        delegate = Certificate.parse(ceremony.hierarchy.certificate(f"ocsp-{label}"))
        delegate.verify_signed_by(issuing)
    systems = Certificate.parse(ceremony.hierarchy.certificate("systems"))
    for name in ("tsa", "service-seal"):
        Certificate.parse(ceremony.hierarchy.certificate(name)).verify_signed_by(systems)


def test_keys_are_of_their_kind_and_the_roots_is_elsewhere(ceremony: Ceremony) -> None:
    found = {key.label: (key.algorithm, key.purpose) for key in ceremony.keys.keys()}
    assert found == {
        **{f"ca-{n}": (SignatureAlgorithm.ES256, KeyPurpose.CERTIFICATE_AUTHORITY) for n in ISSUING_AUTHORITIES},
        **{f"ocsp-{n}": (SignatureAlgorithm.ES256, KeyPurpose.OCSP) for n in ISSUING_AUTHORITIES},
        "tsa": (SignatureAlgorithm.ES256, KeyPurpose.TIMESTAMP),
        "service-seal": (SignatureAlgorithm.ES256, KeyPurpose.SEAL),
        "token": (SignatureAlgorithm.ES256, KeyPurpose.TOKEN),
        "seal": (SignatureAlgorithm.EDDSA, KeyPurpose.SEAL),
    }
    root = x509.load_der_x509_certificate(ceremony.hierarchy.certificate("root"))
    assert root.public_key().key_size == 384  # type: ignore[union-attr]  # an EC key


def test_authority_keys_are_bound_to_their_own_name(ceremony: Ceremony, world: World) -> None:
    foreign = Certificate.parse(world.issue().der).tbs
    with pytest.raises(PurposeRefused, match="not this key's own"):
        ceremony.keys.signing_key("ca-systems").sign(foreign)


def test_the_time_stamping_certificate_is_what_rfc_3161_asks_for(ceremony: Ceremony) -> None:
    tsa = x509.load_der_x509_certificate(ceremony.hierarchy.certificate("tsa"))
    purposes = tsa.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert purposes.critical
    assert [purpose.dotted_string for purpose in purposes.value] == [oids.EKU_TIME_STAMPING]
    period = tsa.extensions.get_extension_for_class(x509.PrivateKeyUsagePeriod).value
    assert period.not_before is not None
    assert period.not_after is not None
    assert period.not_after - period.not_before == timedelta(days=365)


def test_adopted_certificates_are_in_the_register_by_their_names(world: World) -> None:
    for name in NAMES:
        assert world.authority.named_certificate(name) == world.hierarchy.certificate(name)
        record = world.authority.get(Certificate.parse(world.hierarchy.certificate(name)).serial_hex)
        assert (record.state, record.der) == (CertificateState.GOOD, world.hierarchy.certificate(name))
    assert world.authority.named_certificate("nobody") is None


def test_every_key_and_certificate_of_the_ceremony_has_its_event(world: World) -> None:
    with world.database.read() as connection:
        actions = list(connection.execute(select(audit_events.c.action)).scalars())
    assert actions.count("key.generated") == len(NAMES) + 2
    assert actions.count("certificate.issued") == len(NAMES)


def test_a_second_ceremony_is_not_adopted(world: World) -> None:
    clock = FakeClock()
    another = create_hierarchy(UnsafeSoftKeys(clock), UnsafeSoftKeys(clock), SETTINGS, clock)
    with pytest.raises(Conflict) as caught:
        adopt(world.database, another, SETTINGS, clock, "init")
    assert caught.value.code is ErrorCode.DEPLOYMENT_EXISTS
    assert world.authority.named_certificate("root") == world.hierarchy.certificate("root")


def test_a_ceremony_over_existing_keys_stops(ceremony: Ceremony) -> None:
    clock = FakeClock()
    with pytest.raises(KeyExists):
        create_hierarchy(UnsafeSoftKeys(clock), ceremony.keys, SETTINGS, clock)


def test_an_authority_that_is_not_there_yet_is_not_found(tmp_path: object) -> None:
    database: Database = open_database(f"sqlite:///{tmp_path}/empty.db")
    upgrade(database)
    authority = CertificateAuthority(database, UnsafeSoftKeys(FakeClock()), SETTINGS, FakeClock())
    with pytest.raises(Exception, match="not-found"):
        authority.publish_crl(IssuerName.PERSONS, 0)
    assert authority.publish_all_crls() == ()
    database.close()


def test_a_printed_hierarchy_shows_no_bytes(ceremony: Ceremony) -> None:
    assert len(repr(ceremony.hierarchy)) < 200
