"""`mohr ca issue` killed with SIGKILL at random moments: each certificate ends as issued or abandoned."""

import secrets
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ca.custody_policy import OPERATOR
from hsm.client import CustodianClient
from hsm.errors import HsmUnavailable
from pki.certificates import Certificate, load_certificates
from tests.support.deployment import LiveDeployment
from tests.support.programs import start_process
from webapp.compose import opened_parts
from webapp.custody import sockets_for

pytestmark = pytest.mark.real
FEW, MANY = (6, 4), (400, 200)  # kills at the intent, kills at any time
SECONDS = 60.0
LOOK_SECONDS = 0.001  # a signature takes longer


@contextmanager
def _custodian_stopped(live: LiveDeployment) -> Iterator[None]:
    """Let each command start a custodian of its own, which must die with it."""
    live.custodian.stop()
    try:
        yield
    finally:
        live.custodian.start()


class Killer:
    """Starts `mohr ca issue` and kills it."""

    def __init__(self, live: LiveDeployment, folder: Path) -> None:
        self.live, self.folder = live, folder
        live.new_request(folder / "x.csr")
        self.outputs: list[Path] = []

    def _start(self) -> "subprocess.Popen[bytes]":
        self.outputs.append(self.folder / f"{len(self.outputs)}.pem")
        return start_process(
            *("webapp", "ca", "issue", "--profile", "clin-sign", "--file", self.live.file_id),
            *("--csr", str(self.folder / "x.csr"), "-o", str(self.outputs[-1])),
            *("--home", str(self.live.deployment.home)),
        )

    def undisturbed(self) -> float:
        """Issue once; return how many seconds that takes."""
        started = time.monotonic()
        process = self._start()
        _output, messages = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, messages
        return time.monotonic() - started

    def kill_after(self, seconds: float) -> None:
        """Kill at a moment, whatever it does then."""
        process = self._start()
        time.sleep(seconds)
        process.kill()
        process.communicate(timeout=SECONDS)

    def kill_at_the_intent(self, seconds: float) -> None:
        """Kill as soon as its intent can be seen in the database, `seconds` later."""
        before, process = self.rows(), self._start()
        end = time.monotonic() + SECONDS
        while self.rows() == before and process.poll() is None and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        time.sleep(seconds)
        process.kill()
        process.communicate(timeout=SECONDS)
        assert self.rows() == before + 1

    def rows(self) -> int:
        """Count the certificates, intents included, as another program sees them."""
        (count,) = self.database.execute("SELECT max(id) FROM certificates").fetchone()
        return int(count)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep one reading connection open."""
        with closing(sqlite3.connect(f"file:{self.live.deployment.database_file}?mode=ro", uri=True)) as self.database:
            yield


@pytest.mark.parametrize("rounds", [FEW, pytest.param(MANY, marks=pytest.mark.stress)], ids=["few", "many"])
def test_a_killed_issue_leaves_a_certificate_that_is_issued_or_abandoned(
    live: LiveDeployment, tmp_path: Path, rounds: tuple[int, int]
) -> None:
    killer, chance = Killer(live, tmp_path), secrets.SystemRandom()
    with killer.watching():
        first = killer.rows() + 1
        usual = killer.undisturbed()
        for number in range(rounds[0]):
            killer.kill_at_the_intent(chance.uniform(0, 0.02) if number > 1 else 0)
        with _custodian_stopped(live):
            for _ in range(rounds[1]):
                killer.kill_after(chance.uniform(0.3, 1.1) * usual)
            _no_custodian_outlives_its_command(live)
    states = _settled(live, first)
    assert "issued" in states, states
    assert "abandoned" in states, states
    _outputs_are_whole(live, killer.outputs)
    _everything_still_works(live, tmp_path)


def _no_custodian_outlives_its_command(live: LiveDeployment) -> None:
    client, end = CustodianClient(sockets_for(live.deployment, OPERATOR)), time.monotonic() + SECONDS
    while True:
        try:
            client.keys()
        except HsmUnavailable:
            break
        finally:
            client.close()
        assert time.monotonic() < end, "a custodian still holds the token"
        time.sleep(0.05)


def _settled(live: LiveDeployment, first: int) -> list[str]:
    """Reconcile and check each row from `first` on; return their states."""
    with opened_parts(live.deployment) as parts:
        parts.recovery.reconcile()
        assert parts.recovery.reconcile() == ()
    issuer = Certificate.parse(live.deployment.certificate_file("persons").read_bytes())
    with closing(sqlite3.connect(live.deployment.database_file)) as database:
        rows = database.execute("SELECT serial, state, der FROM certificates WHERE id >= ?", (first,)).fetchall()
        events = set(database.execute("SELECT subject, action FROM audit_events").fetchall())
    for serial, state, der in rows:
        assert (serial, "certificate.intended") in events
        assert state in ("issued", "abandoned"), serial
        assert ((serial, "certificate.issued") in events) == (state == "issued")
        assert ((serial, "certificate.abandoned") in events) == (state == "abandoned")
        assert (der is not None) == (state == "issued")
        if der is not None:
            certificate = Certificate.parse(der)
            certificate.verify_signed_by(issuer)
            assert certificate.serial_hex == serial
    assert len({serial for serial, _, _ in rows}) == len(rows)
    return [state for _, state, _ in rows]


def _outputs_are_whole(live: LiveDeployment, outputs: list[Path]) -> None:
    """A file that was written holds a whole certificate of the register; nothing half-written lies around."""
    for path in outputs:
        if path.exists():
            (certificate,) = load_certificates(path.read_bytes())
            assert live.answer("ca", "show", certificate.serial_hex)["state"] == "issued"
    assert {path.suffix for path in outputs[0].parent.iterdir() if not path.name.startswith(".mohr-")} <= {
        ".pem",
        ".csr",
    }


def _everything_still_works(live: LiveDeployment, folder: Path) -> None:
    listed = live.mohr("ca", "list")
    assert listed.status == 0, listed.messages
    live.answer("ca", "crl", "--shard", "0")
    live.answerless("audit", "checkpoint", "-o", folder / "after.note")
    verified = live.mohr("audit", "verify", "--checkpoint", folder / "after.note", "--json")
    assert verified.status == 0, verified.output
    killed = folder / "again.csr"
    live.new_request(killed)
    issued = live.answer("ca", "issue", "--profile", "clin-sign", "--file", live.file_id, "--csr", killed)
    assert live.answer("ca", "show", issued["serial"])["state"] == "issued"
