"""`openssl ca` and `openssl ocsp` as peers: a throw-away CA in a temporary folder."""

import base64
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pki.errors import ErrorCode, VerificationFailed
from webapp.ports import free_port

_START_SECONDS: Final = 60.0  # it reads its whole index first
_CONFIGURATION: Final = """
[ca]
default_ca = bench
[bench]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}/new
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
rand_serial = yes
default_md = sha256
default_days = 90
policy = any
unique_subject = no
[any]
commonName = supplied
"""


@dataclass(frozen=True, slots=True)
class OpensslCa:
    """A CA of the `openssl` command line in `folder`."""

    folder: Path

    @staticmethod
    def make(folder: Path) -> "OpensslCa":
        """Create key, certificate and empty index."""
        (folder / "new").mkdir(parents=True)
        (folder / "index.txt").touch()
        (folder / "openssl.cnf").write_text(_CONFIGURATION.format(folder=folder), encoding="utf-8")
        made = OpensslCa(folder)
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        made._openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=peer", "-days", "30")
        made._openssl("req", "-new", *curve, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=leaf")
        return made

    def _openssl(self, *arguments: str) -> bytes:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)  # noqa: S603, S607 - fixed program
        return done.stdout

    def issue(self, count: int) -> int:
        """Issue `count` certificates, a process each, as `openssl ca` is used."""
        for _ in range(count):
            self._openssl("ca", "-config", "openssl.cnf", "-batch", "-in", "leaf.csr", "-out", "leaf.pem", "-notext")
        return count

    def full_list(self, entries: int) -> float:
        """Return the seconds that one full list takes; so many revoked certificates are put into its index before."""
        return self.full_list_cost(entries)[0]

    def full_list_cost(self, entries: int) -> tuple[float, float]:
        """Return the seconds and the peak memory (MB) of one full list, as `full_list`."""
        told = "R\t351231235959Z\t261101000000Z,superseded\t{:040X}\tunknown\t/CN=holder\n"
        first = 1 << 158
        index = (told.format(serial) for serial in range(first, first + entries))
        (self.folder / "index.txt").write_text("".join(index), encoding="ascii")
        command = ["openssl", "ca", "-config", "openssl.cnf", "-gencrl", "-crldays", "7", "-out", "list.pem"]
        began = time.perf_counter()
        child = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - fixed program
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "openssl made no list")
        return round(time.perf_counter() - began, 4), round(usage.ru_maxrss / 1024, 1)

    def ocsp_path(self) -> str:
        """Return the GET path that asks for the last certificate's status (RFC 6960 appendix A.1)."""
        self._openssl("ocsp", "-issuer", "ca.pem", "-cert", "leaf.pem", "-no_nonce", "-reqout", "request.der")
        return "/" + base64.b64encode((self.folder / "request.der").read_bytes()).decode()

    def fill_index(self, count: int) -> None:
        """Put certificates that nobody issued into the index."""
        with (self.folder / "index.txt").open("a", encoding="ascii") as index:
            index.writelines(
                f"V\t361122000000Z\t\t{(1 << 127) + number:X}\tunknown\t/CN={number}\n" for number in range(count)
            )

    @contextlib.contextmanager
    def responder(self, workers: int) -> Iterator[str]:
        """Run `openssl ocsp` with the CA's own key; give its address."""
        port = free_port()
        files = ("-index", "index.txt", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key")
        child = subprocess.Popen(  # noqa: S603 - fixed program
            ["openssl", "ocsp", "-port", str(port), "-multi", str(workers), "-ndays", "1", *files],  # noqa: S607 - fixed program
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,  # a session leader it cannot be: it makes itself a group leader and would fail
        )
        try:
            _wait_for(port, _START_SECONDS)
            yield f"http://127.0.0.1:{port}"
        finally:
            # Its workers spin when only the parent dies.
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _wait_for(port: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
