"""Rows of suspension codes, written and read on a given connection."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, case, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ca.activation.tables import activations
from ca.holder_codes.records import MAX_TRIES, CodeDigest, DueCodes
from ca.holder_codes.rows import CodeRows
from ca.status.acts.records import TRIES_LAST, SuspensionCode
from ca.status.acts.tables import suspension_codes
from ca.tables import certificates, registration_files
from pki.errors import Conflict, ErrorCode

_s = suspension_codes.c
_c = certificates.c
_SHOWN: Final = (_s.name, _s.file_id, _s.made_by, _s.made_at, _s.sendings, _s.sent_at)

COVERED: Final = exists().where(_s.file_id == _c.file_id)
CODES: Final = CodeRows(suspension_codes, _s.name)


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


def drop_earlier(connection: Connection, posted: DueCodes) -> None:
    """Drop the codes of a file that were sent before the one that is under way now."""
    others = delete(suspension_codes).where(_s.file_id == posted.file_id, _s.name != posted.name)
    connection.execute(others.where(_s.sent_at.is_not(None)))


def count_try(connection: Connection, name: str, now: datetime) -> CodeDigest | None:
    """Count a try and return what it is compared with; None where there is no such code, or no try left this hour."""
    over = or_(_s.tries_since.is_(None), _s.tries_since <= now - TRIES_LAST)
    statement = update(suspension_codes).where(_s.name == name, _s.digest.is_not(None), or_(_s.tries < MAX_TRIES, over))
    counted = statement.values(
        tries=case((over, 1), else_=_s.tries + 1), tries_since=case((over, now), else_=_s.tries_since)
    )
    return CODES.digest_of(connection, name) if connection.execute(counted).rowcount == 1 else None


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
    locked = update(activations).where(whose, a.done_at.is_(None), a.tries < MAX_TRIES).values(tries=MAX_TRIES)
    return connection.execute(locked).rowcount
