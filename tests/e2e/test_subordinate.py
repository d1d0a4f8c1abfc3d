"""A deployment under a ministry's health intermediate, which OpenSSL plays: the guide's commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hsm.process import CustodianProcess
from hsm.softhsm import find_module
from pki.certificates import Certificate, load_certificates
from signer.samples import sample_prescription
from storage.engine import open_database
from tests.e2e.conftest import free_port
from tests.e2e.door import opened_door
from tests.e2e.test_est import CENTRE
from tests.support.deployment import PHYSICIAN, LiveDeployment
from tests.support.ministry import Authority, joined
from tests.support.openssl import openssl
from tests.support.programs import Ended, run_here
from webapp.cli import mohr
from webapp.deployment import Deployment
from webapp.separation import custodian_for_us

pytestmark = pytest.mark.real
AUTHORITIES = ("persons", "institutions", "systems")
EXPIRED = ("-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
OFFICERS = {"clerk": ("registrar", "issuer"), "first": ("approver",), "second": ("approver",)}


@dataclass(kw_only=True)
class Subordinate:
    """A deployment, the ministry above it, and how what was wrong was answered on the way."""

    live: LiveDeployment
    folder: Path
    root: Authority
    health: Authority
    refused: dict[str, Ended] = field(default_factory=dict)
    first: Ended | None = None
    again: Ended | None = None

    @property
    def deployment(self) -> Deployment:
        return self.live.deployment

    def issued(self, name: str, by: Authority, *dates: str) -> Path:
        """Have all requests certified; return the certificates in one file."""
        requests = [self.deployment.requests / f"{label}.csr" for label in AUTHORITIES]
        places = [self.folder / f"{name}-{label}.pem" for label in AUTHORITIES]
        found = [by.certify(*pair, *dates) for pair in zip(requests, places, strict=True)]
        return joined(self.folder / f"{name}.pem", found)

    def openssl_verifies(self, certificate: Path) -> bool:
        above = joined(self.folder / "above.pem", [self.health.certificate, self.folder / "good.pem"])
        said = openssl("verify", "-x509_strict", "-CAfile", self.root.certificate, "-untrusted", above, certificate)
        return said.returncode == 0


def _try_what_is_wrong(found: Subordinate) -> None:
    root, health, folder = found.root, found.health, found.folder
    chain = [health.certificate, root.certificate]

    def install(name: str, *files: Path) -> None:
        found.refused[name] = found.live.mohr("ca", "install-chain", *files)

    found.refused["list"] = found.live.mohr("ca", "list")
    good = found.issued("good", health)
    install("missing intermediate", good, root.certificate)
    install("expired", found.issued("expired", health, *EXPIRED), *chain)
    narrow = root.below(folder / "narrow", "Narrow", path_length=0)
    install("path length", found.issued("narrow", narrow), narrow.certificate, root.certificate)
    closed = root.below(folder / "closed", "Closed", more="nameConstraints = critical, excluded;IP:127.0.0.0/255.0.0.0")
    install("name constraints", found.issued("closed", closed), closed.certificate, root.certificate)
    install("another key", *chain)


def _kill_half_way(found: Subordinate, *files: Path) -> None:
    command = [sys.executable, "-m", "webapp", "ca", "install-chain", *files, "--home", found.deployment.home]
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        end = time.monotonic() + 60
        while not found.deployment.anchor.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        with suppress(ProcessLookupError):  # it is done already where the machine is busy
            os.killpg(process.pid, signal.SIGKILL)  # its custodian too, as a power cut does


@pytest.fixture(scope="module")
def subordinate() -> Iterator[Subordinate]:
    """Have everything wrong refused, be killed half-way, then open and keep the custodian running."""
    if find_module() is None or shutil.which("openssl") is None:
        pytest.skip("SoftHSM2 and OpenSSL are needed")
    folder = Path(tempfile.mkdtemp(prefix="mohr-"))
    try:
        root = Authority.root(folder / "root")
        health = root.below(folder / "health", "Health Intermediate")
        deployment = Deployment(folder / "home")
        words = ("--home", str(deployment.home), "--public-url", "http://127.0.0.1:18445")
        begun = run_here(mohr, "init", "--subordinate", *words)
        assert (begun.status, json.loads(begun.output)["state"]) == (0, "waiting"), begun.messages
        unused = CustodianProcess(deployment.custodian_config, log_path=folder / "custodian.log")
        live = LiveDeployment(deployment=deployment, root_pin="", custodian=unused)
        found = Subordinate(live=live, folder=folder, root=root, health=health)
        _try_what_is_wrong(found)
        files = (folder / "good.pem", health.certificate, root.certificate)
        _kill_half_way(found, *files)
        found.first = live.mohr("ca", "install-chain", *files)
        found.again = live.mohr("ca", "install-chain", *files)
        with custodian_for_us(deployment):
            yield found
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("list", "deployment-waiting", "install-chain"),
        ("missing intermediate", "verification-failed", "chain.issuer-missing: "),
        ("expired", "verification-failed", "chain.not-valid-now: "),
        ("path length", "verification-failed", "chain.path-length: "),
        ("name constraints", "verification-failed", "chain.name-constraints: the name of 127.0.0.1 "),
        ("another key", "verification-failed", "chain.authority-missing: "),
    ],
)
def test_what_the_parent_did_wrong_is_refused_and_opens_nothing(
    subordinate: Subordinate, what: str, code: str, said: str
) -> None:
    ended = subordinate.refused[what]
    assert (ended.status, ended.code) == (1, code)
    assert said in ended.messages


def test_after_a_kill_the_same_files_open_it_and_change_nothing_more(subordinate: Subordinate) -> None:
    first = subordinate.first
    assert first is not None
    assert first.status == 0, first.messages + first.trace
    assert subordinate.deployment.exists()
    assert not subordinate.deployment.waiting_file.exists()
    assert subordinate.again is not None
    again = json.loads(subordinate.again.output)
    assert (again["state"], again["changed"]) == ("open", False)
    assert set(again["authorities"]) == set(AUTHORITIES)
    with (
        closing(open_database(f"sqlite:///{subordinate.deployment.database_file}")) as database,
        database.read() as connection,
    ):
        count = "SELECT count(DISTINCT holder) FROM certificates WHERE issuer = 'parent'"
        assert connection.exec_driver_sql(count).scalar_one() == len(AUTHORITIES)
        assert connection.exec_driver_sql("SELECT count(*) FROM named_certificates").scalar_one() >= 8


def _officer(found: Subordinate, name: str) -> tuple[str | Path, ...]:
    """Found an officer with a key of their own; return the words by which they act."""
    key, wish, own = (found.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
    if not own.exists():
        assert (
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key).returncode == 0
        )
        assert openssl("req", "-new", "-key", key, "-subj", "/CN=x", "-out", wish).returncode == 0
        roles = [word for role in OFFICERS[name] for word in ("--role", role)]
        names = ("--given-name", "نام", "--surname", "آزمایشی")
        found.live.answer("ca", "officer", "found", f"officer-{name}", *names, "--csr", wish, "-o", own, *roles)
    return ("--officer", f"officer-{name}", "--officer-key", key, "--officer-cert", own)


def _issued(found: Subordinate, profile: str, members: dict[str, str]) -> tuple[Path, Path]:
    """Have a holder's file approved by two and a certificate issued; return the files of key and certificate."""
    file, key, wish, own = (found.folder / f"{profile}.{kind}" for kind in ("json", "key", "csr", "pem"))
    file.write_text(json.dumps(members, ensure_ascii=False), encoding="utf-8")
    key.write_bytes(found.live.new_request(wish).private_pem())
    clerk, first, second = (_officer(found, name) for name in OFFICERS)
    file_id = found.live.answer("ca", "file", "submit", file, *clerk)["id"]
    for officer in (first, second):
        found.live.answer("ca", "file", "approve", file_id, *officer)
    found.live.answer("ca", "issue", "--profile", profile, "--file", file_id, "--csr", wish, "-o", own, *clerk)
    return key, own


def test_a_physicians_certificate_leads_to_the_ministrys_root(subordinate: Subordinate) -> None:
    _key, own = _issued(subordinate, "clin-sign", PHYSICIAN)
    assert subordinate.openssl_verifies(own)
    certificate = load_certificates(own.read_bytes())[0]
    persons = Certificate.parse(subordinate.deployment.certificate_file("persons").read_bytes())
    assert persons.not_before <= certificate.not_before < certificate.not_after <= persons.not_after
    assert certificate.issuer_urls == ("http://127.0.0.1:18445/ca/persons.cer",)


def test_est_and_tls_show_the_whole_chain(subordinate: Subordinate, tmp_path: Path) -> None:
    with opened_door(subordinate.live, tmp_path, free_port()) as door:
        url = f"{door.url}/.well-known/est/cacerts"
        asked = ("curl", "--silent", "--fail", "--max-time", "20", "--cacert", str(subordinate.root.certificate), url)
        body = subprocess.run(asked, check=True, capture_output=True).stdout
    (tmp_path / "cacerts.b64").write_bytes(body)
    assert openssl("base64", "-d", "-in", tmp_path / "cacerts.b64", "-out", tmp_path / "cacerts.p7").returncode == 0
    said = openssl("pkcs7", "-inform", "DER", "-in", tmp_path / "cacerts.p7", "-print_certs")
    told = {line.partition("CN = ")[2] for line in said.stdout.splitlines() if line.startswith("subject=")}
    ours = {f"Mohr Pilot {name.capitalize()} CA" for name in AUTHORITIES}
    assert told == {*ours, "Health Intermediate", "Ministry Root"}


def test_a_signature_is_verified_under_the_ministrys_root_once_its_lists_are_there(
    subordinate: Subordinate, tmp_path: Path
) -> None:
    document, signed = tmp_path / "rx.json", tmp_path / "rx.jades.json"
    document.write_bytes(sample_prescription())
    home = subordinate.deployment.home
    key, own = _issued(subordinate, "hix-seal", CENTRE)
    subordinate.live.answerless("sign", document, "--format", "jades", "--key", f"file:{key}", "--cert", own)

    def verdict() -> dict[str, str]:
        ended = run_here(mohr, "verify", str(signed), "--home", str(home), "--offline", "--json")
        signature: dict[str, str] = json.loads(ended.output)["signatures"][0]
        return signature

    before = verdict()
    assert (before["crypto"], before["indication"]) == ("intact", "INDETERMINATE")
    lists = subordinate.deployment.public / "crl" / "parents"
    lists.mkdir()
    subordinate.root.crl(lists / "root.crl")
    subordinate.health.crl(lists / "health.crl")
    assert verdict()["indication"] == "TOTAL-PASSED"


def test_an_authoritys_certificate_is_renewed_by_its_parent(subordinate: Subordinate, tmp_path: Path) -> None:
    live, deployment = subordinate.live, subordinate.deployment
    request, renewed = deployment.requests / "systems.csr", tmp_path / "systems.pem"
    before = Certificate.parse(deployment.certificate_file("systems").read_bytes())
    subordinate.health.certify(request, renewed, "-days", "2500")
    done = live.answer("ca", "install-chain", renewed, subordinate.health.certificate, subordinate.root.certificate)
    after = Certificate.parse(deployment.certificate_file("systems").read_bytes())
    assert (list(done["authorities"]), done["changed"]) == (["systems"], True)
    assert after.serial_hex == done["authorities"]["systems"]
    assert (after.spki_der, after.subject_der) == (before.spki_der, before.subject_der)
    assert after.not_after > before.not_after
    shown = load_certificates(deployment.tls_certificate.read_bytes())
    assert shown[1] == after
    (tmp_path / "tls.pem").write_text(deployment.tls_certificate.read_text())
    assert subordinate.openssl_verifies(tmp_path / "tls.pem")
    old = live.mohr(
        "ca", "install-chain", subordinate.folder / "good-systems.pem", subordinate.health.certificate,
        subordinate.root.certificate,
    )  # fmt: skip
    assert (old.status, old.code) == (1, "verification-failed")
    assert "chain.older: " in old.messages
