"""Enrolment: what proves who asks, which file and profile that reaches, and what renewal must keep."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from sqlalchemy import select

from ca.est.enrolment import EnrolmentDesk, FileSecret, Waiting
from ca.est.errors import EnrolmentUnproven
from ca.est.secrets import EnrolmentSecrets
from ca.issuing.orders import Issued, IssueOrder
from ca.registration import RegistrationFile
from ca.status.revocation import CertificateState, RevocationReason
from pki import der, oids
from pki.certificates import Certificate
from pki.errors import ErrorCode, NotFound, ServiceError, Unavailable
from storage.ledger_tables import audit_events
from tests.ca.world import CENTRE, CITIZEN, CLERK, CLINICIAN, FIRST, SECOND, SYSTEM, World, new_csr


@dataclass(kw_only=True)
class Est:
    """The desk over a world, and what machines do."""

    world: World
    desk: EnrolmentDesk

    def secret(self, file: RegistrationFile) -> FileSecret:
        made = EnrolmentSecrets(self.world.database, self.world.clock).make(file.id, "operator")
        return FileSecret(file_id=file.id, secret=made.secret)

    def certificate(self, profile: str = "infosys", members: dict[str, Any] = SYSTEM) -> bytes:
        file = self.world.approved(members)
        return self.world.activated(self.world.authority.issue(profile, file.id, new_csr(), "clerk")).der

    def events(self) -> list[tuple[str, str, dict[str, Any]]]:
        with self.world.database.read() as connection:
            rows = connection.execute(select(audit_events).where(audit_events.c.action.like("est.%"))).all()
        return [(row.action, row.actor, json.loads(row.facts)) for row in rows]

    def event(self, action: str, **facts: str) -> tuple[str, str, dict[str, Any]]:
        """Return the one event of an action that says so; events have no order before they are sequenced."""
        (found,) = [one for one in self.events() if one[0] == action and facts.items() <= one[2].items()]
        return found

    def refused(self, *arguments: Any, renew: bool = False) -> str:
        """Have a request refused; return enrolment's own reason, or else the code."""
        with pytest.raises(ServiceError) as refusal:
            (self.desk.renew if renew else self.desk.enrol)(*arguments)
        reason = refusal.value.reason
        return reason if reason.startswith("est.") else str(refusal.value.code)


@pytest.fixture
def est(world: World) -> Est:
    return Est(world=world, desk=EnrolmentDesk(world.database, world.authority, world.authority.line, world.clock))


def successor_csr(
    certificate_der: bytes, *, subject: x509.Name | None = None, names: list[x509.GeneralName] | None = None
) -> bytes:
    """Ask for a successor of a certificate as a client does that copies its subject and names."""
    certificate = x509.load_der_x509_certificate(certificate_der)
    builder = x509.CertificateSigningRequestBuilder().subject_name(certificate.subject if subject is None else subject)
    if names is None:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.DER)


# -- the secret of a file --------------------------------------------------------------------------


def test_a_system_enrols_by_the_secret_of_its_file(est: Est) -> None:
    file = est.world.approved(SYSTEM)
    made = est.desk.enrol("infosys", new_csr(), None, est.secret(file))
    assert isinstance(made, bytes)
    record = est.world.authority.get(Certificate.parse(made).serial_hex)
    assert (str(record.profile), record.file_id, record.requested_by) == ("infosys", file.id, f"est file {file.id}")
    enrolled = est.event("est.enrolled")
    assert enrolled == ("est.enrolled", f"est file {file.id}", {"file": file.id, "profile": "infosys", "way": "secret"})


def test_a_secret_makes_one_certificate_and_the_same_request_gets_the_same_one(est: Est) -> None:
    secret, csr = est.secret(est.world.approved(SYSTEM)), new_csr()
    made = est.desk.enrol("infosys", csr, None, secret)
    assert est.desk.enrol("infosys", csr, None, secret) == made
    assert est.refused("infosys", new_csr(), None, secret) == "est.secret-used"
    assert est.refused("tls-server", csr, None, secret) == "est.secret-used"
    assert len(est.world.authority.certificates(profile="infosys")) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("after", [False, True])
def test_a_server_that_is_killed_while_it_issues_makes_no_second_certificate(est: Est, *, after: bool) -> None:
    """The kill comes before the order, or after it and before the answer."""
    world, secret, csr = est.world, est.secret(est.world.approved(SYSTEM)), new_csr()

    class Killed(BaseException):
        pass

    class Killing:
        def check_leave(self, order: IssueOrder) -> None:
            raise NotImplementedError

        def answer_before(self, order: IssueOrder) -> Issued | None:
            raise NotImplementedError

        def issue(self, order: IssueOrder) -> Issued:
            if after:
                world.authority.line.issue(order)
            raise Killed

    with pytest.raises(Killed):
        EnrolmentDesk(world.database, world.authority, Killing(), world.clock).enrol("infosys", csr, None, secret)
    assert est.refused("infosys", new_csr(), None, secret) == "est.secret-used"
    made = est.desk.enrol("infosys", csr, None, secret)
    assert est.desk.enrol("infosys", csr, None, secret) == made
    assert len(world.authority.certificates(profile="infosys")) == 1  # type: ignore[arg-type]


def test_a_refused_key_leaves_the_secret_to_be_used_with_a_better_one(est: Est) -> None:
    secret = est.secret(est.world.approved(SYSTEM))
    weak = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = weak.sign(ec.generate_private_key(ec.SECP521R1()), hashes.SHA256()).public_bytes(Encoding.DER)
    with pytest.raises(ServiceError) as refusal:
        est.desk.enrol("infosys", csr, None, secret)
    assert refusal.value.code is ErrorCode.KEY_REFUSED
    assert est.event("est.refused")[2]["code"] == "key-refused"
    assert est.desk.enrol("infosys", new_csr(), None, secret)


def test_an_authority_that_does_not_answer_keeps_the_secret_for_the_same_request(est: Est) -> None:
    world, secret, csr = est.world, est.secret(est.world.approved(SYSTEM)), new_csr()

    class Silent:
        def check_leave(self, order: IssueOrder) -> None:
            raise NotImplementedError

        def answer_before(self, order: IssueOrder) -> Issued | None:
            raise NotImplementedError

        def issue(self, _order: IssueOrder) -> Issued:
            raise Unavailable(ErrorCode.HSM_UNAVAILABLE)

    with pytest.raises(Unavailable):
        EnrolmentDesk(world.database, world.authority, Silent(), world.clock).enrol("infosys", csr, None, secret)
    assert est.refused("infosys", new_csr(), None, secret) == "est.secret-used"
    assert est.desk.enrol("infosys", csr, None, secret)


def test_a_file_that_waits_for_its_approvers_is_to_be_asked_for_again(est: Est) -> None:
    file = est.world.submitted(SYSTEM)
    secret, csr = est.secret(file), new_csr()
    for officer in (FIRST, SECOND):
        assert isinstance(est.desk.enrol("infosys", csr, None, secret), Waiting)
        est.world.authority.approve(file.id, officer)
    assert isinstance(est.desk.enrol("infosys", csr, None, secret), bytes)


def test_a_file_that_was_refused_meanwhile_gets_nothing(est: Est) -> None:
    file = est.world.submitted(SYSTEM)
    secret = est.secret(file)
    est.world.authority.refuse(file.id, FIRST, "no such system")
    assert est.refused("infosys", new_csr(), None, secret) == "not-approved"


def test_the_secret_alone_makes_a_seal(est: Est) -> None:
    centre = est.world.approved(CENTRE)
    for profile in ("hix-seal", "hix-enc"):  # others would trust, or encrypt to, whoever stole the key of logging in
        assert est.refused(profile, new_csr(), est.certificate("hix-tls", CENTRE), None) == "est.secret-needed"
    assert isinstance(est.desk.enrol("hix-seal", new_csr(), None, est.secret(centre)), bytes)


@pytest.mark.parametrize("profile", ["clin-auth", "officer-auth", "ocsp", "issuing-ca", "absent", "../ocsp"])
def test_what_machines_do_not_enrol_by_is_not_there(est: Est, profile: str) -> None:
    secret = est.secret(est.world.approved(SYSTEM))
    assert est.refused(profile, new_csr(), None, secret) == "not-found"
    for ask in (est.desk.authorities, est.desk.attributes):
        with pytest.raises(NotFound):
            ask(profile)


def test_the_profile_must_be_for_the_file_s_holder_and_be_named_with_a_secret(est: Est) -> None:
    assert est.refused("hix-tls", new_csr(), None, est.secret(est.world.approved(SYSTEM))) == "not-allowed"
    assert est.refused(None, new_csr(), None, est.secret(est.world.approved(SYSTEM))) == "not-found"


@pytest.mark.parametrize("csr", [b"", b"\x30\x00", b"\x00" * 100])
def test_what_is_no_request_uses_nothing_up(est: Est, csr: bytes) -> None:
    secret = est.secret(est.world.approved(SYSTEM))
    assert est.refused("infosys", csr, None, secret) == "csr-malformed"
    assert isinstance(est.desk.enrol("infosys", new_csr(), None, secret), bytes)


# -- a certificate of the register -----------------------------------------------------------------


def test_a_certificate_proves_its_holder_for_another_profile(est: Est) -> None:
    peer = est.certificate()
    assert isinstance(est.desk.enrol("tls-server", new_csr(), peer, None), bytes)
    made = est.desk.enrol(None, new_csr(), peer, None)
    assert isinstance(made, bytes)
    assert str(est.world.authority.get(Certificate.parse(made).serial_hex).profile) == "infosys"


def test_a_certificate_proves_its_holder_for_another_file_of_the_same_holder(est: Est) -> None:
    peer = est.certificate()
    newer = est.world.approved(SYSTEM | {"hosts": ["new.example"]})
    made = est.desk.enrol("tls-server", new_csr(), peer, FileSecret(file_id=newer.id, secret=""))
    assert isinstance(made, bytes)
    assert est.world.authority.get(Certificate.parse(made).serial_hex).file_id == newer.id


@pytest.mark.parametrize(
    "another",
    [SYSTEM | {"common_name": "his-2"}, SYSTEM | {"organization": "شرکت دیگر"}, CENTRE],
    ids=["another system", "the same name of another organisation", "a centre"],
)
def test_a_certificate_proves_nothing_for_another_holder_s_file(est: Est, another: dict[str, Any]) -> None:
    named = FileSecret(file_id=est.world.approved(another).id, secret="")
    assert est.refused("tls-server", new_csr(), est.certificate(), named) == "est.another-holder"
    nobody = FileSecret(file_id="absent", secret="")
    assert est.refused("tls-server", new_csr(), est.certificate(), nobody) == "est.another-holder"


def test_without_a_proof_nobody_enrols(est: Est) -> None:
    assert est.refused("infosys", new_csr(), None, None) == "est.no-proof"
    file = est.world.approved(SYSTEM)
    assert est.refused("infosys", new_csr(), None, FileSecret(file_id=file.id, secret="")) == "est.no-proof"


@pytest.mark.parametrize("renew", [False, True])
def test_only_a_good_certificate_of_this_register_for_a_machine_s_login_proves(est: Est, *, renew: bool) -> None:
    authority, wish = est.world.authority, new_csr()
    good = est.certificate()
    serial = Certificate.parse(good).serial_hex
    assert est.refused(None, wish, est.certificate("tls-server"), *(() if renew else (None,)), renew=renew) == (
        "est.certificate-purpose"
    )
    person = est.certificate("clin-auth", CLINICIAN)
    assert est.refused(None, wish, person, *(() if renew else (None,)), renew=renew) == "est.certificate-holder"
    forged = good[:-1] + bytes([good[-1] ^ 1])
    assert est.refused(None, wish, forged, *(() if renew else (None,)), renew=renew) == "est.certificate-unknown"
    authority.hold(serial, CLERK)
    assert est.refused(None, wish, good, *(() if renew else (None,)), renew=renew) == "est.certificate-not-good"
    authority.unhold(serial, CLERK)
    est.world.clock.move(days=91)
    assert est.refused(None, wish, good, *(() if renew else (None,)), renew=renew) == "est.certificate-not-good"
    assert [event for event in est.events() if event[0] == "est.refused"] == []


def test_a_refusal_of_one_who_proved_something_is_kept_and_one_of_a_stranger_is_not(est: Est) -> None:
    est.refused("infosys", new_csr(), None, None)
    est.refused("infosys", new_csr(), None, FileSecret(file_id="absent", secret="x"))
    assert est.events() == []
    peer = est.certificate()
    est.refused("hix-tls", new_csr(), peer, None)
    action, actor, facts = est.event("est.refused")
    assert (action, actor) == ("est.refused", f"est certificate {Certificate.parse(peer).serial_hex}")
    assert facts == {"way": "certificate", "code": "not-allowed", "reason": "profile.wrong-holder"}


# -- renewal ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("profile", "members"), [("infosys", SYSTEM), ("hix-tls", CENTRE)])
def test_a_successor_says_what_its_predecessor_says(est: Est, profile: str, members: dict[str, Any]) -> None:
    peer = est.certificate(profile, members)
    made = est.desk.renew(profile, successor_csr(peer), peer)
    assert isinstance(made, bytes)
    old, new = Certificate.parse(peer), Certificate.parse(made)
    assert new.subject_der == old.subject_der
    for same in (oids.SUBJECT_ALT_NAME, oids.ADMISSION, oids.KEY_USAGE, oids.EXTENDED_KEY_USAGE):
        assert new.extensions[same] == old.extensions[same]
    assert new.serial != old.serial
    assert est.event("est.enrolled", way="renewal")
    assert est.world.authority.get(new.serial_hex).predecessor == old.serial_hex
    assert isinstance(est.desk.renew(None, successor_csr(made), made), bytes)


def test_a_successor_that_never_arrived_is_revoked_when_the_next_one_is_made(est: Est) -> None:
    peer = est.certificate()
    lost, made = (est.desk.renew(None, successor_csr(peer), peer) for _ in range(2))
    old, first, second = (est.world.authority.get(Certificate.parse(der).serial_hex) for der in (peer, lost, made))
    assert (old.state, first.state, second.state) == (
        CertificateState.GOOD,
        CertificateState.REVOKED,
        CertificateState.GOOD,
    )
    assert (first.predecessor, second.predecessor) == (old.serial_hex, first.serial_hex)


def test_the_same_request_for_a_successor_is_answered_by_the_same_one(est: Est) -> None:
    peer = est.certificate()
    csr = successor_csr(peer)
    made = est.desk.renew(None, csr, peer)
    assert est.desk.renew(None, csr, peer) == made
    assert est.world.authority.get(Certificate.parse(made).serial_hex).state is CertificateState.GOOD


def test_a_server_s_key_has_one_certificate_until_that_is_to_be_renewed(est: Est) -> None:
    peer, csr = est.certificate(), new_csr()
    made = est.desk.enrol("tls-server", csr, peer, None)
    assert isinstance(made, bytes)
    assert est.desk.enrol("tls-server", csr, peer, None) == made
    est.world.clock.move(days=70)  # of 90, and 30 of them to renew it in
    renewed = est.desk.enrol("tls-server", csr, peer, None)
    assert isinstance(renewed, bytes)
    old, new = (est.world.authority.get(Certificate.parse(der).serial_hex) for der in (made, renewed))
    assert (new.predecessor, old.state) == (old.serial_hex, CertificateState.GOOD)
    assert est.desk.enrol("tls-server", csr, peer, None) == renewed
    est.world.authority.revoke(new.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    assert est.desk.enrol("tls-server", csr, peer, None) not in (made, renewed)


def test_the_order_of_alternative_names_does_not_matter(est: Est) -> None:
    peer = est.certificate()
    names = x509.load_der_x509_certificate(peer).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert isinstance(est.desk.renew(None, successor_csr(peer, names=list(names)[::-1]), peer), bytes)


def test_another_identity_is_not_renewed(est: Est) -> None:
    peer = est.certificate()
    other = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another")])
    dns: list[x509.GeneralName] = [x509.DNSName("evil.example")]
    assert est.refused(None, successor_csr(peer, subject=other), peer, renew=True) == "est.subject-differs"
    assert est.refused(None, successor_csr(peer, subject=x509.Name([])), peer, renew=True) == "est.subject-differs"
    assert est.refused(None, successor_csr(peer, names=dns), peer, renew=True) == "est.san-differs"
    assert est.refused(None, successor_csr(peer, names=[]), peer, renew=True) == "est.san-differs"
    assert est.refused("tls-server", successor_csr(peer), peer, renew=True) == "est.profile-differs"
    assert {event[2]["code"] for event in est.events()} == {"identity-differs"}
    assert est.refused(None, successor_csr(peer), None, renew=True) == "est.no-proof"


# -- what anybody may read -------------------------------------------------------------------------


def test_the_authorities_are_the_whole_chain(est: Est) -> None:
    root, systems = (est.world.hierarchy.certificate(name) for name in ("root", "systems"))
    assert set(est.desk.authorities("infosys")) == {root, systems}
    assert len(est.desk.authorities(None)) == 4


def test_the_attributes_of_a_request_are_the_profile_s(est: Est) -> None:
    key, algorithm, extensions, names = der.parse(est.desk.attributes("infosys")).sequence()
    assert [child.raw for child in key.sequence()] == [
        der.oid(oids.EC_PUBLIC_KEY),
        der.set_of([der.oid(oids.SECP256R1)]),
    ]
    assert algorithm.oid() == oids.ECDSA_WITH_SHA256
    assert extensions.sequence()[0].oid() == oids.EXTENSION_REQUEST
    extension = extensions.sequence()[1].set_of()[0].sequence()[0].sequence()
    assert extension[0].oid() == oids.EXTENDED_KEY_USAGE
    assert extension[1].octets() == der.sequence(der.oid(oids.EKU_CLIENT_AUTH))
    assert names.oid() == oids.SUBJECT_ALT_NAME
    assert len(der.parse(est.desk.attributes("hix-seal")).sequence()) == 2


def test_a_person_has_no_secret_and_an_unproven_error_says_no_identifier(est: Est) -> None:
    file = est.world.approved(CITIZEN)
    with pytest.raises(EnrolmentUnproven) as refusal:
        est.desk.enrol("cit-auth", new_csr(), None, FileSecret(file_id=file.id, secret="guess"))
    assert str(CITIZEN["national_code"]) not in str(refusal.value)
