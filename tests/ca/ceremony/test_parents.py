"""What a parent CA may issue to us, and what of it is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from sqlalchemy import select

from ca.ceremony.errors import CeremonyStopped
from ca.ceremony.script import Script, parse_script
from ca.profiles import IssuerName
from ca.service import CertificateAuthority
from ca.status.crl_desk import CrlDesk
from ca.status.revocation import RevocationReason
from ca.tables import certificates
from pki.certificates import Certificate
from pki.errors import NotAllowed, ServiceError, VerificationFailed
from tests.ca.ceremony.rehearsal import EXAMPLES, Rehearsal
from tests.ca.parent_ca import NAME, Parent, pem
from tests.ca.world import CLERK, SETTINGS
from tests.support.officers import EveryOfficer

TEXT = (EXAMPLES / "real-parent.toml").read_text()
# In memory an RSA key of 4096 bits takes its time; the real one is in the tests with SoftHSM2.
QUICK = parse_script(TEXT.replace('"PS256"\nbits = 4096', '"ES256"').encode())
SAME_KEY = parse_script(
    TEXT[: TEXT.index("[[step]]")].replace('"real-parent"', '"recertify"').encode()
    + b"""
[[step]]
do = "use-token"
token = "service"
label = "mohr-service"

[[step]]
do = "request-certificate"
token = "service"
key = "ca-persons"
subject = { C = "IR", O = "Mohr", CN = "a wish" }
file = "persons.csr"

[[step]]
do = "install-certificate"
token = "service"
key = "ca-persons"
authority = "persons"
certificate = "ca-2026.pem"
chain = "parent-chain.pem"
"""
)


@pytest.fixture(scope="module")
def waiting_home(tmp_path_factory: pytest.TempPathFactory, founded: Rehearsal) -> Rehearsal:
    """A ceremony that waits for its parent's certificate; not to be changed."""
    path = tmp_path_factory.mktemp("waiting")
    shutil.copytree(founded.path, path, dirs_exist_ok=True)
    rehearsal = Rehearsal(path)
    rehearsal.home.service = founded.home.service
    with pytest.raises(CeremonyStopped, match=r"not there yet: put it at .*ca-2026\.pem"):
        rehearsal.hold(QUICK)
    rehearsal.close()
    return rehearsal


@pytest.fixture
def waiting(waiting_home: Rehearsal, tmp_path: Path) -> Iterator[Rehearsal]:
    shutil.copytree(waiting_home.path, tmp_path, dirs_exist_ok=True)
    rehearsal = Rehearsal(tmp_path, persons=waiting_home.persons)
    rehearsal.home.service = waiting_home.home.service
    rehearsal.workshop.tokens = waiting_home.workshop.tokens
    yield rehearsal
    rehearsal.close()


def request(rehearsal: Rehearsal, script: Script = QUICK, name: str = "ca-2026.csr") -> x509.CertificateSigningRequest:
    return x509.load_pem_x509_csr((rehearsal.home.folder(script.name) / name).read_bytes())


def bring(
    rehearsal: Rehearsal, certificate: x509.Certificate, *chain: x509.Certificate, script: Script = QUICK
) -> None:
    folder = rehearsal.home.folder(script.name)
    (folder / "ca-2026.pem").write_bytes(pem(certificate))
    (folder / "parent-chain.pem").write_bytes(pem(*chain))


def test_a_certificate_of_a_parent_is_installed(waiting: Rehearsal) -> None:
    parent, csr = Parent(), request(waiting)
    assert csr.is_signature_valid
    bring(waiting, parent.certificate(csr.subject, csr.public_key()), parent.own())
    waiting.hold(QUICK)
    transcript = waiting.transcript("real-parent").read_text()
    anchor = Certificate.parse(parent.own().public_bytes(Encoding.DER))
    assert "Parent Root" in transcript
    assert anchor.subject == "CN=Parent Root"
    assert waiting.workshop.made["issuing-2026"] == 0  # resumed: nothing is made again


def test_an_authority_between_is_part_of_the_chain(waiting: Rehearsal) -> None:
    csr, root = request(waiting), Parent()
    between = Parent(name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Parent Between")]))
    middle = root.certificate(between.name, between.key.public_key(), path_length=1)
    bring(waiting, between.certificate(csr.subject, csr.public_key()), middle, root.own())
    waiting.hold(QUICK)


def _wrong(what: str, csr: x509.CertificateSigningRequest) -> tuple[x509.Certificate, ...]:
    parent, key, name = Parent(), csr.public_key(), csr.subject
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    good = parent.certificate(name, key)
    between = Parent(name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Parent Between")]))
    stranger = Parent()
    found: dict[str, tuple[x509.Certificate, ...]] = {
        "another key": (parent.certificate(name, other), parent.own()),
        "another name": (parent.certificate(NAME, key), parent.own()),
        "certificate is not valid now": (parent.certificate(name, key, days=(-9, -1)), parent.own()),
        "the certificate is not a CA's": (parent.certificate(name, key, ca=False), parent.own()),
        "the certificate is not a CA's ": (parent.certificate(name, key, critical=False), parent.own()),
        "may not sign certificates": (parent.certificate(name, key, usage={"crl_sign": False}), parent.own()),
        "did not sign the one before": (good, stranger.own()),
        "is not the issuer of the one before": (good, between.own()),
        "does not end with an anchor": (
            between.certificate(name, key),
            parent.certificate(between.name, between.key.public_key(), path_length=1),
        ),
        "allows no further authority": (
            between.certificate(name, key),
            parent.certificate(between.name, between.key.public_key(), path_length=0),
            parent.own(),
        ),
        "certificate 1 of the chain is not valid now": (
            good,
            parent.certificate(NAME, parent.key.public_key(), days=(5, 9), path_length=None),
        ),
    }
    return found[what]


@pytest.mark.parametrize(
    "what",
    [
        "another key",
        "another name",
        "certificate is not valid now",
        "the certificate is not a CA's",
        "the certificate is not a CA's ",
        "may not sign certificates",
        "did not sign the one before",
        "is not the issuer of the one before",
        "does not end with an anchor",
        "allows no further authority",
        "certificate 1 of the chain is not valid now",
    ],
)
def test_what_a_parent_did_wrong_is_named(what: str, waiting: Rehearsal) -> None:
    bring(waiting, *_wrong(what, request(waiting)))
    with pytest.raises(VerificationFailed, match=what.strip()):
        waiting.hold(QUICK)


@pytest.mark.parametrize("data", [b"", b"-----BEGIN CERTIFICATE-----\n", b"\x30\x03\x02\x01\x00", b"-----BEGIN X"])
def test_what_is_no_certificate_is_refused(data: bytes, waiting: Rehearsal) -> None:
    bring(waiting, Parent().own(), Parent().own())
    (waiting.home.folder("real-parent") / "ca-2026.pem").write_bytes(data)
    with pytest.raises(ServiceError, match=r"ca-2026\.pem"):
        waiting.hold(QUICK)


def test_a_witness_must_hear_the_parents_anchor(waiting: Rehearsal) -> None:
    parent, csr = Parent(), request(waiting)
    bring(waiting, parent.certificate(csr.subject, csr.public_key()), parent.own())
    waiting.hold(QUICK)
    assert any("the parent's anchor, CN=Parent Root" in line for line in waiting.persons.said)


def recertified(pilot: Rehearsal, **wrong: Any) -> Parent:
    """Have the persons authority's own key and name certified by a parent."""
    with pytest.raises(CeremonyStopped):
        pilot.hold(SAME_KEY)
    parent, own = Parent(now=pilot.clock.now()), x509.load_der_x509_certificate(pilot.home.published["persons.cer"])
    assert request(pilot, SAME_KEY, "persons.csr").public_key() == own.public_key()
    bring(pilot, parent.certificate(own.subject, own.public_key(), **wrong), parent.own(), script=SAME_KEY)
    return parent


def test_an_authority_takes_its_parents_certificate_into_use(pilot: Rehearsal) -> None:
    before = Certificate.parse(pilot.home.published["persons.cer"])
    recertified(pilot)
    pilot.hold(SAME_KEY)
    now = Certificate.parse(pilot.home.published["persons.cer"])
    assert (now.issuer, now.subject, now.spki_der) == ("CN=Parent Root", before.subject, before.spki_der)
    assert pilot.home.service is not None
    authority = CertificateAuthority(
        pilot.home.database, pilot.home.service, SETTINGS, pilot.clock, gate=EveryOfficer()
    )
    assert authority.named_certificate("persons") == now.der
    assert isinstance(authority, CrlDesk)
    crl = x509.load_der_x509_crl(authority.publish_crl(IssuerName.PERSONS, 0).der)
    assert crl.is_signature_valid(x509.load_der_x509_certificate(now.der).public_key())  # type: ignore[arg-type]  # EC
    with pytest.raises(NotAllowed, match="where the parent's key is"):
        authority.revoke(now.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    with pilot.home.database.read() as connection:
        rows = connection.execute(select(certificates.c.issuer).where(certificates.c.serial == now.serial_hex))
        assert rows.scalar_one() == "parent"


def test_another_key_identifier_would_cut_off_what_was_issued(pilot: Rehearsal) -> None:
    recertified(pilot, identifier=x509.SubjectKeyIdentifier(b"another one"))
    with pytest.raises(VerificationFailed, match="subjectKeyIdentifier"):
        pilot.hold(SAME_KEY)


def test_rsa_keys_of_a_parent_are_read(waiting: Rehearsal) -> None:
    csr, key = request(waiting), rsa.generate_private_key(65537, 2048)
    parent = Parent(key=key)  # type: ignore[arg-type]  # signs as well
    bring(waiting, parent.certificate(csr.subject, csr.public_key()), parent.own())
    waiting.hold(QUICK)
