"""Machines renew by the certificate that they have: what never reached them does not stay."""

from __future__ import annotations

from ca import certificate_queries
from ca.status.revocation import CertificateState
from tests.ca.issuing.office import Office
from tests.ca.world import FILE_PROFILES, new_csr

GOOD, REVOKED = CertificateState.GOOD, CertificateState.REVOKED


def test_a_machine_that_never_gets_an_answer_never_has_two_successors(office: Office) -> None:
    old = office.world.issue("infosys", FILE_PROFILES["infosys"])
    record = office.world.authority.get(old.serial_hex)
    made = [office.desk().succeed_by_holder(record, new_csr(), "est") for _ in range(4)]
    assert [office.state(one) for one in (old, *made)] == [GOOD, REVOKED, REVOKED, REVOKED, GOOD]


def test_a_machine_whose_successor_never_arrived_gets_another(office: Office) -> None:
    old = office.world.issue("infosys", FILE_PROFILES["infosys"])
    record = office.world.authority.get(old.serial_hex)
    lost = office.desk().succeed_by_holder(record, new_csr(), "est")
    second = office.desk().succeed_by_holder(record, new_csr(), "est")
    assert [office.state(one) for one in (old, lost, second)] == [GOOD, REVOKED, GOOD]
    with office.world.database.read() as connection:
        living = certificate_queries.living_successor(connection, lost.serial_hex)
    assert living is not None
    assert living.serial_hex == second.serial_hex
