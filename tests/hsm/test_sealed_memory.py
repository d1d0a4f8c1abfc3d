"""Bodies in memory files: only what can no longer change is read."""

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import ProtocolViolation
from hsm.sealed_memory import MAX_OCTETS, SealedMemory, seal_in_memory


@given(body=st.binary(min_size=1, max_size=10_000), data=st.data(), step=st.integers(1, 4096))
def test_a_sealed_body_reads_back_as_it_was_written(body: bytes, data: st.DataObject, step: int) -> None:
    part = data.draw(st.slices(len(body)).filter(lambda wish: wish.step in (None, 1)))
    with SealedMemory(seal_in_memory(body)) as memory:
        assert len(memory) == len(body)
        assert memory[:] == body
        assert memory[part] == body[part]
        assert b"".join(map(bytes, memory.parts(memoryview(bytearray(step))))) == body
        with memory.mapped() as octets:
            assert octets[:] == body


def _resident() -> int:
    """Return how many octets of shared memory this process holds."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssShmem:"))


def test_holes_of_a_memory_file_take_no_memory_from_who_reads_them() -> None:
    descriptor = os.memfd_create("body", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, 64 << 20)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, ALL)
    before = _resident()
    with SealedMemory(descriptor) as memory:
        for part in memory.parts(memoryview(bytearray(1 << 20))):
            assert not any(part)
        assert memory[-3:] == bytes(3)
        assert os.fstat(descriptor).st_blocks == 0
    assert _resident() - before < 1 << 20


def _read(descriptor: int, limit: int = MAX_OCTETS) -> bytes:
    with SealedMemory(descriptor, limit) as memory:
        return memory[:]


def test_a_sealed_body_can_be_changed_by_nobody() -> None:
    descriptor = seal_in_memory(b"body")
    for change in (
        lambda: os.pwrite(descriptor, b"x", 0),
        lambda: os.ftruncate(descriptor, 1),
        lambda: os.ftruncate(descriptor, 9),
        lambda: fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, 0),
    ):
        with pytest.raises(OSError, match="not permitted"):
            change()
    os.close(descriptor)


def _unsealed(seals: int) -> int:
    descriptor = os.memfd_create("body", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, b"body")
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


ALL = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@pytest.mark.parametrize(
    "missing", [fcntl.F_SEAL_WRITE, fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, fcntl.F_SEAL_SEAL, ALL]
)
def test_a_memory_file_that_lacks_a_seal_is_not_read(missing: int) -> None:
    with pytest.raises(ProtocolViolation, match="not sealed"):
        _read(_unsealed(ALL & ~missing))


def _pipe(_folder: Path) -> int:
    ours, theirs = os.pipe()
    os.close(theirs)
    return ours


def _file(folder: Path) -> int:
    (folder / "file").write_bytes(b"body")
    return os.open(folder / "file", os.O_RDONLY)


@pytest.mark.parametrize("make", [_pipe, _file, lambda _: os.open("/dev/zero", os.O_RDONLY), lambda _: _unsealed(ALL)])
def test_no_other_descriptor_stays_open(tmp_path: Path, make: Callable[[Path], int]) -> None:
    descriptor = make(tmp_path)
    with contextlib.suppress(ProtocolViolation):
        _read(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize("make", [_pipe, _file, lambda _: seal_in_memory(b"")])
def test_what_is_no_memory_file_with_a_body_is_refused(tmp_path: Path, make: Callable[[Path], int]) -> None:
    with pytest.raises(ProtocolViolation):
        _read(make(tmp_path))


def test_a_body_beyond_the_limit_is_refused_on_both_sides() -> None:
    with pytest.raises(ProtocolViolation):
        _read(seal_in_memory(b"five!"), limit=4)
    with pytest.raises(ProtocolViolation):
        seal_in_memory(bytes(MAX_OCTETS + 1))
