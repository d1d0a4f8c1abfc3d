"""Archives of backups that nothing encrypts: what is cut short is told as such, and each refusal by its cause."""

import errno
import fcntl
import os
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hsm.soft import UnsafeSoftKey
from pki.errors import Conflict, ErrorCode, InvalidInput, ServiceError, Unavailable, VerificationFailed
from pki.keys import SignatureAlgorithm
from pki.notes import verifier_key
from webapp.deployment import Deployment
from webapp.recovery_archive import MAX_MANIFEST, VERSION, digest_file, opened_archive, write_archive
from webapp.recovery_backup import restore_backup

_ABOUT = {"version": VERSION, "created": "2026-11-23T08:00:00Z", "kind": "sqlite", "revision": "0001", "rows": {}}
_ABOUT |= {"origin": "log.example", "ledger_size": 0, "ledger_root": "", "checkpoint": None, "feed_position": 0}
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


def _no_key(_header: object) -> bytes:
    return b""


def _read(path: Path) -> None:
    with opened_archive(path, _no_key) as (_manifest, members):
        for _name, member in members:
            while member.read(64 * 1024):
                continue


@pytest.fixture
def cut(tmp_path: Path) -> Callable[[int], Path]:
    """Write an archive with one file of 40,000 octets, and cut it."""
    source, whole, part = (tmp_path / name for name in ("mohr.db", "whole.backup", "cut.backup"))
    source.write_bytes(bytes(40_000))
    found, name = digest_file(source), "database/mohr.db"
    files = {name: {"sha256": found.sha256, "size": found.size}}
    write_archive(whole, {**_ABOUT, "files": files}, {name: source}, None)

    def make(octets: int) -> Path:
        part.write_bytes(whole.read_bytes()[:octets])
        return part

    return make


@pytest.mark.parametrize("octets", [0, 300, 600, 1100, 1536, 1800, 2048, 2100, 20_000, 41_000])
def test_an_archive_that_is_cut_short_is_refused(cut: Callable[[int], Path], octets: int) -> None:
    with pytest.raises((InvalidInput, VerificationFailed)) as refused:
        _read(cut(octets))
    assert refused.value.code in {ErrorCode.FILE_UNREADABLE, ErrorCode.VERIFICATION_FAILED}


def test_a_whole_archive_is_read(cut: Callable[[int], Path]) -> None:
    _read(cut(1024 * 1024))


@pytest.mark.parametrize(
    "wrong", [{"files": {"home/mohr.toml": 5}}, {"files": []}, {"rows": None}, {"revision": 24}, {"ledger_size": "0"}]
)
def test_a_manifest_of_another_form_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    write_archive(tmp_path / "odd.backup", {**_ABOUT, "files": {}, **wrong}, {}, None)
    with pytest.raises(InvalidInput) as refused:
        _read(tmp_path / "odd.backup")
    assert refused.value.code is ErrorCode.INPUT_MALFORMED


def test_what_the_disk_does_not_give_is_told_by_its_own_cause(
    cut: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable) as absent:
        _read(tmp_path / "absent.backup")
    assert (absent.value.code, absent.value.detail) == (
        ErrorCode.FILE_UNREADABLE,
        "absent.backup: No such file or directory",
    )

    read = tarfile.ExFileObject.read

    def fail(file: tarfile.ExFileObject, size: int) -> bytes:
        if size == MAX_MANIFEST:
            return read(file, size)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(tarfile.ExFileObject, "read", fail)
    home = Deployment(tmp_path / "home")
    with pytest.raises(Unavailable) as torn:
        restore_backup(home, cut(1024 * 1024), "operator", NOW, unlock=_no_key, database_url=lambda: None)
    assert (torn.value.code, torn.value.detail) == (ErrorCode.FILE_UNREADABLE, "the backup: Input/output error")


def test_nothing_is_put_over_what_a_lost_database_left(cut: Callable[[int], Path], tmp_path: Path) -> None:
    home = Deployment(tmp_path / "home")
    home.database_file.parent.mkdir(parents=True)
    left = home.database_file.with_name("mohr.db-wal")
    left.write_bytes(b"changes of a database that is gone")
    with pytest.raises(Conflict) as refused:
        restore_backup(home, cut(1024 * 1024), "operator", NOW, unlock=_no_key, database_url=lambda: None)
    assert refused.value.code is ErrorCode.DEPLOYMENT_EXISTS
    assert "mohr.db-wal" in refused.value.detail
    assert sorted(path.name for path in home.database_file.parent.iterdir()) == ["mohr.db-wal"]


def test_two_programs_do_not_restore_into_one_home(cut: Callable[[int], Path], tmp_path: Path) -> None:
    home = Deployment(tmp_path / "home")
    scratch = home.home / ".restoring"
    scratch.mkdir(parents=True)
    (scratch / "of-the-first").touch()
    descriptor = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="in use"):
            restore_backup(home, cut(1024 * 1024), "operator", NOW, unlock=_no_key, database_url=lambda: None)
        assert (scratch / "of-the-first").exists()
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"revision": "9999"}, "newer program"), ({"kind": "postgresql"}, "--database-url"), ({}, "holds no ledger.vkey")],
)
def test_a_backup_of_something_else_is_refused_by_its_cause(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    source, backup = tmp_path / "key", tmp_path / "odd.backup"
    source.write_text(f"{verifier_key('log.example', UnsafeSoftKey.generate(SignatureAlgorithm.EDDSA))}\n")
    found = digest_file(source)
    name = "home/public/ledger.vkey" if changed else "home/mohr.toml"
    files = {name: {"sha256": found.sha256, "size": found.size}}
    write_archive(backup, {**_ABOUT, "files": files, **changed}, {name: source}, None)
    with pytest.raises(ServiceError) as refused:
        restore_backup(
            Deployment(tmp_path / "home"), backup, "operator", NOW, unlock=_no_key, database_url=lambda: None
        )
    assert words in refused.value.detail
