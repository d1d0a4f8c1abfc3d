"""Rows of activations, written and read on a given connection."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, exists, insert, or_, select, update

from ca.activation.records import MAX_TRIES, Activation, CodeDigest
from ca.activation.tables import activated_certificates, activations
from ca.tables import WAITING, certificates

_a = activations.c
_c = certificates.c
_k = activated_certificates.c
_OPEN: Final = _a.done_at.is_(None)
_SHOWN: Final = (
    _a.id,
    _a.file_id,
    _a.made_by,
    _a.made_at,
    _a.expires_at,
    _a.tries,
    _a.sendings,
    _a.sent_at,
    _a.done_at,
)


def _activation(row: Any) -> Activation:
    return Activation(**row._mapping)  # noqa: SLF001 - its public name


def latest_of(connection: Connection, file_id: str) -> Activation | None:
    """Return the open activation of a file, else the one that was done last; None where there was none."""
    statement = select(*_SHOWN).where(_a.file_id == file_id).order_by(_OPEN.desc(), _a.made_at.desc(), _a.id).limit(1)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _activation(row)


def find(connection: Connection, activation_id: str) -> Activation | None:
    """Return an activation, or None."""
    row = connection.execute(select(*_SHOWN).where(_a.id == activation_id)).one_or_none()
    return None if row is None else _activation(row)


def replace_open(connection: Connection, activation: Activation, sending_since: datetime | None) -> None:
    """Write an activation in place of the file's open one, whose codes are void from now on.

    `sending_since`: whoever writes it sends it too, from now on.
    """
    connection.execute(delete(activations).where(_a.file_id == activation.file_id, _OPEN))
    connection.execute(
        insert(activations).values(
            id=activation.id,
            file_id=activation.file_id,
            made_by=activation.made_by,
            made_at=activation.made_at,
            expires_at=activation.expires_at,
            tries=0,
            sendings=0,
            sending_since=sending_since,
        )
    )


def files_without(connection: Connection, limit: int) -> list[str]:
    """List files with certificates that wait for their holder and no open activation that was there for them.

    Codes that had ended when a certificate was issued are no codes for it.
    """
    there = or_(_a.sent_at.is_(None), _a.expires_at > _c.issued_at)
    covered = exists().where(_a.file_id == _c.file_id, _OPEN, there)
    statement = select(_c.file_id).where(_c.state == WAITING, _c.file_id.is_not(None), ~covered)
    return list(connection.execute(statement.distinct().order_by(_c.file_id).limit(limit)).scalars())


def waiting_serials(connection: Connection, file_id: str, *, locked: bool = False) -> list[str]:
    """List the certificates of a file that wait for their holder; `locked`: nobody moves them meanwhile."""
    statement = select(_c.serial).where(_c.file_id == file_id, _c.state == WAITING).order_by(_c.id)
    return list(connection.execute(statement.with_for_update() if locked else statement).scalars())


def unsent(connection: Connection, *, given_up_before: datetime, limit: int) -> list[Activation]:
    """List activations whose codes are to be made and sent: those that nobody is sending and something waits for."""
    nobody = or_(_a.sending_since.is_(None), _a.sending_since < given_up_before)
    waiting = exists().where(_c.file_id == _a.file_id, _c.state == WAITING)
    statement = select(*_SHOWN).where(_a.sent_at.is_(None), _OPEN, nobody, waiting)
    return [_activation(row) for row in connection.execute(statement.order_by(_a.made_at, _a.id).limit(limit))]


def start_sending(
    connection: Connection, activation: Activation, codes: CodeDigest, expires_at: datetime, now: datetime
) -> bool:
    """Keep the digest of codes that are about to be sent; False when somebody else is sending others."""
    statement = update(activations).where(
        _a.id == activation.id, _a.sendings == activation.sendings, _a.sent_at.is_(None), _OPEN
    )
    values = {"salt": codes.salt, "digest": codes.digest, "tries": 0, "sendings": activation.sendings + 1}
    return connection.execute(statement.values(**values, expires_at=expires_at, sending_since=now)).rowcount == 1


def mark_sent(connection: Connection, codes: CodeDigest, now: datetime) -> bool:
    """Note that codes are under way to their holder; False when they are void already."""
    statement = update(activations).where(_a.id == codes.activation_id, _a.digest == codes.digest, _a.sent_at.is_(None))
    return connection.execute(statement.values(sent_at=now)).rowcount == 1


def _digest(row: Row[Any] | None) -> CodeDigest | None:
    if row is None or row.salt is None or row.digest is None:
        return None
    return CodeDigest(activation_id=row.id, file_id=row.file_id, salt=row.salt, digest=row.digest, tries=row.tries)


def count_try(connection: Connection, activation_id: str) -> CodeDigest | None:
    """Count a try and return what it is compared with; None where there is none left, or no such activation."""
    statement = update(activations).where(_a.id == activation_id, _a.digest.is_not(None), _a.tries < MAX_TRIES)
    if connection.execute(statement.values(tries=_a.tries + 1)).rowcount != 1:
        return None
    return digest_of(connection, activation_id)


def digest_of(connection: Connection, activation_id: str, *, locked: bool = False) -> CodeDigest | None:
    """Return what the codes of an activation are compared with, if there are any."""
    statement = select(activations).where(_a.id == activation_id)
    return _digest(connection.execute(statement.with_for_update() if locked else statement).one_or_none())


def give_back_try(connection: Connection, codes: CodeDigest) -> None:
    """Take a try of these codes off the count."""
    statement = update(activations).where(_a.id == codes.activation_id, _a.digest == codes.digest, _a.tries > 0)
    connection.execute(statement.values(tries=_a.tries - 1))


def finish(connection: Connection, activation_id: str, serials: Sequence[str], now: datetime) -> None:
    """Write what an activation made good."""
    connection.execute(update(activations).where(_a.id == activation_id).values(done_at=now))
    rows = [{"serial": serial, "activation_id": activation_id} for serial in serials]
    connection.execute(insert(activated_certificates), rows)


def activated_by(connection: Connection, activation_id: str) -> list[str]:
    """List what an activation made good."""
    statement = (
        select(_k.serial)
        .join(certificates, _c.serial == _k.serial)
        .where(_k.activation_id == activation_id)
        .order_by(_c.id)
    )
    return list(connection.execute(statement).scalars())
