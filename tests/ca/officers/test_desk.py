from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ca.errors import FourEyesRequired, IllegalTransition
from ca.officers.identity import Act, Officer, Role
from ca.officers.realms import Level, Realm
from ca.officers.records import Grant, OfficerState, RequestState
from ca.officers.scopes import Scope
from pki.errors import Conflict, InvalidInput, NotAllowed, NotFound, ServiceError
from tests.ca.officers.conftest import Offices
from tests.ca.world import SYSTEM, new_csr

NURSES = Scope(professions=frozenset({"nurse"}), provinces=frozenset({"تهران"}))


def test_three_officers_are_founded_and_no_fourth(founded: Offices) -> None:
    assert [officer.id for officer in founded.desk.officers()] == ["akbari", "bahrami", "parsa"]
    with pytest.raises(Conflict):
        founded.found("fourth", Role.ADMINISTRATOR)


def test_founding_is_the_ceremony_s_alone(offices: Offices) -> None:
    der = offices.certify("one", unapproved=True)
    with pytest.raises(NotAllowed):
        offices.desk.found("one", "یک", der, (Role.ADMINISTRATOR,), Officer(id="mohr init"))


def test_an_enrolled_officer_may_do_nothing_before_a_role_is_granted(founded: Offices) -> None:
    nikan = founded.enrol("nikan", "ministry", founded.of("parsa"), founded.of("akbari"))
    for act in Act:
        with pytest.raises(NotAllowed) as error:
            founded.allow(nikan, act)
        assert error.value.reason == "officer.no-role"
    founded.grant("nikan", Role.REGISTRAR, "ministry", founded.of("parsa"), founded.of("akbari"))
    founded.allow(nikan, Act.REGISTRATION_SUBMIT)


def test_a_role_needs_two_administrators_who_are_not_its_officer(founded: Offices) -> None:
    desk, parsa, akbari = founded.desk, founded.of("parsa"), founded.of("akbari")
    founded.enrol("nikan", "ministry", parsa, akbari)
    grant = Grant(role=Role.APPROVER, realm="ministry")
    request = desk.request_role("nikan", grant, parsa)
    with pytest.raises(FourEyesRequired) as error:
        desk.approve_role(request.id, parsa)
    assert error.value.reason == "officer.submitted-it"
    with pytest.raises(FourEyesRequired) as error:
        desk.request_role("parsa", grant, parsa)
    assert error.value.reason == "officer.own-role"
    own = desk.request_role("akbari", grant, parsa)
    with pytest.raises(FourEyesRequired) as error:
        desk.approve_role(own.id, akbari)
    assert error.value.reason == "officer.own-role"
    assert desk.approve_role(request.id, akbari).state is RequestState.GRANTED
    assert desk.refuse_role(own.id, akbari).state is RequestState.REFUSED
    for decide in (desk.approve_role, desk.refuse_role):
        with pytest.raises(IllegalTransition):
            decide(request.id, founded.of("bahrami"))
    assert desk.requests() == ()


def test_two_administrators_who_decide_at_once_leave_one_decision(founded: Offices) -> None:
    parsa, akbari = founded.of("parsa"), founded.of("akbari")
    founded.enrol("nikan", "ministry", parsa, akbari)
    request = founded.desk.request_role("nikan", Grant(role=Role.APPROVER, realm="ministry"), parsa)

    def decide(act: Callable[[str, Officer], object], by: Officer) -> str:
        try:
            act(request.id, by)
        except ServiceError as error:
            return str(error.code)
        return "decided"

    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(decide, founded.desk.approve_role, akbari),
            pool.submit(decide, founded.desk.refuse_role, founded.of("bahrami")),
        ]
        assert sorted(one.result() for one in both) == ["decided", "state-illegal"]


def test_nobody_grants_more_than_they_may_themselves(realms: Offices) -> None:
    desk, parsa, akbari = realms.desk, realms.of("parsa"), realms.of("akbari")
    dean = realms.enrol("dean", "university", parsa, akbari)
    deputy = realms.enrol("deputy", "university", parsa, akbari)
    realms.enrol("nikan", "hospital", parsa, akbari)
    for officer_id in ("dean", "deputy"):
        realms.grant(officer_id, Role.ADMINISTRATOR, "university", parsa, akbari, NURSES)
    wide = Grant(role=Role.APPROVER, realm="hospital", scope=Scope(professions=None, provinces=frozenset({"تهران"})))
    with pytest.raises(NotAllowed) as error:
        desk.request_role("nikan", wide, dean)
    assert error.value.reason == "officer.out-of-profession"
    with pytest.raises(NotAllowed) as error:
        desk.request_role("nikan", Grant(role=Role.APPROVER, realm="ministry", scope=NURSES), dean)
    assert error.value.reason == "officer.out-of-realm"
    physicians = Scope(professions=frozenset({"physician"}), provinces=frozenset({"تهران"}))
    asked = desk.request_role("nikan", Grant(role=Role.APPROVER, realm="hospital", scope=physicians), parsa)
    with pytest.raises(NotAllowed) as error:
        desk.approve_role(asked.id, deputy)
    assert error.value.reason == "officer.out-of-profession"
    realms.grant("nikan", Role.APPROVER, "hospital", dean, deputy, NURSES)
    realms.allow(realms.of("nikan"), Act.REGISTRATION_APPROVE, NURSES, "hospital")


def test_a_hospital_s_administrator_has_no_say_over_the_ministry(realms: Offices) -> None:
    parsa, akbari = realms.of("parsa"), realms.of("akbari")
    matron = realms.enrol("matron", "hospital", parsa, akbari)
    realms.grant("matron", Role.ADMINISTRATOR, "hospital", parsa, akbari, NURSES)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: realms.desk.suspend("akbari", matron, "why not"),
        lambda: realms.desk.remove_role("akbari", Role.APPROVER, "ministry", matron),
        lambda: realms.desk.enrol("friend", "یک دوست", None, "university", matron),
        lambda: realms.desk.bind("akbari", realms.certificates["matron"], matron),
    )
    for attempt in attempts:
        with pytest.raises(NotAllowed) as error:
            attempt()
        assert error.value.reason == "officer.out-of-realm"


def test_a_realm_lies_within_its_parent(realms: Offices) -> None:
    parsa = realms.of("parsa")
    for realm in (
        Realm(id="faculty", parent="university", level=Level.UNIVERSITY, name="دانشکده", scope=NURSES),
        Realm(id="ward", parent="hospital", level=Level.HOSPITAL, name="بخش", scope=NURSES),
    ):
        with pytest.raises(InvalidInput) as error:
            realms.desk.add_realm(realm, parsa)
        assert error.value.reason == "realm.level"
    wide = Scope(professions=frozenset({"nurse", "pharmacist"}))
    with pytest.raises(InvalidInput) as error:
        realms.desk.add_realm(
            Realm(id="clinic", parent="university", level=Level.HOSPITAL, name="درمانگاه", scope=wide), parsa
        )
    assert (error.value.code, error.value.reason) == ("scope-exceeded", "realm.scope")
    with pytest.raises(Conflict):
        realms.desk.add_realm(
            Realm(id="hospital", parent="university", level=Level.HOSPITAL, name="ب", scope=NURSES), parsa
        )
    with pytest.raises(NotFound):
        realms.desk.add_realm(Realm(id="x", parent="absent", level=Level.HOSPITAL, name="ب"), parsa)
    with pytest.raises(InvalidInput):
        realms.desk.add_realm(Realm(id="second", parent=None, level=Level.MINISTRY, name="دوم"), parsa)


def test_what_a_realm_or_a_role_does_not_name_is_as_the_realm_above_has_it(realms: Offices) -> None:
    parsa, nurses = realms.of("parsa"), frozenset({"nurse"})
    clinic = realms.desk.add_realm(
        Realm(
            id="clinic",
            parent="university",
            level=Level.HOSPITAL,
            name="درمانگاه",
            scope=Scope(provinces=frozenset({"البرز"})),
        ),
        parsa,
    )
    assert clinic.scope == Scope(professions=frozenset({"physician", "nurse"}), provinces=frozenset({"البرز"}))
    assert clinic in realms.desk.realms()
    realms.enrol("matron", "university", parsa, realms.of("akbari"))
    for realm, scope, held in (
        ("clinic", Scope(professions=nurses), Scope(professions=nurses, provinces=frozenset({"البرز"}))),
        ("clinic", Scope(), clinic.scope),
        ("ministry", Scope(professions=nurses), Scope(professions=nurses)),
    ):
        grant = Grant(role=Role.REGISTRAR, realm=realm, scope=scope)
        assert realms.desk.request_role("matron", grant, parsa).grant.scope == held
    realms.grant("matron", Role.ADMINISTRATOR, "university", parsa, realms.of("akbari"), Scope(professions=nurses))
    nikan = Grant(role=Role.REGISTRAR, realm="university")
    realms.desk.enrol("nikan", "یک کارمند", None, "university", parsa)
    with pytest.raises(NotAllowed) as refused:  # not everything that the realm has is the administrator's to give
        realms.desk.request_role("nikan", nikan, realms.of("matron"))
    assert refused.value.reason == "officer.out-of-profession"


def test_a_certificate_is_bound_to_whom_it_was_issued_to(founded: Offices) -> None:
    desk, parsa, akbari = founded.desk, founded.of("parsa"), founded.of("akbari")
    desk.enrol("nikan", "یک کارمند", None, "ministry", parsa)
    with pytest.raises(InvalidInput) as error:
        desk.bind("nikan", founded.certify("somebody-else"), parsa)
    assert error.value.code == "identity-differs"
    with pytest.raises(NotAllowed) as refused:
        desk.bind("nikan", founded.certify("nikan", unapproved=True), parsa)
    assert refused.value.reason == "officer.certificate-unapproved"
    good = founded.certify("nikan")
    with pytest.raises(NotFound):
        desk.bind("nikan", good[:-1] + bytes([good[-1] ^ 1]), parsa)
    desk.bind("nikan", good, akbari)
    with pytest.raises(Conflict):
        desk.bind("nikan", good, akbari)
    with pytest.raises(FourEyesRequired):
        desk.bind("parsa", founded.certify("parsa"), parsa)


def test_a_system_that_bears_an_officer_s_name_is_not_the_officer(founded: Offices) -> None:
    world = founded.world
    file = world.approved(SYSTEM | {"common_name": "nikan"})
    founded.desk.enrol("nikan", "یک کارمند", None, "ministry", founded.of("parsa"))
    login = world.authority.issue("infosys", file.id, new_csr(), "clerk").der
    with pytest.raises(InvalidInput) as error:
        founded.desk.bind("nikan", login, founded.of("akbari"))
    assert error.value.code == "identity-differs"


def test_a_certificate_for_signing_proves_no_officer(founded: Offices) -> None:
    world = founded.world
    file = world.approved()
    signing = world.activated(world.authority.issue("clin-sign", file.id, new_csr(), "clerk")).der
    founded.desk.enrol("doctor", "یک پزشک", "0000012343", "ministry", founded.of("parsa"))
    with pytest.raises(NotAllowed) as error:
        founded.desk.bind("doctor", signing, founded.of("parsa"))
    assert error.value.reason == "officer.certificate-purpose"
    login = world.activated(world.authority.issue("clin-auth", file.id, new_csr(), "clerk")).der
    founded.desk.bind("doctor", login, founded.of("parsa"))
    assert founded.gate.of_peer(login).national_code == "0000012343"


def test_a_suspension_says_why_and_once(founded: Offices) -> None:
    desk, parsa = founded.desk, founded.of("parsa")
    for reason in ("", "  ", "x" * 257, "a\x00b"):
        with pytest.raises(InvalidInput):
            desk.suspend("akbari", parsa, reason)
    assert desk.suspend("akbari", parsa, "on leave").state is OfficerState.SUSPENDED
    with pytest.raises(IllegalTransition):
        desk.suspend("akbari", parsa, "again")
    with pytest.raises(NotFound):
        desk.suspend("absent", parsa, "why")
    with pytest.raises(NotAllowed):
        desk.restore("akbari", Officer(id="akbari"))
    assert desk.restore("akbari", parsa).state is OfficerState.ACTIVE
