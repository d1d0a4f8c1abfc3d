"""Who may not: another role, another user, more often than the policy says."""

import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hsm.client import CustodianClient
from hsm.custodian.protocol import Operation, decode_answer, encode_request
from hsm.errors import HsmUnavailable, RateExceeded, RoleRefused
from hsm.provider import KeyPurpose
from pki.errors import ErrorCode
from pki.keys import SignatureAlgorithm
from tests.hsm import good_messages as good
from tests.hsm import messages as m
from tests.hsm.wrong_requests.judged import (
    BURST,
    CA,
    COUNTED,
    OCSP,
    PER_SECOND,
    SEAL,
    TOKEN,
    TSA,
    Judged,
    now,
    strict_policy,
)
from tests.hsm.wrong_requests.test_messages import certificate, crl, kinds, token
from tests.support.patience import PATIENCE
from tests.support.softhsm import CustodianHome

pytestmark = pytest.mark.real

NOBODY = 65534
PYTHON = Path("/usr/bin/python3")  # ours may lie where no other user comes
Ask = Callable[[CustodianClient, Judged], object]

# --- roles ----------------------------------------------------------------------------------------

NOT_GRANTED = [
    pytest.param("server", CA, "certificate", lambda c, _: c.sign(CA, certificate(now())), id="certificate by server"),
    pytest.param("server", CA, "crl", lambda c, _: c.sign(CA, crl(now())), id="list by server"),
    pytest.param("server", OCSP, "ocsp", lambda c, j: c.sign(OCSP, kinds(j, now())[OCSP]), id="status by server"),
    pytest.param("server", SEAL, "note", lambda c, _: c.sign(SEAL, m.NOTE), id="note by server"),
    pytest.param("server", SEAL, "digest", lambda c, _: c.sign_digests(SEAL, [bytes(32)]), id="digest of a seal"),
    pytest.param("server", COUNTED, "digest", lambda c, _: c.sign_digests(COUNTED, [bytes(32)]), id="act not granted"),
    pytest.param("worker", TOKEN, "token", lambda c, _: c.sign(TOKEN, token(now())), id="token by worker"),
    pytest.param("worker", TOKEN, "token", lambda c, _: c.sign_many(TOKEN, [token(now())]), id="tokens by worker"),
    pytest.param("worker", TOKEN, "digest", lambda c, _: c.sign_digests(TOKEN, [bytes(32)]), id="digest by worker"),
]


@pytest.mark.parametrize(("role", "key", "act", "ask"), NOT_GRANTED)
def test_what_no_grant_names_is_refused(judged: Judged, role: str, key: str, act: str, ask: Ask) -> None:
    with closing(judged.client(role)) as client, judged.refusing(ErrorCode.NOT_ALLOWED, act=act, key=key, role=role):
        ask(client, judged)


def test_a_time_stamp_by_the_worker_is_refused(judged: Judged) -> None:
    content = good.stamp(generated=now())
    with (
        closing(judged.client("worker")) as client,
        judged.refusing(ErrorCode.NOT_ALLOWED, act="timestamp", key=TSA, role="worker"),
    ):
        client.sign_content(TSA, m.stamp_attributes(content), content)


ES256 = SignatureAlgorithm.ES256
RESERVED = [
    pytest.param("new", "generate", lambda c, _: c.generate("new", ES256, KeyPurpose.ROOT), id="generate"),
    pytest.param(SEAL, "bind", lambda c, _: c.set_issuer(SEAL, m.ISSUER), id="bind"),
    pytest.param("new", "adopt", lambda c, _: c.adopt("new", b"id", ES256, KeyPurpose.TOKEN), id="adopt"),
    pytest.param(TOKEN, "prove", lambda c, _: c.prove(TOKEN), id="prove"),
    pytest.param(TOKEN, "attributes", lambda c, _: c.attributes(TOKEN), id="attributes"),
    pytest.param("", "uses", lambda c, _: c.uses(), id="uses"),
    pytest.param("", "journal", lambda c, _: c.journal(0, 0, 10), id="journal"),
    pytest.param("", "journal-release", lambda c, _: c.release_journal(0, 5), id="release of the journal"),
]


@pytest.mark.parametrize("role", ["server", "worker"])
@pytest.mark.parametrize(("key", "act", "ask"), RESERVED)
def test_administration_and_journal_are_not_for_every_role(
    judged: Judged, role: str, key: str, act: str, ask: Ask
) -> None:
    with closing(judged.client(role)) as client, judged.refusing(ErrorCode.NOT_ALLOWED, act=act, key=key, role=role):
        ask(client, judged)
    assert "new" not in {info.label for info in judged.home.client.keys()}


# --- users ----------------------------------------------------------------------------------------

ASK_AS_ANOTHER = """
import socket, sys
peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
peer.settimeout(10)
try:
    peer.connect(sys.argv[1])
    peer.sendall(bytes.fromhex(sys.argv[2]))
except BrokenPipeError:
    pass
except PermissionError:
    sys.exit("not opened")
found = b""
try:
    while data := peer.recv(65536):
        found += data
except ConnectionResetError:
    pass  # what we sent was not looked at
sys.stdout.write(found.hex())
"""
as_root = pytest.mark.skipif(os.geteuid() != 0 or not PYTHON.exists(), reason="only root can be another user")


@pytest.fixture(scope="module")
def reachable(factory: Callable[[], CustodianHome]) -> Iterator[Judged]:
    """A custodian whose server's socket every process in the group of nobody may open."""
    home = factory()
    folder = Path(tempfile.mkdtemp(prefix="mohr-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "server").mkdir()
    os.chown(folder / "server", 0, NOBODY)
    (folder / "server").chmod(stat.S_ISGID | 0o750)
    home.reconfigure(sockets=folder)
    home.rule(strict_policy(frozenset({os.getuid()})))
    home.process = type(home.process)(home.config_path, log_path=home.folder / "custodian.log")
    home.client = CustodianClient(home.socket_path())
    home.process.start()
    home.client.generate(TOKEN, ES256, KeyPurpose.TOKEN)
    yield Judged(home=home, ca_spki=b"")
    home.client.close()
    home.process.stop()


def ask_as(user: int, path: Path, request: bytes) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-I", "-c", ASK_AS_ANOTHER, path, request.hex()],
        user=user,
        group=user,
        extra_groups=(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@as_root
def test_another_user_is_refused_by_the_kernels_word(reachable: Judged) -> None:
    before = reachable.head()
    path = reachable.home.socket_path("server")
    ended = ask_as(NOBODY, path, encode_request(Operation.SIGN, TOKEN, token(now())))
    answer = bytes.fromhex(ended.stdout)
    with pytest.raises(RoleRefused):
        decode_answer(answer[4:])
    deadline = time.monotonic() + PATIENCE
    while not (told := reachable.entries(before)) and time.monotonic() < deadline:
        time.sleep(0.01)  # who is refused at the door hears it before the journal is on the disk
    (use,) = told
    assert (use.role, use.uid, use.key, use.act, use.outcome) == ("server", NOBODY, "", "connect", "not-allowed")


@as_root
def test_the_other_sockets_are_closed_to_that_user(reachable: Judged) -> None:
    for role in ("operator", "worker"):
        ended = ask_as(NOBODY, reachable.home.socket_path(role), encode_request(Operation.KEYS))
        assert "not opened" in ended.stderr, ended


# --- rates ----------------------------------------------------------------------------------------


@pytest.fixture
def server(judged: Judged) -> Iterator[CustodianClient]:
    """A client that may ask of the counted key as often as ever; afterwards every refusal was told."""
    time.sleep(BURST / PER_SECOND + 0.2)
    with closing(judged.client("server")) as client:
        yield client
    time.sleep(1.2)


def test_a_rate_that_is_exceeded_is_refused_and_recovers(judged: Judged, server: CustodianClient) -> None:
    for _ in range(BURST):
        server.sign(COUNTED, token(now()))
    with judged.refusing(ErrorCode.HSM_RATE_EXCEEDED, act="token", key=COUNTED, role="server"):
        server.sign(COUNTED, token(now()))
    server.sign_digests(TOKEN, [bytes(32)])  # another key's rate is its own
    judged.home.client.sign(COUNTED, token(now()))  # and so is another role's
    end = time.monotonic() + PATIENCE
    while True:
        try:
            server.sign(COUNTED, token(now()))
            break
        except RateExceeded:
            assert time.monotonic() < end, "the rate never recovers"
            time.sleep(0.3)


def test_a_batch_counts_by_its_messages(judged: Judged, server: CustodianClient) -> None:
    server.sign_many(COUNTED, [token(now())] * BURST)
    with judged.refusing(ErrorCode.HSM_RATE_EXCEEDED, act="token", key=COUNTED, role="server", count=2):
        server.sign_many(COUNTED, [token(now())] * 2)


# --- the policy file ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o622, 0o666])
def test_a_policy_that_others_may_write_is_not_followed(factory: Callable[[], CustodianHome], mode: int) -> None:
    home = factory()
    home.settings.policy_file.chmod(mode)
    why = "only root or the custodian's user may write"
    with pytest.raises(Exception, match=f"settings cannot be used .*{why}") as refused:
        home.process.start()
    assert not isinstance(refused.value, HsmUnavailable)
    assert why.encode() in (home.folder / "custodian.log").read_bytes()


def test_a_policy_behind_a_link_is_not_followed(factory: Callable[[], CustodianHome]) -> None:
    home = factory()
    real = home.settings.policy_file.rename(home.folder / "elsewhere.json")
    home.settings.policy_file.symlink_to(real)
    with pytest.raises(Exception, match="settings cannot be used"):
        home.process.start()


def test_a_policy_without_its_role_gives_it_no_socket(factory: Callable[[], CustodianHome]) -> None:
    home = factory()
    policy = strict_policy(frozenset({os.getuid()}))
    home.rule(replace(policy, roles={"operator": policy.roles["operator"]}))
    home.process.start()
    assert not home.socket_path("server").exists()
    home.process.stop()
