"""A thousand connections that mean harm: a good client goes on signing within its deadline."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hsm.child_process import child_environment, module_command
from hsm.custodian.protocol import Operation, encode_request
from hsm.errors import PurposeRefused
from pki.keys import verify_signature
from tests.hsm import messages as m
from tests.hsm.wrong_requests.conftest import Dial
from tests.hsm.wrong_requests.hostile import ATTACKS
from tests.hsm.wrong_requests.judged import SEAL, TOKEN, Judged, now
from tests.hsm.wrong_requests.test_messages import token
from tests.support.capabilities import looks_into_processes

pytestmark = pytest.mark.real

SECONDS = 3.0
PATIENCE = 30.0
MEMORY_OCTETS = 300_000_000  # whatever came before, and all at once


def most_resident(judged: Judged) -> int:
    """Return the most memory that the custodian ever had, in octets."""
    status = Path(f"/proc/{judged.home.process.pid}/status").read_text(encoding="ascii")
    return max(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(("VmHWM:", "VmRSS:")))


@contextmanager
def besieging(judged: Judged, role: str, *kinds: str) -> Iterator["subprocess.Popen[str]"]:
    """Let another process attack the socket of a role for some seconds; a thousand connections stay open."""
    request = encode_request(Operation.SIGN, SEAL, m.NOTE)
    arguments = (str(judged.home.socket_path(role)), "1000", str(SECONDS), request.hex(), *kinds)
    process = subprocess.Popen(
        module_command("tests.hsm.wrong_requests.hostile", *arguments),
        env=child_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
        said, _ = process.communicate(timeout=SECONDS + PATIENCE)
        assert process.returncode == 0
        assert int(said) > 100
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("role", ["operator", "server"])
@pytest.mark.parametrize("kind", [*(pytest.param(kind, marks=pytest.mark.stress) for kind in ATTACKS), "all"])
def test_a_good_client_signs_on_within_its_deadline(besieged: Judged, kind: str, role: str) -> None:
    """The attack comes over the operator's socket; the good client uses that one, or another role's."""
    kinds = ATTACKS if kind == "all" else (kind,)
    public_key = besieged.home.client.signing_key(SEAL if role == "operator" else TOKEN).public_key()
    pid, signed = besieged.home.process.pid, 0
    with besieging(besieged, "operator", *kinds) as attacker, closing(besieged.client(role)) as client:
        while attacker.poll() is None:
            label, message = (SEAL, m.NOTE) if role == "operator" else (TOKEN, token(now()))
            verify_signature(public_key, client.sign(label, message), message)  # HsmUnavailable after a second
            signed += 1
            time.sleep(0.01)
    assert signed > 3
    assert besieged.home.process.pid == pid
    assert besieged.home.process.running
    assert most_resident(besieged) < MEMORY_OCTETS


def test_the_journal_of_a_siege_holds_together_and_stays_short(besieged: Judged) -> None:
    before = besieged.head()
    with besieging(besieged, "operator", "garbage", "nonsense") as attacker:
        attacker.wait(SECONDS + PATIENCE)
    time.sleep(1.2)
    entries = besieged.entries(before)
    assert sum(use.count for use in entries) > 100
    assert len(entries) < 100 * (SECONDS + 2)


@looks_into_processes
def test_connections_and_descriptors_are_given_back_after_a_siege(besieged: Judged, dial: Dial) -> None:
    with besieging(besieged, "operator", *ATTACKS) as attacker:
        attacker.wait(SECONDS + PATIENCE)
    end, open_now = time.monotonic() + PATIENCE, 1 << 30
    while open_now > 40:
        assert time.monotonic() < end, f"{open_now} descriptors are still open"
        time.sleep(0.05)
        open_now = len(list(Path(f"/proc/{besieged.home.process.pid}/fd").iterdir()))


def test_what_waits_with_half_a_large_request_makes_room_for_a_whole_one(besieged: Judged, dial: Dial) -> None:
    """In all 64 MiB of unfinished requests are held: those that are the oldest go."""
    half = (2 * 1024 * 1024).to_bytes(4, "big") + bytes(2 * 1024 * 1024 - 1)
    for _ in range(34):
        dial(besieged).send(half)
    notes = [b"a" * 60_000 + b"\n"] * 15
    public_key = besieged.home.client.signing_key(SEAL).public_key()
    for signature in besieged.home.client.sign_many(SEAL, notes):
        verify_signature(public_key, signature, notes[0])


@pytest.mark.parametrize("octets", [2 * 1024 * 1024 + 1, 100_000_000, 2**32 - 1])
def test_a_body_of_a_hundred_megabytes_in_its_frame_is_refused_before_it_came(
    besieged: Judged, dial: Dial, octets: int
) -> None:
    peer = dial(besieged)
    started = time.monotonic()
    try:
        peer.send(octets.to_bytes(4, "big") + b"\x01\x04\x04seal")
        for _ in range(100):
            peer.send(bytes(1_000_000))
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert time.monotonic() - started < PATIENCE
    answer = peer.frames(1)[0]
    assert b"hsm-protocol" in answer
    assert most_resident(besieged) < MEMORY_OCTETS
    assert besieged.home.client.sign(SEAL, m.NOTE)


def test_a_hundred_megabytes_in_a_memory_file_are_refused_by_what_they_are(besieged: Judged) -> None:
    with pytest.raises(PurposeRefused):
        besieged.home.client.sign(SEAL, bytes(100_000_000))
