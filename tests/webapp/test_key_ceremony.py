"""The manual's ceremonies with real tokens: SoftHSM2, custodians, a whole deployment; OpenSSL judges."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ca.ceremony.console import groups_of
from ca.ceremony.errors import CeremonyStopped
from ca.ceremony.runner import Room, hold
from ca.ceremony.script import Script, parse_script
from ca.ceremony.tokens import TokenPlace
from ca.ceremony.workshop import CustodianWorkshop
from ca.officers.identity import Officer
from ca.status.revocation import CertificateState
from hsm.private_files import write_private
from hsm.soft import UnsafeSoftKey
from hsm.softhsm import find_module
from pki.certificates import load_certificates, pem
from pki.csr import build_csr
from pki.errors import ErrorCode, ServiceError
from pki.journal import parse_line
from pki.keys import SignatureAlgorithm
from signer.samples import sample_prescription
from tests.ca.ceremony.persons import Persons
from tests.ca.ceremony.rehearsal import EXAMPLES, example
from tests.ca.world import CENTRE, SETTINGS, file_json
from tests.support.deployment import LiveDeployment, live  # noqa: F401 - a fixture
from tests.support.ministry import Authority, joined
from tests.support.openssl import openssl
from tests.support.programs import Ended, run_here
from webapp.ceremony_home import DeploymentHome
from webapp.cli import mohr
from webapp.compose import RealClock, opened_database, opened_parts
from webapp.deployment import Deployment

pytestmark = pytest.mark.real


@dataclass
class Site:
    """A deployment under HOME and the persons who hold its ceremonies."""

    deployment: Deployment
    persons: Persons = field(default_factory=Persons)

    def hold(self, script: Script) -> str:
        with closing(DeploymentHome(self.deployment, script)) as home:
            workshop = CustodianWorkshop(self.deployment.custodian_log, home.settings)
            return hold(
                script,
                Room(console=self.persons, home=home, workshop=workshop, clock=RealClock(), operator="operator"),
            )

    def folder(self, name: str) -> Path:
        return self.deployment.home / "ceremonies" / name

    def mohr(self, *arguments: str | Path, answers: str = "") -> Ended:
        return run_here(mohr, *map(str, arguments), "--home", str(self.deployment.home), answers=answers)


@pytest.fixture(scope="module")
def founded() -> Iterator[Site]:
    """Hold the pilot-root ceremony once; what follows takes place in that home, in any order."""
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")
    folder = Path(tempfile.mkdtemp(prefix="mohr-"))
    try:
        site = Site(Deployment(folder / "home"))
        site.hold(example("pilot-root"))
        yield site
    finally:
        shutil.rmtree(folder)


def public(site: Site, name: str) -> Path:
    return site.deployment.certificate_file(name)


def test_a_pilot_root_under_custody_serves_a_deployment(founded: Site) -> None:
    assert founded.deployment.exists()
    anchor = founded.deployment.anchor
    for name in ("persons", "institutions", "systems"):
        assert openssl("verify", "-CAfile", anchor, "-partial_chain", public(founded, name)).returncode == 0
    with opened_parts(founded.deployment) as parts:
        assert parts.authority.publish_crl("persons", 0).number > 1
        assert parts.authority.latest_crl("root", 0) is not None
        assert len(parts.keys.keys()) == 10
    verified = founded.mohr("hsm", "ceremony", "--verify", founded.folder("pilot-root") / "transcript.jsonl")
    assert verified.status == 0, verified.messages
    told = json.loads(verified.output)
    assert (told["ceremony"], told["rehearsal"]) == ("pilot-root", False)
    with opened_database(founded.deployment) as (database, _ledger), database.read() as connection:
        facts = connection.exec_driver_sql(
            "SELECT facts FROM audit_events WHERE action='ceremony.held' AND subject='pilot-root'"
        ).scalar_one()
        lines = connection.exec_driver_sql("SELECT line FROM key_uses WHERE custodian='token-root'").scalars().all()
    assert told["sha256"] in facts
    acts = [parse_line(line).use.act for line in lines]  # the offline root's own journal, taken into the ledger
    assert (acts.count("certificate"), acts.count("crl")) >= (4, 1)


def test_no_secret_of_a_ceremony_is_in_a_file(founded: Site) -> None:
    service_pin = founded.deployment.pin_file.read_text().strip().encode()
    secrets = [share.encode() for share in founded.persons.shown]
    assert len(secrets) >= 3
    for path in founded.deployment.home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(secret in data for secret in secrets)
            assert path == founded.deployment.pin_file or service_pin not in data
    assert not list((founded.deployment.root / "token").glob("*pin*"))


def test_a_flipped_byte_of_a_transcript_is_refused(founded: Site, tmp_path: Path) -> None:
    data = bytearray((founded.folder("pilot-root") / "transcript.jsonl").read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "t").write_bytes(data)
    ended = founded.mohr("hsm", "ceremony", "--verify", tmp_path / "t")
    assert (ended.status, ended.code) == (1, "verification-failed")


def sealed_prescription(site: Site, folder: Path) -> Path:
    """Sign a prescription with the seal of a centre that the Institutions CA certified."""
    key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    with opened_parts(site.deployment) as parts:
        file = parts.authority.submit_file(file_json(CENTRE), Officer.of_deployment("a test"))
        issued = parts.authority.issue("hix-seal", file.id, build_csr(key, "x"), "clerk", unapproved=True)
        parts.publish_status_of(issued.serial_hex)
    (folder / "key.pem").write_bytes(key.private_pem())
    (folder / "chain.pem").write_text(pem(issued.der) + pem(public(site, "institutions").read_bytes()))
    (folder / "rx.json").write_bytes(sample_prescription())
    ended = site.mohr(
        *("sign", folder / "rx.json", "--format", "jades", "--key", f"file:{folder / 'key.pem'}"),
        *("--cert", folder / "chain.pem", "-o", folder / "rx.jades.json"),
    )
    assert ended.status == 0, ended.messages
    return folder / "rx.jades.json"


def test_a_deployment_of_a_ceremony_gets_its_first_officers_who_then_need_four_eyes(
    founded: Site, tmp_path: Path
) -> None:
    wanted = (("parsa", "registrar"), ("akbari", "approver"), ("bahrami", "approver"))
    for officer_id, role in (*wanted, ("fourth", "administrator")):
        key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
        write_private(tmp_path / f"{officer_id}.key", key.private_pem())
        (tmp_path / f"{officer_id}.csr").write_bytes(build_csr(key, "a wish"))
        ended = founded.mohr(
            *("ca", "officer", "found", officer_id, "--given-name", "الف", "--surname", "آزمایشی", "--role", role),
            *("--csr", tmp_path / f"{officer_id}.csr", "-o", tmp_path / f"{officer_id}.pem"),
        )
        assert ended.code == ("" if officer_id != "fourth" else "conflict"), ended.messages
    assert not (tmp_path / "fourth.pem").exists()
    (tmp_path / "centre.json").write_bytes(file_json(CENTRE))

    def act(officer_id: str, *words: str | Path) -> Any:
        mine = ("--officer-key", tmp_path / f"{officer_id}.key", "--officer-cert", tmp_path / f"{officer_id}.pem")
        ended = founded.mohr("ca", "file", *words, *mine)
        assert ended.status == 0, ended.messages
        return json.loads(ended.output.splitlines()[-1])

    file = act("parsa", "submit", tmp_path / "centre.json")
    assert act("akbari", "approve", file["id"])["state"] == "submitted"
    assert act("bahrami", "approve", file["id"])["state"] == "approved"
    with opened_database(founded.deployment) as (database, _ledger), database.read() as connection:
        rows = connection.exec_driver_sql("SELECT officer, statement, signature FROM approvals ORDER BY at").all()
    assert [row.officer for row in rows] == ["akbari", "bahrami"]
    assert all(file["id"].encode() in row.statement and row.signature for row in rows)


def verdict(site: Site, signed: Path) -> tuple[str, str | None]:
    found = json.loads(site.mohr("verify", signed, "--offline", "--json").output)
    return found["indication"], found["sub_indication"]


def test_the_root_under_custody_revokes_an_authority(founded: Site, tmp_path: Path) -> None:
    """Custodian One brings a share of another ceremony: it is named, and the other two open the root."""
    other = Persons()
    foreign = Site(Deployment(tmp_path / "foreign"), other)
    other.typed = {"Custodian Three back": ["no"] * 3}
    with pytest.raises(CeremonyStopped):
        foreign.hold(example("pilot-root"))
    signed = sealed_prescription(founded, tmp_path)
    assert verdict(founded, signed) == ("TOTAL-PASSED", None)
    persons = founded.persons
    persons.typed = {"Custodian One": [other.papers["Custodian One", "mohr-root"]] * 3}
    founded.hold(example("root-crl"))
    named = [line for line in persons.said if line.startswith("share-wrong")]
    assert len(named) == 3
    assert "share 1 is of another ceremony" in named[0]
    assert verdict(founded, signed) == ("INDETERMINATE", "REVOKED_CA_NO_POE")
    crl = founded.deployment.crl_file("root", 0)
    shown = openssl("crl", "-in", crl, "-inform", "DER", "-noout", "-text", "-CAfile", founded.deployment.anchor)
    assert "verify OK" in shown.stderr
    assert "Superseded" in shown.stdout
    pem_crl = tmp_path / "crl.pem"
    openssl("crl", "-in", crl, "-inform", "DER", "-out", pem_crl)
    check = ("verify", "-crl_check", "-CRLfile", pem_crl, "-CAfile", founded.deployment.anchor)
    assert "certificate revoked" in openssl(*check, public(founded, "institutions")).stderr
    assert openssl(*check, public(founded, "persons")).returncode == 0
    serial = x509.load_der_x509_certificate(public(founded, "institutions").read_bytes()).serial_number
    with opened_parts(founded.deployment) as parts:
        record = parts.authority.get(f"{serial:x}")
        latest = parts.authority.latest_crl("root", 0)
    assert record.state is CertificateState.REVOKED
    assert latest is not None
    assert (latest.number, latest.der) == (2, crl.read_bytes())


def test_a_second_site_has_its_own_key_under_the_root(founded: Site, tmp_path: Path) -> None:
    founded.hold(example("second-site"))
    folder = founded.folder("second-site")
    assert "OK" in openssl("req", "-in", folder / "site-2.csr", "-verify", "-noout").stderr
    anchor = founded.deployment.anchor
    assert openssl("verify", "-CAfile", anchor, folder / "site-2.pem").returncode == 0
    site = x509.load_pem_x509_certificate((folder / "site-2.pem").read_bytes())
    csr = x509.load_pem_x509_csr((folder / "site-2.csr").read_bytes())
    first = x509.load_der_x509_certificate(public(founded, "persons").read_bytes())
    assert site.public_key() == csr.public_key() != first.public_key()
    assert site.subject != first.subject
    with opened_parts(founded.deployment) as parts:  # recorded, so that the root can revoke it
        assert parts.authority.get(f"{site.serial_number:x}").name == "Mohr Pilot Persons CA, site 2"


def test_a_real_parent_certifies_a_key_of_4096_bits(founded: Site, tmp_path: Path) -> None:
    """OpenSSL plays the parent CA; the ceremony stops, then goes on from where it stood."""
    script = example("real-parent")
    with pytest.raises(CeremonyStopped, match="not there yet") as caught:
        founded.hold(script)
    assert caught.value.code is ErrorCode.CEREMONY_STOPPED
    folder = founded.folder("real-parent")
    request = folder / "ca-2026.csr"
    shown = openssl("req", "-in", request, "-verify", "-noout", "-text")
    assert "OK" in shown.stderr
    assert "rsassaPss" in shown.stdout
    assert "4096 bit" in shown.stdout
    parent, key, extensions = tmp_path / "parent.pem", tmp_path / "parent.key", tmp_path / "extensions"
    made = openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", parent, "-days", "30"),
        *("-subj", "/CN=Synthetic Parent CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    assert made.returncode == 0, made.stderr
    extensions.write_text(
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    signed = openssl(
        *("x509", "-req", "-in", request, "-CA", parent, "-CAkey", key, "-days", "20", "-extfile", extensions),
        *("-out", folder / "ca-2026.pem"),
    )
    assert signed.returncode == 0, signed.stderr
    shutil.copyfile(parent, folder / "parent-chain.pem")
    generated = list((founded.deployment.root / "tokens" / "issuing-2026").rglob("*.object"))
    founded.hold(script)
    assert sorted(generated) == sorted((founded.deployment.root / "tokens" / "issuing-2026").rglob("*.object"))
    ended = founded.mohr("hsm", "ceremony", "--verify", folder / "transcript.jsonl")
    assert ended.status == 0, ended.messages


def test_a_vendors_token_is_used_by_module_and_label(founded: Site, tmp_path: Path) -> None:
    place = founded.deployment.root / "tokens" / "elsewhere"
    workshop = CustodianWorkshop(tmp_path / "log", SETTINGS)
    record, pin = workshop.make(TokenPlace(name="x", token=tmp_path / "token", folder=tmp_path), "vendor-token")
    with pin:
        founded.persons.pin = pin.reveal()
    header = (EXAMPLES / "root-crl.toml").read_text().partition("[[step]]")[0].replace("root-crl-2026", "vendor")
    environment = ", ".join(f'{name} = "{value}"' for name, value in record.environment.items())
    text = f"""{header}
[[step]]
do = "use-token"
token = "elsewhere"
label = "vendor-token"
module = "{record.module}"
environment = {{ {environment} }}

[[step]]
do = "generate-key"
token = "elsewhere"
key = "seal-2"
algorithm = "ES256"
purpose = "seal"
"""
    founded.hold(parse_script(text.encode()))
    assert (place / "keys.json").exists()


def test_the_pilot_root_of_init_opens_with_its_pin_through_the_command(
    live: LiveDeployment,  # noqa: F811 - the fixture of that name
    tmp_path: Path,
) -> None:
    text = (EXAMPLES / "root-crl.toml").read_text().replace("root-crl-2026", "renewal")
    first, _, rest = text.partition('[[step]]\ndo = "revoke-authority"')
    source = (first + rest[rest.index("[[step]]") :]).encode()
    path = tmp_path / "renewal.toml"
    path.write_bytes(source)
    with opened_parts(live.deployment) as parts:
        before = parts.authority.latest_crl("root", 0)
        root = parts.authority.named_certificate("root")
    assert before is not None
    assert root is not None
    last = [groups_of(digest)[-1] for digest in (parse_script(source).sha256, sha256(root).digest())]
    answers = "\n".join((last[0], "yes", live.root_pin, last[1], ""))
    arguments = ("hsm", "ceremony", str(path), "--home", str(live.deployment.home))
    refused = run_here(mohr, *arguments, answers=answers)
    assert (refused.status, refused.code) == (3, "usage")
    ended = run_here(mohr, *arguments, "--rehearsal", answers=answers)
    assert ended.status == 0, ended.messages + ended.trace
    assert live.root_pin not in ended.messages + ended.output
    with opened_parts(live.deployment) as parts:
        after = parts.authority.latest_crl("root", 0)
    assert after is not None
    assert after.number == before.number + 1
    assert live.deployment.published_crl("root", 0) == after.der
    verified = live.answer("hsm", "ceremony", "--verify", live.deployment.home / "ceremonies/renewal/transcript.jsonl")
    assert verified["rehearsal"] is True


def test_a_bad_script_is_refused_with_its_lines(founded: Site, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text((EXAMPLES / "root-crl.toml").read_text().replace('"superseded"', '"boredom"'))
    ended = founded.mohr("hsm", "ceremony", path, "--rehearsal")
    assert (ended.status, ended.code) == (1, "ceremony-script")
    assert "step 2: reason is one of" in ended.messages
    assert "دستور آیین کلید" in ended.messages


def test_a_home_with_something_in_it_is_not_founded(tmp_path: Path, founded: Site) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "notes.txt").write_text("mine")
    for home in (tmp_path / "home", founded.deployment.home):
        script = (EXAMPLES / "pilot-root.toml").read_text().replace('"pilot-root"', '"another-root"')
        with pytest.raises(ServiceError) as caught:
            Site(Deployment(home)).hold(parse_script(script.encode()))
        assert caught.value.code is ErrorCode.DEPLOYMENT_EXISTS
    with pytest.raises(ServiceError) as caught:
        Site(Deployment(tmp_path / "nothing")).hold(example("root-crl"))
    assert caught.value.code is ErrorCode.DEPLOYMENT_MISSING


@pytest.fixture
def empty_site() -> Iterator[Site]:
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")
    folder = Path(tempfile.mkdtemp(prefix="mohr-"))
    try:
        yield Site(Deployment(folder / "home"))
    finally:
        shutil.rmtree(folder)


def test_a_deployment_under_a_parent_opens_without_a_root_of_its_own(empty_site: Site, tmp_path: Path) -> None:
    script, folder = example("subordinate"), empty_site.folder("subordinate")
    with pytest.raises(CeremonyStopped, match=r"put it at .*persons\.pem"):
        empty_site.hold(script)
    root = Authority.root(tmp_path / "root")
    health = root.below(tmp_path / "health", "Health Intermediate")
    for name in ("persons", "institutions", "systems"):
        health.certify(folder / f"{name}.csr", folder / f"{name}.pem")
    joined(folder / "parent-chain.pem", [health.certificate, root.certificate])
    empty_site.hold(script)
    deployment = empty_site.deployment
    assert deployment.exists()
    assert deployment.anchor.read_bytes() == root.certificate.read_bytes()
    assert not deployment.certificate_file("root").exists()
    assert len(load_certificates(deployment.exchange_clients.read_bytes())) == 5
    with opened_database(deployment) as (database, _ledger), database.read() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM authority_parents").scalar_one()
    assert kept == 2 * len(("persons", "institutions", "systems"))
    verified = empty_site.mohr("hsm", "ceremony", "--verify", folder / "transcript.jsonl")
    assert verified.status == 0, verified.messages
