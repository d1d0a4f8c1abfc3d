from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ca.issuing.orders import Issued
from ca.pseudonyms import period_of, pseudonyms_for, secret_of
from storage.engine import Database
from tests.ca.world import CITIZEN, SETTINGS, World


def name_of(issued: Issued) -> str:
    subject = x509.load_der_x509_certificate(issued.der).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_a_pseudonym_depends_on_the_person_and_on_both_secrets() -> None:
    first = pseudonyms_for("0000012343", SETTINGS, yearly=b"a" * 32, lasting=b"b" * 32)
    assert first == pseudonyms_for("0000012343", SETTINGS, yearly=b"a" * 32, lasting=b"b" * 32)
    assert len(first.yearly) == 20
    others = [
        pseudonyms_for("0000012351", SETTINGS, yearly=b"a" * 32, lasting=b"b" * 32),
        pseudonyms_for("0000012343", SETTINGS, yearly=b"c" * 32, lasting=b"d" * 32),
    ]
    assert all(other.yearly != first.yearly and other.lasting != first.lasting for other in others)


def test_a_person_keeps_the_pseudonym_for_a_year(world: World) -> None:
    first, second = world.issue("cit-auth"), world.issue("cit-auth")
    world.clock.move(days=365)
    world.authority.renew_services()
    third = world.issue("cit-auth")
    assert name_of(first) == name_of(second) != name_of(third)
    assert CITIZEN["national_code"].encode() not in first.der


def test_the_period_is_the_year() -> None:
    assert period_of(datetime(2027, 1, 1, tzinfo=UTC)) == "2027"


def test_programs_that_come_first_at_once_agree_on_one_secret(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda n: secret_of(database, "2026", bytes([n]) * 32), range(4)))
    assert len(found) == 1


def test_a_short_secret_is_a_mistake_of_the_caller(database: Database) -> None:
    with pytest.raises(ValueError, match="32 octets"):
        secret_of(database, "2026", b"short")
