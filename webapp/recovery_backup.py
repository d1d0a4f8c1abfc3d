"""Making a backup while everything runs, and a deployment of one: both are checked before they end."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Connection, func, select

from ca.context import event
from ca.recovery import state
from ca.tables import status_changes
from pki import merkle
from pki.audit import AuditAction
from pki.errors import Conflict, ErrorCode, InvalidInput, Unavailable, VerificationFailed
from pki.instants import format_instant
from pki.notes import VerifierKey, parse_verifier_key
from storage.database_copy import SQLITE_FILE, copy_postgresql, copy_sqlite, fill, put_back_postgresql
from storage.engine import Database, open_database
from storage.ledger_rows import latest_checkpoint, ledger_size, node_reader
from storage.ledger_verification import verify_rows
from storage.migrate import current_revision, head_revision, upgrade
from webapp.atomic_files import publish_file, write_atomically
from webapp.backup_key import BackupKey
from webapp.database_password import without_password
from webapp.deployment import Deployment
from webapp.recovery_archive import DATABASE, HOME, VERSION, Sealing, Unlock, digest_file, opened_archive, write_archive

_FILES: Final = ("mohr.toml", "profiles.toml", "identities.toml", "backup-key.json")
_FOLDERS: Final = ("public", "registry")
_CHUNK: Final = 1024 * 1024


def make_backup(
    deployment: Deployment,
    database: Database,
    log: VerifierKey,
    out: Path,
    actor: str,
    now: datetime,
    *,
    key: BackupKey | None,
) -> dict[str, Any]:
    """Write a backup, encrypted to `key` where there is one, and read it back; return what it says of itself.

    The ledger is computed again in the copy: VerificationFailed, and no file, where it does not hold. The copy lies in
    the home, where the database does: nothing that is not encrypted comes to where backups are.
    """
    if out.exists():
        raise Conflict(ErrorCode.CONFLICT, f"{out.name} is there already")
    sealing = None if key is None else key.sealing(secrets.token_bytes)
    with _scratch(deployment.home / f".{out.name}.parts") as folder, _told_as_unwritable():
        kept = folder / DATABASE
        kept.mkdir(mode=0o700)
        about = _copy(database, kept, log)
        files = {f"{DATABASE}/{path.name}": path for path in sorted(kept.iterdir())}
        files |= {f"{HOME}/{name}": path for name, path in _home_files(deployment, folder)}
        manifest = {
            "version": VERSION,
            "created": format_instant(now),
            "kind": database.dialect,
            "origin": log.name,
            "files": {name: _member(path) for name, path in files.items()},
            **about,
        }
        digest = write_archive(out, manifest, files, sealing)
    _read_back(out, sealing)
    recipient = None if key is None else str(key.recipient)
    told = {"sha256": digest, "recipient": recipient}
    facts = {**told, "ledger_size": about["ledger_size"], "checkpoint": about["ledger_root"]}
    with database.begin() as unit:
        unit.audit.record(event(AuditAction.BACKUP_MADE, now, actor, out.name[:200], **facts))
    octets = out.stat().st_size
    kept_facts = {name: about[name] for name in ("revision", "ledger_size", "feed_position")}
    return {"backup": str(out), **told, "octets": octets, "files": len(files), **kept_facts}


def _member(path: Path) -> dict[str, Any]:
    found = digest_file(path)
    return {"sha256": found.sha256, "size": found.size}


def _copy(database: Database, folder: Path, log: VerifierKey) -> dict[str, Any]:
    revision = current_revision(database)
    if database.dialect == "sqlite":
        copy_sqlite(database, folder)
        copied = open_database(f"sqlite:///{folder / SQLITE_FILE}")
        try:
            with copied.read() as connection:
                about = _about(connection, log)
        finally:
            copied.close()
            _remove_beside(folder)
        return {"revision": revision, "rows": {}, **about}
    with database.read() as connection:
        about = _about(connection, log)
        rows = copy_postgresql(connection, folder)
    return {"revision": revision, "rows": rows, **about}


def _remove_beside(folder: Path) -> None:
    """Leave the database's one file alone: whoever looked into it made others beside it, which hold nothing."""
    for path in folder.iterdir():
        if path.name != SQLITE_FILE:
            path.unlink()


def _about(connection: Connection, log: VerifierKey) -> dict[str, Any]:
    report = verify_rows(connection, log, None)
    broken = [finding for finding in report.findings if finding.code is not ErrorCode.HSM_JOURNAL_GAP]
    if broken:
        raise VerificationFailed(broken[0].code, broken[0].detail)
    size, last = ledger_size(connection), latest_checkpoint(connection)
    return {
        "ledger_size": size,
        "ledger_root": merkle.root_at(size, node_reader(connection)).hex(),
        "checkpoint": None if last is None else last.note,
        "feed_position": connection.execute(select(func.max(status_changes.c.id))).scalar() or 0,
    }


def _home_files(deployment: Deployment, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Yield copies of the deployment's files that are no secret; what is published is replaced while we read."""
    settings = deployment.settings()
    names = [*_FILES, *([] if settings.refused_keys_file is None else [settings.refused_keys_file])]
    found = [deployment.home / name for name in names]
    for folder in _FOLDERS:
        found += sorted(path for path in (deployment.home / folder).rglob("*") if not path.name.startswith("."))
    for path in found:
        if path.is_symlink() or not path.is_file():
            continue
        name = path.relative_to(deployment.home).as_posix()
        copy = scratch / HOME / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            source = path.open("rb")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Unavailable(ErrorCode.FILE_UNREADABLE, f"{path.name}: {error.strerror}") from error
        with source, copy.open("wb") as file:
            shutil.copyfileobj(source, file)
        yield name, copy


def _read_back(path: Path, sealing: Sealing | None) -> None:
    with opened_archive(path, lambda _header: b"" if sealing is None else sealing.file_key) as (_manifest, members):
        for _name, member in members:
            while member.read(_CHUNK):
                continue


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Have an empty folder for the block, and be alone in it: Conflict where another program is at it."""
    descriptor = None
    try:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.iterdir():  # by one that was killed
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        except BlockingIOError as error:
            raise Conflict(ErrorCode.CONFLICT, f"another program is at it: {folder.name} is in use") from error
        except OSError as error:
            raise Unavailable(ErrorCode.FILE_UNWRITABLE, f"{folder.parent.name}: {error.strerror}") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def _told_as_unwritable() -> Iterator[None]:
    """Tell what the disk refuses by the file's name: Unavailable."""
    try:
        yield
    except OSError as error:
        name = Path(os.fsdecode(error.filename2 or error.filename or "the disk")).name
        raise Unavailable(ErrorCode.FILE_UNWRITABLE, f"{name}: {error.strerror or error}") from error


def restore_backup(
    deployment: Deployment,
    path: Path,
    actor: str,
    now: datetime,
    *,
    unlock: Unlock,
    database_url: Callable[[], str | None],
) -> dict[str, Any]:
    """Make a deployment of a backup, unreconciled; what lies in its home already stays as it is.

    `unlock` finds the key of one that is encrypted. `database_url` names the empty database of a PostgreSQL backup.
    Conflict where the home has a database already or is served. Killed at any point, it can be done again: the database
    comes last, at once.
    """
    if deployment.exists() and deployment.is_served():
        raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, "the deployment is being served")
    if deployment.exists():
        deployment.settings()  # what lies here stays: settings that cannot be read would stay, too
    _refuse_what_is_there(deployment.database_file)
    with opened_archive(path, unlock) as (manifest, members):
        digest = digest_file(path).sha256
        deployment.complete_folders()
        with _scratch(deployment.home / ".restoring") as folder, _told_as_unwritable():
            for name, member in members:
                _unpack(member, folder / name)
            recovery = _put_in_place(deployment, folder, manifest, digest, actor, now, database_url)
    return {
        "home": str(deployment.home),
        "recovery": recovery,
        "created": manifest["created"],
        "ledger_size": manifest["ledger_size"],
        "state": "unreconciled",
    }


def _refuse_what_is_there(database: Path) -> None:
    """Refuse where a database lies, or what a lost one left: SQLite would take that for the new one's last changes."""
    for suffix in ("", "-wal", "-journal"):
        found = database.with_name(database.name + suffix)
        if found.exists():
            raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, f"{found} is there already: move it away")


def _put_in_place(
    deployment: Deployment,
    folder: Path,
    manifest: Mapping[str, Any],
    digest: str,
    actor: str,
    now: datetime,
    database_url: Callable[[], str | None],
) -> str:
    """Put what was unpacked where it belongs, the database last; return the recovery's name."""
    if manifest["revision"] > head_revision():
        raise Conflict(ErrorCode.CONFLICT, "the backup is of a newer program")
    key = folder / HOME / "public" / deployment.ledger_key.name
    made = folder / DATABASE / SQLITE_FILE
    needed = [key] if manifest["kind"] == "postgresql" else [key, made]
    missing = [path.name for path in needed if not path.is_file()]
    if missing:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"the backup holds no {missing[0]}")
    log = parse_verifier_key(key.read_text("ascii", "replace").strip())
    _check_home(deployment, folder / HOME)
    if manifest["kind"] == "postgresql":
        url = database_url()
        if url is None:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a PostgreSQL backup needs --database-url")
        recovery = _restore_postgresql(url, folder / DATABASE, manifest, digest, log, actor, now)
        _put_files(deployment, folder / HOME, but=deployment.settings_file.name)
        if not deployment.exists():
            settings = Deployment(folder / HOME).settings()
            deployment.write_settings(replace(settings, database_url=without_password(url)[0]))
        return recovery
    if database_url() is not None:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the backup is of SQLite, and a PostgreSQL database is named")
    recovery = _restore_sqlite(made, manifest, digest, log, actor, now)
    _put_files(deployment, folder / HOME, but="")
    deployment.database_file.parent.mkdir(parents=True, exist_ok=True)
    made.replace(deployment.database_file)
    return recovery


def _unpack(member: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        while data := member.read(_CHUNK):
            file.write(data)


def _check_home(deployment: Deployment, files: Path) -> None:
    """Refuse another deployment's home: its ledger would be held against this one's."""
    here, there = deployment.ledger_key, files / "public" / deployment.ledger_key.name
    if here.exists() and here.read_bytes() != there.read_bytes():
        name = f"{here.parent.name}/{here.name}"
        raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, f"another deployment's files lie here: {name} is not the backup's")


def _restore_sqlite(
    made: Path, manifest: Mapping[str, Any], digest: str, log: VerifierKey, actor: str, now: datetime
) -> str:
    database = open_database(f"sqlite:///{made}")
    try:
        recovery = _take_up(database, manifest, digest, log, actor, now, before=lambda _unit: None)
    finally:
        database.close()
    for beside in made.parent.iterdir():
        if beside != made:
            beside.unlink()
    descriptor = os.open(made, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return recovery


def _restore_postgresql(
    url: str,
    folder: Path,
    manifest: Mapping[str, Any],
    digest: str,
    log: VerifierKey,
    actor: str,
    now: datetime,
) -> str:
    database = open_database(url)
    try:
        done = _restored_before(database, digest)
        if done is not None:
            return done
        put_back_postgresql(database, folder, dict(manifest["rows"]), manifest["revision"])
        return _take_up(
            database, manifest, digest, log, actor, now, before=lambda unit: fill(unit, folder, dict(manifest["rows"]))
        )
    finally:
        database.close()


def _restored_before(database: Database, digest: str) -> str | None:
    """Return the recovery of this very backup, where its rows came in and only what follows was cut off."""
    if current_revision(database) != head_revision():
        return None
    with database.read() as connection:
        found = state.unreleased(connection)
    return found.id if found is not None and found.source == digest and found.reconciled_at is None else None


def _take_up(
    database: Database,
    manifest: Mapping[str, Any],
    digest: str,
    log: VerifierKey,
    actor: str,
    now: datetime,
    *,
    before: Callable[[Any], None],
) -> str:
    """Bring rows in, mark them unreconciled in the same transaction, check the ledger, bring the schema up."""
    with database.begin() as unit:
        before(unit)
        about = _about(unit.connection, log)
        told = {name: manifest[name] for name in about}
        if about != told:
            raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the database is not the one of the manifest")
        recovery = state.begin(unit, state.RESTORED, digest, actor, now)
    upgrade(database)
    return recovery.id


def _put_files(deployment: Deployment, files: Path, *, but: str) -> None:
    """Put what is missing into the home, settings last: with them it is a deployment."""
    found = sorted(path for path in files.rglob("*") if path.is_file())
    found.sort(key=lambda path: path.name == deployment.settings_file.name)
    for path in found:
        name = path.relative_to(files)
        target = deployment.home / name
        if target.exists() or name.as_posix() == but:
            continue
        (publish_file if name.parts[0] == "public" else write_atomically)(target, path.read_bytes())
