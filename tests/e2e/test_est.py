"""EST over real mutual TLS, asked by curl and OpenSSL: the guide's commands, and all that must be refused."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import REPOSITORY, free_port
from tests.e2e.door import Door, opened_door
from tests.support.deployment import LiveDeployment
from tests.support.openssl import openssl

pytestmark = pytest.mark.real
SYSTEM = {
    "kind": "system",
    "organization": "شرکت نرم‌افزار آزمایشی",
    "common_name": "his-1",
    "hosts": ["his-1.example"],
}
CENTRE = {
    "kind": "centre",
    "siam_id": "c-1001",
    "name": "بیمارستان آزمایشی",
    "centre_kind": "hospital",
    "legal_id": "11234567890",
    "province": "تهران",
    "city": "تهران",
}
PKCS10 = ("--header", "Content-Type: application/pkcs10")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A client of EST with a folder of its own."""

    door: Door
    live: LiveDeployment
    folder: Path

    @property
    def est(self) -> str:
        return f"{self.door.url}/.well-known/est"

    def file(self, members: dict[str, Any] = SYSTEM, *, approved: bool = True) -> str:
        place = self.folder / "file.json"
        place.write_text(json.dumps(members, ensure_ascii=False), encoding="utf-8")
        file_id = str(self.live.answer("ca", "file", "submit", place, "--officer", "clerk-parsa")["id"])
        if approved:
            self.approve(file_id)
        return file_id

    def approve(self, file_id: str) -> None:
        for officer in ("officer-akbari", "officer-bahrami"):
            self.live.answer("ca", "file", "approve", file_id, "--officer", officer)

    def secret(self, file_id: str) -> str:
        return str(self.live.answer("ca", "est-secret", file_id)["secret"])

    def request(self, name: str, subject: str = "/CN=a wish", *extensions: str) -> Path:
        """Make a key and a request; return the file that is sent."""
        key, wish, body = (self.folder / f"{name}.{kind}" for kind in ("key", "der", "b64"))
        assert openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key).returncode == 0
        words: tuple[str | Path, ...] = ("-utf8", "-subj", subject, *extensions, "-outform", "DER", "-out", wish)
        made = openssl("req", "-new", "-key", key, *words)
        assert made.returncode == 0, made.stderr
        assert openssl("base64", "-in", wish, "-out", body).returncode == 0
        return body

    def curl(self, path: str, *words: str | Path, body: Path | None = None) -> tuple[int, bytes, dict[str, str]]:
        """Ask; return status, body and headers."""
        answer, headers = self.folder / "answer", self.folder / "headers"
        answer.write_bytes(b"")
        command = ["curl", "--silent", "--max-time", "30", "--cacert", self.live.deployment.anchor, *words]
        command += [] if body is None else [*PKCS10, "--data-binary", f"@{body}"]
        command += ["--output", answer, "--dump-header", headers, "--write-out", "%{http_code}", self.est + path]
        ended = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
        lines = [line.partition(":") for line in headers.read_text().splitlines()]
        named = {name.lower(): value.strip() for name, _, value in lines}
        return int(ended.stdout), answer.read_bytes(), named

    def refused(self, path: str, *words: str | Path, body: Path | None = None) -> tuple[int, str]:
        """Have a request refused; return the status and the reason or code."""
        status, answer, headers = self.curl(path, *words, body=body)
        assert headers["content-type"].startswith("application/problem+json"), answer
        problem = json.loads(answer)
        return status, problem.get("reason") or problem["code"]

    def certificate(self, name: str, path: str, *words: str | Path) -> Path:
        """Have a certificate issued for a new key; return its file."""
        status, answer, headers = self.curl(path, *words, body=self.request(name))
        assert (status, headers["content-type"]) == (200, "application/pkcs7-mime; smime-type=certs-only"), answer
        (self.folder / f"{name}.p7").write_bytes(answer)
        der, place = self.folder / f"{name}.p7.der", self.folder / f"{name}.pem"
        assert openssl("base64", "-d", "-in", self.folder / f"{name}.p7", "-out", der).returncode == 0
        assert openssl("pkcs7", "-inform", "DER", "-in", der, "-print_certs", "-out", place).returncode == 0
        return place

    def shown(self, name: str) -> tuple[str | Path, ...]:
        """What curl shows of a certificate."""
        return ("--cert", self.folder / f"{name}.pem", "--key", self.folder / f"{name}.key")

    def enrolled(self, name: str, profile: str = "infosys", members: dict[str, Any] = SYSTEM) -> tuple[str | Path, ...]:
        file_id = self.file(members)
        self.certificate(name, f"/{profile}/simpleenroll", "--user", f"{file_id}:{self.secret(file_id)}")
        return self.shown(name)

    def subject(self, name: str) -> str:
        return openssl("x509", "-in", self.folder / f"{name}.pem", "-noout", "-subject", "-nameopt", "RFC2253").stdout


@pytest.fixture
def machine(door: Door, live: LiveDeployment, tmp_path: Path) -> Machine:
    return Machine(door=door, live=live, folder=tmp_path)


def test_the_guide_s_commands_enrol_and_renew_a_system(machine: Machine) -> None:
    guide = (REPOSITORY / "docs" / "est.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    file_id = machine.file()
    variables = {
        "EST": machine.est,
        "ANCHOR": str(machine.live.deployment.anchor),
        "FILE": file_id,
        "SECRET": machine.secret(file_id),
        "PATH": "/usr/bin:/bin",
    }
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=machine.folder, env=variables, check=False, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert machine.subject("next") == machine.subject("system")
    purpose = ("-purpose", "sslclient", "-CAfile", machine.live.deployment.anchor)
    for name in ("system", "next"):
        verified = openssl(
            "verify", *purpose, "-untrusted", machine.folder / "chain.pem", machine.folder / f"{name}.pem"
        )
        assert verified.returncode == 0, verified.stderr
    keys = [openssl("x509", "-in", machine.folder / f"{n}.pem", "-noout", "-pubkey").stdout for n in ("system", "next")]
    assert keys[0] != keys[1]


def test_what_anybody_may_read_needs_no_certificate(machine: Machine) -> None:
    for path, count in (("/cacerts", 4), ("/infosys/cacerts", 2)):
        status, answer, headers = machine.curl(path)
        assert (status, headers["content-transfer-encoding"]) == (200, "base64")
        (machine.folder / "p7").write_bytes(answer)
        assert openssl("base64", "-d", "-in", machine.folder / "p7", "-out", machine.folder / "der").returncode == 0
        said = openssl("pkcs7", "-inform", "DER", "-in", machine.folder / "der", "-print_certs", "-noout")
        assert said.stdout.count("subject=") == count
    status, answer, headers = machine.curl("/infosys/csrattrs")
    assert (status, headers["content-type"]) == (200, "application/csrattrs")
    (machine.folder / "attributes").write_bytes(answer)
    der = machine.folder / "attributes.der"
    assert openssl("base64", "-d", "-in", machine.folder / "attributes", "-out", der).returncode == 0
    parsed = openssl("asn1parse", "-inform", "DER", "-in", der).stdout
    for word in ("id-ecPublicKey", "prime256v1", "ecdsa-with-SHA256", "Extension Request", "Extended Key Usage"):
        assert word in parsed
    assert machine.curl("/csrattrs")[0] == 204


def test_a_secret_makes_one_certificate(machine: Machine) -> None:
    file_id = machine.file()
    user = ("--user", f"{file_id}:{machine.secret(file_id)}")
    first = machine.certificate("first", "/infosys/simpleenroll", *user)
    assert machine.refused("/infosys/simpleenroll", *user, body=machine.request("other")) == (401, "est.secret-used")
    repeated = machine.curl("/infosys/simpleenroll", *user, body=machine.folder / "first.b64")
    assert repeated[1] == (machine.folder / "first.p7").read_bytes()
    assert first.read_text().count("BEGIN CERTIFICATE") == 1


def test_five_wrong_secrets_lock_the_file_s(machine: Machine) -> None:
    file_id = machine.file()
    secret, wish = machine.secret(file_id), machine.request("wish")
    for guess in ["guess"] * 6 + [f"{secret.partition('-')[0]}-guess"] * 5:  # a stranger's count for nothing
        answer = machine.refused("/infosys/simpleenroll", "--user", f"{file_id}:{guess}", body=wish)
        assert answer == (401, "est.secret-wrong")
    right = machine.refused("/infosys/simpleenroll", "--user", f"{file_id}:{secret}", body=wish)
    assert right == (401, "est.secret-locked")
    machine.certificate("late", "/infosys/simpleenroll", "--user", f"{file_id}:{machine.secret(file_id)}")


def test_a_file_that_waits_is_told_when_to_come_again(machine: Machine) -> None:
    file_id = machine.file(approved=False)
    user = ("--user", f"{file_id}:{machine.secret(file_id)}")
    status, answer, headers = machine.curl("/infosys/simpleenroll", *user, body=machine.request("early"))
    assert (status, answer) == (202, b"")
    assert int(headers["retry-after"]) > 0
    machine.approve(file_id)
    machine.certificate("early", "/infosys/simpleenroll", *user)


def test_a_system_s_certificate_gets_its_server_certificate(machine: Machine) -> None:
    shown = machine.enrolled("client")
    made = machine.certificate("server", "/tls-server/simpleenroll", *shown)
    assert "DNS:his-1.example" in openssl("x509", "-in", made, "-noout", "-ext", "subjectAltName").stdout


def test_another_identity_is_not_renewed(machine: Machine) -> None:
    shown = machine.enrolled("client")
    other = machine.request("other", "/C=IR/CN=another")
    assert machine.refused("/simplereenroll", *shown, body=other) == (422, "est.subject-differs")
    subject = ("/C=IR/O=شرکت نرم‌افزار آزمایشی", "/CN=his-1.example")
    file_id = re.search(r"serialNumber=(\w+)|2\.5\.4\.5=(\w+)", machine.subject("client"))
    assert file_id is not None
    same = f"{subject[0]}/serialNumber={file_id.group(1) or file_id.group(2)}{subject[1]}"
    evil = machine.request("evil", same, "-addext", "subjectAltName=DNS:evil.example")
    assert machine.refused("/simplereenroll", *shown, body=evil) == (422, "est.san-differs")
    good = machine.request("good", same, "-addext", "subjectAltName=DNS:his-1.example")
    assert machine.refused("/tls-server/simplereenroll", *shown, body=good) == (422, "est.profile-differs")
    assert machine.curl("/infosys/simplereenroll", *shown, body=good)[0] == 200


def test_another_centre_s_certificate_and_an_officer_s_prove_nothing(machine: Machine) -> None:
    wish = machine.request("wish")
    one = machine.enrolled("one")
    other_file = machine.file(SYSTEM | {"common_name": "his-2"})
    named = ("--user", f"{other_file}:")
    assert machine.refused("/tls-server/simpleenroll", *one, *named, body=wish) == (401, "est.another-holder")
    assert machine.refused("/hix-tls/simpleenroll", *one, body=wish) == (403, "profile.wrong-holder")
    place = machine.live.deployment.officers / "officer-akbari"
    officer = ("--cert", place / "certificate.pem", "--key", place / "key.pem")
    assert machine.refused("/infosys/simpleenroll", *officer, body=wish) == (401, "est.certificate-holder")


def test_a_revoked_certificate_renews_nothing(machine: Machine) -> None:
    shown = machine.enrolled("client")
    serial = openssl("x509", "-in", machine.folder / "client.pem", "-noout", "-serial").stdout.strip().split("=")[1]
    machine.live.answer("ca", "revoke", serial.lower(), "--reason", "key-compromise")
    assert machine.refused("/simplereenroll", *shown, body=machine.request("next")) == (401, "est.certificate-not-good")


def test_bodies_that_are_wrong_and_methods_that_are_mixed_up_are_problems(machine: Machine) -> None:
    shown = machine.enrolled("client")
    wish = machine.request("wish")
    huge, short, raw = (machine.folder / name for name in ("huge", "short", "raw"))
    huge.write_bytes(b"A" * 200_000)
    short.write_bytes(wish.read_bytes()[:-9])
    raw.write_bytes((machine.folder / "wish.der").read_bytes())
    enrol = "/infosys/simpleenroll"
    assert machine.refused(enrol, *shown, body=huge) == (413, "request.too-large")
    assert machine.refused(enrol, *shown, body=raw) == (400, "request.not-base64")
    assert machine.refused(enrol, *shown, body=short)[0] == 400
    form = ("--data-binary", f"@{wish}")
    assert machine.refused(enrol, *shown, *form) == (415, "media-type-refused")
    chunked = ("--header", "Transfer-Encoding: chunked")
    assert machine.refused(enrol, *shown, *chunked, body=wish) == (411, "length-required")
    assert machine.refused(enrol) == (405, "method-refused")
    assert machine.refused("/cacerts", body=wish) == (405, "method-refused")
    assert machine.refused(enrol, body=wish) == (401, "est.no-proof")
    assert machine.refused("/serverkeygen", *shown, body=wish)[0] == 404
    assert machine.refused("/ocsp/cacerts")[0] == 404
    site = ("--header", "Sec-Fetch-Site: cross-site")
    assert machine.refused(enrol, *shown, *site, body=wish) == (403, "cross-site-refused")
    assert machine.curl(enrol, *shown, body=wish)[0] == 200


def test_a_centre_renews_its_connection_certificate_and_seals_by_its_secret_alone(machine: Machine) -> None:
    shown = machine.enrolled("tls", "hix-tls", CENTRE)
    assert machine.refused("/hix-seal/simpleenroll", *shown, body=machine.request("seal")) == (403, "est.secret-needed")
    wish = machine.folder / "next.csr"
    copied = ("-x509toreq", "-copy_extensions", "copy", "-in", machine.folder / "tls.pem")
    assert openssl("x509", *copied, "-signkey", machine.folder / "tls.key", "-out", wish).returncode == 0
    der, body = machine.folder / "next.der", machine.folder / "next.b64"
    assert openssl("req", "-in", wish, "-outform", "DER", "-out", der).returncode == 0
    assert openssl("base64", "-in", der, "-out", body).returncode == 0
    assert machine.curl("/hix-tls/simplereenroll", *shown, body=body)[0] == 200


@pytest.mark.parametrize("seconds", [0.05, 0.15])
def test_a_listener_that_is_killed_makes_no_second_certificate_of_a_secret(
    live: LiveDeployment, tmp_path: Path, seconds: float
) -> None:
    """Killed at some instant of an enrolment, it answers the same request afterwards, by one certificate."""
    with opened_door(live, tmp_path, free_port()) as door:
        machine = Machine(door=door, live=live, folder=tmp_path)
        file_id = machine.file()
        user, wish = ("--user", f"{file_id}:{machine.secret(file_id)}"), machine.request("wish")
        words = ("--silent", "--cacert", str(live.deployment.anchor), *user, *PKCS10, "--data-binary", f"@{wish}")
        asking = subprocess.Popen(["curl", *words, "--output", "/dev/null", f"{machine.est}/infosys/simpleenroll"])
        time.sleep(seconds)
        door.kill()
        asking.wait(timeout=30)
    with opened_door(live, tmp_path, free_port()) as door:
        machine = Machine(door=door, live=live, folder=tmp_path)
        for _ in range(40):  # what the dead server began is given up within seconds
            status, answer, _ = machine.curl("/infosys/simpleenroll", *user, body=wish)
            if status != 409:
                break
            time.sleep(0.5)
        assert status == 200, answer
        other = machine.refused("/infosys/simpleenroll", *user, body=machine.request("other"))
        assert other == (401, "est.secret-used")
    with closing(sqlite3.connect(live.deployment.database_file)) as database:
        made = database.execute("SELECT count(*) FROM certificates WHERE file_id = ? AND state = 'good'", (file_id,))
        assert made.fetchone() == (1,)
