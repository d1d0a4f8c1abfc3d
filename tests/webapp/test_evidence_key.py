from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from pki.errors import ErrorCode, Unavailable
from webapp.evidence_key import EvidenceKey


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "evidence.key"
    key = EvidenceKey(path)()
    assert (len(key), path.read_bytes()) == (32, key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert EvidenceKey(path)() == key
    assert [entry.name for entry in path.parent.iterdir()] == ["evidence.key"]


def test_programs_that_come_first_together_agree_on_one(tmp_path: Path) -> None:
    together = Barrier(4)

    def take(_number: int) -> bytes:
        together.wait()
        return EvidenceKey(tmp_path / "evidence.key")()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(take, range(4)))) == 1


@pytest.mark.parametrize("octets", [b"", b"short", bytes(33)])
def test_a_file_that_is_no_key_is_not_replaced(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "evidence.key"
    path.write_bytes(octets)
    with pytest.raises(Unavailable) as refusal:
        EvidenceKey(path)()
    assert refusal.value.code is ErrorCode.FILE_UNREADABLE
    assert path.read_bytes() == octets


def test_a_place_that_takes_no_key_is_said(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_bytes(b"a file where a folder belongs")
    with pytest.raises(Unavailable):
        EvidenceKey(tmp_path / "secrets" / "evidence.key")()
