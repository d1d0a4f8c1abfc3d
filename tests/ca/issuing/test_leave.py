"""An officer's order: leave is asked for where the intent is written, so a right lost half-way issues nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ca.issuing.line import IssuingLine
from ca.issuing.orders import Channel, Issued, IssueOrder
from ca.issuing.renewal import RenewalDesk, Wish
from ca.officers.gate import RegisterGate
from ca.officers.identity import Officer, Role
from ca.officers.scopes import Scope
from ca.officers.statements import sign_statement
from ca.registration_terms import RegistrationTerms
from ca.registries.answers import Source
from ca.registries.ports import Registries
from ca.status.revocation import CertificateState, RevocationReason
from pki.certificates import Certificate
from pki.errors import ErrorCode, NotAllowed, ServiceError
from tests.ca.officers.conftest import CEREMONY, Offices, founded, offices  # noqa: F401 - fixtures
from tests.ca.registration.conftest import Told
from tests.ca.world import CENTRE, CLINICIAN, SETTINGS, new_csr

ISSUER = "nikan"
Order = Callable[..., IssueOrder]


@pytest.fixture
def issuing(founded: Offices) -> Offices:  # noqa: F811 - a fixture
    """A deployment with an issuer for physicians of Tehran alone."""
    parsa, akbari = founded.of("parsa"), founded.of("akbari")
    founded.enrol(ISSUER, "ministry", parsa, akbari)
    founded.grant(ISSUER, Role.ISSUER, "ministry", parsa, akbari, _scope("physician"))
    return founded


def _scope(*professions: str) -> Scope:
    return Scope(professions=frozenset(professions), provinces=frozenset({"تهران"}))


def line_of(issuing: Offices, **parts: Any) -> IssuingLine:
    world = issuing.world
    return IssuingLine(world.database, world.keys, SETTINGS, world.clock, gate=issuing.gate, **parts)


def order(issuing: Offices, officer: Officer, members: dict[str, Any] | None = None, **more: Any) -> IssueOrder:
    file = issuing.world.approved(CLINICIAN | {"province": "تهران"} if members is None else members)
    profile = "hix-seal" if members is CENTRE else "clin-sign"
    wanted = {"profile": profile, "file_id": file.id, "csr": new_csr(), "channel": Channel.API} | more
    return IssueOrder(actor=officer.id, officer=officer, **wanted)


def refused(line: IssuingLine, wanted: IssueOrder) -> tuple[str, str]:
    with pytest.raises(ServiceError) as error:
        line.issue(wanted)
    return str(error.value.code), error.value.reason


def test_an_issuer_issues_within_their_scope(issuing: Offices) -> None:
    issued = line_of(issuing).issue(order(issuing, issuing.of(ISSUER)))
    assert issuing.world.authority.get(issued.serial_hex).state is CertificateState.ISSUED


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (CLINICIAN, "officer.province-unsaid"),
        (CLINICIAN | {"province": "البرز"}, "officer.out-of-province"),
        (
            CLINICIAN | {"province": "تهران", "profession": "nurse", "council_number": "A12345"},
            "officer.out-of-profession",
        ),
        (CENTRE, "officer.out-of-profession"),
    ],
)
def test_a_file_outside_the_scope_is_refused_before_an_intent(
    members: dict[str, Any], reason: str, issuing: Offices
) -> None:
    wanted = order(issuing, issuing.of(ISSUER), members)
    assert refused(line_of(issuing), wanted) == ("scope-exceeded", reason)
    assert issuing.world.authority.certificates(file_id=wanted.file_id) == ()


def test_a_claimed_name_issues_nothing(issuing: Offices) -> None:
    assert refused(line_of(issuing), order(issuing, Officer(id=ISSUER))) == ("officer-unknown", "officer.unknown")


def test_nobody_orders_a_certificate_of_their_own(issuing: Offices) -> None:
    own = replace(issuing.of(ISSUER), national_code=CLINICIAN["national_code"])
    wanted = order(issuing, own, idempotency_key="own")
    assert refused(line_of(issuing), wanted) == ("four-eyes", "officer.own-order")
    assert issuing.world.authority.certificates(file_id=wanted.file_id) == ()


def test_who_may_not_renew_has_no_registry_asked_about_anybody(issuing: Offices) -> None:
    world, told = issuing.world, Told(Source.COUNCIL)
    old = line_of(issuing).issue(order(issuing, issuing.of("parsa"), CLINICIAN))
    file_id = str(world.authority.get(old.serial_hex).file_id)
    terms = RegistrationTerms(registries=Registries(council=told))
    desk = RenewalDesk(world.database, line_of(issuing), terms, world.clock)
    wish = Wish(serial=old.serial_hex, csr=new_csr(), reason=RevocationReason.SUPERSEDED)
    with pytest.raises(NotAllowed) as error:
        desk.carry_out(wish, issuing.of(ISSUER))
    assert error.value.reason == "officer.province-unsaid"
    assert world.authority.words(file_id) == ()
    assert desk.carry_out(wish, issuing.of("parsa")).state is CertificateState.ISSUED


def test_a_signed_replacement_is_carried_out_once(issuing: Offices) -> None:
    world, nikan = issuing.world, issuing.of(ISSUER)
    old = line_of(issuing).issue(order(issuing, nikan))
    desk = RenewalDesk(world.database, line_of(issuing), RegistrationTerms(), world.clock)
    wish = Wish(serial=old.serial_hex, csr=new_csr(), reason=RevocationReason.SUPERSEDED)
    ordered = desk.order(wish, nikan)
    said = sign_statement(
        issuing.keys[ISSUER],
        "certificate.issue",
        subject=ordered.file_id,
        sha256=ordered.body_digest.hex(),
        now=world.clock.now(),
        random=secrets.token_bytes(16),
    )
    proven = issuing.gate.of_statement(said.data, said.signature, issuing.certificates[ISSUER])
    assert desk.carry_out(wish, proven).state is CertificateState.ISSUED
    with pytest.raises(NotAllowed) as error:
        desk.carry_out(wish, proven)
    assert error.value.reason == "officer.statement-used"


def test_nobody_orders_in_another_s_name(issuing: Offices) -> None:
    with pytest.raises(ValueError, match="own name"):
        replace(order(issuing, issuing.of(ISSUER)), actor="parsa")


def _lose_role(issuing: Offices) -> None:
    issuing.desk.remove_role(ISSUER, Role.ISSUER, "ministry", issuing.of("parsa"))


def _suspend(issuing: Offices) -> None:
    issuing.desk.suspend(ISSUER, issuing.of("parsa"), "on leave")


def _revoke(issuing: Offices) -> None:
    serial = Certificate.parse(issuing.certificates[ISSUER]).serial_hex
    issuing.world.authority.revoke(serial, RevocationReason.KEY_COMPROMISE, CEREMONY)


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (_lose_role, "officer.no-role"),
        (_suspend, "officer.suspended"),
        (_revoke, "officer.certificate-revoked"),
    ],
)
def test_a_right_that_is_lost_while_the_order_is_prepared_issues_nothing(
    lose: Callable[[Offices], None], reason: str, issuing: Offices
) -> None:
    done: list[bool] = []

    def half_way() -> None:
        if not done:
            done.append(True)
            lose(issuing)

    line = line_of(issuing, before_intent=half_way)
    wanted = order(issuing, issuing.of(ISSUER), idempotency_key="once")
    assert refused(line, wanted)[1] == reason
    assert issuing.world.authority.certificates(file_id=wanted.file_id) == ()


def test_a_refused_order_frees_its_key_and_hurts_no_neighbour(issuing: Offices) -> None:
    nikan, parsa = issuing.of(ISSUER), issuing.of("parsa")
    outside = order(issuing, nikan, CENTRE, idempotency_key="k")
    orders = [order(issuing, nikan), outside, order(issuing, parsa, CENTRE), order(issuing, nikan)]
    found = list(line_of(issuing).issue_many(orders))
    assert [one.code if isinstance(one, ServiceError) else None for one in found] == [
        None,
        ErrorCode.SCOPE_EXCEEDED,
        None,
        None,
    ]
    issuing.grant(ISSUER, Role.ISSUER, "ministry", parsa, issuing.of("akbari"))
    assert not line_of(issuing).issue(outside).repeated


class CountingGate(RegisterGate):
    """The register's gate, which counts how often it is asked for leave."""

    asked = 0

    def allow(self, *words: Any, **more: Any) -> None:
        self.asked += 1
        super().allow(*words, **more)


def test_the_gate_is_asked_once_for_an_officer_s_group_of_one_scope(issuing: Offices) -> None:
    gate = CountingGate(issuing.world.database, issuing.world.clock)
    world, nikan, parsa = issuing.world, issuing.of(ISSUER), issuing.of("parsa")
    line = IssuingLine(world.database, world.keys, SETTINGS, world.clock, gate=gate)
    orders = [order(issuing, one) for one in (nikan, nikan, parsa, nikan)] + [order(issuing, parsa, CENTRE)]
    assert all(isinstance(one, Issued) for one in line.issue_many(orders))
    assert gate.asked == 3


def test_a_signed_statement_orders_one_certificate_once(issuing: Offices) -> None:
    line, wanted = line_of(issuing), order(issuing, issuing.of(ISSUER))

    def signed(of: IssueOrder, subject: str) -> Officer:
        said = sign_statement(
            issuing.keys[ISSUER],
            "certificate.issue",
            subject=subject,
            sha256=of.body_digest.hex(),
            now=issuing.world.clock.now(),
            random=secrets.token_bytes(16),
        )
        return issuing.gate.of_statement(said.data, said.signature, issuing.certificates[ISSUER])

    assert refused(line, replace(wanted, officer=signed(wanted, "f" * 20)))[1] == "officer.statement-differs"
    assert refused(line, replace(wanted, officer=signed(order(issuing, issuing.of(ISSUER)), wanted.file_id)))[1] == (
        "officer.statement-differs"
    )
    proven = replace(wanted, officer=signed(wanted, wanted.file_id))
    twice = list(line.issue_many([proven, proven]))
    assert isinstance(twice[0], Issued)
    assert isinstance(twice[1], NotAllowed)
    assert twice[1].reason == "officer.statement-used"
