"""Scans, secrets, bulk jobs and alarms: whose role reaches them, by the real gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import insert

from ca.bulk.desk import BulkDesk
from ca.est.secret_desk import SecretDesk
from ca.evidence.desk import EvidenceDesk
from ca.evidence.repository import OF_FILES
from ca.evidence.sealing import KeySealer
from ca.evidence.store import ScanStore
from ca.inventory.desk import InventoryDesk
from ca.inventory.search import Search
from ca.linting.desk import LintDesk
from ca.linting.tables import lint_alarms
from ca.officers.identity import Officer, Role
from ca.officers.scopes import Scope
from ca.profiles import HolderKind
from ca.registration import RegistrationFile
from ca.registration_desk import RegistrationDesk
from ca.registration_states import FileState
from ca.registration_terms import RegistrationTerms
from hsm.soft import UnsafeSoftKeys
from pki.errors import InvalidInput, NotAllowed, NotFound
from tests.ca.officers.conftest import Offices
from tests.ca.world import CITIZEN, CLERK, CLINICIAN, FIRST, SECOND, SETTINGS, SYSTEM, file_json, new_csr

SCAN = b"%PDF-1.7 a scan"
DIGEST = sha256(SCAN).hexdigest()
NAMED = [{"what": "کارت ملی", "sha256": DIGEST}]
IN_TEHRAN = Scope(professions=frozenset({"physician"}), provinces=frozenset({"تهران"}))


@dataclass
class Counter:
    """Desks behind the real gate, and an officer of the university who is limited to physicians of one province."""

    offices: Offices

    def officer(self, role: Role) -> Officer:
        parsa, akbari = self.offices.of("parsa"), self.offices.of("akbari")
        found = self.offices.enrol("nikan", "university", parsa, akbari)
        self.offices.grant("nikan", role, "university", parsa, akbari, IN_TEHRAN)
        return found

    def file(self, realm: str = "university", members: dict[str, Any] = CLINICIAN, **more: Any) -> RegistrationFile:
        data = file_json({**members, **more, "realm": realm, "evidence": NAMED})
        return self.offices.world.authority.submit_file(data, CLERK)

    @property
    def registrations(self) -> RegistrationDesk:
        world = self.offices.world
        return RegistrationDesk(
            world.database, UnsafeSoftKeys(world.clock), SETTINGS, world.clock, gate=self.offices.gate
        )

    @property
    def evidence(self) -> EvidenceDesk:
        world = self.offices.world
        store = ScanStore(OF_FILES, world.clock, KeySealer(lambda: bytes(32)))
        return EvidenceDesk(world.database, self.offices.gate, world.clock, store)

    @property
    def secrets(self) -> SecretDesk:
        return SecretDesk(self.offices.world.database, self.offices.gate, self.offices.world.clock)

    @property
    def bulk(self) -> BulkDesk:
        world = self.offices.world
        return BulkDesk(world.database, world.authority, self.offices.gate, world.clock)

    @property
    def linting(self) -> LintDesk:
        world = self.offices.world
        return LintDesk(world.database, None, world.authority.profiles, world.clock, self.offices.gate)

    def attach(self, file: RegistrationFile, officer: Officer) -> object:
        return self.evidence.attach(file.id, DIGEST, BytesIO(SCAN), officer)

    def show(self, file: RegistrationFile, officer: Officer) -> object:
        return self.evidence.show(file.id, DIGEST, officer)


@pytest.fixture
def counter(realms: Offices) -> Counter:
    return Counter(realms)


Ask = Callable[[Counter, RegistrationFile, Officer], object]
ASKED: dict[str, tuple[Role, Ask]] = {
    "a file": (Role.AUDITOR, lambda counter, file, officer: counter.registrations.show(file.id, officer)),
    "a scan to bring": (Role.REGISTRAR, Counter.attach),
    "a scan to see": (Role.APPROVER, Counter.show),
}
FILES: dict[str, tuple[dict[str, Any], str]] = {
    "that says no province": ({}, "officer.province-unsaid"),
    "of another province": ({"province": "البرز"}, "officer.out-of-province"),
    "of another profession": ({"profession": "nurse", "council_number": "12345"}, "officer.out-of-profession"),
    "of another realm": ({"realm": "ministry", "province": "تهران"}, "officer.out-of-realm"),
}


def reason_of(act: Callable[[], object]) -> str:
    with pytest.raises(NotAllowed) as refusal:
        act()
    return refusal.value.reason


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("asked", ASKED)
def test_a_limited_officer_reaches_no_file(counter: Counter, asked: str, file: str) -> None:
    role, ask = ASKED[asked]
    members, reason = FILES[file]
    found, officer = counter.file(**{"realm": "university"} | members), counter.officer(role)
    assert reason_of(lambda: ask(counter, found, officer)) == reason


def test_what_lies_within_the_role_is_reached(counter: Counter) -> None:
    file, parsa = counter.file(province="تهران"), counter.offices.of("parsa")
    registrar = counter.officer(Role.REGISTRAR)
    counter.attach(file, registrar)
    assert reason_of(lambda: counter.show(file, registrar)) == "officer.no-role"
    counter.offices.grant("nikan", Role.APPROVER, "university", parsa, counter.offices.of("akbari"), IN_TEHRAN)
    counter.show(file, registrar)
    counter.registrations.show(file.id, registrar)
    counter.offices.desk.suspend("nikan", parsa, "on leave")
    assert reason_of(lambda: counter.show(file, registrar)) == "officer.suspended"


def test_an_enrolment_secret_is_handed_out_by_who_may_issue_for_the_file(counter: Counter) -> None:
    file, officer = counter.file("ministry", SYSTEM), counter.officer(Role.ISSUER)
    assert reason_of(lambda: counter.secrets.make(file.id, officer)) == "officer.out-of-realm"
    assert counter.secrets.make(file.id, counter.offices.of("parsa")).file_id == file.id
    assert reason_of(lambda: counter.secrets.make(file.id, CLERK)) == "officer.unknown"


def test_a_job_is_told_of_within_its_realm_and_alarms_to_officers_alone(counter: Counter) -> None:
    parsa, nikan = counter.offices.of("parsa"), counter.officer(Role.AUDITOR)
    job = counter.bulk.start(file_json(CITIZEN), parsa)
    looks: tuple[Callable[[Officer], object], ...] = (
        lambda officer: counter.bulk.show(job.id, officer),
        lambda officer: counter.bulk.page(job.id, officer, after=0, limit=10),
    )
    for look in looks:
        look(parsa)
        for officer, reason in ((nikan, "officer.out-of-realm"), (CLERK, "officer.unknown")):
            with pytest.raises(NotAllowed) as refusal:
                look(officer)
            assert refusal.value.reason == reason
    assert counter.linting.alarms_for(nikan, limit=10) == ()
    assert reason_of(lambda: counter.linting.alarms_for(CLERK, limit=10)) == "officer.unknown"


def test_rows_of_a_job_are_shown_as_far_as_the_role_reaches(counter: Counter) -> None:
    parsa, nikan = counter.offices.of("parsa"), counter.officer(Role.APPROVER)
    provinces = ("تهران", "البرز", None, "تهران", "تهران")
    rows = [
        file_json(
            CLINICIAN | {"realm": "university", "given_name": f"نام {letter}"} | ({"province": one} if one else {})
        )
        for letter, one in zip("ابپتث", provinces, strict=True)
    ]
    rows[3] = b"{half"
    job = counter.bulk.start(b"\n".join(rows), replace(parsa, realm="university"))
    counter.bulk.run(job.id)
    pages = [counter.bulk.page(job.id, nikan, after=after, limit=3) for after in (0, 3)]
    assert [[row.line for row in page.rows] for page in pages] == [[1], [4, 5]]
    assert [page.next for page in pages] == [3, None]
    assert pages[1].rows[0].file_id is None
    widely = counter.bulk.page(job.id, parsa, after=0, limit=10).rows
    assert [row.line for row in widely] == [1, 2, 4, 5]  # the realm's own scope names provinces


def test_alarms_are_shown_and_closed_as_far_as_the_role_reaches(counter: Counter) -> None:
    world, parsa, nikan = counter.offices.world, counter.offices.of("parsa"), counter.officer(Role.AUDITOR)
    serials = []
    for province in ("تهران", "البرز"):
        file = world.authority.submit_file(file_json({**CLINICIAN, "province": province, "realm": "university"}), CLERK)
        for approver in (FIRST, SECOND):
            world.authority.approve(file.id, approver)
        serials.append(world.authority.issue("clin-sign", file.id, new_csr(), "clerk").serial_hex)
    own = next(iter(world.authority.own_certificates())).certificate.serial_hex
    with world.database.begin() as unit:
        for number, serial in enumerate((*serials, own)):
            values: dict[str, Any] = {
                "id": f"a{number}",
                "serial": serial,
                "linter": "x",
                "linter_version": "1",
                "codes": "[]",
            }
            values |= {"severity": "ERROR", "holds": False, "raised_at": world.clock.now()}
            unit.connection.execute(insert(lint_alarms).values(**values))
    assert [alarm.serial_hex for alarm in counter.linting.alarms_for(nikan, limit=10)] == serials[:1]
    assert len(counter.linting.alarms_for(parsa, limit=10)) == 3
    counter.offices.grant("nikan", Role.APPROVER, "ministry", parsa, counter.offices.of("akbari"), IN_TEHRAN)
    assert reason_of(lambda: counter.linting.close_alarm("a1", nikan, "seen")) == "officer.out-of-province"
    assert reason_of(lambda: counter.linting.close_alarm("a2", nikan, "seen")) == "officer.out-of-profession"
    assert counter.linting.close_alarm("a0", nikan, "seen").closed_at is None


def test_certificates_are_shown_where_the_role_reaches_the_realm_of_their_files(counter: Counter) -> None:
    world, gate = counter.offices.world, counter.offices.gate
    parsa, nikan = counter.offices.of("parsa"), counter.officer(Role.REGISTRAR)
    desk = InventoryDesk(world.database, gate, world.clock)
    serials = {}
    for realm, number in (("hospital", "11111"), ("university", "22222"), ("ministry", "33333")):
        file = counter.file(realm, province="تهران", council_number=number)
        for approver in (FIRST, SECOND):
            world.authority.approve(file.id, approver)
        serials[number] = world.authority.issue("clin-sign", file.id, new_csr(), "clerk").serial_hex
    for number in ("11111", "22222"):
        page = desk.search(Search(licence=number), nikan)
        assert [entry.serial for entry in page.entries] == [serials[number]]
        assert desk.show(serials[number], nikan).serial_hex == serials[number]
    assert desk.search(Search(licence="99999"), nikan).entries == ()
    with pytest.raises(NotFound):
        desk.show("ab" * 20, nikan)
    for beyond in (
        lambda: desk.search(Search(licence="33333"), nikan),
        lambda: desk.search(Search(profile="clin-sign"), nikan),
        lambda: desk.show(serials["33333"], nikan),
    ):
        assert reason_of(beyond) == "officer.out-of-realm"
    assert len(desk.search(Search(profile="clin-sign"), parsa).entries) == 3


def test_a_deployment_may_take_no_person_without_a_province(counter: Counter) -> None:
    world = counter.offices.world
    terms = RegistrationTerms(province_kinds=frozenset({HolderKind.CLINICIAN, HolderKind.CITIZEN}))
    keys, gate = UnsafeSoftKeys(world.clock), counter.offices.gate
    desk = RegistrationDesk(world.database, keys, SETTINGS, world.clock, gate=gate, registration=terms)
    parsa = counter.offices.of("parsa")
    for act in (desk.submit_file, desk.draft_file):
        with pytest.raises(InvalidInput) as refusal:
            act(file_json(CITIZEN), parsa)
        assert refusal.value.reason == "file.province-unsaid"
        assert act(file_json({**CITIZEN, "province": "فارس"}), parsa).registration.province == "فارس"
    assert desk.submit_file(file_json(SYSTEM), parsa).registration.province is None


def test_a_list_holds_what_the_roles_cover_page_by_page(counter: Counter) -> None:
    parsa, nikan = counter.offices.of("parsa"), counter.officer(Role.APPROVER)
    made = []
    for number in range(5):
        counter.offices.world.clock.move(seconds=number % 2)  # two at one instant
        made.append(counter.file(province="تهران" if number % 2 else "البرز").id)
    everything, after = [], None
    while True:
        page = counter.registrations.page(parsa, FileState.SUBMITTED, after=after, limit=2)
        everything += [file.id for file in page.files if file.id in made]
        if page.next is None:
            break
        after = page.next
    assert sorted(everything) == sorted(made)
    assert everything[0] in made[3:]
    mine = counter.registrations.page(nikan, FileState.SUBMITTED).files
    assert {file.id for file in mine} == {made[1], made[3]}
    assert counter.registrations.page(nikan, FileState.REFUSED).files == ()
    assert reason_of(lambda: counter.registrations.page(CLERK, None)) == "officer.unknown"
    with pytest.raises(NotFound):
        counter.registrations.page(parsa, None, after="absent")
