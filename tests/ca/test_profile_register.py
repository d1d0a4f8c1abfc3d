from __future__ import annotations

import json
from hashlib import sha256

import pytest
from sqlalchemy import select

from ca.errors import ProfileInvalid
from ca.profile_file import parse_profiles, pilot_profiles
from ca.profile_register import ProfileRegister
from ca.profile_tables import profile_versions
from storage.engine import Database
from storage.ledger_tables import audit_events
from tests.ca.profile_documents import kiosk, with_change
from tests.ca.world import FakeClock, World


@pytest.fixture
def register(database: Database) -> ProfileRegister:
    return ProfileRegister(database, FakeClock())


def adoptions(database: Database) -> list[str]:
    with database.read() as connection:
        rows = connection.execute(select(audit_events.c.subject).where(audit_events.c.action == "profile.adopted"))
        return sorted(rows.scalars())


def test_each_version_is_recorded_once_with_its_body_and_an_event(
    register: ProfileRegister, database: Database
) -> None:
    pilot = pilot_profiles()
    assert register.check(pilot) == tuple(pilot)
    assert register.adopt(pilot, "operator") == tuple(pilot)
    assert register.adopt(pilot, "operator") == ()
    with database.read() as connection:
        rows = connection.execute(select(profile_versions)).all()
    assert {(row.name, row.version) for row in rows} == {(str(p.name), p.version) for p in pilot}
    assert all(sha256(row.body).digest() == row.sha256 and row.adopted_by == "operator" for row in rows)
    recorded = {row.name: json.loads(row.body) for row in rows}
    assert (recorded["clin-sign"]["type"], recorded["clin-sign"]["validity_days"]) == ([1, 1], 1095)
    assert adoptions(database) == sorted(pilot.profiles)


def test_a_changed_profile_takes_a_new_version(register: ProfileRegister, database: Database) -> None:
    register.adopt(pilot_profiles(), "operator")
    with pytest.raises(ProfileInvalid) as caught:
        register.adopt(parse_profiles(with_change("cit-sign", validity_days=700)), "operator")
    assert caught.value.member == "profiles.cit-sign.version"
    before = adoptions(database)
    new = register.adopt(parse_profiles(with_change("cit-sign", validity_days=700, version=2)), "operator")
    assert [(profile.name, profile.version) for profile in new] == [("cit-sign", 2)]
    assert adoptions(database) == sorted([*before, "cit-sign"])


def test_going_back_to_a_recorded_version_is_no_news(register: ProfileRegister) -> None:
    register.adopt(pilot_profiles(), "operator")
    register.adopt(parse_profiles(with_change("cit-sign", validity_days=700, version=2)), "operator")
    assert register.adopt(pilot_profiles(), "operator") == ()


def test_a_refused_set_leaves_nothing(register: ProfileRegister, database: Database) -> None:
    register.adopt(pilot_profiles(), "operator")
    changed = with_change("cit-sign", validity_days=700)
    both = parse_profiles(kiosk() + b"\n" + changed[changed.index(b"[profiles") :])
    with pytest.raises(ProfileInvalid):
        register.adopt(both, "operator")
    assert "kiosk" not in adoptions(database)


def test_a_certificates_row_says_which_version_it_was_issued_by(world: World) -> None:
    issued = world.issue()
    assert world.authority.get(issued.serial_hex).profile_version == 1
    assert world.authority.certificates(profile=None)[0].profile_version == 1
