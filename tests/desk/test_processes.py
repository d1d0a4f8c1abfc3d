"""The agent as a process of its own, with pcscd, a virtual reader and a terminal."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cardreader.emulated.stack import PrivateReaderStack
from cardreader.emulated.state import StateFile
from signer.samples import sample_prescription
from tests.desk.workplace import SIGN, ready_state
from tests.support.programs import REPOSITORY, Ended, run_process, start_process
from tests.support.reader_stack import require_reader_programs

pytestmark = pytest.mark.real
SECONDS = 60.0


@dataclass(frozen=True)
class RealDesk:
    """A running reader stack with a personalised card, and the agent as a process beside it."""

    stack: PrivateReaderStack
    card: StateFile

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process reach this stack."""
        return {"PCSCLITE_CSOCK_NAME": str(self.stack.socket_path)}

    def agent(self, *arguments: str | Path, pins: tuple[str, ...] = ()) -> Ended:
        """Run one command of the agent."""
        return run_process("desk", *map(str, arguments), environment=self.environment, secrets=pins)


@pytest.fixture(scope="module")
def running() -> Iterator[RealDesk]:
    require_reader_programs()
    with tempfile.TemporaryDirectory(prefix="mohr-") as name:
        card = StateFile(Path(name) / "card.json")
        card.save(ready_state())
        with PrivateReaderStack(Path(name) / "s", card.path) as stack:
            yield RealDesk(stack, card)


@pytest.fixture
def desk(running: RealDesk) -> RealDesk:
    """The running desk with its card in the reader and all PIN tries left."""
    running.stack.start_service()
    running.stack.insert()
    return running


@pytest.fixture
def rx(tmp_path: Path) -> Path:
    path = tmp_path / "rx.json"
    path.write_bytes(sample_prescription())
    return path


def test_a_prescription_is_signed_through_pcscd(desk: RealDesk, rx: Path) -> None:
    ended = desk.agent("sign", rx, "--format", "jades", "--yes", pins=(SIGN,))
    assert (ended.status, ended.output) == (0, ""), ended.messages
    assert json.loads((rx.parent / "rx.jades.json").read_bytes())["signature"]


def test_the_pin_is_in_no_argument_no_environment_and_no_word_of_the_program(desk: RealDesk, rx: Path) -> None:
    reader, writer = os.pipe()
    words = ("sign", str(rx), "--format", "jades", "--yes", "--pin-fd", str(reader))
    process = start_process("desk", *words, environment=desk.environment, descriptors=(reader,))
    os.close(reader)
    proc = Path(f"/proc/{process.pid}")
    _wait_until_blocked_in_read(process)
    seen = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
    os.write(writer, f"{SIGN}\n".encode())
    os.close(writer)
    output, messages = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, messages
    assert b"rx.json" in seen
    assert SIGN.encode() not in seen + output + messages
    assert SIGN.encode() not in (rx.parent / "rx.jades.json").read_bytes()


def _wait_until_blocked_in_read(process: "subprocess.Popen[bytes]") -> None:
    """Wait until the agent has shown the document and waits for its PIN."""
    end = time.monotonic() + SECONDS
    shown = b""
    assert process.stderr is not None
    while b"CN=" not in shown:
        assert time.monotonic() < end, shown
        ready, _, _ = select.select([process.stderr], [], [], 0.1)
        if ready:
            shown += os.read(process.stderr.fileno(), 65536)
    assert process.poll() is None, shown


def test_a_card_pulled_while_the_pin_is_awaited_signs_nothing(desk: RealDesk, rx: Path) -> None:
    reader, writer = os.pipe()
    words = ("sign", str(rx), "--format", "jades", "--yes", "--pin-fd", str(reader))
    process = start_process("desk", *words, environment=desk.environment, descriptors=(reader,))
    os.close(reader)
    _wait_until_blocked_in_read(process)
    desk.stack.remove()
    os.write(writer, f"{SIGN}\n".encode())
    os.close(writer)
    _output, messages = process.communicate(timeout=SECONDS)
    assert process.returncode == 2, messages
    assert b"card-removed: " in messages
    assert [path.name for path in rx.parent.iterdir()] == ["rx.json"]


def test_an_empty_reader_and_a_dead_service_have_their_own_names(desk: RealDesk, rx: Path) -> None:
    desk.stack.remove()
    end = time.monotonic() + SECONDS
    half_gone = {"card-removed", "card-unsupported"}  # its name is known still, and it answers nothing any more
    while (empty := desk.agent("sign", rx, "--format", "jades", "--yes", pins=(SIGN,))).code in half_gone:
        assert time.monotonic() < end, "pcscd did not notice that the card is gone"
    assert (empty.status, empty.code) == (1, "card-absent")
    desk.stack.stop_service()
    for words in (("sign", str(rx), "--format", "jades", "--yes"), ("cards", "--json"), ("pin", "status")):
        down = desk.agent(*words)
        assert (down.status, down.code, down.output) == (2, "reader-service-down", "")


def test_a_machine_without_a_reader_service_says_so(tmp_path: Path) -> None:
    nowhere = {"PCSCLITE_CSOCK_NAME": str(tmp_path / "absent")}
    ended = run_process("desk", "cards", "--json", environment=nowhere)
    assert (ended.status, ended.code) == (2, "reader-service-down")


def test_without_a_terminal_the_pin_is_not_read_from_elsewhere(desk: RealDesk, rx: Path) -> None:
    ended = desk.agent("sign", rx, "--format", "jades", "--yes")
    assert (ended.status, ended.code) == (1, "pin-required")


class Terminal:
    """A person at a terminal: reads what is shown, types lines."""

    def __init__(self, desk: RealDesk, *arguments: str | Path) -> None:
        setsid = shutil.which("setsid")
        if setsid is None:
            pytest.skip("util-linux is not installed")
        self._screen, keyboard = pty.openpty()
        self.process = subprocess.Popen(
            [setsid, "--ctty", "--wait", sys.executable, "-m", "desk", *map(str, arguments)],
            cwd=REPOSITORY,
            env={**os.environ, **desk.environment},
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
        )
        os.close(keyboard)
        self.seen = ""

    def await_text(self, text: str) -> None:
        """Read until `text` appears after what was read before."""
        start, end = len(self.seen), time.monotonic() + SECONDS
        while text not in self.seen[start:]:
            assert time.monotonic() < end, self.seen
            if select.select([self._screen], [], [], 0.1)[0]:
                self.seen += os.read(self._screen, 65536).decode(errors="replace")

    def type(self, line: str) -> None:
        """Type a line and press Enter."""
        os.write(self._screen, f"{line}\n".encode())

    def end(self) -> int:
        """Read the rest and return the exit status."""
        try:
            while part := os.read(self._screen, 65536):
                self.seen += part.decode(errors="replace")
        except OSError:  # a terminal without a program gives EIO
            pass
        os.close(self._screen)
        return self.process.wait(SECONDS)


def test_a_person_at_a_terminal_reads_agrees_and_types_an_unseen_pin(desk: RealDesk, rx: Path) -> None:
    person = Terminal(desk, "sign", rx, "--format", "jades")
    person.await_text("Sign it?")
    assert "آموکسی‌سیلین" in person.seen
    person.type("y")
    person.await_text("3 tries left")
    person.type(SIGN)
    assert person.end() == 0, person.seen
    assert SIGN not in person.seen


def test_a_new_pin_is_typed_twice_and_both_must_agree(desk: RealDesk) -> None:
    person = Terminal(desk, "pin", "change")
    for prompt, line in (("رمز کنونی", SIGN), ("رمز تازه", "999999"), ("again", "999998")):
        person.await_text(prompt)
        person.type(line)
    assert person.end() == 1
    assert "pin-format" in person.seen
    assert "99999" not in person.seen
    assert json.loads(desk.agent("pin", "status").output)["tries_left"] == 3


def test_an_emulated_card_lives_in_its_folder_and_ends_with_its_program() -> None:
    require_reader_programs()
    with tempfile.TemporaryDirectory(prefix="mohr-") as name:
        folder = Path(name) / "card"
        (Path(name) / "pins").write_text("135790\n2468\n")
        serials = set()
        for words in (("--initial-pins", f"{name}/pins"), ()):
            process = start_process("desk", "emulate", "--folder", str(folder), *words)
            assert process.stderr is not None
            said = b""
            while b"PCSCLITE_CSOCK_NAME=" not in said:
                said += process.stderr.readline()
                assert process.poll() is None, said
            assert b"135790" not in said
            where = {"PCSCLITE_CSOCK_NAME": str(folder / "pcscd" / "pcscd.comm")}
            (listed,) = json.loads(run_process("desk", "cards", "--json", environment=where).output)["readers"][:1]
            serials.add(listed["card"]["serial"])
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
            process.communicate()
        assert len(serials) == 1
