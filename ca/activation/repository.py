"""Rows of activations, written and read on a given connection."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, insert, or_, select, update

from ca.activation.records import Activation
from ca.activation.tables import activated_certificates, activations
from ca.holder_codes.records import MAX_TRIES, CodeDigest
from ca.holder_codes.rows import CodeRows
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

# Codes that had ended when a certificate was issued are no codes for it.
COVERED: Final = exists().where(
    _a.file_id == _c.file_id, _OPEN, or_(_a.sent_at.is_(None), _a.expires_at > _c.issued_at)
)
CODES: Final = CodeRows(
    activations, _a.id, open=(_OPEN,), awaited=(exists().where(_c.file_id == _a.file_id, _c.state == WAITING),)
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


def waiting_serials(connection: Connection, file_id: str, *, locked: bool = False) -> list[str]:
    """List the certificates of a file that wait for their holder; `locked`: nobody moves them meanwhile."""
    statement = select(_c.serial).where(_c.file_id == file_id, _c.state == WAITING).order_by(_c.id)
    return list(connection.execute(statement.with_for_update() if locked else statement).scalars())


def count_try(connection: Connection, activation_id: str) -> CodeDigest | None:
    """Count a try and return what it is compared with; None where there is none left, or no such activation."""
    statement = update(activations).where(_a.id == activation_id, _a.digest.is_not(None), _a.tries < MAX_TRIES)
    if connection.execute(statement.values(tries=_a.tries + 1)).rowcount != 1:
        return None
    return CODES.digest_of(connection, activation_id)


def give_back_try(connection: Connection, codes: CodeDigest) -> None:
    """Take a try of these codes off the count."""
    statement = update(activations).where(_a.id == codes.name, _a.digest == codes.digest, _a.tries > 0)
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
