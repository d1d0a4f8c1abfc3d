import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hsm.backup import files as backup_files
from hsm.backup.files import BackupPlan, check_absent, read_backup, read_plan, write_backup, write_folder
from hsm.errors import ConfigurationInvalid, HsmUnavailable
from pki.errors import Conflict, ErrorCode, InvalidInput
from tests.support.programs import REPOSITORY

FILES = {"custodian/keys.json": b"{}", "tokens/service/tokens/1/token.object": b"octets", "pin": b""}


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def plan(tmp_path: Path) -> BackupPlan:
    home = tmp_path / "home"
    write_folder(home, FILES)
    return BackupPlan(
        home=home,
        files=[home / "custodian" / "keys.json", home / "pin"],
        folders=[home / "tokens"],
        locks=[home / "custodian" / "keys.json.lock"],
    )


# --- reading ---


def test_everything_in_the_plan_is_read_by_its_name(plan: BackupPlan) -> None:
    (plan.home / "other").write_bytes(b"not in the plan")
    (plan.home / "tokens" / ".token.object.new").write_bytes(b"not finished")
    assert read_plan(plan) == FILES


def test_what_a_backup_reads_is_of_one_moment(plan: BackupPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    read = backup_files._read
    changes = [b"first change", b"second change"]

    def changing(path: Path) -> bytes | None:
        data = read(path)
        if path.name == "token.object" and changes:
            path.with_name(f"{len(changes)}.object").write_bytes(changes[-1])
            (plan.home / "pin").write_bytes(changes.pop())
        return data

    monkeypatch.setattr(backup_files, "_read", changing)
    found = read_plan(plan)
    assert found["pin"] == b"first change"
    assert found["tokens/service/tokens/1/1.object"] == b"first change"


def test_files_that_do_not_come_to_rest_are_no_backup(plan: BackupPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    read = backup_files._read

    def restless(path: Path) -> bytes | None:
        (plan.home / "pin").write_bytes(os.urandom(os.urandom(1)[0]))
        return read(path)

    monkeypatch.setattr(backup_files, "_read", restless)
    monkeypatch.setattr(backup_files, "_POLL_SECONDS", 0.0)
    with pytest.raises(HsmUnavailable, match="rest"):
        read_plan(plan)


def test_nothing_is_read_while_a_writer_holds_the_lock(plan: BackupPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_files, "LOCK_SECONDS", 0.1)
    with plan.locks[0].open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(HsmUnavailable, match=r"keys\.json\.lock"):
            read_plan(plan)
    assert read_plan(plan) == FILES


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_lock_that_root_makes_belongs_to_those_who_will_want_it(plan: BackupPlan) -> None:
    os.chown(plan.locks[0].parent, 12345, 12345)
    read_plan(plan)
    assert plan.locks[0].stat().st_uid == 12345
    assert plan.locks[0].stat().st_mode & 0o777 == 0o600


def test_what_is_no_plain_file_under_the_home_is_refused(plan: BackupPlan, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"secret")
    link = plan.home / "tokens" / "link"
    for wrong in (
        BackupPlan(home=plan.home, files=[plan.home / "missing"], folders=[]),
        BackupPlan(home=plan.home, files=[plan.home / "tokens"], folders=[]),
        BackupPlan(home=plan.home, files=[tmp_path / "elsewhere"], folders=[]),
        BackupPlan(home=plan.home, files=[], folders=[plan.home / "missing"]),
    ):
        with pytest.raises(ConfigurationInvalid):
            read_plan(wrong)
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationInvalid):
        read_plan(plan)


# --- writing ---


def test_a_backup_is_its_owners_alone_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    (tmp_path / ".backup.new").write_bytes(b"left by one that was killed")
    write_backup(path, b"first")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict):
        write_backup(path, b"second")
    assert read_backup(path) == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["backup"]


def test_a_backup_that_cannot_be_written_or_read_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(HsmUnavailable):
        write_backup(tmp_path / "none" / "backup", b"")
    with pytest.raises(InvalidInput) as refused:
        read_backup(tmp_path / "none")
    assert refused.value.code is ErrorCode.FILE_UNREADABLE


def test_a_restored_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "second" / "home"
    write_folder(folder, FILES)
    assert content(folder) == FILES
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    assert [each.name for each in folder.parent.iterdir()] == ["home"]


def test_a_folder_that_holds_anything_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    check_absent(folder)
    (folder / "file").write_bytes(b"here")
    (tmp_path / "link").symlink_to(tmp_path / "none")
    for taken in (folder, folder / "file", tmp_path / "link"):
        with pytest.raises(Conflict):
            write_folder(taken, FILES)
    assert content(tmp_path) == {"home/file": b"here"}


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    write_folder(tmp_path / "home", FILES)
    assert content(tmp_path / "home") == FILES


_WRITER = """
import sys
from pathlib import Path
from hsm.backup.files import write_folder
files = {f"tokens/{number}": bytes(2000) for number in range(400)}
print("go", flush=True)
write_folder(Path(sys.argv[1]), files)
"""


@pytest.mark.parametrize("milliseconds", [0, 1, 3, 10, 30, 100])
def test_one_that_is_killed_leaves_nothing_or_a_whole_folder(tmp_path: Path, milliseconds: int) -> None:
    folder = tmp_path / "home"
    command = [sys.executable, "-c", _WRITER, str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(milliseconds / 1000)
        writer.send_signal(signal.SIGKILL)
    if folder.exists():
        assert len(content(folder)) == 400
    else:
        write_folder(folder, FILES)  # what was left is in nobody's way
        assert content(folder) == FILES
    assert [each.name for each in tmp_path.iterdir()] == ["home"]
