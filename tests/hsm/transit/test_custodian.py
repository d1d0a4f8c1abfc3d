"""The whole way: a client, a custodian, its device process and a Transit engine in a real OpenBao server."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from hsm.client import CustodianClient
from hsm.custodian.config import CustodianSettings, write_settings
from hsm.custodian.policy import permissive, write_policy
from hsm.errors import HsmUnavailable, KeyNotFound, MechanismRefused, PinIncorrect, PurposeRefused
from hsm.private_files import write_private
from hsm.process import CustodianProcess
from hsm.provider import KeyPurpose, spki_of
from hsm.soft import UnsafeSoftKey
from hsm.transit.settings import TransitSettings
from pki.journal import START, KeyUse, check_continues, parse_line
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.hsm.transit.bench import ES256
from tests.support.openbao import MOUNT, BaoRole, BaoServer

pytestmark = pytest.mark.real

CA, SEAL = KeyPurpose.CERTIFICATE_AUTHORITY, KeyPurpose.SEAL
RETURN_SECONDS = 60.0


@dataclass(kw_only=True)
class Home:
    """A custodian over Transit keys, and a client of it."""

    process: CustodianProcess
    client: CustodianClient
    log: Path

    def journal(self) -> list[KeyUse]:
        """Return every entry of the journal, which must hold together."""
        part = self.client.journal(0, 0, 2000)
        check_continues(part.lines, 0, START)
        return [parse_line(line).use for line in part.lines]

    def sign_when_back(self, label: str, message: bytes) -> bytes:
        """Ask until the custodian signs again."""
        until = time.monotonic() + RETURN_SECONDS
        while True:
            try:
                return self.client.sign(label, message)
            except HsmUnavailable:
                assert time.monotonic() < until, "the custodian does not find its device again"
                time.sleep(0.02)


def make_home(folder: Path, device: TransitSettings) -> Home:
    settings = CustodianSettings(
        device=device,
        keys_file=folder / "keys.json",
        policy_file=folder / "policy.json",
        marks=folder / "marks",
        journal=folder / "journal",
        sockets=folder / "run",
    )
    write_settings(settings, folder / "custodian.json")
    write_policy(permissive({os.getuid()}), settings.policy_file)
    process = CustodianProcess(folder / "custodian.json", log_path=folder / "log")
    return Home(process=process, client=CustodianClient(process.socket_path("operator")), log=folder / "log")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose name leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="mohr-") as folder:
        yield Path(folder)


@pytest.fixture
def home(bao: BaoServer, role: BaoRole, short_folder: Path) -> Iterator[Home]:
    made = make_home(short_folder, role.tls_settings)
    made.process.start()
    yield made
    made.client.close()
    made.process.stop()


def test_a_custodian_reads_judges_and_journals_what_a_transit_key_signs(home: Home) -> None:
    home.client.generate("ca", ES256, CA)
    home.client.set_issuer("ca", m.ISSUER)
    key = home.client.signing_key("ca")
    subject = spki_of(UnsafeSoftKey.generate(ES256).public_key())
    good = m.tbs_certificate(subject)
    verify_signature(key.public_key(), key.sign(good), good)
    for wrong in (m.tbs_certificate(subject, issuer=m.name("Other CA")), m.NOTE, m.SHA256_OF_NOTHING):
        with pytest.raises(PurposeRefused):
            key.sign(wrong)
    uses = [use for use in home.journal() if use.key == "ca"]
    assert [(use.act, use.outcome) for use in uses if use.digest == sha256(good).digest()] == [("certificate", "done")]
    assert len([use for use in uses if use.outcome == "hsm-purpose-refused"]) == 3


def test_a_batch_through_the_custodian_keeps_its_order(home: Home) -> None:
    home.client.generate("seal", ES256, SEAL)
    public_key = home.client.signing_key("seal").public_key()
    notes = [f"note {number}\n".encode() for number in range(110)]
    for note, signature in zip(notes, home.client.sign_many("seal", notes), strict=True):
        verify_signature(public_key, signature, note)
    digests = [sha256(note).digest() for note in notes[:3]]
    assert len(home.client.sign_digests("seal", digests)) == 3


def test_a_key_of_the_operator_s_own_is_adopted_at_its_version(home: Home, bao: BaoServer, key: bytes) -> None:
    name = key.partition(b":")[0]
    bao.call("POST", f"{MOUNT}/keys/{name.decode()}/rotate")
    home.client.adopt("first", key, ES256, SEAL)
    home.client.adopt("latest", name, ES256, SEAL)
    references = {info.label: bytes.fromhex(info.id) for info in home.client.keys()}
    assert references == {"first": key, "latest": name + b":2"}
    bao.call("POST", f"{MOUNT}/keys/{name.decode()}/rotate")
    for label in references:
        opened = home.client.signing_key(label)
        verify_signature(opened.public_key(), opened.sign(m.NOTE), m.NOTE)
        home.client.prove(label)
    assert home.client.attributes("first")["latest_version"] == 3
    bao.make_key("loose-key", exportable=True)
    with pytest.raises(MechanismRefused):
        home.client.adopt("loose", b"loose-key:1", ES256, SEAL)
    for absent in (name + b":9", b"nobody:1"):
        with pytest.raises(KeyNotFound):
            home.client.adopt("absent", absent, ES256, SEAL)
    with pytest.raises(MechanismRefused, match="another kind"):
        home.client.adopt("other", key, SignatureAlgorithm.ES384, SEAL)


def test_a_custodian_whose_server_is_sealed_answers_and_signs_again_once_it_is_unsealed(
    home: Home, bao: BaoServer
) -> None:
    home.client.generate("seal", ES256, SEAL)
    public_key = home.client.signing_key("seal").public_key()
    home.client.sign("seal", m.NOTE)
    bao.seal()
    for _ in range(5):
        with pytest.raises(HsmUnavailable):
            home.client.sign("seal", m.NOTE)
        assert not home.client.health().ok
        assert [info.label for info in home.client.keys()] == ["seal"]
    assert "sealed" in home.client.health().detail
    bao.unseal()
    verify_signature(public_key, home.sign_when_back("seal", m.NOTE), m.NOTE)
    bao.kill()
    with pytest.raises(HsmUnavailable):
        home.client.sign("seal", m.NOTE)
    bao.restart()
    verify_signature(public_key, home.sign_when_back("seal", m.NOTE), m.NOTE)
    assert home.process.running
    uses = [use.outcome for use in home.journal() if use.key == "seal" and use.act == "note"]
    assert uses.count("done") - uses.count("hsm-unavailable") == 3  # asked in vain is a use that came to nothing


def test_a_key_made_anew_on_the_server_signs_nothing_for_the_old_one(home: Home, bao: BaoServer, key: bytes) -> None:
    name = key.partition(b":")[0].decode()
    home.client.adopt("swapped", key, ES256, SEAL)
    home.client.sign("swapped", m.NOTE)
    bao.call("POST", f"{MOUNT}/keys/{name}/config", {"deletion_allowed": True})
    bao.call("DELETE", f"{MOUNT}/keys/{name}")
    for _ in range(3):
        with pytest.raises(HsmUnavailable):
            home.client.sign("swapped", m.NOTE)
    bao.make_key(name)
    for _ in range(3):
        with pytest.raises(HsmUnavailable):
            home.client.sign("swapped", m.NOTE)
        time.sleep(0.3)


def test_a_custodian_ends_when_its_secret_is_wrong_and_says_so(bao: BaoServer, short_folder: Path) -> None:
    role = bao.approle()
    write_private(role.folder / "secret-id", b"0badc0de-wrong")
    home = make_home(short_folder, role.settings)
    with pytest.raises(PinIncorrect, match="the role id or the secret id is wrong"):
        home.process.start(timedelta(seconds=20))
    home.client.close()
    assert "0badc0de" not in home.log.read_text()


def test_no_credential_is_in_the_custodian_s_log_or_memory(home: Home, role: BaoRole, bao: BaoServer) -> None:
    home.client.generate("seal", ES256, SEAL)
    bao.seal()
    with pytest.raises(HsmUnavailable):
        home.client.sign("seal", m.NOTE)
    bao.unseal()
    home.sign_when_back("seal", m.NOTE)
    secret = (role.folder / "secret-id").read_text().strip()
    assert secret not in home.log.read_text()
    assert home.process.pid is not None
    memory = readable_memory(home.process.pid)
    assert str(role.folder).encode() in memory  # so it was read
    assert secret.encode() not in memory


def readable_memory(pid: int) -> bytes:
    """Return what is in a process's private writable memory; root only."""
    found = bytearray()
    try:
        with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                span, permissions = line.split()[:2]
                if not permissions.startswith("rw") or line.endswith("[vvar]"):
                    continue
                start, end = (int(part, 16) for part in span.split("-"))
                memory.seek(start)
                found += memory.read(end - start)
    except PermissionError:
        pytest.skip("another process's memory is root's to read")
    return bytes(found)
