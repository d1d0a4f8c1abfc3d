"""Archives of backups that nothing encrypts: what is cut short is told as such, wherever it was cut."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from webapp.recovery_archive import VERSION, digest_file, opened_archive, write_archive

_ABOUT = ("created", "kind", "revision", "rows", "origin", "ledger_size", "ledger_root", "checkpoint", "feed_position")


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
    write_archive(whole, {**dict.fromkeys(_ABOUT), "version": VERSION, "files": files}, {name: source}, None)

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
