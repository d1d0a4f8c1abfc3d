"""What the authority does is within the custodian's policy, and the policy is no wider than the profiles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import pytest
from cryptography.x509.ocsp import OCSPResponseStatus

from ca.config import validate_settings
from ca.custody_policy import OPERATOR, SERVER, WORKER, follow_profiles, root_policy, service_policy
from ca.hierarchy import Hierarchy, adopt, create_hierarchy
from ca.service import CertificateAuthority
from ca.status.answer_store import AnswerStore
from ca.tokens.config import TokenSettings
from ca.tokens.registry_file import default_centres, registry_json
from hsm.custodian.policy import load_policy, write_policy
from hsm.errors import RoleRefused
from hsm.soft import UnsafeSoftKeys
from pki import oids
from storage.engine import Database, open_database
from storage.migrate import upgrade
from tests.ca.profile_documents import with_change
from tests.ca.world import FILE_PROFILES, RAW_SETTINGS, SETTINGS, FakeClock, World
from tests.support.exchange import EXCHANGE, ISSUER, Exchange, MovableClock, authority_settings
from tests.support.officers import EveryOfficer

TOKENS = TokenSettings(issuer=ISSUER, exchange_url=EXCHANGE, burst=10_000)
UIDS = {SERVER: 998, WORKER: 997, OPERATOR: 0}
POLICY = service_policy(SETTINGS, TOKENS, UIDS)


def hold_ceremony(keys: UnsafeSoftKeys, clock: FakeClock | MovableClock, url: str) -> tuple[Hierarchy, Database]:
    root = UnsafeSoftKeys(clock, root_policy(SETTINGS, 0).limits)
    settings = SETTINGS if isinstance(clock, FakeClock) else authority_settings()
    hierarchy = create_hierarchy(root, keys, settings, clock)
    database = open_database(url)
    upgrade(database)
    adopt(database, hierarchy, settings, clock, "init")
    return hierarchy, database


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[World]:
    """A deployment whose keys, the root's too, keep the policy's limits."""
    clock = FakeClock()
    keys = UnsafeSoftKeys(clock, POLICY.limits)
    hierarchy, database = hold_ceremony(keys, clock, f"sqlite:///{tmp_path / 'mohr.db'}")
    answers = AnswerStore(tmp_path / "answers.db")
    authority = CertificateAuthority(database, keys, SETTINGS, clock, gate=EveryOfficer(), answers=answers)
    yield World(authority=authority, database=database, keys=keys, hierarchy=hierarchy, clock=clock)
    answers.close()
    database.close()


def test_every_profile_is_issued_within_the_policy(limited: World) -> None:
    for profile in FILE_PROFILES:
        assert limited.issue(profile).der


def test_status_is_published_within_the_policy_day_after_day(limited: World) -> None:
    issued = limited.issue()
    for _ in range(3):
        assert limited.authority.publish_all_crls()
        assert limited.authority.presign() >= 1
        assert limited.ask(issued, nonce=b"12345678").response_status is OCSPResponseStatus.SUCCESSFUL
        limited.clock.move(days=1)


def test_a_new_responder_is_certified_within_the_policy(limited: World) -> None:
    limited.clock.move(days=25)
    assert limited.authority.renew_services()
    assert limited.authority.presign() >= 1


def test_access_tokens_are_granted_within_the_policy(tmp_path: Path) -> None:
    clock = MovableClock()
    keys = UnsafeSoftKeys(clock, POLICY.limits)
    url = f"sqlite:///{tmp_path / 'mohr.db'}"
    hold_ceremony(keys, clock, url)[1].close()
    exchange = Exchange(folder=tmp_path, url=url, keys=keys, clock=clock, settings=TOKENS)
    exchange.registry_file.write_bytes(registry_json(default_centres(clock.at)))
    centre = exchange.centre()
    for _ in range(2):
        assert centre.access_token()
        clock.move(timedelta(hours=3))
    exchange.database.close()


def test_the_policies_survive_their_files(tmp_path: Path) -> None:
    for name, policy in (("service", POLICY), ("root", root_policy(SETTINGS, os.geteuid()))):
        write_policy(policy, tmp_path / name)
        assert load_policy(tmp_path / name) == policy


@pytest.mark.parametrize(
    ("role", "label", "act"),
    [
        (SERVER, "root", "certificate"),
        (SERVER, "ca-persons", "request"),
        (SERVER, "tsa", "request"),
        (SERVER, "token", "digest"),
        (SERVER, "seal", "digest"),
        (SERVER, "ocsp-persons", "certificate"),
        (WORKER, "token", "token"),
        (WORKER, "root", "crl"),
        (WORKER, "seal", "digest"),
    ],
)
def test_a_role_uses_no_key_for_what_it_does_not_do(role: str, label: str, act: str) -> None:
    with pytest.raises(RoleRefused):
        POLICY.grant(role, label, act)


def test_rates_bound_everyone_but_the_operator() -> None:
    for role, bounded in ((SERVER, True), (WORKER, True), (OPERATOR, False)):
        assert all((grant.per_second is not None) is bounded for grant in POLICY.role(role).grants)
    assert [name for name in POLICY.roles if POLICY.role(name).administer] == [OPERATOR]
    assert [name for name in POLICY.roles if POLICY.role(name).journal] == [WORKER, OPERATOR]


def test_each_authority_certifies_its_own_uses_alone() -> None:
    persons, systems = POLICY.limits("ca-persons"), POLICY.limits("ca-systems")
    assert persons.allowed_key_purposes == frozenset({oids.EKU_CLIENT_AUTH, oids.EKU_OCSP_SIGNING})
    assert systems.allowed_key_purposes == frozenset(
        {oids.EKU_SERVER_AUTH, oids.EKU_CLIENT_AUTH, oids.EKU_TIME_STAMPING, oids.EKU_OCSP_SIGNING}
    )
    assert oids.NAME_CONSTRAINTS not in (persons.allowed_extensions or ())


def test_limits_follow_the_settings() -> None:
    shorter = service_policy(replace(SETTINGS, crl_validity=timedelta(hours=1)), TOKENS, UIDS)
    assert shorter.limits("ca-persons").crl_seconds == 3600


def test_an_authority_signs_the_extensions_of_its_profiles_alone() -> None:
    persons, institutions = POLICY.limits("ca-persons"), POLICY.limits("ca-institutions")
    assert oids.ADMISSION in (persons.allowed_extensions or ())
    assert oids.SUBJECT_ALT_NAME not in (persons.allowed_extensions or ())
    assert oids.SUBJECT_ALT_NAME in (institutions.allowed_extensions or ())
    assert oids.QC_STATEMENTS not in (persons.allowed_extensions or ())


def test_a_policy_follows_new_profiles_and_keeps_what_was_written() -> None:
    wider = validate_settings(replace(RAW_SETTINGS, profiles=with_change("clin-sign", qc_statements=["semantics"])))
    roles = {name: replace(role, uids=frozenset({4711})) for name, role in POLICY.roles.items()}
    written = replace(POLICY, roles=MappingProxyType(roles))
    followed = follow_profiles(written, wider)
    assert followed.roles == written.roles
    assert oids.QC_STATEMENTS in (followed.limits("ca-persons").allowed_extensions or ())
    assert followed.limits("ca-institutions") == written.limits("ca-institutions")
    assert followed.limits("tsa") == written.limits("tsa")
    assert follow_profiles(followed, wider) == followed
    assert follow_profiles(followed, SETTINGS) == written
