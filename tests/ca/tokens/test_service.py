"""The life of a connection token: four eyes, three lights, a key made at the centre, holds, the end."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ca.officers.identity import Officer
from ca.registration import KeyStorage
from ca.status.revocation import CertificateState
from ca.tokens import repository
from ca.tokens.life_cycle import TokenState
from ca.tokens.lights import Answer
from ca.tokens.registry_file import default_centres
from hsm.soft import UnsafeSoftKey
from pki.certificates import Certificate
from pki.csr import build_csr
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, NotFound, ServiceError, Unavailable
from pki.keys import SignatureAlgorithm
from pki.oids import OidArc
from tests.support.exchange import (
    CLERK,
    CLINIC,
    CLINIC_SYSTEM,
    FIRST,
    PHARMACY,
    PHARMACY_SYSTEM,
    SECOND,
    START,
    Exchange,
)


def new_csr() -> bytes:
    return build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "whatever the centre wishes")


def requested(exchange: Exchange) -> str:
    return exchange.service.request(CLINIC, CLINIC_SYSTEM, KeyStorage.SOFTWARE, CLERK).id


def code_of(error: pytest.ExceptionInfo[ServiceError]) -> ErrorCode:
    return error.value.code


# -- asking ------------------------------------------------------------------------------------------


def test_a_requested_token_shows_its_three_lights_and_may_nothing_yet(exchange: Exchange) -> None:
    status = exchange.service.status(requested(exchange)).document()
    assert (status["state"], status["medium"], status["certificate"]) == ("requested", "software", None)
    assert [(light["kind"], light["state"], light["source"]) for light in status["lights"]] == [
        ("operating-licence", "ok", "pilot registry"),
        ("siam-id", "ok", "pilot registry"),
        ("certified-system", "ok", "pilot registry"),
    ]
    assert status["lights"][0]["valid_until"] == "2027-11-22T09:00:00Z"


def test_a_centre_that_the_registry_does_not_know_cannot_ask(exchange: Exchange) -> None:
    with pytest.raises(NotAllowed) as error:
        exchange.service.request("unknown-centre", CLINIC_SYSTEM, KeyStorage.SOFTWARE, CLERK)
    assert code_of(error) is ErrorCode.GATE_CLOSED


def test_a_silent_registry_is_not_a_no(exchange: Exchange) -> None:
    exchange.silence()
    with pytest.raises(Unavailable) as error:
        exchange.service.request(CLINIC, CLINIC_SYSTEM, KeyStorage.SOFTWARE, CLERK)
    assert code_of(error) is ErrorCode.REGISTRY_SILENT


@pytest.mark.parametrize(
    ("siam_id", "system_id"), [("x", CLINIC_SYSTEM), (CLINIC, ""), (CLINIC, "a b"), (CLINIC, "x" * 65)]
)
def test_malformed_ids_are_refused(exchange: Exchange, siam_id: str, system_id: str) -> None:
    with pytest.raises(InvalidInput):
        exchange.service.request(siam_id, system_id, KeyStorage.SOFTWARE, CLERK)


# -- four eyes ---------------------------------------------------------------------------------------


def test_two_officers_who_did_not_ask_approve(exchange: Exchange) -> None:
    token_id = requested(exchange)
    with pytest.raises(NotAllowed) as error:
        exchange.service.approve(token_id, CLERK)
    assert code_of(error) is ErrorCode.FOUR_EYES
    assert exchange.service.approve(token_id, FIRST).state is TokenState.REQUESTED
    with pytest.raises(NotAllowed):
        exchange.service.approve(token_id, FIRST)
    assert exchange.service.approve(token_id, SECOND).state is TokenState.APPROVED
    with pytest.raises(Conflict):
        exchange.service.approve(token_id, Officer(id="a third officer"))
    action, facts = exchange.events(token_id)[-1]
    assert (action, facts["actor"]) == ("token.approved", f"{FIRST.id},{SECOND.id}")


def test_nothing_is_activated_before_two_approvals(exchange: Exchange) -> None:
    token_id = requested(exchange)
    exchange.service.approve(token_id, FIRST)
    with pytest.raises(NotAllowed) as error:
        exchange.service.activate(token_id, new_csr(), CLERK)
    assert code_of(error) is ErrorCode.NOT_APPROVED


def test_an_approval_that_a_crash_cut_off_is_found_again(exchange: Exchange) -> None:
    token_id = requested(exchange)
    exchange.service.approve(token_id, FIRST)
    exchange.authority.approve(token_id, SECOND)  # and the token's own row was never written
    assert exchange.service.activate(token_id, new_csr(), CLERK).token.state is TokenState.ACTIVE


# -- activation --------------------------------------------------------------------------------------


def test_activation_issues_a_certificate_of_the_centre_for_its_own_key(exchange: Exchange) -> None:
    key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    token_id = exchange.approved()
    activation = exchange.service.activate(token_id, build_csr(key, "wish"), CLERK)
    certificate = Certificate.parse(activation.certificate_der)
    assert certificate.public_key == key.public_key()
    assert certificate.san_other_names == ((OidArc().connection_token, token_id),)
    assert certificate.subject_attribute("2.5.4.10") == "درمانگاه آزمایشی مهر"
    assert certificate.extended_key_usage == ("1.3.6.1.5.5.7.3.2",)
    bound = activation.token.certificate
    assert bound is not None
    assert (bound.serial, bound.sha256, bound.spki) == (
        certificate.serial_hex,
        certificate.sha256,
        certificate.spki_der,
    )
    action, facts = exchange.events(token_id)[-1]
    assert (action, facts["certificate"], facts["state"]) == ("token.activated", certificate.serial_hex, "active")


def test_a_software_key_gets_a_shorter_certificate_than_a_hardware_key(exchange: Exchange) -> None:
    ends = []
    for medium in (KeyStorage.SOFTWARE, KeyStorage.HARDWARE):
        token = exchange.service.request(CLINIC, CLINIC_SYSTEM, medium, CLERK)
        exchange.service.approve(token.id, FIRST)
        exchange.service.approve(token.id, SECOND)
        ends.append(Certificate.parse(exchange.service.activate(token.id, new_csr(), CLERK).certificate_der).not_after)
    assert (ends[0] - START).days == 89
    assert (ends[1] - START).days >= 360


@pytest.mark.parametrize("light", ["operating_licence", "siam", CLINIC_SYSTEM])
def test_no_certificate_is_issued_while_a_light_says_no(exchange: Exchange, light: str) -> None:
    token_id = exchange.approved()
    exchange.say(CLINIC, light, state="failed")
    with pytest.raises(NotAllowed) as error:
        exchange.service.activate(token_id, new_csr(), CLERK)
    assert code_of(error) is ErrorCode.GATE_CLOSED
    assert not exchange.authority.certificates(file_id=token_id)
    exchange.say(CLINIC, light, state="ok")
    assert exchange.service.activate(token_id, new_csr(), CLERK).token.state is TokenState.ACTIVE


def test_a_new_right_needs_fresh_answers(exchange: Exchange) -> None:
    token_id = exchange.approved()
    exchange.silence()
    exchange.clock.move(timedelta(days=2))
    with pytest.raises(Unavailable) as error:
        exchange.service.activate(token_id, new_csr(), CLERK)
    assert code_of(error) is ErrorCode.REGISTRY_SILENT


def test_a_light_that_was_never_answered_lets_nobody_in(exchange: Exchange) -> None:
    exchange.say(CLINIC, "siam", state="silent")
    token_id = exchange.approved()
    with pytest.raises(Unavailable):
        exchange.service.activate(token_id, new_csr(), CLERK)


def test_a_token_is_activated_once(exchange: Exchange) -> None:
    clinic = exchange.centre()
    with pytest.raises(Conflict):
        exchange.service.activate(clinic.client_id, new_csr(), CLERK)


@pytest.mark.parametrize(("siam_id", "system_id"), [(CLINIC, CLINIC_SYSTEM), (PHARMACY, PHARMACY_SYSTEM)])
def test_one_key_serves_one_token(exchange: Exchange, siam_id: str, system_id: str) -> None:
    clinic = exchange.centre()
    second = exchange.approved(siam_id, system_id)
    with pytest.raises(Conflict) as error:
        exchange.service.activate(second, build_csr(clinic.key, "wish"), CLERK)
    assert code_of(error) is ErrorCode.KEY_REFUSED
    assert exchange.service.get(second).state is TokenState.APPROVED


def test_a_race_for_one_key_leaves_no_certificate_without_a_token(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic, second = exchange.centre(), exchange.approved()
    monkeypatch.setattr(repository, "find_by_key", lambda *_arguments: None)  # as if the other came a moment later
    with pytest.raises(Conflict):
        exchange.service.activate(second, build_csr(clinic.key, "wish"), CLERK)
    (orphan,) = exchange.authority.certificates(file_id=second)
    assert orphan.state is CertificateState.REVOKED
    assert exchange.service.get(second).state is TokenState.APPROVED


@pytest.mark.parametrize("csr", [b"", b"nonsense", b"\x30" * 40_000])
def test_a_bad_request_for_a_certificate_is_a_coded_error(exchange: Exchange, csr: bytes) -> None:
    with pytest.raises(InvalidInput):
        exchange.service.activate(exchange.approved(), csr, CLERK)


@pytest.mark.parametrize("token_id", ["nobody", "", "a\0b", "\ud800", "توکن", "x" * 5000])
def test_a_token_that_is_not_there_is_not_found(exchange: Exchange, token_id: str) -> None:
    service = exchange.service
    for act in (
        lambda: service.get(token_id),
        lambda: service.status(token_id),
        lambda: service.refresh(token_id),
        lambda: service.approve(token_id, FIRST),
        lambda: service.activate(token_id, new_csr(), CLERK),
        lambda: service.suspend(token_id, FIRST, "why"),
        lambda: service.restore(token_id, FIRST),
        lambda: service.terminate(token_id, FIRST),
    ):
        with pytest.raises(NotFound):
            act()


# -- holds and the end -------------------------------------------------------------------------------


def test_a_hold_suspends_and_its_lifting_restores(exchange: Exchange) -> None:
    clinic, service = exchange.centre(), exchange.service
    held = service.suspend(clinic.client_id, FIRST, "  stolen   laptop ")
    assert held.hold is not None
    assert (held.state, held.hold.reason, held.hold.by) == (TokenState.SUSPENDED, "stolen laptop", FIRST.id)
    with pytest.raises(Conflict):
        service.suspend(clinic.client_id, FIRST, "again")
    restored = service.restore(clinic.client_id, SECOND)
    assert (restored.state, restored.hold) == (TokenState.ACTIVE, None)
    with pytest.raises(Conflict):
        service.restore(clinic.client_id, SECOND)
    assert clinic.ask().status == 200


def test_cured_lights_do_not_lift_a_hold_nor_the_other_way_round(exchange: Exchange) -> None:
    clinic, service = exchange.centre(), exchange.service
    service.suspend(clinic.client_id, FIRST, "stolen laptop")
    exchange.say(CLINIC, "siam", state="failed")
    service.sweep()
    assert service.restore(clinic.client_id, SECOND).state is TokenState.SUSPENDED
    service.suspend(clinic.client_id, FIRST, "still stolen")
    exchange.say(CLINIC, "siam", state="ok")
    service.sweep()
    assert service.get(clinic.client_id).state is TokenState.SUSPENDED
    assert service.restore(clinic.client_id, SECOND).state is TokenState.ACTIVE


@pytest.mark.parametrize("reason", ["", "   ", "x" * 257, "written \u202esdrawkcab"])
def test_a_hold_says_why(exchange: Exchange, reason: str) -> None:
    clinic = exchange.centre()
    with pytest.raises(InvalidInput):
        exchange.service.suspend(clinic.client_id, FIRST, reason)


def test_a_token_that_is_not_in_force_cannot_be_held(exchange: Exchange) -> None:
    with pytest.raises(Conflict):
        exchange.service.suspend(exchange.approved(), FIRST, "why")


def test_the_end_revokes_the_certificate_and_nothing_comes_back(exchange: Exchange) -> None:
    clinic, service = exchange.centre(), exchange.service
    service.suspend(clinic.client_id, FIRST, "closing")
    assert service.terminate(clinic.client_id, FIRST).state is TokenState.TERMINATED
    assert exchange.authority.get(clinic.certificate.serial_hex).state is CertificateState.REVOKED
    for act in (
        lambda: service.restore(clinic.client_id, SECOND),
        lambda: service.suspend(clinic.client_id, SECOND, "why"),
        lambda: service.terminate(clinic.client_id, SECOND),
        lambda: service.activate(clinic.client_id, new_csr(), CLERK),
    ):
        with pytest.raises(Conflict):
            act()
    assert service.sweep().checked == 0
    assert service.list() == ()
    assert [token.id for token in service.list([TokenState.TERMINATED])] == [clinic.client_id]


def test_a_request_can_be_ended_before_it_had_a_certificate(exchange: Exchange) -> None:
    assert exchange.service.terminate(requested(exchange), CLERK).state is TokenState.TERMINATED


# -- the watch ---------------------------------------------------------------------------------------


def test_a_light_that_goes_out_suspends_and_its_cure_restores(exchange: Exchange) -> None:
    clinic, other, service = exchange.centre(), exchange.centre(PHARMACY, PHARMACY_SYSTEM), exchange.service
    exchange.say(CLINIC, "operating_licence", state="failed", reference="decree-77")
    report = service.sweep()
    assert (report.checked, report.suspended, report.restored, report.silent) == (2, (clinic.client_id,), (), 0)
    assert service.get(other.client_id).state is TokenState.ACTIVE
    actions = [action for action, _facts in exchange.events(clinic.client_id)]
    assert actions[-2:] == ["token.light-changed", "token.suspended"]
    assert service.sweep().suspended == ()
    exchange.say(CLINIC, "operating_licence", state="ok")
    assert service.sweep().restored == (clinic.client_id,)
    assert exchange.events(clinic.client_id)[-1][0] == "token.restored"
    assert clinic.ask().status == 200


def test_silence_suspends_nobody_and_is_counted(exchange: Exchange) -> None:
    clinic = exchange.centre()
    exchange.silence()
    report = exchange.service.sweep()
    assert (report.suspended, report.silent) == ((), 1)
    lights = exchange.service.status(clinic.client_id).lights
    assert {light.state for light in lights.values()} == {Answer.SILENT}
    assert {light.last_answer for light in lights.values()} == {Answer.OK}


def test_a_sweep_without_news_writes_nothing_until_the_answers_have_aged(exchange: Exchange) -> None:
    clinic = exchange.centre()
    events = exchange.events()
    exchange.clock.move(exchange.settings.light_refresh / 2)
    exchange.service.sweep()
    (light, *_) = exchange.service.status(clinic.client_id).lights.values()
    assert light.last_answer_at == START
    exchange.clock.move(exchange.settings.light_refresh / 2)
    exchange.service.sweep()
    (light, *_) = exchange.service.status(clinic.client_id).lights.values()
    assert light.last_answer_at == exchange.clock.now()
    assert exchange.events() == events


def test_the_history_of_lights_holds_every_change_and_nothing_takes_one_away(exchange: Exchange) -> None:
    clinic = exchange.centre()
    for state in ("failed", "ok"):
        exchange.say(CLINIC, "siam", state=state)
        exchange.service.sweep()
    with exchange.database.read() as connection:
        changes = repository.light_changes_of(connection, clinic.client_id)
        lights = repository.lights_of(connection, [clinic.client_id])[clinic.client_id]
    told = [light.state for light in changes if light.kind == "siam-id"]
    assert told == [Answer.OK, Answer.FAILED, Answer.OK]
    assert {light.kind: light for light in changes} == lights
    for statement in ("DELETE FROM connection_light_changes", "UPDATE connection_light_changes SET source = 'x'"):
        with pytest.raises(IntegrityError), exchange.database.begin() as unit:
            unit.connection.execute(text(statement))


def test_a_sweep_goes_through_every_page(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ca.tokens.watch.PAGE", 2)
    ids = {exchange.service.request(CLINIC, CLINIC_SYSTEM, KeyStorage.SOFTWARE, CLERK).id for _ in range(5)}
    exchange.silence()
    report = exchange.service.sweep()
    assert (report.checked, report.silent) == (5, 5)
    assert {token.id for token in exchange.service.list()} == ids


def test_used_assertions_are_forgotten_only_when_they_have_expired_for_long(exchange: Exchange) -> None:
    clinic = exchange.centre()
    clinic.ask()
    for moved, left in ((timedelta(minutes=30), 1), (timedelta(minutes=32), 0)):
        exchange.clock.move(moved)
        exchange.service.sweep()
        with exchange.database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM assertion_jtis")).scalar_one() == left


def test_the_synthetic_centres_are_those_of_the_demo() -> None:
    assert {CLINIC, PHARMACY} <= set(default_centres(START).centres)
