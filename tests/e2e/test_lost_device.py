"""`mohr serve` on a device that dies, hangs and returns: what needs no key answers, the rest says when to ask again."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from hsm.softhsm import SoftHsmToken, create_softhsm_token, find_module
from pki import der, oids
from pki.certificates import load_certificates
from pki.csr import build_csr
from pki.errors import ErrorCode
from pki.instants import parse_instant
from pki.programs import ExitStatus
from tests.support.deployment import PHYSICIAN, SETTINGS, activate
from tests.support.lost_hsm import LostHsm, needs_p11_kit
from tests.support.programs import Ended, run_here
from tests.support.separated import Served, descendants, free_ports, until
from webapp.centre_client import ASSERTION_TYPE, Centre, CentreKey
from webapp.ceremony import hold_ceremony
from webapp.cli import mohr
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings

pytestmark = [
    pytest.mark.real,
    needs_p11_kit,
    pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed"),
]
SAID = 8.0  # "not now" is said within it, and what needs no key is answered; 1 s by requirement where nothing stalls
RESUMES = 15.0  # 2 s by requirement, which the stress suite holds the custodians to
MANY = 50  # requests at once
ALIVE = timedelta(seconds=15)  # a worker's heartbeat is never older


class Answer(NamedTuple):
    """What was answered, and after how many seconds."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def says_not_now(self) -> bool:
        """Whether it is a 503 that names its code and when to ask again, said soon."""
        members = json.loads(self.body)
        coded = members.get("code") == ErrorCode.HSM_UNAVAILABLE or members.get("error") == "temporarily_unavailable"
        return self.status == 503 and coded and int(self.headers["retry-after"]) > 0 and self.seconds < SAID


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags:
    return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason


@dataclass(kw_only=True)
class Lost(Served):
    """A served deployment whose custodians reach their token through a device that can be lost."""

    device: LostHsm
    folder: Path
    centre: Centre | None = None
    file_id: str = ""
    pid: int = 0

    def mohr(self, *arguments: str | Path, answers: str = "") -> Ended:
        """Run one command of `mohr` beside the served programs, in this process."""
        return run_here(mohr, *map(str, arguments), "--home", str(self.deployment.home), answers=answers)

    def asked(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Answer:
        """Ask the plain listener for something."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        began = time.monotonic()
        try:
            connection.request(method, path, body, {"Content-Type": content_type} if content_type else {})
            answered = connection.getresponse()
            data = answered.read()
            headers = {name.lower(): value for name, value in answered.getheaders()}
            return Answer(answered.status, headers, data, time.monotonic() - began)
        finally:
            connection.close()

    # --- what needs a key ---

    def stamp(self) -> Answer:
        """Ask for a time-stamp."""
        imprint = der.sequence(der.sequence(der.oid(oids.SHA256)), der.octet_string(sha256(os.urandom(8)).digest()))
        query = der.sequence(der.integer(1), imprint)
        return self.asked("POST", "/tsa", query, "application/timestamp-query")

    def token(self) -> Answer:
        """Ask for a centre's access token."""
        assert self.centre is not None
        form = {
            "grant_type": "client_credentials",
            "client_id": self.centre.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.centre.assertion(f"http://127.0.0.1:{self.port}", datetime.now(UTC)),
            "scope": "hix.submit",
        }
        return self.asked("POST", "/oauth2/token", urlencode(form).encode(), "application/x-www-form-urlencoded")

    def issue(self, name: str) -> Ended:
        """Ask for a certificate, which goes to a file, and have its holder activate it."""
        request = self.folder / f"{name}.csr"
        request.write_bytes(build_csr(CentreKey.generate(), "a wish"))
        wish = ("--profile", "clin-sign", "--file", self.file_id, "--csr", request)
        ended = self.mohr("ca", "issue", *wish, "-o", self.folder / f"{name}.pem")
        if ended.status == 0:
            activate(self.deployment, self.file_id)
        return ended

    # --- what needs none ---

    def ocsp(self, name: str) -> ocsp.OCSPResponse:
        """Ask for the status of a certificate."""
        (subject,) = load_certificates((self.folder / f"{name}.pem").read_bytes())
        issuer = x509.load_der_x509_certificate(self.deployment.certificate_file("persons").read_bytes())
        wish = ocsp.OCSPRequestBuilder().add_certificate(
            x509.load_der_x509_certificate(subject.der),
            issuer,
            hashes.SHA1(),  # noqa: S303 - what nearly all clients send
        )
        request = wish.build().public_bytes(Encoding.DER)
        answer = self.asked("POST", "/ocsp", request, "application/ocsp-request")
        assert answer.status == 200
        assert answer.seconds < SAID
        return ocsp.load_der_ocsp_response(answer.body)

    def status_answers(self) -> list[Answer]:
        """Ask for a list, an issuer, the log's head, the keys, the health, a page."""
        paths = ("/crl/persons/0.crl", "/ca/persons.cer", "/log/checkpoint", "/oauth2/jwks", "/healthz", "/verify")
        return [self.asked("GET", path) for path in paths]

    def is_listed(self, serial: str) -> bool:
        """Whether any list of the issuer says that a certificate was revoked, not that it waited for its holder."""
        lists = (self.deployment.crl_file("persons", 0).parent).glob("*.crl")
        read = (x509.load_der_x509_crl(path.read_bytes()) for path in lists)
        entries = (found.get_revoked_certificate_by_serial_number(int(serial, 16)) for found in read)
        return any(entry is not None and _reason(entry) is x509.ReasonFlags.key_compromise for entry in entries)

    @property
    def worker_lives(self) -> bool:
        """Whether the worker has said so a moment ago."""
        beat = parse_instant(str(json.loads(self.deployment.worker_state.read_bytes())["at"]))
        return datetime.now(UTC) - beat < ALIVE

    def process(self, part: str) -> int:
        """Return the first process with a word in its command line."""
        return next(pid for pid, line in descendants(self.pid).items() if part in line)

    # --- the device ---

    @property
    def is_well(self) -> bool:
        """Whether everything works that can: p11-kit carries no EdDSA, so no new head of the log is signed."""
        parts = json.loads(self.asked("GET", "/healthz").body)["parts"]
        others = {str(part["state"]) for name, part in parts.items() if name != "worker"}
        return others == {"ok"} and parts["worker"].get("note", "ledger") == "ledger"

    def _is_well(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.is_well
        return False

    def resumes(self) -> None:
        """See that everything that needs a key is there again soon after now."""
        began = time.monotonic()
        for ask in (self.stamp, self.token):
            while ask().status != 200:
                assert time.monotonic() - began < RESUMES, self.said[-2000:]
                time.sleep(0.02)
        until(lambda: self.is_well, "every part is well", lambda: self.said)


def _settings(port: int) -> DeploymentSettings:
    return DeploymentSettings(
        public_url=f"http://127.0.0.1:{port}",
        exchange_url=f"https://127.0.0.1:{port + 1}",
        organization=SETTINGS.organization,
        oid_arc=SETTINGS.oid_arc,
        database_url=None,
        production=False,
    )


def _reach_through(deployment: Deployment, device: LostHsm) -> None:
    """Change the custodians' settings as an operator does who moves the token to another machine."""
    settings = json.loads(deployment.custodian_config.read_bytes())
    settings["device"] |= {"module": str(device.module_path), "environment": dict(device.environment)}
    deployment.custodian_config.write_text(json.dumps(settings), encoding="utf-8")


def _enrol(lost: Lost) -> None:
    """Approve a physician's file and connect a centre."""
    person = lost.folder / "person.json"
    person.write_text(json.dumps(PHYSICIAN, ensure_ascii=False), encoding="utf-8")
    lost.file_id = str(lost.answer("ca", "file", "submit", person, "--officer", "clerk-parsa")["id"])
    wish = ("--siam", "pilot-clinic-1", "--system", "his-demo-1", "--officer", "clerk-parsa")
    client_id = str(lost.answer("token", "request", *wish)["id"])
    for officer in ("officer-akbari", "officer-bahrami"):
        lost.answer("ca", "file", "approve", lost.file_id, "--officer", officer)
        lost.answer("token", "approve", client_id, "--officer", officer)
    key, request, certificate = CentreKey.generate(), lost.folder / "centre.csr", lost.folder / "centre.pem"
    request.write_bytes(build_csr(key, "a centre"))
    lost.answer("token", "activate", client_id, "--csr", request, "-o", certificate)
    lost.centre = Centre(client_id=client_id, key=key, certificate=load_certificates(certificate.read_bytes())[0])


@pytest.fixture(scope="module")
def lost() -> Iterator[Lost]:
    folder = Path(tempfile.mkdtemp(prefix="mohr-"))  # nobody else may pass it: everything runs as one user
    tokens: dict[str, SoftHsmToken] = {}

    def noted(where: Path, label: str) -> SoftHsmToken:
        tokens[where.name] = create_softhsm_token(where, label)
        return tokens[where.name]

    deployment, port = Deployment(folder / "home"), free_ports()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("webapp.ceremony.create_softhsm_token", noted)
        hold_ceremony(deployment, _settings(port))
    device = LostHsm(tokens[deployment.service_token.name], folder)
    _reach_through(deployment, device)
    made = Lost(python=Path(sys.executable), deployment=deployment, port=port, device=device, folder=folder)
    device.start()
    try:
        with made.serving() as made.pid:
            _enrol(made)
            yield made
    finally:
        device.kill()
        rmtree(folder)


@pytest.fixture(params=["killed", "stopped"])
def away(request: pytest.FixtureRequest, lost: Lost) -> Iterator[Callable[[], None]]:
    """Have the device go away; what is given brings it back. It is back in the end."""
    lost.resumes()
    gone, back = {
        "killed": (lost.device.kill, lost.device.start),
        "stopped": (lost.device.stop, lost.device.cont),
    }[request.param]
    pending = [back]
    gone()
    yield lambda: pending.pop()()  # noqa: PLW0108 - looked up when it is called
    while pending:
        pending.pop()()
    lost.resumes()


@pytest.mark.parametrize("seconds", [1.0, pytest.param(30.0, marks=pytest.mark.stress)], ids=["short", "long"])
def test_what_needs_a_key_says_not_now_and_the_rest_answers_until_the_device_is_back(
    lost: Lost, away: Callable[[], None], seconds: float
) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for answer in (lost.stamp(), lost.token()):
            assert answer.says_not_now, answer
        for answer in lost.status_answers():
            assert answer.status == 200, answer
            assert answer.seconds < SAID, answer
        time.sleep(0.5)  # a centre that asks for tokens more often is told to slow down
    states = lost.states()
    assert states["custodian"] == "down"
    assert states["database"] == "ok"
    assert lost.worker_lives
    away()
    lost.resumes()


def test_many_that_ask_at_once_do_not_pile_up(lost: Lost, away: Callable[[], None]) -> None:
    asks = [lost.stamp] * MANY  # tokens have a limit of their own for each centre
    with ThreadPoolExecutor(MANY) as pool:
        for _ in range(2):
            answers = list(pool.map(_call, asks))
            assert [answer for answer in answers if not answer.says_not_now] == []
        answers_meanwhile = pool.map(_call, asks)
        others = lost.status_answers()
        assert [answer for answer in others if answer.status != 200 or answer.seconds > SAID] == []
        assert all(answer.says_not_now for answer in answers_meanwhile)
    away()
    lost.resumes()


def _call(ask: Callable[[], Answer]) -> Answer:
    return ask()


def test_a_server_that_starts_while_the_device_is_away_serves(lost: Lost, away: Callable[[], None]) -> None:
    os.kill(lost.process("page_server"), signal.SIGKILL)
    until(lambda: not lost.states(), "the server is gone")
    until(lambda: bool(lost.states()), "the server is back")
    assert lost.stamp().says_not_now
    assert lost.token().says_not_now
    assert {answer.status for answer in lost.status_answers()} == {200}
    away()
    lost.resumes()


def test_an_issue_says_not_now_and_succeeds_later(lost: Lost, away: Callable[[], None]) -> None:
    name, began = f"early-{time.monotonic_ns()}", time.monotonic()
    ended = lost.issue(name)
    assert (ended.status, ended.code) == (ExitStatus.UNAVAILABLE, ErrorCode.HSM_UNAVAILABLE), ended.messages
    assert time.monotonic() - began < 2 * SAID
    assert not (lost.folder / f"{name}.pem").exists()
    away()
    lost.resumes()
    assert lost.issue(name).status == 0
    assert lost.ocsp(name).certificate_status is ocsp.OCSPCertStatus.GOOD


@pytest.mark.parametrize("waits", [False, pytest.param(True, marks=pytest.mark.stress)], ids=["restarted", "waited"])
def test_a_revocation_of_that_time_is_felt_after_it(lost: Lost, waits: bool) -> None:
    lost.resumes()
    name = f"revoked-{waits}"
    issued = lost.issue(name)
    assert issued.status == 0, issued.messages
    serial = str(json.loads(issued.output.splitlines()[-1])["serial"])
    lost.device.stop()
    try:
        ended = lost.mohr("ca", "revoke", serial, "--reason", "keyCompromise")
        assert ended.code == ErrorCode.HSM_UNAVAILABLE, ended.messages
        said = lost.ocsp(name)
        assert said.response_status is ocsp.OCSPResponseStatus.TRY_LATER, "never `good` any more"
        assert not lost.is_listed(serial)
    finally:
        lost.device.cont()
    lost.resumes()
    assert lost.ocsp(name).certificate_status is ocsp.OCSPCertStatus.REVOKED
    if not waits:  # its sweeps begin anew, else within a minute
        os.kill(lost.process("webapp.worker"), signal.SIGKILL)
    until(partial(lost.is_listed, serial), "the list names it")
