"""The services' own certificates over years: renewed in their window, new keys where the key's own time ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest
from cryptography.x509 import ocsp

from ca import certificate_queries, repository
from ca.custody_policy import SERVER, WORKER, follow_profiles, service_policy
from ca.hierarchy import SERVICE_SEAL, SERVICES, TSA
from ca.own_certificates import LISTENER, OwnCertificate, common_name_of, service_of
from ca.profiles import ISSUING_AUTHORITIES
from ca.records import CertificateRecord
from ca.registration_states import FileState
from ca.status.revocation import CertificateState, RevocationReason
from ca.tokens.config import TokenSettings
from hsm.custodian.policy import KeyNames, Policy
from pki.certificates import Certificate
from storage.engine import Database
from tests.ca.conftest import Ceremony, WorldMaker
from tests.ca.world import CLERK, FILE_PROFILES, SETTINGS, START, World, new_csr

RESPONDERS = {f"ocsp-{label}" for label in ISSUING_AUTHORITIES}
TOKENS = TokenSettings(issuer="https://mohr.example", exchange_url="https://mohr.example:8441")
UIDS = {"server": 1, "worker": 2, "operator": 0}


@pytest.fixture(autouse=True)
def _own_keys(ceremony: Ceremony, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that a test makes are gone with it."""
    monkeypatch.setattr(ceremony.keys, "_keys", dict(vars(ceremony.keys)["_keys"]))


def own(world: World, name: str) -> OwnCertificate:
    return next(one for one in world.authority.own_certificates() if one.name == name)


def record_of(world: World, one: OwnCertificate) -> CertificateRecord:
    return world.authority.get(one.certificate.serial_hex)


def with_listener(world: World) -> World:
    file = world.submitted(FILE_PROFILES["tls-server"])
    issued = world.authority.issue("tls-server", file.id, new_csr(), "init", unapproved=True)
    world.authority.name_listener(issued.serial_hex)
    return world


def test_a_service_is_renewed_within_its_window_and_not_before(world: World) -> None:
    seal = own(world, SERVICE_SEAL)
    assert (seal.usable_until, seal.renews_from) == (seal.certificate.not_after, seal.usable_until - timedelta(days=60))
    world.clock.time = seal.renews_from - timedelta(seconds=1)
    assert SERVICE_SEAL not in world.authority.renew_services()
    world.clock.time = seal.renews_from
    assert SERVICE_SEAL in world.authority.renew_services()
    renewed = own(world, SERVICE_SEAL)
    assert renewed.certificate.spki_der == seal.certificate.spki_der
    assert record_of(world, renewed).predecessor == seal.certificate.serial_hex
    assert record_of(world, seal).state is CertificateState.GOOD
    assert world.authority.renew_services() == ()


def test_the_listener_is_renewed_although_its_pilot_file_has_ended_long_ago(world: World) -> None:
    with_listener(world)
    first = own(world, LISTENER)
    file_id = record_of(world, first).file_id
    for _ in range(5):
        shown = own(world, LISTENER)
        world.clock.time = shown.renews_from
        world.authority.expire_files()
        assert LISTENER in world.authority.renew_services()
        renewed = own(world, LISTENER)
        assert renewed.certificate.not_after > shown.certificate.not_after
        assert renewed.certificate.spki_der == first.certificate.spki_der
        assert renewed.certificate.subject_der == first.certificate.subject_der
        assert renewed.certificate.policies == first.certificate.policies
        assert (record_of(world, renewed).unapproved, record_of(world, renewed).file_id) == (True, file_id)
    assert file_id is not None
    assert world.authority.file(file_id).state is FileState.EXPIRED


def test_a_time_stamping_unit_waits_for_a_new_key_and_then_has_a_number_of_its_own(world: World) -> None:
    unit = own(world, TSA)
    assert unit.usable_until - START < timedelta(days=366) < unit.certificate.not_after - START
    world.clock.time = unit.renews_from
    assert TSA not in world.authority.renew_services()
    assert world.authority.prepare_keys() == ("tsa-2",)
    assert world.authority.prepare_keys() == ()
    assert TSA in world.authority.renew_services()
    renewed = own(world, TSA)
    assert renewed.key_label == "tsa-2"
    assert renewed.certificate.spki_der != unit.certificate.spki_der
    assert b"TSU 2" in renewed.certificate.subject_der
    assert record_of(world, unit).state is CertificateState.GOOD
    assert unit.certificate.not_after > renewed.usable_until


def test_a_key_may_be_made_ahead_of_the_window(world: World) -> None:
    assert world.authority.prepare_keys() == ()
    assert world.authority.prepare_keys(early=True) == ("tsa-2",)
    assert world.authority.renew_services() == ()
    world.clock.time = own(world, TSA).renews_from
    assert TSA in world.authority.renew_services()
    assert own(world, TSA).next_label() == "tsa-3"


def test_two_years_leave_every_service_with_a_certificate_in_force(
    sqlite_database: Database, make_world: WorldMaker
) -> None:
    world = with_listener(make_world(sqlite_database))
    end = START + timedelta(days=2 * 365)
    while world.clock.time < end:
        world.clock.move(days=9.9)
        world.authority.prepare_keys()
        world.authority.renew_services()
        for one in world.authority.own_certificates():
            assert one.certificate.not_before <= world.clock.time < one.usable_until, one.name
    names = {one.name for one in world.authority.own_certificates()}
    assert names == {service.name for service in SERVICES} | {LISTENER}
    assert own(world, TSA).key_label == "tsa-3"


def test_a_service_that_ended_while_nothing_ran_is_renewed_all_the_same(world: World) -> None:
    world.clock.move(days=200)
    assert set(world.authority.renew_services()) == RESPONDERS
    assert own(world, "ocsp-persons").certificate.not_after > world.clock.time


def test_what_was_certified_before_a_crash_is_taken_and_not_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.clock.time = own(world, SERVICE_SEAL).renews_from
    world.authority.renew_services()
    seal, world.clock.time = own(world, SERVICE_SEAL), own(world, SERVICE_SEAL).renews_from
    with monkeypatch.context() as patch:
        patch.setattr("ca.upkeep_desk.repository.name_certificate", _crash)
        with pytest.raises(KeyboardInterrupt):
            world.authority.renew_services()
    assert own(world, SERVICE_SEAL).certificate.der == seal.certificate.der
    with world.database.read() as connection:
        made = certificate_queries.living_successor(connection, seal.certificate.serial_hex)
    world.authority.renew_services()
    if made is not None:
        assert own(world, SERVICE_SEAL).certificate.der == made.der
    assert own(world, SERVICE_SEAL).certificate.der != seal.certificate.der


def _crash(*_arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_register_that_went_back_takes_every_renewal_that_was_lost_at_once(world: World) -> None:
    first = own(world, SERVICE_SEAL)
    for _ in range(2):
        world.clock.time = own(world, SERVICE_SEAL).renews_from
        world.authority.renew_services()
    last = own(world, SERVICE_SEAL)
    with world.database.begin() as unit:
        repository.name_certificate(
            unit.connection, SERVICE_SEAL, first.certificate.serial_hex, first.key_label, world.clock.now()
        )
    assert SERVICE_SEAL in world.authority.renew_services()
    assert own(world, SERVICE_SEAL).certificate.der == last.certificate.der


def test_what_ends_with_its_authority_is_not_made_again_and_again(world: World) -> None:
    with_listener(world)
    end = Certificate.parse(world.hierarchy.certificate("systems")).not_after
    world.clock.time = end - timedelta(days=8)
    world.authority.prepare_keys()
    for _ in range(3):
        renewed = world.authority.renew_services()
        world.clock.move(hours=1)
    assert renewed == ()
    assert all(one.usable_until >= end for one in world.authority.own_certificates())


def test_units_are_counted_and_other_services_keep_their_name() -> None:
    tsa, seal = service_of(TSA), service_of(SERVICE_SEAL)
    assert tsa is not None
    assert seal is not None
    assert [common_name_of(tsa, label) for label in ("tsa", "tsa-2", "tsa-17")] == [
        "Mohr Pilot TSU 1",
        "Mohr Pilot TSU 2",
        "Mohr Pilot TSU 17",
    ]
    assert common_name_of(seal, SERVICE_SEAL) == "Mohr Pilot Seal"
    assert service_of(LISTENER) is None


def test_a_delegate_whose_key_is_compromised_waits_for_a_new_key(world: World) -> None:
    issued = world.issue()
    world.authority.revoke(own(world, "ocsp-persons").certificate.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    assert world.authority.renew_services() == ()
    assert world.authority.prepare_keys() == ("ocsp-persons-2",)
    assert world.authority.renew_services() == ("ocsp-persons",)
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.GOOD
    assert world.authority.prepare_keys() == ()


def test_what_the_next_units_may_sign_is_what_the_first_one_may() -> None:
    policy = service_policy(SETTINGS, TOKENS, UIDS)
    assert policy.limits("tsa-2") == policy.limits(TSA)
    assert policy.grant(SERVER, "tsa-2", "timestamp") == policy.grant(SERVER, TSA, "timestamp")
    assert policy.limits("ocsp-persons-2") == policy.limits("ocsp-persons")
    assert policy.grant(SERVER, "ocsp-persons-2", "ocsp") == policy.grant(SERVER, "ocsp-persons", "ocsp")
    assert policy.grant(SERVER, "service-seal-2", "jws") == policy.grant(SERVER, SERVICE_SEAL, "jws")
    assert not policy.role(WORKER).administer


def test_a_policy_of_before_follows() -> None:
    policy = service_policy(SETTINGS, TOKENS, UIDS)
    assert follow_profiles(_of_before(policy), SETTINGS) == policy


def _of_before(policy: Policy) -> Policy:
    def named(keys: KeyNames) -> KeyNames:
        return keys if "*" in keys.names else KeyNames(tuple(name for name in keys.names if not name.endswith("-*")))

    return replace(
        policy,
        roles=MappingProxyType(
            {
                name: replace(role, grants=tuple(replace(grant, keys=named(grant.keys)) for grant in role.grants))
                for name, role in policy.roles.items()
            }
        ),
        limited=tuple(replace(limited, keys=named(limited.keys)) for limited in policy.limited),
    )
