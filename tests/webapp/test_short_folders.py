"""Sockets of other programs lie where they fit and can be reached, wherever temporary files are."""

import os
import tempfile
from pathlib import Path

import pytest

from webapp.short_folders import socket_folder


def test_the_folder_for_temporary_files_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    assert socket_folder() == Path("/var/tmp")


@pytest.mark.parametrize("name", ["n" * 60, "پوشه", "two words"])
def test_one_that_no_socket_fits_into_is_passed_over(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    assert socket_folder() == Path("/tmp")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs programs as others")
def test_one_that_others_cannot_pass_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="m-", dir="/tmp") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        assert socket_folder() == Path("/tmp")
        Path(name).chmod(0o755)
        assert socket_folder() == Path(name)
