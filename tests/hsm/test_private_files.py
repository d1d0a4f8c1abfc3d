import os
from pathlib import Path

import pytest

from hsm.errors import ConfigurationInvalid, HsmUnavailable
from hsm.private_files import read_private, write_private


def test_what_is_written_is_the_owners_alone_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, b"first")
    write_private(path, b"second")
    assert read_private(path, 100) == b"second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_an_open_file_is_closed_to_others_when_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    (tmp_path / ".secret.new").write_bytes(b"left by a crash")
    path.write_bytes(b"open")
    path.chmod(0o644)
    write_private(path, b"closed")
    assert read_private(path, 100) == b"closed"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"1234")
    path.chmod(mode)
    with pytest.raises(ConfigurationInvalid):
        read_private(path, 100)


def test_a_missing_file_a_link_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", b"1234")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("missing", "link", "folder", "pipe"):
        with pytest.raises(ConfigurationInvalid):
            read_private(tmp_path / name, 100)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, b"1234")
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigurationInvalid):
        read_private(path, 100)


def test_a_file_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, bytes(11))
    assert len(read_private(path, 11)) == 11
    with pytest.raises(ConfigurationInvalid):
        read_private(path, 10)


def test_a_folder_that_is_not_there_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(HsmUnavailable):
        write_private(tmp_path / "none" / "secret", b"1234")
