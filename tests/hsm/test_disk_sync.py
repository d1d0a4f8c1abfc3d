"""The kernel's asynchronous fdatasync, in the kernel that runs the tests."""

import errno
import os
import platform
import select
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hsm.custodian import disk_sync as module
from hsm.custodian.disk_sync import DiskSync, disk_sync
from tests.hsm.journal_bench import KERNEL, opened_sync
from tests.support.descriptors import open_descriptors

PATIENCE = 20.0


@pytest.fixture
def sync() -> Iterator[DiskSync]:
    found = opened_sync(KERNEL)
    assert found is not None
    with closing(found):
        yield found


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def can_be_read(sync: DiskSync, seconds: float = 0) -> bool:
    return bool(select.select([sync.descriptor], [], [], seconds)[0])


def test_a_file_is_made_durable_and_its_writer_is_told(sync: DiskSync, file: int) -> None:
    os.write(file, bytes(1_000_000))
    assert not can_be_read(sync)
    assert sync.begin(file)
    assert can_be_read(sync, PATIENCE)
    sync.end()
    assert not can_be_read(sync)


def test_one_file_is_made_durable_after_the_other(sync: DiskSync, file: int, tmp_path: Path) -> None:
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    for descriptor in (file, file, other):
        os.write(descriptor, b"octets")
        assert sync.begin(descriptor)
        assert can_be_read(sync, PATIENCE)
        sync.end()
        assert not can_be_read(sync)
    os.close(other)


def test_the_end_can_be_waited_for(sync: DiskSync, file: int) -> None:
    for _ in range(20):
        os.write(file, b"octets")
        assert sync.begin(file)
        sync.end()


def test_a_kernel_that_takes_on_no_more_says_so(sync: DiskSync, file: int) -> None:
    taken_on = 0
    while sync.begin(file):
        taken_on += 1
        assert taken_on < 10_000, "the kernel takes on any number"
    for _ in range(taken_on):
        sync.end()
    assert sync.begin(file)
    sync.end()


def test_what_cannot_be_synced_is_said(sync: DiskSync, file: int) -> None:
    reading, writing = os.pipe()
    try:
        if sync.begin(writing):
            with pytest.raises(OSError, match=r"."):
                sync.end()
    finally:
        os.close(reading)
        os.close(writing)
    assert not sync.begin(writing)  # closed
    assert sync.begin(file)
    sync.end()


def test_an_error_of_the_disk_is_raised_with_its_reason(
    sync: DiskSync, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sync.begin(file)
    with monkeypatch.context() as patch:
        patch.setattr(sync, "_event", module._Event(result=-errno.EIO))
        with pytest.raises(OSError, match="Input/output error") as raised:
            sync.end()
    assert raised.value.errno == errno.EIO
    assert sync.begin(file)
    sync.end()


def test_closing_waits_for_what_is_under_way_and_gives_everything_back(file: int) -> None:
    before = open_descriptors()
    for _ in range(50):
        found = opened_sync(KERNEL)
        assert found is not None
        os.write(file, b"octets")
        assert found.begin(file)
        found.close()
    assert open_descriptors() <= before


def test_a_machine_whose_calls_are_not_known_has_no_such_service(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    assert disk_sync() is None
    assert open_descriptors() <= before


@pytest.mark.parametrize("number", [-1, 10**6])
def test_a_kernel_that_refuses_has_no_such_service(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    before = open_descriptors()
    calls = module._Calls(setup=number, destroy=number, submit=number, getevents=number)
    monkeypatch.setitem(module._CALLS, platform.machine(), calls)
    assert disk_sync() is None
    assert open_descriptors() <= before
