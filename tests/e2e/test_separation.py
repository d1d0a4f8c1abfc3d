"""Custodian, server and worker as three system users: everything works, and none opens what is another's."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsm.softhsm import SoftHsmToken, create_softhsm_token, find_module
from signer.samples import sample_prescription
from tests.support.capabilities import looks_into_processes
from tests.support.deployment import PHYSICIAN, SETTINGS
from tests.support.openssl import openssl
from tests.support.separated import (
    Served,
    closed_folder,
    descendants,
    free_ports,
    memory_holds,
    open_folder,
    reachable_python,
    refusal_of_views,
    until,
    user_of,
)
from webapp.ceremony import hold_ceremony
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings
from webapp.outbox import Outbox
from webapp.system_users import CUSTODIAN, SERVER, WORKER, UsersMissing, system_accounts

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as other users"),
    pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed"),
]
OPEN = "os.open(path, os.O_RDONLY | os.O_NONBLOCK)"
APPEND = "open(path, 'ab')"
UNLINK = "os.unlink(path)"
CONNECT = "socket.socket(socket.AF_UNIX).connect(path)"
TRY_EACH = """
import os, socket, sys
for path in sys.argv[2:]:
    try:
        exec(sys.argv[1])
    except OSError as error:
        print(type(error).__name__)
    else:
        print()
"""


@dataclass(kw_only=True)
class Separated(Served):
    """A separated deployment, the process that keeps it, and the PINs that nobody may find in it.

    `behind`: it lies below a folder that only root can pass.
    """

    behind: Path | None = None
    pid: int = 0
    pins: tuple[bytes, ...] = ()

    def processes(self, part: str) -> list[int]:
        """Return the processes of one program, by a word of its command line."""
        return [pid for pid, line in descendants(self.pid).items() if part in line]

    def fails_as(self, user: str, act: str, *paths: Path | str) -> set[str]:
        """Do a line of Python to each `path` as `user`, seeing what the services see; return how it failed, or ""."""
        view = ("nsenter", "--mount", "--root", "--wd", "--target", str(self.processes("hsm.custodian")[0]), "--")
        enter = view if self.behind else ()  # entering takes rights that a container's root may lack
        become = ("setpriv", "--reuid", user, "--regid", user, "--init-groups", "--")
        command = [*enter, *become, str(self.python), "-I", "-c", TRY_EACH, act, *map(str, paths)]
        ended = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=30, check=True)
        said = ended.stdout.split("\n")[:-1]
        assert len(said) == len(paths) > 0, ended.stderr
        return set(said)


def _settings(port: int) -> DeploymentSettings:
    return DeploymentSettings(
        public_url=f"http://127.0.0.1:{port}",
        exchange_url=f"https://127.0.0.1:{port + 1}",
        organization=SETTINGS.organization,
        oid_arc=SETTINGS.oid_arc,
        database_url=None,
        production=False,
    )


BEHIND, OPENLY = "behind a closed folder", "where everybody passes"


@pytest.fixture(scope="module", params=[BEHIND, OPENLY])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Path, Path, Path | None]]:
    """Lend a folder, an interpreter, and the closed folder that both may lie behind."""
    try:
        system_accounts()
    except UsersMissing as error:
        pytest.skip(f"this system makes no users: {error}")
    if request.param == OPENLY:
        with open_folder() as folder:
            yield folder, reachable_python(folder), None
        return
    refusal = refusal_of_views()
    if refusal:
        pytest.skip(f"this machine allows no private view: {refusal}")
    with closed_folder() as folder:
        yield folder, Path(sys.executable), folder.parent


@pytest.fixture(scope="module")
def separated(place: tuple[Path, Path, Path | None]) -> Iterator[Separated]:
    """Make a deployment as one user, then serve it as three."""
    folder, python, behind = place
    pins: list[bytes] = []

    def noted(folder: Path, label: str) -> SoftHsmToken:
        token = create_softhsm_token(folder, label)
        pins.extend(pin.reveal().encode() for pin in (token.pin, token.so_pin))
        return token

    with pytest.MonkeyPatch.context() as patch:
        served = Separated(python=python, deployment=Deployment(folder / "home"), port=free_ports(), behind=behind)
        patch.setattr("webapp.ceremony.create_softhsm_token", noted)
        hold_ceremony(served.deployment, _settings(served.port))
        served.pins = tuple(pins)
        with served.serving() as served.pid:
            yield served


def test_the_start_line_says_so(separated: Separated) -> None:
    assert "custodian, server and worker run as a system user each" in separated.said
    assert "their separation guards against mistakes only" not in separated.said
    assert ("they see their code and HOME alone" in separated.said) == (separated.behind is not None)


@pytest.mark.parametrize("place", [BEHIND], indirect=True, scope="module")
def test_the_services_see_nothing_else_of_a_closed_folder(separated: Separated) -> None:
    assert separated.behind is not None
    secret = separated.behind / "secret"
    assert secret.read_bytes() == b"secret", "we see it"
    for user in (CUSTODIAN, SERVER, WORKER, "root"):
        assert separated.fails_as(user, OPEN, secret) == {"FileNotFoundError"}
        assert separated.fails_as(user, OPEN, separated.deployment.settings_file) == {""}
    for part in ("hsm.", "page_server", "exchange_server", "webapp.worker"):
        for pid in separated.processes(part):
            assert not (Path(f"/proc/{pid}/root") / secret.relative_to("/")).exists()
            assert Path(f"/proc/{pid}/cwd").samefile(f"/proc/{pid}/root"), "no way out of the view"


def test_each_program_runs_as_its_own_user(separated: Separated) -> None:
    for user, part in (
        (CUSTODIAN, "hsm."),
        (SERVER, "page_server"),
        (SERVER, "exchange_server"),
        (WORKER, "webapp.worker"),
    ):
        pids = separated.processes(part)
        assert pids, part
        assert {user_of(pid) for pid in pids} == {pwd.getpwnam(user).pw_uid}, part
    assert not [pid for pid in descendants(separated.pid) if user_of(pid) == 0], "no program is root's"


def test_a_certificate_lives_and_dies_while_root_and_three_users_take_turns(
    separated: Separated, tmp_path: Path
) -> None:
    public = separated.deployment.public
    issuers = tmp_path / "issuers.pem"
    issuers.write_text(
        "".join(openssl("x509", "-inform", "DER", "-in", path).stdout for path in (public / "ca").glob("*.cer"))
    )
    person = tmp_path / "person.json"
    person.write_text(json.dumps(PHYSICIAN, ensure_ascii=False), encoding="utf-8")
    file_id = str(separated.answer("ca", "file", "submit", person, "--officer", "clerk-parsa")["id"])
    for officer in ("officer-akbari", "officer-bahrami"):
        separated.answer("ca", "file", "approve", file_id, "--officer", officer)
    key, csr, certificate = (tmp_path / name for name in ("key.pem", "wish.csr", "cert.pem"))
    made = openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", key, "-out", csr, "-subj", "/CN=a wish"),
    )
    assert made.returncode == 0, made.stderr
    issued = separated.answer(
        "ca", "issue", "--profile", "clin-sign", "--file", file_id, "--csr", csr, "-o", certificate
    )
    serial, note = str(issued["serial"]), separated.deployment.checkpoint.read_bytes()

    def ocsp() -> str:
        url = f"http://127.0.0.1:{separated.port}/ocsp"
        issuer = tmp_path / "issuer.pem"
        issuer.write_text(openssl("x509", "-inform", "DER", "-in", public / "ca" / "persons.cer").stdout)
        said = openssl("ocsp", "-issuer", issuer, "-cert", certificate, "-url", url, "-CAfile", issuers)
        assert "Response verify OK" in said.stderr, said.stderr
        return said.stdout.partition(f"{certificate}: ")[2].partition("\n")[0]

    assert ocsp() == "revoked"  # on hold, until the holder activates it
    sent = str(separated.answer("ca", "activation", "send", file_id, "--officer", "clerk-parsa")["activation"])
    codes = Outbox(separated.deployment.outbox).codes_of(sent)
    separated.answer("ca", "activate", sent, answers="".join(f"{code}\n" for code in codes))
    until(lambda: ocsp() == "good", "the activation is felt")
    separated.answer("ca", "revoke", serial, "--reason", "keyCompromise")
    until(lambda: ocsp() == "revoked", "the revocation is felt")
    lists = [separated.ask("GET", f"/crl/persons/{path.name}") for path in (public / "crl" / "persons").iterdir()]
    assert {status for status, _ in lists} == {200}
    assert any(bytes.fromhex(serial) in body for _, body in lists)
    until(lambda: separated.deployment.checkpoint.read_bytes() != note, "the worker publishes a checkpoint")
    until(lambda: set(separated.states().values()) == {"ok"}, "every part is well")
    for path in (*public.rglob("*"), *separated.deployment.worker_state.parent.iterdir()):
        assert path.stat().st_uid == pwd.getpwnam(WORKER).pw_uid, f"{path} is what root left behind"


def test_time_is_stamped_and_files_are_verified(separated: Separated, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"data")
    query = tmp_path / "query.tsq"
    assert openssl("ts", "-query", "-data", tmp_path / "data", "-sha256", "-cert", "-out", query).returncode == 0
    status, reply = separated.ask("POST", "/tsa", query.read_bytes(), Content_Type="application/timestamp-query")
    assert status == 200
    (tmp_path / "reply.tsr").write_bytes(reply)
    said = openssl("ts", "-reply", "-in", tmp_path / "reply.tsr", "-text")
    assert "Status: Granted" in said.stdout, said.stdout + said.stderr
    status, body = separated.ask(
        "POST", "/api/v1/verify", sample_prescription(), Content_Type="application/octet-stream"
    )
    assert status == 200, body
    assert separated.ask("GET", "/verify")[0] == 200
    assert separated.ask("GET", "/log/checkpoint")[0] == 200


def _of_the_custodian(deployment: Deployment) -> list[Path]:
    folders = (deployment.custodian_config.parent, deployment.service_token.parent)
    return [path for folder in folders for path in (folder, *folder.rglob("*")) if not path.is_socket()]


def _sockets(separated: Separated, *roles: str) -> list[Path]:
    found = [path for role in roles for path in (separated.deployment.custodian_sockets / role).iterdir()]
    assert len(found) >= len(roles)
    assert all(stat.S_ISSOCK(path.lstat().st_mode) for path in found)
    return found


@pytest.mark.parametrize("user", [SERVER, WORKER])
def test_what_is_the_custodians_is_opened_by_nobody_else(separated: Separated, user: str) -> None:
    files = _of_the_custodian(separated.deployment)
    assert {"service.pin", "token.object"} <= {path.name for path in files}
    assert any("journal" in str(path) for path in files)
    assert any("keys" in path.name for path in files)
    memory = [
        f"/proc/{pid}/{name}" for pid in separated.processes("hsm.") for name in ("mem", "environ", "maps", "fd/0")
    ]
    assert separated.fails_as(user, OPEN, *files, *memory) == {"PermissionError"}


@pytest.mark.parametrize(
    ("user", "own", "others"), [(SERVER, "server", ("worker", "operator")), (WORKER, "worker", ("server", "operator"))]
)
def test_each_role_has_its_own_sockets(separated: Separated, user: str, own: str, others: tuple[str, ...]) -> None:
    sockets = _sockets(separated, own)
    assert separated.fails_as(user, CONNECT, *sockets) == {""}
    assert separated.fails_as(user, UNLINK, *sockets) == {"PermissionError"}
    assert separated.fails_as(user, CONNECT, *_sockets(separated, *others)) == {"PermissionError"}


def test_the_worker_does_not_open_the_servers_key_nor_the_server_what_is_published(separated: Separated) -> None:
    deployment = separated.deployment
    assert separated.fails_as(WORKER, OPEN, deployment.tls_key) == {"PermissionError"}
    assert separated.fails_as(SERVER, OPEN, deployment.tls_key) == {""}
    published = (deployment.anchor, deployment.checkpoint, deployment.registry, deployment.settings_file)
    assert separated.fails_as(SERVER, APPEND, *published) == {"PermissionError"}
    assert separated.fails_as(SERVER, OPEN, *published) == {""}
    roots = (deployment.root, deployment.root / "token", deployment.run / "serving.lock")
    for user in (CUSTODIAN, SERVER, WORKER):
        assert separated.fails_as(user, OPEN, *roots) == {"PermissionError"}


@looks_into_processes
def test_no_pin_is_in_the_memory_of_the_server_or_the_worker(separated: Separated) -> None:
    assert len(set(separated.pins)) == 4
    pids = [pid for part in ("page_server", "exchange_server", "webapp.worker") for pid in separated.processes(part)]
    known = str(separated.deployment.home).encode()
    for pid in pids:
        assert memory_holds(pid, known), "else this test finds nothing anywhere"
        assert not [pin for pin in separated.pins if memory_holds(pid, pin)]


def test_no_pin_is_in_a_log_or_in_a_file_but_its_own(separated: Separated) -> None:
    deployment = separated.deployment
    files = [separated.log, *(path for path in deployment.home.rglob("*") if path.is_file() and not path.is_symlink())]
    holders = {path for path in files if any(pin in path.read_bytes() for pin in separated.pins)}
    assert holders == {deployment.pin_file}


@pytest.mark.parametrize("place", [BEHIND], indirect=True, scope="module")
def test_a_start_changes_nothing_that_is_as_it_should_be(place: tuple[Path, Path, Path | None]) -> None:
    """A deployment that root made is used by root alone, also behind a closed folder, and then served."""
    folder, python, _ = place
    with tempfile.TemporaryDirectory(dir=folder, prefix="root-") as name:
        Path(name).chmod(0o755)
        port = free_ports()
        served = Served(python=python, deployment=Deployment(Path(name) / "home"), port=port)
        ended = served.mohr("init", "--public-url", f"http://127.0.0.1:{port}")
        assert ended.status == 0, ended.messages
        deployment = served.deployment
        before = {path: path.lstat().st_uid for path in deployment.home.rglob("*")}
        assert len(set(before.values())) == 5, "init has given everything to whom it belongs"
        assert served.mohr("ca", "crl").status == 0
        assert served.mohr("audit", "checkpoint").status == 0
        with served.serving():
            assert "policy" not in served.said
        after = {path: path.lstat().st_uid for path in deployment.home.rglob("*") if path in before}
        assert after == {path: uid for path, uid in before.items() if path in after}


def test_without_root_everything_works_and_the_line_is_plain() -> None:
    with open_folder() as folder:
        port, python = free_ports(), reachable_python(folder)
        nobody = pwd.getpwnam("nobody")
        own = folder / "own"
        own.mkdir()
        os.chown(own, nobody.pw_uid, nobody.pw_gid)
        prefix = ("setpriv", "--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups", "--")
        served = Served(python=python, deployment=Deployment(own / "home"), port=port, prefix=prefix)
        ended = served.mohr("init", "--public-url", f"http://127.0.0.1:{port}")
        assert ended.status == 0, ended.messages
        with served.serving() as pid:
            line = "custodian, server and worker run as one user: their separation guards against mistakes only"
            assert served.said.count(line) == 1
            assert {user_of(child) for child in (pid, *descendants(pid))} == {nobody.pw_uid}
            assert served.mohr("ca", "crl").status == 0
            assert served.ask("GET", "/crl/persons/0.crl")[0] == 200
