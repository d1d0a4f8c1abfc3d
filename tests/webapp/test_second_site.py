"""The second-site drill: a site's custodian is backed up, the site is lost, the second site signs."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.custody_policy import OPERATOR
from ca.hierarchy import CHECKPOINT_KEY
from hsm.backup.archive import read_header
from hsm.client import CustodianClient
from hsm.custodian.policy import load_policy, write_policy
from hsm.process import CustodianProcess
from hsm.provider import KeyPurpose
from hsm.softhsm import find_module
from hsm.softhsm_guard import CONFIGURATION_VARIABLE, is_whole
from pki.errors import ErrorCode
from pki.keys import PublicKey, SignatureAlgorithm
from tests.support.deployment import SETTINGS
from tests.support.openssl import openssl
from tests.support.programs import REPOSITORY, Ended, run_here
from webapp.ceremony import hold_ceremony
from webapp.cli import mohr
from webapp.custody import sockets_for
from webapp.deployment import Deployment

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed"),
]

DEADLINE_SECONDS = 60
NOTE = b"mohr.example/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"


@dataclass(frozen=True)
class Site:
    """The first site's deployment, a backup of it and its shares as they were written down."""

    folder: Path
    deployment: Deployment
    backup: Path
    shares: tuple[str, ...]
    pin: str
    public: dict[str, PublicKey]

    def restore(self, home: Path, *typed: str, backup: Path | None = None) -> Ended:
        """Restore into `home`; no secret is ever said."""
        lines = "".join(f"{line}\n" for line in typed)
        ended = run_here(mohr, "hsm", "restore", str(backup or self.backup), "--home", str(home), answers=lines)
        for secret in (self.pin, *self.shares):
            assert secret not in ended.output + ended.messages + ended.trace
        return ended


def back_up(deployment: Deployment, out: Path, *options: str) -> Ended:
    return run_here(mohr, "hsm", "backup", "--out", str(out), *options, "--home", str(deployment.home))


def put_back_database(first: Path, second: Deployment) -> None:
    shutil.copy(first / second.settings_file.name, second.settings_file)
    shutil.copytree(first / "data", second.database_file.parent, dirs_exist_ok=True)


def written_shares(folder: Path) -> tuple[str, ...]:
    return tuple(path.read_text().splitlines()[-1] for path in sorted(folder.iterdir()))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="mohr-"))  # short enough for a unix socket's path
    try:
        deployment = Deployment(folder / "first")
        hold_ceremony(deployment, SETTINGS)
        backup, options = folder / "service.backup", ("--shares", "3", "--threshold", "2")
        with CustodianProcess(deployment.custodian_config, log_path=folder / "first.log"):
            client = CustodianClient(sockets_for(deployment, OPERATOR))
            public = {info.label: client.signing_key(info.label).public_key() for info in client.keys()}
            client.close()
            ended = back_up(deployment, backup, *options, "--share-files", str(folder / "shares"))
        assert ended.status == 0, ended.messages + ended.trace
        pin = deployment.pin_file.read_text().strip()
        yield Site(folder, deployment, backup, written_shares(folder / "shares"), pin, public)
    finally:
        shutil.rmtree(folder)


def test_the_second_site_signs_with_the_keys_of_the_first(site: Site, tmp_path: Path) -> None:
    away = site.folder / "first-away"
    site.deployment.home.rename(away)  # the first site is gone: nothing of it may be needed
    second = Deployment(site.folder / "second")
    try:
        ended = site.restore(second.home, site.shares[2], site.shares[0])
        assert ended.status == 0, ended.messages + ended.trace
        assert not second.root.exists()
        strangers = {
            role: replace(one, uids=frozenset({4711})) for role, one in load_policy(second.policy_file).roles.items()
        }
        write_policy(replace(load_policy(second.policy_file), roles=strangers), second.policy_file)  # another's machine
        put_back_database(away, second)
        checked = run_here(mohr, "hsm", "check", "--home", str(second.home))  # nothing is served yet
        assert checked.status == 0, checked.messages + checked.trace
        with CustodianProcess(second.custodian_config, log_path=tmp_path / "second.log"):
            client = CustodianClient(sockets_for(second, OPERATOR))
            try:
                assert {info.label for info in client.keys()} == site.public.keys()
                for label, public_key in site.public.items():
                    assert client.signing_key(label).public_key() == public_key
                signature = client.sign(CHECKPOINT_KEY, NOTE)
            finally:
                client.close()
        pem = site.public[CHECKPOINT_KEY].public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for name, octets in (("key.pem", pem), ("note", NOTE), ("signature", signature)):
            (tmp_path / name).write_bytes(octets)
        command = ("pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "key.pem", "-rawin", "-in", tmp_path / "note")
        judged = openssl(*command, "-sigfile", tmp_path / "signature")
        assert "Verified Successfully" in judged.stdout, judged.stderr
        assert_never_extractable(second, site.pin)
    finally:
        away.rename(site.deployment.home)
        shutil.rmtree(second.home, ignore_errors=True)


def test_a_backup_is_taken_while_custodians_sign_and_make_keys(site: Site, tmp_path: Path) -> None:
    config, sockets = site.deployment.custodian_config, sockets_for(site.deployment, OPERATOR)
    stop, signed = threading.Event(), []
    with CustodianProcess(config, 0, log_path=tmp_path / "0.log"), CustodianProcess(config, 1, log_path=tmp_path / "1"):
        client = CustodianClient(sockets)

        def busy() -> None:
            while not stop.is_set():
                signed.append(client.sign(CHECKPOINT_KEY, NOTE))
                client.generate(f"busy-{len(signed)}", SignatureAlgorithm.ES256, KeyPurpose.SEAL)

        working = threading.Thread(target=busy)
        working.start()
        try:
            for number in range(3):
                made = len(signed)
                out, shares = tmp_path / f"{number}.backup", tmp_path / f"{number}-shares"
                ended = back_up(site.deployment, out, "--share-files", str(shares))
                assert ended.status == 0, ended.messages + ended.trace
                wait_until(lambda made=made: len(signed) > made)  # type: ignore[misc]  # bound in this round
        finally:
            stop.set()
            working.join()
            client.close()
    second = Deployment(site.folder / "busy")
    assert site.restore(second.home, *written_shares(shares)[:2], backup=out).status == 0
    with CustodianProcess(second.custodian_config, log_path=tmp_path / "second.log"):
        client = CustodianClient(sockets_for(second, OPERATOR))
        labels = [info.label for info in client.keys()]
        assert any(label.startswith("busy-") for label in labels)
        for label in labels:
            client.prove(label)
        client.close()
    shutil.rmtree(second.home)


def test_a_token_that_a_kill_tore_is_whole_in_the_backup_and_its_copy_is_restored(site: Site, tmp_path: Path) -> None:
    torn = token_file(site.deployment)
    owner, torn_out = (torn.stat().st_uid, torn.stat().st_mode), tmp_path / "torn.backup"
    torn.write_bytes(b"")
    ended = back_up(site.deployment, torn_out, "--share-files", str(tmp_path / "shares"))
    assert ended.status == 0, ended.messages + ended.trace
    assert is_whole(torn.read_bytes())
    assert (torn.stat().st_uid, torn.stat().st_mode) == owner
    second = Deployment(site.folder / "torn")
    try:
        assert site.restore(second.home, *written_shares(tmp_path / "shares")[:2], backup=torn_out).status == 0
        assert is_whole(token_file(second).read_bytes())
        token_file(second).write_bytes(b"")  # the very first login is killed
        with CustodianProcess(second.custodian_config, log_path=tmp_path / "second.log"):
            client = CustodianClient(sockets_for(second, OPERATOR))
            client.sign(CHECKPOINT_KEY, NOTE)
            client.close()
    finally:
        shutil.rmtree(second.home, ignore_errors=True)


def test_a_torn_token_without_a_copy_is_no_backup(site: Site, tmp_path: Path) -> None:
    torn = token_file(site.deployment)
    copy = torn.parent.with_suffix(".copy")
    whole, kept = torn.read_bytes(), copy.read_bytes()
    torn.write_bytes(b"")
    copy.unlink()
    try:
        ended = back_up(site.deployment, tmp_path / "none.backup", "--share-files", str(tmp_path / "shares"))
        assert ended.status != 0
        assert not (tmp_path / "none.backup").exists()
    finally:
        torn.write_bytes(whole)
        copy.write_bytes(kept)


def test_a_token_that_lost_keys_is_no_backup(site: Site, tmp_path: Path) -> None:
    folder = token_file(site.deployment).parent
    with ExitStack() as back:
        for number, lost in enumerate(path for path in folder.glob("*.object") if path.name != "token.object"):
            lost.rename(tmp_path / lost.name)
            back.callback((tmp_path / lost.name).rename, lost)
            if number < 2:
                ended = back_up(site.deployment, tmp_path / "b", "--share-files", str(tmp_path / "shares"))
                assert (ended.status, ended.code) == (1, ErrorCode.VERIFICATION_FAILED), ended.messages
        ended = back_up(site.deployment, tmp_path / "b", "--share-files", str(tmp_path / "shares"))
        assert "does not hold the key" in ended.messages
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "shares").exists()
    records = site.deployment.custodian_config.with_name("keys.json")
    whole = records.read_bytes()
    records.write_bytes(b"{")
    try:
        assert "keys.json" in back_up(site.deployment, tmp_path / "b", "--share-files", str(tmp_path / "s")).messages
    finally:
        records.write_bytes(whole)


def token_file(deployment: Deployment) -> Path:
    (path,) = deployment.service_token.glob("tokens/*/token.object")
    return path


def wait_until(met: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not met():
        assert time.monotonic() < until
        time.sleep(0.01)


def assert_never_extractable(deployment: Deployment, pin: str) -> None:
    """See, with OpenSC's tool, what the restored token says of each private key."""
    tool, module = shutil.which("pkcs11-tool"), find_module()
    if tool is None:
        pytest.skip("OpenSC is not installed")
    said = subprocess.run(
        [tool, "--module", str(module), "--login", "--pin", pin, "--list-objects", "--type", "privkey"],
        env={CONFIGURATION_VARIABLE: str(deployment.service_token / "softhsm2.conf")},
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_SECONDS,
    ).stdout
    access = [line.strip() for line in said.splitlines() if "Access:" in line]
    assert access
    assert set(access) == {"Access:     sensitive, always sensitive, never extractable, local"}


def test_a_wrong_share_is_named_and_another_one_asked_for(site: Site, tmp_path: Path) -> None:
    home = tmp_path / "second"
    other = tmp_path / "other.backup"
    assert back_up(site.deployment, other, "--share-files", str(tmp_path / "shares")).status == 0
    foreign = written_shares(tmp_path / "shares")[1]
    ended = site.restore(home, foreign, site.shares[0], site.shares[0], site.shares[1])
    assert ended.status == 0, ended.messages + ended.trace
    assert "share 2 is of another ceremony" in ended.messages
    assert "share 1 was given already" in ended.messages
    assert home.is_dir()


def test_a_whole_share_may_follow_where_a_group_was_mistyped(site: Site, tmp_path: Path) -> None:
    groups = site.shares[0].split("-")
    groups[1] = groups[1][:-1] + ("X" if groups[1][-1] != "X" else "Y")
    ended = site.restore(tmp_path / "second", "-".join(groups), *site.shares[:2])
    assert ended.status == 0, ended.messages + ended.trace
    assert "group 2 is mistyped" in ended.messages


def test_too_few_shares_restore_nothing(site: Site, tmp_path: Path) -> None:
    ended = site.restore(tmp_path / "second", site.shares[0])
    assert ended.status == 1
    assert "input-malformed" in ended.messages
    assert "share (1 more needed)" in ended.messages
    assert not (tmp_path / "second").exists()


def test_a_changed_backup_restores_nothing(site: Site, tmp_path: Path) -> None:
    octets = bytearray(site.backup.read_bytes())
    octets[-100] ^= 1
    changed = tmp_path / "changed.backup"
    changed.write_bytes(octets)
    ended = site.restore(tmp_path / "second", *site.shares[:2], backup=changed)
    assert ended.code == ErrorCode.VERIFICATION_FAILED
    assert not (tmp_path / "second").exists()


def test_a_home_that_holds_anything_is_left_alone_before_a_share_is_asked_for(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"here")
    ended = site.restore(tmp_path)
    assert ended.code == ErrorCode.CONFLICT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_pin_may_stay_behind(site: Site, tmp_path: Path) -> None:
    out, home = tmp_path / "without.backup", tmp_path / "second"
    assert back_up(site.deployment, out, "--without-pin", "--share-files", str(tmp_path / "shares")).status == 0
    assert site.restore(home, *written_shares(tmp_path / "shares")[:2], backup=out).status == 0
    assert not [path for path in home.rglob("*") if path.is_file() and site.pin.encode() in path.read_bytes()]


def test_neither_pin_nor_key_lies_open_in_a_backup(site: Site) -> None:
    octets = site.backup.read_bytes()
    assert site.pin.encode() not in octets
    for path in site.deployment.service_token.rglob("*.object"):
        assert path.read_bytes()[8:] not in octets


def test_a_backup_replaces_nothing_and_needs_a_way_to_hand_out_shares(site: Site, tmp_path: Path) -> None:
    assert back_up(site.deployment, site.backup, "--share-files", str(tmp_path / "s")).code == ErrorCode.CONFLICT
    assert back_up(site.deployment, tmp_path / "b", "--share-files", str(site.folder)).code == ErrorCode.CONFLICT
    (site.folder / "empty").mkdir()
    assert back_up(site.deployment, site.folder / "empty", "--share-files", "s").code == ErrorCode.CONFLICT
    nowhere = tmp_path / "none" / "b"
    assert back_up(site.deployment, nowhere, "--share-files", str(tmp_path / "s")).code == ErrorCode.FILE_UNWRITABLE
    assert back_up(site.deployment, tmp_path / "b").code == ErrorCode.USAGE
    assert not list(tmp_path.iterdir())


def test_custodians_are_named_once_for_each_share(site: Site, tmp_path: Path) -> None:
    people = ("--custodian", "Custodian A", "--custodian", "Custodian B")
    assert back_up(site.deployment, tmp_path / "b", "--shares", "3", *people, "--share-files", "s").code == "usage"
    ended = back_up(
        site.deployment, tmp_path / "b", "--shares", "2", *people, "--share-files", str(tmp_path / "shares")
    )
    assert json.loads(ended.output)["token"] == "mohr-service"
    assert (tmp_path / "shares" / "share-2.txt").read_text().startswith("Custodian B\n")


@pytest.mark.parametrize("milliseconds", [150, 250, 300, 350, 400, 450, None])
def test_a_restore_that_is_killed_leaves_nothing_or_a_whole_home(
    site: Site, tmp_path: Path, milliseconds: int | None
) -> None:
    home = tmp_path / "second"
    arguments = ["hsm", "restore", str(site.backup), "--home", str(home)]
    with subprocess.Popen(
        [sys.executable, "-c", "from webapp.cli import main; main()", *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as restoring:
        assert restoring.stdin is not None
        restoring.stdin.write("".join(f"{share}\n" for share in site.shares).encode())
        restoring.stdin.flush()
        if milliseconds is None:
            assert restoring.wait(DEADLINE_SECONDS) == 0
            assert home.exists()
        else:
            time.sleep(milliseconds / 1000)
            restoring.kill()
    if not home.exists():
        assert site.restore(home, *site.shares[:2]).status == 0
    restored = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert restored == read_header(site.backup.read_bytes()).digests.keys()


def test_at_a_terminal_each_person_sees_one_share_and_proves_to_have_it(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "shown.backup"
    arguments = ["hsm", "backup", "--out", str(out), "--home", str(site.deployment.home)]
    people = ("--custodian", "Custodian A", "--custodian", "Custodian B", "--shares", "2")
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.chdir(REPOSITORY)
            os.execv(sys.executable, [sys.executable, "-c", "from webapp.cli import main; main()", *arguments, *people])
        finally:
            os._exit(127)
    try:
        seen = []
        for person in ("Custodian A", "Custodian B"):
            _read_until(terminal, f"{person}: are you alone".encode())
            assert not out.exists()
            os.write(terminal, b"yes\n")
            said = _read_until(terminal, b"from your paper")
            (share,) = re.findall(rb"(?:[0-9A-Z]{6}-){10,}[0-9A-Z]{6}", said)
            seen.append(share.decode())
            os.write(terminal, share[-6:] + b"\n")
        _read_until(terminal, b'"ceremony"')
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(terminal)
    assert site.restore(tmp_path / "second", *seen, backup=out).status == 0


def _read_until(terminal: int, wanted: bytes) -> bytes:
    said, until = b"", time.monotonic() + DEADLINE_SECONDS
    while wanted not in said:
        assert select.select([terminal], [], [], until - time.monotonic())[0], said
        said += os.read(terminal, 65_536)
    return said
