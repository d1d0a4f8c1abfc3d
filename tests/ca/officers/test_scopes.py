from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca.officers.desk import OfficerDesk
from ca.officers.gate import RegisterGate
from ca.officers.identity import Officer, Role
from ca.officers.realms import Level, Realm, reach
from ca.officers.records import Grant
from ca.officers.scopes import EVERYTHING, NOTHING, Scope, check_names, names_text, parse_names
from pki.errors import InvalidInput, ServiceError
from pki.identity_file import pilot_identities
from storage.engine import Database, open_database
from tests.ca.conftest import WorldMaker
from tests.ca.officers.conftest import Offices
from tests.ca.world import World

PROFESSIONS, PROVINCES = ("physician", "nurse", "midwife"), ("تهران", "البرز", "فارس")


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """A file: each example has a copy of it."""
    return sqlite_database


def names(of: tuple[str, ...]) -> st.SearchStrategy[frozenset[str] | None]:
    return st.none() | st.frozensets(st.sampled_from(of))


scopes = st.builds(Scope, professions=names(PROFESSIONS), provinces=names(PROVINCES))


@given(scopes, scopes, scopes)
def test_what_is_met_is_covered_and_nothing_more(one: Scope, other: Scope, third: Scope) -> None:
    both = one.meet(other)
    assert one.covers(both)
    assert other.covers(both)
    assert (one.covers(third) and other.covers(third)) == both.covers(third)
    assert EVERYTHING.covers(one)
    assert one.covers(NOTHING)
    assert one.covers(one)
    if one.covers(other) and other.covers(third):
        assert one.covers(third)


@given(scopes)
def test_names_are_kept_as_they_are(scope: Scope) -> None:
    for found in (scope.professions, scope.provinces):
        assert parse_names(names_text(found)) == found


@pytest.mark.parametrize("names", [{""}, {" a"}, {"a\n"}, {"x" * 65}, {str(number) for number in range(65)}])
def test_a_scope_of_strange_names_is_refused(names: set[str]) -> None:
    for scope in ({"professions": frozenset(names)}, {"provinces": frozenset(names)}):
        with pytest.raises(InvalidInput):
            Scope(**scope)


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope(professions=frozenset({"healer"})), "healer"),
        (Scope(professions=frozenset({"nurse", "clinician"})), "clinician"),
        (Scope(provinces=frozenset({"Atlantis"})), None),
    ],
)
def test_a_scope_names_what_the_deployment_has(scope: Scope, said: str | None, realms: Offices) -> None:
    realms.enrol("nikan", "ministry", realms.of("parsa"), realms.of("akbari"))
    grant = Grant(role=Role.APPROVER, realm="ministry", scope=scope)
    if said is None:  # the pilot names no provinces: any is one
        assert realms.desk.request_role("nikan", grant, realms.of("parsa")).grant == grant
        check_names(Scope(provinces=frozenset({"فارس"})), replace(pilot_identities(), provinces=frozenset({"فارس"})))
        with pytest.raises(InvalidInput):
            check_names(scope, replace(pilot_identities(), provinces=frozenset({"فارس"})))
        return
    with pytest.raises(InvalidInput) as caught:
        realms.desk.request_role("nikan", grant, realms.of("parsa"))
    assert (caught.value.reason, said in caught.value.detail) == ("officer.scope-unknown", True)
    beyond = Realm(id="beyond", parent="ministry", level=Level.UNIVERSITY, name="دانشگاه", scope=scope)
    with pytest.raises(InvalidInput) as caught:
        realms.desk.add_realm(beyond, realms.of("parsa"))
    assert caught.value.reason == "officer.scope-unknown"


LIMIT = Scope(professions=frozenset({"physician", "nurse"}), provinces=frozenset({"تهران"}))
PEOPLE = ("dean", "deputy", "matron", "nikan")


@pytest.fixture
def world(sqlite_database: Database, make_world: WorldMaker) -> World:
    """A deployment in one file, which each example copies."""
    return make_world(sqlite_database)


@pytest.fixture
def university(realms: Offices) -> Offices:
    """Two administrators of a university with less than its scope, and two officers without a role."""
    parsa, akbari = realms.of("parsa"), realms.of("akbari")
    for officer_id in PEOPLE:
        realms.enrol(officer_id, "university", parsa, akbari)
    for officer_id in ("dean", "deputy"):
        realms.grant(officer_id, Role.ADMINISTRATOR, "university", parsa, akbari, LIMIT)
    return realms


steps = st.tuples(
    st.sampled_from(PEOPLE),
    st.sampled_from(PEOPLE),
    st.sampled_from(PEOPLE),
    st.sampled_from((Role.ADMINISTRATOR, Role.APPROVER)),
    st.sampled_from(("ministry", "university", "hospital")),
    scopes | st.just(LIMIT) | st.just(Scope(professions=frozenset({"nurse"}), provinces=frozenset({"تهران"}))),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=1, max_size=12))
def test_no_chain_of_grants_reaches_further_than_its_beginning(
    university: Offices, chain: list[tuple[str, str, str, Role, str, Scope]]
) -> None:
    source = Path(str(university.world.database.engine.url.database))
    with tempfile.TemporaryDirectory() as folder:
        university.world.database.close()
        copy = Path(folder) / "mohr.db"
        shutil.copyfile(source, copy)
        database = open_database(f"sqlite:///{copy}")
        gate = RegisterGate(database, university.world.clock)
        desk = OfficerDesk(database, gate, university.world.clock, university.world.settings.identities)
        by = {officer_id: gate.of_peer(university.certificates[officer_id]) for officer_id in PEOPLE}
        granted = [grant for step in chain for grant in tried(desk, by, *step)]
        realms = {realm.id: realm for realm in desk.realms()}
        for officer in desk.officers():
            if officer.id not in PEOPLE:
                continue
            for held in officer.grants:
                assert held.realm in {"university", "hospital"}
                assert LIMIT.covers(held.scope)
                assert realms[held.realm].scope.covers(reach([realms[held.realm]]).meet(held.scope))
        assert all(LIMIT.covers(grant.scope) for grant in granted)
        database.close()


def tried(
    desk: OfficerDesk,
    by: dict[str, Officer],
    asker: str,
    granter: str,
    officer_id: str,
    role: Role,
    realm: str,
    scope: Scope,
) -> list[Grant]:
    """Try one grant; return it where it came about."""
    grant = Grant(role=role, realm=realm, scope=scope)
    try:
        request = desk.request_role(officer_id, grant, by[asker])
        desk.approve_role(request.id, by[granter])
    except ServiceError:
        return []
    assert len({asker, granter, officer_id}) == 3
    return [request.grant]
