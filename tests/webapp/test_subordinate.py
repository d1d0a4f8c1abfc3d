"""The opening of a deployment under a parent is killed anywhere, and goes on."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import func, select

from ca import certificate_queries
from ca.ceremony.register import Register
from ca.ceremony.services import make_services
from ca.hierarchy import SERVICES, authority_common_name, authority_key
from ca.parents import Path as Chain
from ca.parents import requested_extensions
from ca.profiles import ISSUING_AUTHORITIES, IssuerName
from ca.status.revocation import CertificateState
from ca.subjects import service_subject
from ca.tables import certificates
from hsm.provider import KeyPurpose
from pki.certificates import Certificate
from pki.errors import Conflict
from pki.keys import SignatureAlgorithm
from tests.ca.ceremony.rehearsal import CountedKeys, Fuse, Killed, MemoryHome
from tests.ca.parent_ca import Parent
from tests.ca.world import SETTINGS, FakeClock
from webapp.subordinate import RowNotes

PARENT = Parent()


def issued(home: MemoryHome, keys: CountedKeys, label: IssuerName) -> Chain:
    """Have the parent certify the key of an authority, as its request asks."""
    public_key = keys.signing_key(authority_key(label)).public_key()
    subject = service_subject(SETTINGS, authority_common_name(label)).name
    others = [(one.value, one.critical) for one in requested_extensions(label, SETTINGS)][2:]
    found = (PARENT.certificate(subject, public_key, others=others, days=(-1, 2000)), PARENT.own(days=(-1, 3000)))
    own, root = (Certificate.parse(one.public_bytes(Encoding.DER)) for one in found)
    return Chain(own=own, above=(root,))


def register(home: MemoryHome) -> Register:
    return Register(
        database=home.database, settings=SETTINGS, clock=home.clock, random_bytes=secrets.token_bytes, actor="a test"
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MemoryHome]:
    clock, fuse = FakeClock(), Fuse()
    found = MemoryHome(tmp_path, clock, fuse)
    found.service = CountedKeys(clock, fuse)
    for label in ISSUING_AUTHORITIES:
        found.service.generate(authority_key(label), SignatureAlgorithm.ES256, KeyPurpose.CERTIFICATE_AUTHORITY)
    yield found
    found.database.close()


def test_an_opening_that_is_killed_anywhere_goes_on_and_leaves_no_intent(home: MemoryHome) -> None:
    keys = home.service
    assert keys is not None
    chains = {label: issued(home, keys, label) for label in ISSUING_AUTHORITIES}

    def open_it() -> dict[str, str]:
        for label, chain in chains.items():
            register(home).install(label, chain, authority_key(label))
        return make_services(register(home), keys, RowNotes(home.database))

    kills = 0
    while True:
        home.fuse.left = kills  # each try comes one act further
        try:
            made = open_it()
        except Killed:
            kills += 1
            continue
        break
    home.fuse.left = None
    assert kills > 10
    assert open_it() == made
    with home.database.read() as connection:
        named = certificate_queries.named(connection)
        intents = select(func.count()).where(certificates.c.state == CertificateState.INTENDED.value)
        assert connection.execute(intents).scalar_one() == 0
        assert certificate_queries.parents_of(connection, "persons") == (chains[IssuerName.PERSONS].above[0].der,)
    assert set(named) == {*ISSUING_AUTHORITIES, *(service.name for service in SERVICES)}
    assert all(keys.generated[service.name] == 1 for service in SERVICES)
    tsa = x509.load_der_x509_certificate(named["tsa"].der)
    tsa.verify_directly_issued_by(x509.load_der_x509_certificate(chains[IssuerName.SYSTEMS].own.der))


def test_the_same_chain_again_changes_nothing_and_another_of_its_number_is_refused(home: MemoryHome) -> None:
    keys = home.service
    assert keys is not None
    chain = issued(home, keys, IssuerName.PERSONS)
    assert register(home).install(IssuerName.PERSONS, chain, "ca-persons")
    assert not register(home).install(IssuerName.PERSONS, chain, "ca-persons")
    other = issued(home, keys, IssuerName.SYSTEMS)
    twin = Chain(own=other.own, above=other.above)
    object.__setattr__(twin.own, "serial", chain.own.serial)
    with pytest.raises(Conflict):
        register(home).install(IssuerName.SYSTEMS, twin, "ca-systems")
    assert set(register(home).named()) == {"persons"}
