"""Rows of suspension codes, written and read on a given connection."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, case, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ca.activation.records import MAX_TRIES as ALL_TRIES
from ca.activation.tables import activations
from ca.status.acts.records import MAX_TRIES, TRIES_LAST, CodeDigest, SuspensionCode
from ca.status.acts.tables import suspension_codes
from ca.tables import WAITING, certificates, registration_files
from pki.errors import Conflict, ErrorCode

_s = suspension_codes.c
_c = certificates.c
_SHOWN: Final = (_s.name, _s.file_id, _s.made_by, _s.made_at, _s.sendings, _s.sent_at)


def _code(row: Any) -> SuspensionCode:
    return SuspensionCode(**row._mapping)  # noqa: SLF001 - its public name


def add(connection: Connection, code: SuspensionCode, sending_since: datetime | None) -> None:
    """Write a code that is to be made and sent; the file's code before stays good until this one is under way.

    `sending_since`: whoever writes it sends it too, from now on. Conflict when its name was drawn before.
    """
    connection.execute(delete(suspension_codes).where(_s.file_id == code.file_id, _s.sent_at.is_(None)))
    values = {
        "name": code.name,
        "file_id": code.file_id,
        "made_by": code.made_by,
        "made_at": code.made_at,
        "tries": 0,
        "sendings": 0,
        "sending_since": sending_since,
    }
    try:
        connection.execute(insert(suspension_codes), [values])
    except IntegrityError as error:
        raise Conflict(ErrorCode.CONFLICT, "a suspension code's name was drawn twice") from error


def latest_of(connection: Connection, file_id: str) -> SuspensionCode | None:
    """Return the code of a file that was made last, or None."""
    statement = select(*_SHOWN).where(_s.file_id == file_id).order_by(_s.made_at.desc(), _s.name).limit(1)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _code(row)


def files_without(connection: Connection, limit: int) -> list[str]:
    """List files with certificates that wait for their holder, who has no suspension code yet."""
    covered = exists().where(_s.file_id == _c.file_id)
    statement = select(_c.file_id).where(_c.state == WAITING, _c.file_id.is_not(None), ~covered)
    return list(connection.execute(statement.distinct().order_by(_c.file_id).limit(limit)).scalars())


def unsent(connection: Connection, *, given_up_before: datetime, limit: int) -> list[SuspensionCode]:
    """List codes that are to be made and sent and that nobody is sending."""
    nobody = or_(_s.sending_since.is_(None), _s.sending_since < given_up_before)
    statement = select(*_SHOWN).where(_s.sent_at.is_(None), nobody).order_by(_s.made_at, _s.name).limit(limit)
    return [_code(row) for row in connection.execute(statement)]


def start_sending(connection: Connection, code: SuspensionCode, digest: CodeDigest, now: datetime) -> bool:
    """Keep the digest of a code that is about to be sent; False when somebody else is sending another."""
    statement = update(suspension_codes).where(_s.name == code.name, _s.sendings == code.sendings, _s.sent_at.is_(None))
    values = {"salt": digest.salt, "digest": digest.digest, "tries": 0, "sendings": code.sendings + 1}
    return connection.execute(statement.values(**values, sending_since=now)).rowcount == 1


def mark_sent(connection: Connection, digest: CodeDigest, now: datetime) -> bool:
    """Note that a code is under way to its holder, and drop the file's others; False when it is void already."""
    mine = update(suspension_codes).where(_s.name == digest.name, _s.digest == digest.digest, _s.sent_at.is_(None))
    if connection.execute(mine.values(sent_at=now)).rowcount != 1:
        return False
    others = delete(suspension_codes).where(_s.file_id == digest.file_id, _s.name != digest.name)
    connection.execute(others.where(_s.sent_at.is_not(None)))
    return True


def _digest(row: Any) -> CodeDigest | None:
    if row is None or row.salt is None or row.digest is None:
        return None
    return CodeDigest(name=row.name, file_id=row.file_id, salt=row.salt, digest=row.digest, tries=row.tries)


def digest_of(connection: Connection, name: str, *, locked: bool = False) -> CodeDigest | None:
    """Return what the code of a name is compared with, if there is one."""
    statement = select(suspension_codes).where(_s.name == name)
    return _digest(connection.execute(statement.with_for_update() if locked else statement).one_or_none())


def count_try(connection: Connection, name: str, now: datetime) -> CodeDigest | None:
    """Count a try and return what it is compared with; None where there is no such code, or no try left this hour."""
    over = or_(_s.tries_since.is_(None), _s.tries_since <= now - TRIES_LAST)
    statement = update(suspension_codes).where(_s.name == name, _s.digest.is_not(None), or_(_s.tries < MAX_TRIES, over))
    counted = statement.values(
        tries=case((over, 1), else_=_s.tries + 1), tries_since=case((over, now), else_=_s.tries_since)
    )
    return digest_of(connection, name) if connection.execute(counted).rowcount == 1 else None


def forgive_tries(connection: Connection, digest: CodeDigest) -> None:
    """Take the tries of a code off the count: its holder is known."""
    connection.execute(update(suspension_codes).where(_s.name == digest.name).values(tries=0, tries_since=None))


def holder_of(connection: Connection, file_id: str) -> str:
    """Return the register's identifier of a file's holder."""
    f = registration_files.c
    return str(connection.execute(select(f.holder).where(f.id == file_id)).scalar_one())


def lock_activations(connection: Connection, *, holder: str | None = None, file_id: str | None = None) -> int:
    """Let open activation codes of a holder, or of one file, activate nothing any more; return how many there were."""
    a, f = activations.c, registration_files.c
    whose = a.file_id.in_(select(f.id).where(f.holder == holder)) if file_id is None else a.file_id == file_id
    locked = update(activations).where(whose, a.done_at.is_(None), a.tries < ALL_TRIES).values(tries=ALL_TRIES)
    return connection.execute(locked).rowcount
