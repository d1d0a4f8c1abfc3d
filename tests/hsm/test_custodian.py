"""The process as its users meet it: over its socket, with a real token."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hsm.child_process import ExitCode, child_environment, module_command
from hsm.client import CustodianClient
from hsm.custodian.policy import Policy, RolePolicy, load_policy, permissive
from hsm.errors import (
    ConfigurationInvalid,
    HsmUnavailable,
    KeyExists,
    KeyNotFound,
    PinIncorrect,
    PurposeRefused,
    RoleRefused,
)
from hsm.pin import PinTries
from hsm.private_files import write_private
from hsm.provider import KeyPurpose
from pki import der, oids
from pki.errors import Conflict, InvalidInput
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.support.capabilities import looks_into_processes
from tests.support.hung import go_on, hang
from tests.support.patience import PATIENCE, in_the_end, until
from tests.support.softhsm import CustodianHome

pytestmark = pytest.mark.real

SEAL = (SignatureAlgorithm.ES256, KeyPurpose.SEAL)
CA = (SignatureAlgorithm.ES256, KeyPurpose.CERTIFICATE_AUTHORITY)


@pytest.fixture(scope="module")
def own(custodian_factory: Callable[[], CustodianHome]) -> CustodianHome:
    """Return a home that the tests here may stop, change and break."""
    home = custodian_factory()
    home.process.start()
    home.key(*SEAL)
    return home


@pytest.fixture
def home(own: CustodianHome) -> Iterator[CustodianHome]:
    """Return `own`, running and as it was made."""
    settings = own.settings
    own.process.start()
    yield own
    if own.settings != settings or load_policy(own.settings.policy_file) != permissive({os.getuid()}):
        own.process.stop()
        own.settings = settings
        own.reconfigure()
    own.rule(permissive({os.getuid()}))
    write_private(own.pin_file, own.pin.encode())
    own.settings.tries_file.unlink(missing_ok=True)


@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_what_is_signed_through_the_socket_verifies(custodian: CustodianHome, algorithm: SignatureAlgorithm) -> None:
    key = custodian.client.signing_key(custodian.key(algorithm, KeyPurpose.SEAL))
    assert key.algorithm is algorithm
    verify_signature(key.public_key(), key.sign(m.NOTE), m.NOTE, key.algorithm)


def test_a_batch_is_signed_in_its_order(custodian: CustodianHome) -> None:
    label = custodian.key(*SEAL)
    notes = [f"note {number}\n".encode() for number in range(100)]
    public_key = custodian.client.signing_key(label).public_key()
    for note, signature in zip(notes, custodian.client.sign_many(label, notes), strict=True):
        verify_signature(public_key, signature, note)
    assert custodian.client.sign_many(label, []) == ()


def test_one_refused_message_refuses_its_whole_batch(custodian: CustodianHome) -> None:
    with pytest.raises(PurposeRefused):
        custodian.client.sign_many(custodian.key(*SEAL), [m.NOTE, b"bare digest", m.NOTE])


def test_a_large_certificate_list_is_signed(custodian: CustodianHome) -> None:
    entry = der.sequence(m.SERIAL, der.time(m.START))
    listed = m.tbs_cert_list(entries=der.sequence(entry * 100_000))
    key = custodian.client.signing_key(custodian.key(*CA))
    verify_signature(key.public_key(), key.sign(listed), listed)


def test_the_custodian_reads_what_it_signs(custodian: CustodianHome) -> None:
    key = custodian.client.signing_key(custodian.key(*CA))
    for message in (m.SHA256_OF_NOTHING, m.NOTE, m.response_data(m.single_response(bytes(20)))):
        with pytest.raises(PurposeRefused):
            key.sign(message)


def test_keys_are_listed_with_their_purpose(custodian: CustodianHome) -> None:
    label = custodian.key(*CA)
    (info,) = [info for info in custodian.client.keys() if info.label == label]
    assert (info.algorithm, info.purpose) == CA
    assert info.created.tzinfo is not None
    assert len(info.id) == 32


def test_an_unknown_key_is_not_found(custodian: CustodianHome) -> None:
    with pytest.raises(KeyNotFound):
        custodian.client.signing_key("none")
    with pytest.raises(KeyNotFound):
        custodian.client.sign("none", m.NOTE)
    with pytest.raises(KeyNotFound):
        custodian.client.sign_many("none", [m.NOTE])


def test_a_label_is_given_once(custodian: CustodianHome) -> None:
    with pytest.raises(KeyExists):
        custodian.client.generate(custodian.key(*SEAL), *SEAL)
    with pytest.raises(InvalidInput):
        custodian.client.generate("two words", *SEAL)


def test_a_key_is_bound_to_one_issuer_once_and_over_restarts(home: CustodianHome) -> None:
    home.client.generate("bound", *CA)
    key = home.client.signing_key("bound")
    foreign = m.tbs_cert_list(issuer=m.name("Other CA"), extensions=(m.extension(oids.CRL_NUMBER, der.integer(3)),))
    key.sign(foreign)
    home.client.set_issuer("bound", m.ISSUER)
    for _ in range(2):
        key.sign(m.tbs_cert_list())
        with pytest.raises(PurposeRefused):
            key.sign(foreign)
        with pytest.raises(Conflict):
            home.client.set_issuer("bound", m.name("Other CA"))
        home.process.restart()


@pytest.mark.parametrize("name", [b"", b"\x30", der.null(), der.sequence(der.null()), bytes(5000)])
def test_an_issuer_that_is_no_name_is_refused(custodian: CustodianHome, name: bytes) -> None:
    with pytest.raises(InvalidInput):
        custodian.client.set_issuer(custodian.key(*CA), name)


def test_a_key_that_names_no_issuer_is_not_bound(custodian: CustodianHome) -> None:
    with pytest.raises(InvalidInput):
        custodian.client.set_issuer(custodian.key(*SEAL), m.ISSUER)


def test_another_user_is_refused_with_the_reason(home: CustodianHome) -> None:
    home.rule(permissive({os.getuid() + 12345}))
    home.process.restart()
    for ask in (home.client.keys, lambda: home.client.sign(home.key(*SEAL), m.NOTE)):
        with pytest.raises(RoleRefused):
            ask()


def test_who_may_only_sign_makes_and_binds_no_keys(home: CustodianHome) -> None:
    label = home.key(*SEAL)
    may_sign = permissive({os.getuid()}).roles["server"].grants
    home.rule(Policy(roles={"operator": RolePolicy(uids=frozenset({os.getuid()}), grants=may_sign)}))
    home.process.restart()
    home.client.sign(label, m.NOTE)
    for ask in (
        lambda: home.client.generate("more", *SEAL),
        lambda: home.client.set_issuer(label, m.ISSUER),
        lambda: home.client.adopt("more", b"id", *SEAL),
        lambda: home.client.prove(label),
        lambda: home.client.attributes(label),
        lambda: home.client.journal(0, 0, 10),
        lambda: home.client.release_journal(0, 0),
    ):
        with pytest.raises(RoleRefused):
            ask()


def test_only_the_owner_may_open_the_socket(home: CustodianHome) -> None:
    path = home.socket_path()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@looks_into_processes
def test_the_pin_is_in_no_command_line_environment_or_log(home: CustodianHome) -> None:
    home.client.sign(home.key(*SEAL), m.NOTE)
    process = Path("/proc") / str(home.process.pid)
    for place in (process / "cmdline", process / "environ", home.folder / "custodian.log"):
        assert home.pin.encode() not in place.read_bytes(), place


@looks_into_processes
def test_the_custodian_leaves_no_core_and_takes_no_secret_from_its_parents_environment(
    home: CustodianHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "271828")
    home.process.restart()
    pid = home.process.pid
    assert pid is not None
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert b"271828" not in (Path("/proc") / str(pid) / "environ").read_bytes()


def test_a_killed_custodian_is_unavailable_at_once_and_the_same_key_signs_after_a_restart(home: CustodianHome) -> None:
    key = home.client.signing_key(home.key(*SEAL))
    key.sign(m.NOTE)
    assert home.process.pid is not None
    os.kill(home.process.pid, signal.SIGKILL)
    with pytest.raises(HsmUnavailable) as refused:
        key.sign(m.NOTE)
    assert "in time" not in refused.value.detail
    assert not home.client.health().ok
    home.process.restart()
    verify_signature(key.public_key(), key.sign(m.NOTE), m.NOTE, key.algorithm)
    assert home.client.health().ok


def test_a_hung_custodian_is_unavailable_by_the_deadline_and_no_late_answer_is_taken(home: CustodianHome) -> None:
    key = home.client.signing_key(home.key(*SEAL))
    client = CustodianClient(home.socket_path(), timeout=timedelta(milliseconds=300))
    pid = home.process.pid
    assert pid is not None
    in_the_end(lambda: client.sign(home.key(*SEAL), m.NOTE))
    hang(pid)
    try:
        started = time.monotonic()
        with pytest.raises(HsmUnavailable, match="in time"):
            client.sign(home.key(*SEAL), b"asked in vain\n")
        assert 0.25 < time.monotonic() - started < 20
    finally:
        go_on(pid)
    verify_signature(key.public_key(), in_the_end(lambda: client.sign(home.key(*SEAL), m.NOTE)), m.NOTE)
    client.close()


def test_sigterm_ends_cleanly_and_removes_the_socket(home: CustodianHome) -> None:
    home.process.stop()
    started = subprocess.Popen(module_command("hsm.custodian", str(home.config_path), "0"), env=child_environment())
    try:
        until(lambda: home.client.health().ok, "the custodian is well")
        started.terminate()
        assert started.wait(PATIENCE) == ExitCode.CLEAN
    finally:
        started.kill()
        started.wait()
    assert not home.socket_path().exists()


def test_a_socket_left_by_a_killed_custodian_is_replaced(home: CustodianHome) -> None:
    assert home.process.pid is not None
    os.kill(home.process.pid, signal.SIGKILL)
    os.waitpid(home.process.pid, os.WNOHANG)
    assert home.socket_path().exists()
    home.process.restart()
    assert home.client.health().ok


def test_a_second_custodian_of_the_same_index_does_not_start(home: CustodianHome) -> None:
    started = subprocess.run(
        module_command("hsm.custodian", str(home.config_path), "0"),
        env=child_environment(),
        capture_output=True,
        check=False,
    )
    assert started.returncode == ExitCode.CONFIGURATION
    assert b"another custodian" in started.stderr
    assert home.client.health().ok


def test_a_wrong_pin_ends_the_custodian_and_restarts_do_not_lock_the_device(home: CustodianHome) -> None:
    home.process.stop()
    for _ in range(2):
        write_private(home.pin_file, b"wrong")
        with pytest.raises(PinIncorrect, match="device said"):
            home.process.start()
    write_private(home.pin_file, home.pin.encode())
    with pytest.raises(PinIncorrect):
        home.process.start()
    home.settings.tries_file.unlink()
    home.process.start()
    assert home.client.health().ok


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_pin_file_that_others_may_read_is_not_used(home: CustodianHome, mode: int) -> None:
    home.process.stop()
    home.pin_file.chmod(mode)
    with pytest.raises(ConfigurationInvalid):
        home.process.start()


def test_a_module_that_is_not_there_is_a_wrong_setting(home: CustodianHome) -> None:
    home.process.stop()
    home.use_module(Path("/nowhere/module.so"))
    with pytest.raises(ConfigurationInvalid):
        home.process.start()


def test_the_custodian_ends_with_the_process_that_started_it(home: CustodianHome) -> None:
    home.process.stop()
    script = (
        "import os, pathlib, sys\n"
        "from hsm.process import CustodianProcess\n"
        "process = CustodianProcess(pathlib.Path(sys.argv[1]))\n"
        "process.start()\n"
        "print(process.pid, flush=True)\n"
        "os._exit(1)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script, str(home.config_path)],
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=20,
        check=False,
    )
    assert int(parent.stdout) > 0
    until(lambda: not home.client.health().ok, "the custodian ends with its parent")


def test_the_custodian_outlives_its_token_and_signs_again_when_it_is_back(home: CustodianHome) -> None:
    tokens = home.folder / "token" / "tokens"
    away = home.folder / "token" / "away"
    key = home.client.signing_key(home.key(*SEAL))
    key.sign(m.NOTE)
    tokens.rename(away)
    try:
        with pytest.raises(HsmUnavailable):
            key.sign(m.NOTE)
        assert not home.client.health().ok
    finally:
        away.rename(tokens)
    until(lambda: home.client.health().ok, "the device is found again")
    verify_signature(key.public_key(), key.sign(m.NOTE), m.NOTE, key.algorithm)
    assert PinTries(home.settings.tries_file, 2).failed == 0


def test_a_custodian_that_starts_without_its_device_waits_for_it(home: CustodianHome) -> None:
    home.process.stop()
    tokens = home.folder / "token" / "tokens"
    away = home.folder / "token" / "away"
    tokens.rename(away)
    try:
        home.process.start()
        assert not home.client.health().ok
        with pytest.raises(HsmUnavailable):
            home.client.sign(home.key(*SEAL), m.NOTE)
    finally:
        away.rename(tokens)
    until(lambda: home.client.health().ok, "the device is found again")


def test_a_key_that_was_replaced_in_the_token_signs_nothing(home: CustodianHome) -> None:
    home.client.generate("mine", *SEAL)
    home.client.generate("swapped", *SEAL)
    home.process.stop()
    document = json.loads(home.settings.keys_file.read_bytes())
    records = {record["label"]: record for record in document["keys"]}
    records["mine"]["id"], records["swapped"]["id"] = records["swapped"]["id"], records["mine"]["id"]
    write_private(home.settings.keys_file, json.dumps(document).encode())
    home.process.start()
    with pytest.raises(HsmUnavailable, match="another public key"):
        home.client.sign("mine", m.NOTE)
    home.client.sign(home.key(*SEAL), m.NOTE)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["a"], ["a", "b"], ["a", "0", "-1"], ["a", "0", "1", "2"]])
def test_a_wrong_command_line_is_explained(arguments: list[str]) -> None:
    ended = subprocess.run(
        module_command("hsm.custodian", *arguments), env=child_environment(), capture_output=True, check=False
    )
    assert ended.returncode == ExitCode.USAGE
    assert b"usage:" in ended.stderr


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"token": 5}'])
def test_a_wrong_settings_file_is_a_coded_end_without_a_traceback(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "custodian.json").write_bytes(content)
    ended = subprocess.run(
        module_command("hsm.custodian", str(tmp_path / "custodian.json"), "0"),
        env=child_environment(),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == ExitCode.CONFIGURATION
    assert b"Traceback" not in ended.stderr
