from __future__ import annotations

import json
import re
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ca import registration_desk
from ca.officers import desk as desk_module
from ca.officers import gate as gate_module
from ca.officers.gate import RegisterGate
from ca.officers.identity import ROLES_FOR, Act, Officer, Role
from ca.officers.scopes import EVERYTHING, NOTHING, Scope
from ca.officers.statements import PATIENCE, parse_statement, sign_statement
from ca.status.revocation import RevocationReason
from pki.certificates import Certificate
from pki.errors import InvalidInput, NotAllowed, ServiceError
from tests.ca.officers.conftest import CEREMONY, Offices

SUBJECT, DIGEST = "f" * 20, "0" * 64


def reason_of(error: pytest.ExceptionInfo[ServiceError]) -> tuple[str, str]:
    return str(error.value.code), error.value.reason


def signed(offices: Offices, officer_id: str = "akbari", act: str = "registration.approve") -> Officer:
    said = sign_statement(
        offices.keys[officer_id],
        act,
        subject=SUBJECT,
        sha256=DIGEST,
        now=offices.world.clock.now(),
        random=secrets.token_bytes(16),
    )
    return offices.gate.of_statement(said.data, said.signature, offices.certificates[officer_id])


def test_a_certificate_of_the_register_names_its_officer(founded: Offices) -> None:
    officer = founded.of("akbari")
    assert (officer.id, officer.realm) == ("akbari", "ministry")
    founded.allow(officer, Act.REGISTRATION_APPROVE)


def test_a_connection_without_a_certificate_is_nobody(founded: Offices) -> None:
    with pytest.raises(NotAllowed) as error:
        founded.gate.of_peer(None)
    assert reason_of(error) == ("officer-unknown", "officer.no-certificate")


def test_a_good_certificate_that_is_bound_to_nobody_is_nobody(founded: Offices) -> None:
    with pytest.raises(NotAllowed) as error:
        founded.gate.of_peer(founded.certify("stranger"))
    assert reason_of(error) == ("officer-unknown", "officer.unknown")


def test_a_claimed_name_is_refused_by_every_act(founded: Offices) -> None:
    for act in Act:
        with pytest.raises(NotAllowed) as error:
            founded.allow(Officer(id="akbari"), act)
        assert reason_of(error) == ("officer-unknown", "officer.unknown")


def test_another_officer_s_certificate_does_not_lend_a_name(founded: Offices) -> None:
    with pytest.raises(NotAllowed) as error:
        founded.allow(replace(founded.of("akbari"), id="bahrami"), Act.REGISTRATION_APPROVE)
    assert reason_of(error) == ("officer-unknown", "officer.unknown")


@pytest.mark.parametrize("late", [False, True])
def test_a_revoked_certificate_is_nobody_even_when_it_was_asked_before(founded: Offices, late: bool) -> None:
    officer = founded.of("akbari")
    serial = Certificate.parse(founded.certificates["akbari"]).serial_hex
    founded.world.authority.revoke(serial, RevocationReason.KEY_COMPROMISE, CEREMONY)
    with pytest.raises(NotAllowed) as error:
        founded.allow(officer, Act.REGISTRATION_APPROVE) if late else founded.of("akbari")
    assert reason_of(error) == ("officer-unknown", "officer.certificate-revoked")


def test_a_certificate_on_hold_and_one_out_of_time_are_nobody(founded: Offices) -> None:
    serial = Certificate.parse(founded.certificates["akbari"]).serial_hex
    founded.world.authority.hold(serial, CEREMONY)
    with pytest.raises(NotAllowed) as error:
        founded.of("akbari")
    assert reason_of(error) == ("officer-unknown", "officer.certificate-held")
    founded.world.clock.move(days=3 * 366)
    with pytest.raises(NotAllowed) as error:
        founded.of("bahrami")
    assert reason_of(error) == ("officer-unknown", "officer.certificate-expired")


def test_a_suspended_officer_is_stopped_at_the_door_and_in_the_transaction(founded: Offices) -> None:
    officer = founded.of("akbari")
    founded.desk.suspend("akbari", founded.of("parsa"), "on leave")
    for attempt in (lambda: founded.of("akbari"), lambda: founded.allow(officer, Act.REGISTRATION_APPROVE)):
        with pytest.raises(NotAllowed) as error:
            attempt()
        assert reason_of(error) == ("officer-suspended", "officer.suspended")
    founded.desk.restore("akbari", founded.of("parsa"))
    founded.allow(founded.of("akbari"), Act.REGISTRATION_APPROVE)


def test_a_role_that_is_lost_half_way_decides_nothing(founded: Offices) -> None:
    officer = founded.of("akbari")
    founded.desk.remove_role("akbari", Role.APPROVER, "ministry", founded.of("parsa"))
    with pytest.raises(NotAllowed) as error:
        founded.allow(officer, Act.REGISTRATION_APPROVE)
    assert reason_of(error) == ("not-allowed", "officer.no-role")


@pytest.mark.parametrize("loss", ["role", "suspension", "certificate"])
def test_whoever_takes_a_right_away_waits_for_what_was_decided_by_it(founded: Offices, loss: str) -> None:
    """The gate's reading holds until its transaction ends: nothing is decided by a right that was gone before."""
    officer, parsa, database = founded.of("akbari"), founded.of("parsa"), founded.world.database
    serial = Certificate.parse(founded.certificates["akbari"]).serial_hex
    allowed, go_on, order = threading.Event(), threading.Event(), []

    def decide() -> None:
        with database.begin() as unit:
            founded.gate.allow(officer, Act.REGISTRATION_APPROVE, EVERYTHING, unit)
            allowed.set()
            go_on.wait(10)
            order.append("decided")

    def take_away() -> None:
        if loss == "role":
            founded.desk.remove_role("akbari", Role.APPROVER, "ministry", parsa)
        elif loss == "suspension":
            founded.desk.suspend("akbari", parsa, "on leave")
        else:
            founded.world.authority.hold(serial, CEREMONY)
        order.append("taken")

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(decide)]
        assert allowed.wait(10)
        both.append(pool.submit(take_away))
        time.sleep(0.2)  # for whoever would not wait
        go_on.set()
        for one in both:
            one.result()
    assert order == ["decided", "taken"]
    with pytest.raises(NotAllowed):
        founded.allow(officer, Act.REGISTRATION_APPROVE)


@pytest.mark.parametrize("role", Role)
def test_each_role_allows_its_acts_and_no_others(offices: Offices, role: Role) -> None:
    """The matrix of who may do what; docs/officers.md shows it."""
    officer = offices.found("one", role)
    for act in Act:
        if role in ROLES_FOR[act]:
            offices.allow(officer, act)
            continue
        with pytest.raises(NotAllowed) as error:
            offices.allow(officer, act)
        assert reason_of(error) == ("not-allowed", "officer.no-role"), act


def test_every_act_has_its_roles() -> None:
    assert set(ROLES_FOR) == set(Act)
    assert all(ROLES_FOR.values())


PHYSICIAN_IN_TEHRAN = Scope(professions=frozenset({"physician"}), provinces=frozenset({"تهران"}))


@pytest.mark.parametrize(
    ("scope", "realm", "reason"),
    [
        (PHYSICIAN_IN_TEHRAN, "university", None),
        (PHYSICIAN_IN_TEHRAN, "hospital", None),
        (NOTHING, "university", None),
        (PHYSICIAN_IN_TEHRAN, "ministry", "officer.out-of-realm"),
        (PHYSICIAN_IN_TEHRAN, None, "officer.out-of-realm"),
        (replace(PHYSICIAN_IN_TEHRAN, professions=frozenset({"nurse"})), "university", "officer.out-of-profession"),
        (replace(PHYSICIAN_IN_TEHRAN, professions=frozenset({"citizen"})), "university", "officer.out-of-profession"),
        (replace(PHYSICIAN_IN_TEHRAN, professions=None), "university", "officer.out-of-profession"),
        (replace(PHYSICIAN_IN_TEHRAN, provinces=frozenset({"البرز"})), "hospital", "officer.out-of-province"),
        (replace(PHYSICIAN_IN_TEHRAN, provinces=frozenset({"فارس"})), "university", "officer.out-of-province"),
        (replace(PHYSICIAN_IN_TEHRAN, provinces=None), "university", "officer.province-unsaid"),
        (EVERYTHING, "university", "officer.out-of-profession"),
    ],
)
def test_a_role_reaches_as_far_as_its_realm_professions_and_provinces(
    realms: Offices, scope: Scope, realm: str | None, reason: str | None
) -> None:
    parsa, akbari = realms.of("parsa"), realms.of("akbari")
    officer = realms.enrol("nikan", "university", parsa, akbari)
    limit = Scope(professions=frozenset({"physician"}), provinces=frozenset({"تهران", "البرز"}))
    realms.grant("nikan", Role.APPROVER, "university", parsa, akbari, limit)
    if reason is None:
        realms.allow(officer, Act.REGISTRATION_APPROVE, scope, realm)
        return
    with pytest.raises(NotAllowed) as error:
        realms.allow(officer, Act.REGISTRATION_APPROVE, scope, realm)
    assert reason_of(error) == ("scope-exceeded", reason)


def test_the_ceremony_acts_where_no_officer_is(offices: Offices) -> None:
    offices.allow(CEREMONY, Act.OFFICER_ENROL)


# -- statements -----------------------------------------------------------------------------------


def allow_signed(
    offices: Offices, officer: Officer, act: Act = Act.REGISTRATION_APPROVE, subject: str = SUBJECT
) -> None:
    with offices.world.database.begin() as unit:
        offices.gate.allow(officer, act, EVERYTHING, unit, subject=subject, digest=DIGEST)


def test_a_signed_statement_decides_once_what_it_says(founded: Offices) -> None:
    officer = signed(founded)
    assert officer.id == "akbari"
    allow_signed(founded, officer)
    with pytest.raises(NotAllowed) as error:
        allow_signed(founded, officer)
    assert reason_of(error) == ("officer-unknown", "officer.statement-used")


def test_a_statement_about_something_else_decides_nothing(founded: Offices) -> None:
    officer = signed(founded)
    for act, subject in ((Act.REGISTRATION_REFUSE, SUBJECT), (Act.REGISTRATION_APPROVE, "another")):
        with pytest.raises(NotAllowed) as error:
            allow_signed(founded, officer, act, subject)
        assert reason_of(error) == ("officer-unknown", "officer.statement-differs")
    allow_signed(founded, officer)  # a refused use does not use it up


@pytest.mark.parametrize("by", [PATIENCE + timedelta(seconds=1), -PATIENCE - timedelta(seconds=1)])
def test_a_statement_of_another_time_is_refused(founded: Offices, by: timedelta) -> None:
    clock = founded.world.clock
    said = sign_statement(founded.keys["akbari"], "registration.approve", now=clock.now() + by, random=bytes(16))
    with pytest.raises(NotAllowed) as error:
        founded.gate.of_statement(said.data, said.signature, founded.certificates["akbari"])
    assert reason_of(error) == ("officer-unknown", "officer.statement-stale")


def test_a_statement_that_waited_too_long_for_its_transaction_is_refused(founded: Offices) -> None:
    officer = signed(founded)
    founded.world.clock.move(seconds=PATIENCE.total_seconds() + 1)
    with pytest.raises(NotAllowed) as error:
        allow_signed(founded, officer)
    assert reason_of(error) == ("officer-unknown", "officer.statement-stale")


def test_a_signature_of_another_key_or_over_other_octets_is_refused(founded: Offices) -> None:
    said = sign_statement(
        founded.keys["bahrami"], "registration.approve", now=founded.world.clock.now(), random=bytes(16)
    )
    changed = said.data.replace(b"registration.approve", b"registration.refuse!")
    for data, certificate in ((said.data, "akbari"), (changed, "bahrami")):
        with pytest.raises(NotAllowed) as error:
            founded.gate.of_statement(data, said.signature, founded.certificates[certificate])
        assert reason_of(error) == ("officer-unknown", "officer.signature-wrong")


def test_a_statement_is_read_strictly() -> None:
    good = {"format": "mohr-decision/1", "act": "a", "subject": "", "sha256": "", "at": "2026-11-22T09:00:00Z"}
    good["nonce"] = "A" * 22
    octets = json.dumps(good, sort_keys=True, separators=(",", ":")).encode()
    assert parse_statement(octets).octets() == octets
    for change in (
        {"format": "mohr-decision/2"},
        {"nonce": "A" * 21},
        {"sha256": "F" * 64},
        {"at": "yesterday"},
        {"more": "x"},
        {"act": 1},
    ):
        with pytest.raises(InvalidInput):
            parse_statement(json.dumps(good | change, sort_keys=True, separators=(",", ":")).encode())
    for data in (json.dumps(good).encode(), b"[]", b"", b"{" * 5000):
        with pytest.raises(InvalidInput):
            parse_statement(data)


def test_a_gate_of_another_server_sees_a_used_statement(founded: Offices) -> None:
    officer = signed(founded)
    allow_signed(founded, officer)
    other = RegisterGate(founded.world.database, founded.world.clock)
    with founded.world.database.begin() as unit, pytest.raises(NotAllowed) as error:
        other.allow(officer, Act.REGISTRATION_APPROVE, EVERYTHING, unit, subject=SUBJECT, digest=DIGEST)
    assert reason_of(error) == ("officer-unknown", "officer.statement-used")


def test_the_table_in_the_docs_is_what_the_program_does() -> None:
    text = (Path(__file__).parents[3] / "docs" / "officers.md").read_text(encoding="utf-8")
    rows = [
        line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| (`[a-z]+\.[a-z-]+`|act) \|", line)
    ]
    header, *cells = rows
    assert header[1:] == [role.value for role in Role]
    shown = {
        row[0].strip("`"): {role for role, cell in zip(header[1:], row[1:], strict=True) if cell == "yes"}
        for row in cells
    }
    assert shown == {act.value: {role.value for role in ROLES_FOR[act]} for act in Act}


def test_every_reason_of_the_gate_and_the_desk_is_in_the_docs() -> None:
    text = (Path(__file__).parents[3] / "docs" / "officers.md").read_text(encoding="utf-8")
    for module in (gate_module, desk_module, registration_desk):
        for reason in re.findall(r'"(officer\.[a-z-]+)"', Path(str(module.__file__)).read_text(encoding="utf-8")):
            assert f"`{reason}`" in text, reason
