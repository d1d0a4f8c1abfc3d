"""Where the PIN is not: the front that reads requests never has it, whatever it is asked."""

from pathlib import Path

import pytest

from tests.hsm import messages as m
from tests.hsm.wrong_requests.conftest import Dial
from tests.hsm.wrong_requests.judged import SEAL, Judged
from tests.support.capabilities import looks_into_processes
from tests.support.separated import memory_holds

pytestmark = pytest.mark.real


def device_process(judged: Judged) -> int:
    pid = judged.home.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(child)


@looks_into_processes
def test_the_pin_is_never_in_the_memory_of_the_front(besieged: Judged, dial: Dial) -> None:
    besieged.home.client.sign(SEAL, m.NOTE)
    dial(besieged).send(b"\0\0\0\x09half a fr")
    pid = besieged.home.process.pid
    assert pid is not None
    assert memory_holds(pid, besieged.home.token.label.encode()), "the search finds what is there"
    for needle in (besieged.home.pin.encode(), besieged.home.pin.encode("utf-16-le")):
        assert not memory_holds(pid, needle)
    assert b"libsofthsm" not in Path(f"/proc/{pid}/maps").read_bytes()


@looks_into_processes
def test_the_module_is_in_the_device_process_alone(besieged: Judged) -> None:
    assert b"libsofthsm" in Path(f"/proc/{device_process(besieged)}/maps").read_bytes()


@looks_into_processes
def test_the_pin_is_in_no_command_line_environment_or_open_file(besieged: Judged) -> None:
    for pid in (besieged.home.process.pid, device_process(besieged)):
        for name in ("cmdline", "environ"):
            assert besieged.home.pin.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        opened = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert str(besieged.home.pin_file) not in opened


@looks_into_processes
def test_the_device_process_has_wiped_the_pin_that_it_logged_in_with(besieged: Judged) -> None:
    besieged.home.client.sign(SEAL, m.NOTE)
    assert not memory_holds(device_process(besieged), besieged.home.pin.encode())
