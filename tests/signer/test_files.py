import os
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from pki.errors import ErrorCode, InvalidInput
from signer import files
from signer.files import MAX_FILE_OCTETS, check_writable, is_same_file, read_file, read_start, write_file


def test_a_file_comes_back_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rx.json"
    path.write_bytes(b"\xff\x00 bytes")
    assert read_file(path) == b"\xff\x00 bytes"


def test_a_file_of_the_largest_size_is_read_and_one_octet_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_OCTETS)
    assert len(read_file(path)) == MAX_FILE_OCTETS
    with path.open("ab") as file:
        file.truncate(MAX_FILE_OCTETS + 1)
    with pytest.raises(InvalidInput) as refused:
        read_file(path)
    assert refused.value.code is ErrorCode.INPUT_TOO_LARGE


def test_a_device_without_an_end_is_too_large() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_file(Path("/dev/zero"))
    assert refused.value.code is ErrorCode.INPUT_TOO_LARGE


@pytest.mark.parametrize("name", ["absent", ".", "n" * 300, "file/below"])
def test_what_cannot_be_read_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput) as refused:
        read_file(tmp_path / name)
    assert refused.value.code is ErrorCode.FILE_UNREADABLE


def test_a_pipe_into_which_nobody_writes_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.02)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TimeoutError):
        read_start(tmp_path / "pipe", 10)
    with pytest.raises(InvalidInput) as refused:
        read_file(tmp_path / "pipe")
    assert refused.value.code is ErrorCode.FILE_UNREADABLE


def test_a_pipe_is_read_to_its_end_or_to_what_is_wanted(tmp_path: Path) -> None:
    content = os.urandom(200_000)
    for wanted in (10, len(content), len(content) + 1):
        ours, theirs = os.pipe()
        writer = Thread(target=_write_and_close, args=(theirs, content))
        writer.start()
        try:
            assert read_start(Path(f"/dev/fd/{ours}"), wanted) == content[:wanted]
        finally:
            os.close(ours)
            writer.join()


def _write_and_close(descriptor: int, content: bytes) -> None:
    with open(descriptor, "wb", buffering=0) as pipe, suppress(BrokenPipeError):
        pipe.write(content)


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(InvalidInput) as refused:
        read_file(tmp_path / "empty")
    assert refused.value.code is ErrorCode.INPUT_EMPTY


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old and longer")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidInput) as refused:
        write_file(path, b"new")
    assert refused.value.code is ErrorCode.FILE_UNWRITABLE
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", [".", "absent/out", "n" * 300, "file/below"])
def test_a_place_that_cannot_be_written_is_known_before(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    for act in (check_writable, lambda path: write_file(path, b"x")):
        with pytest.raises(InvalidInput) as refused:
            act(tmp_path / name)
        assert refused.value.code is ErrorCode.FILE_UNWRITABLE


def test_a_device_or_a_link_is_written_to_and_stays(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    through = tmp_path / "stdout"
    through.symlink_to(f"/proc/self/fd/{writer}")
    check_writable(through)
    write_file(through, b"signature")
    assert os.read(reader, 100) == b"signature"
    assert through.is_symlink()
    for descriptor in (reader, writer):
        os.close(descriptor)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this machine has no /dev/full")
def test_a_full_device_says_so() -> None:
    with pytest.raises(InvalidInput) as refused:
        write_file(Path("/dev/full"), b"signature")
    assert refused.value.code is ErrorCode.FILE_UNWRITABLE


def test_a_free_name_in_a_folder_can_be_written(tmp_path: Path) -> None:
    check_writable(tmp_path / "out")


def test_a_link_and_its_target_are_one_file(tmp_path: Path) -> None:
    target, link, loop = tmp_path / "a", tmp_path / "b", tmp_path / "loop"
    target.touch()
    link.symlink_to(target)
    loop.symlink_to(loop)
    assert is_same_file(target, link)
    assert not is_same_file(target, tmp_path / "absent")
    assert not is_same_file(loop, target)
