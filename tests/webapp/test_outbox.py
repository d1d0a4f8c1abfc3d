"""A notice is a whole file of its owner alone, once for each id, also after it was taken away to be told."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ca.notices import Notice, NoticeKind
from pki.errors import ErrorCode, Unavailable
from webapp.outbox import TOLD, Outbox

NOTICE = Notice(
    id="expiry-ab-7",
    kind=NoticeKind.EXPIRY_REMINDER,
    file_id="f1",
    at=datetime(2026, 11, 22, 9, tzinfo=UTC),
    facts={"serial": "ab", "days": 7},
)


def test_a_notice_is_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    Outbox(tmp_path / "outbox").send(NOTICE)
    file = tmp_path / "outbox" / "expiry-ab-7.json"
    assert json.loads(file.read_text()) == {
        "id": "expiry-ab-7",
        "kind": "expiry-reminder",
        "file": "f1",
        "at": "2026-11-22T09:00:00Z",
        "serial": "ab",
        "days": 7,
    }
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]


@pytest.mark.parametrize("told", [False, True])
def test_what_was_taken_over_once_is_not_written_again(tmp_path: Path, *, told: bool) -> None:
    outbox = Outbox(tmp_path)
    outbox.send(NOTICE)
    file = tmp_path / "expiry-ab-7.json"
    file.write_text("as it was")
    if told:
        (tmp_path / TOLD).mkdir()
        file.rename(tmp_path / TOLD / file.name)
    outbox.send(NOTICE)
    assert file.exists() is not told
    assert "as it was" in [path.read_text() for path in tmp_path.rglob("*.json")]


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file")
    with pytest.raises(Unavailable) as refusal:
        Outbox(tmp_path / "outbox").send(NOTICE)
    assert refusal.value.code is ErrorCode.FILE_UNWRITABLE
