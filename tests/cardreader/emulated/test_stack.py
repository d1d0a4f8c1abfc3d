"""The private reader stack: quick to start, closed to others, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cardreader.emulated.bridge import DEFAULT_PORT
from cardreader.emulated.stack import PrivateReaderStack
from cardreader.emulated.state import StateFile
from cardreader.errors import CardUnsupported, ReaderServiceDown
from tests.cardreader.conftest import RealReader
from tests.support.emulated_card import AUTH_PIN, PUK, SIGN_PIN

pytestmark = pytest.mark.real


def descendants(process: int) -> set[int]:
    """Return the living descendants of a process."""
    found: set[int] = set()
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in children.read_text().split():
            found |= {int(child)} | descendants(int(child))
    return found


def wait_until_gone(processes: set[int]) -> None:
    deadline = time.monotonic() + 30
    while any(is_running(process) for process in processes):
        assert time.monotonic() < deadline, "a process of the stack outlived it"
        time.sleep(0.02)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_ends_with_all_its_processes(blank_file: StateFile) -> None:
    stack = PrivateReaderStack(blank_file.path.parent / "s", blank_file.path)
    others = descendants(os.getpid())
    stack.start()
    processes = descendants(os.getpid()) - others
    assert len(processes) >= 2, "a supervisor and a pcscd"
    stack.close()
    wait_until_gone(processes)
    stack.close()


def test_its_ports_are_reachable_from_nowhere_else(blank_reader: RealReader) -> None:
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", DEFAULT_PORT), timeout=1)
    assert blank_reader.stack.socket_path.is_socket()


def test_it_dies_with_the_process_that_started_it(blank_file: StateFile) -> None:
    program = (
        "import sys, time; from pathlib import Path; from cardreader.emulated.stack import PrivateReaderStack\n"
        "PrivateReaderStack(Path(sys.argv[1]), Path(sys.argv[2])).start(); print('up', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", program, str(blank_file.path.parent / "s"), str(blank_file.path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        processes = descendants(owner.pid)
        assert len(processes) >= 2
        owner.send_signal(signal.SIGKILL)
    wait_until_gone(processes)


def test_pcscd_dies_with_its_supervisor(blank_file: StateFile) -> None:
    stack = PrivateReaderStack(blank_file.path.parent / "s", blank_file.path)
    others = descendants(os.getpid())
    stack.start()
    processes = descendants(os.getpid()) - others
    assert stack._process is not None
    os.kill(stack._process.pid, signal.SIGKILL)
    wait_until_gone(processes)
    with pytest.raises(ReaderServiceDown, match="does not answer"):
        stack.insert()
    stack.close()


def test_two_stacks_run_side_by_side(blank_reader: RealReader, tmp_path: Path) -> None:
    other = StateFile(tmp_path / "card.json")
    other.save(StateFile(blank_reader.stack.folder.parent / "card.json").load())
    with PrivateReaderStack(blank_reader.stack.folder.parent / "t", other.path, inserted=False) as second:
        assert second.socket_path.is_socket()
        second.insert()
        second.remove()
    blank_reader.readers.connect(blank_reader.name).close()


def test_one_card_is_not_run_twice(blank_reader: RealReader) -> None:
    state = blank_reader.stack.folder.parent / "card.json"
    with pytest.raises(ReaderServiceDown, match="another process runs this emulated card"):
        PrivateReaderStack(blank_reader.stack.folder.parent / "t", state).start()


def test_a_folder_too_deep_for_a_unix_socket_is_refused(blank_file: StateFile) -> None:
    deep = blank_file.path.parent / ("d" * 120)
    with pytest.raises(CardUnsupported, match="too long"):
        PrivateReaderStack(deep, blank_file.path).start()


def test_an_unknown_word_on_the_control_socket_changes_nothing(blank_reader: RealReader) -> None:
    assert blank_reader.stack._tell("format-card") == "unknown"
    assert blank_reader.stack._tell("state") == "inserted"


def test_the_module_makes_a_card_from_pins_on_standard_input_and_says_that_no_reader_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ran = subprocess.run(
        [sys.executable, "-m", "cardreader.emulated", str(tmp_path / "card.json"), str(port), "--new", "--wait", "0"],
        input=b"\n".join((AUTH_PIN, SIGN_PIN, PUK)),
        capture_output=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert ran.returncode == 1
    assert b"no virtual reader listens" in ran.stderr
    assert b"Traceback" not in ran.stderr
    assert StateFile(tmp_path / "card.json").load().pins[1].matches(AUTH_PIN)
