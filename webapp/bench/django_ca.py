"""django-ca as a peer, in an environment of its own (`.venv-peers`): nothing of it is imported here.

`make bench` installs it from `requirements-peers.txt` where packages can be had; elsewhere the figures say that it is
missing.
"""

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pki.certificates import Certificate, load_certificates
from pki.errors import ErrorCode, Unavailable
from pki.jose import json_object
from webapp.bench.https_driver import await_listener
from webapp.bench.measure import Peer
from webapp.ports import LOOPBACK, free_port

NOT_INSTALLED: Final = "; django-ca was not measured: .venv-peers is missing, `make bench` installs it"
ISSUED_BY: Final = (
    "django-ca {version}, create_cert() in one process, not over HTTP, a durable row each (SQLite, WAL, "
    "synchronous=FULL), P-256 key in a file; the request's own signature is not checked, no lint before, no approvals, "
    "no ledger"
)
_PROJECT: Final = Path(__file__).with_name("django_ca_project.py")
_ENVIRONMENT: Final = Path(__file__).resolve().parents[2] / ".venv-peers"
_WORKERS: Final = 2
_STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What it issued: how many a second, and the last one with its issuer."""

    rate: float
    leaf: Certificate
    issuer: Certificate
    serial: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeList:
    """A full list: what it took from the database to the signed list, and what was resident at most."""

    seconds: float
    octets: int
    rss_mb: float


def find_interpreter(environment: Path = _ENVIRONMENT) -> Path | None:
    """Return the peers' interpreter; None where they are not installed, or not wholly."""
    return environment / "bin" / "python" if (environment / ".ready").exists() else None


@dataclass(frozen=True, slots=True)
class DjangoCa:
    """One django-ca with a database of its own in `folder`."""

    folder: Path
    python: Path
    version: str

    @staticmethod
    def make(folder: Path, python: Path) -> "DjangoCa":
        """Create database, authority and responder in a new folder."""
        folder.mkdir()
        shutil.copyfile(_PROJECT, folder / "peer.py")
        made = DjangoCa(folder, python, "")
        return DjangoCa(folder, python, str(made._run("make")["version"]))

    def issue(self, count: int) -> Made:
        """Issue for requests that are made before the clock runs."""
        told = self._run("issue", str(count))
        (leaf,), (issuer,) = (load_certificates(told[of].encode()) for of in ("leaf", "issuer"))
        return Made(rate=round(told["rate"], 1), leaf=leaf, issuer=issuer, serial=told["serial"])

    def full_list(self, entries: int) -> MadeList:
        """Make one full list of so many revoked certificates, which are put into its register before."""
        self._run("revoke", str(entries))
        told = self._run("crl")
        return MadeList(seconds=round(told["seconds"], 2), octets=told["octets"], rss_mb=round(told["rss_mb"]))

    @contextmanager
    def responder(self, *, prepared: bool) -> Iterator[str]:
        """Serve it by gunicorn; give its address. Answers are signed when asked for, or all of them before."""
        if prepared:
            self._run("prepare", PEER_PREPARED="1")
        address = (LOOPBACK, free_port())
        options = ("--workers", str(_WORKERS), "--bind", f"{address[0]}:{address[1]}", "--chdir", str(self.folder))
        child = subprocess.Popen(  # noqa: S603 - the program that the environment holds
            [self.python, "-m", "gunicorn", *options, "peer:application"],
            env=_variables(**({"PEER_PREPARED": "1"} if prepared else {})),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await_listener(address)
            yield f"http://{address[0]}:{address[1]}"
        finally:
            child.terminate()
            try:
                child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _run(self, *command: str, **variables: str) -> dict[str, Any]:
        done = subprocess.run(  # noqa: S603 - the interpreter that the environment holds, and a file of ours
            [self.python, "peer.py", *command],
            cwd=self.folder,
            env=_variables(**variables),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(ErrorCode.UNAVAILABLE, f"django-ca {command[0]}: {done.stderr.decode()[-500:]}")
        return json_object(done.stdout)


def ocsp_path(made: Made, request: bytes) -> str:
    """Return where a GET asks for the status of what was made (RFC 6960 appendix A.1)."""
    return f"/ocsp/{made.serial}/cert/{base64.b64encode(request).decode()}"


def issuing_peer(peer: DjangoCa, made: Made) -> Peer:
    """Say how fast it issues, and what it leaves out."""
    return Peer(ISSUED_BY.format(version=peer.version), made.rate)


def _variables(**more: str) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": "/nonexistent", **more}
