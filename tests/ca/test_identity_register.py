from __future__ import annotations

import pytest
from sqlalchemy import select

from ca.identity_register import IdentityRegister
from ca.identity_tables import identity_versions
from pki.identity_file import IdentitiesInvalid, parse_identities, pilot_identities, scheme_body
from storage.engine import Database
from storage.ledger_tables import audit_events
from tests.ca.test_own_professions import OWN
from tests.ca.world import FakeClock, World

SCHEME = parse_identities(OWN.encode())


@pytest.fixture
def register(database: Database) -> IdentityRegister:
    return IdentityRegister(database, FakeClock())


def adoptions(database: Database) -> list[str]:
    with database.read() as connection:
        rows = connection.execute(select(audit_events.c.subject).where(audit_events.c.action == "identities.adopted"))
        return list(rows.scalars())


def changed(old: str, new: str, version: int = 2) -> str:
    return OWN.replace(old, new).replace("version = 1", f"version = {version}")


def test_a_scheme_is_recorded_once_with_its_body_and_an_event(register: IdentityRegister, database: Database) -> None:
    for scheme in (pilot_identities(), SCHEME):
        assert register.check(scheme)
        assert register.adopt(scheme, "operator")
        assert not register.adopt(scheme, "operator")
    with database.read() as connection:
        bodies = {row.name: row.body for row in connection.execute(select(identity_versions))}
    assert bodies == {"pilot": scheme_body(pilot_identities()), "eye hospital": scheme_body(SCHEME)}
    assert sorted(adoptions(database)) == ["eye hospital", "pilot"]
    assert not register.adopt(pilot_identities(), "operator")  # going back is no news


def test_a_changed_scheme_takes_a_new_version(register: IdentityRegister, database: Database) -> None:
    register.adopt(SCHEME, "operator")
    new_title = changed("Optometrist", "Doctor of optometry", version=1)
    with pytest.raises(IdentitiesInvalid) as caught:
        register.adopt(parse_identities(new_title.encode()), "operator")
    assert caught.value.member == "version"
    assert register.adopt(parse_identities(changed("Optometrist", "Doctor of optometry").encode()), "operator")
    assert adoptions(database) == ["eye hospital"] * 2


@pytest.mark.parametrize(
    ("old", "new", "member"),
    [
        ("number = 21", "number = 22", "professions.optometrist.number"),
        ("number = 21", 'number = 21\noid = "1.3.6.1.4.1.32473.99.1"', "professions.optometrist.oid"),
        ("professions.optometrist", "professions.orthoptist", "professions.orthoptist.number"),
        ("32473.99.121", "32473.99.122", "institutions.eye-clinic.oid"),
        ('بینایی‌سنج"', 'بینایی‌سنجی"', "professions.optometrist.title_fa"),
        ("انجمن آزمایشی", "سازمان آزمایشی", "professions.optometrist.admission_authority"),
    ],
)
def test_what_certificates_say_of_a_role_never_changes(
    register: IdentityRegister, old: str, new: str, member: str
) -> None:
    register.adopt(SCHEME, "operator")
    with pytest.raises(IdentitiesInvalid) as caught:
        register.adopt(parse_identities(changed(old, new).encode()), "operator")
    assert caught.value.member == member


def test_what_is_left_out_may_come_back_as_itself(register: IdentityRegister) -> None:
    register.adopt(SCHEME, "operator")
    without = OWN[: OWN.index("[professions")].replace("version = 1", "version = 2")
    assert register.adopt(parse_identities(without.encode()), "operator")
    assert register.adopt(parse_identities(changed("", "", version=3).encode()), "operator")


@pytest.mark.parametrize(
    ("later", "member"),
    [
        ('[professions.orthoptist]\nnumber = 22\noid = "1.3.6.1.4.1.32473.99.121"\ncouncil_number = "[0-9]{4}"', "oid"),
        ("[institutions.optometrist]\nnumber = 21", "number"),
    ],
)
def test_an_identifier_goes_to_nothing_else_once_its_role_is_left_out(
    register: IdentityRegister, later: str, member: str
) -> None:
    register.adopt(SCHEME, "operator")
    head = OWN[: OWN.index("[professions")].replace("version = 1", "version = 2")
    titles = '\ntitle_fa = "دیگری"\ntitle_en = "Another"\n'
    with pytest.raises(IdentitiesInvalid) as caught:
        register.adopt(parse_identities((head + later + titles).encode()), "operator")
    assert caught.value.member.endswith(f".{member}")


def test_a_deployment_that_issued_before_schemes_were_recorded_issued_by_the_pilot_s(world: World) -> None:
    own = OWN[: OWN.index("[institutions")].replace('extends = "pilot"', 'organization_identifier = "NTR"')
    scheme = parse_identities(own.replace("number = 21", "number = 1").encode())
    register = IdentityRegister(world.database, world.clock)
    assert register.check(scheme)
    world.issue()
    with pytest.raises(IdentitiesInvalid) as caught:
        register.check(scheme)
    assert caught.value.member == "professions.optometrist.number"
