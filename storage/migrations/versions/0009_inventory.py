"""Inventory: what certificates are searched by, reminders, statistics."""

import json
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"

_BIG_INTEGER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT: Final = sa.DateTime(timezone=True)
_MARKS: Final = ("licence", "profession", "province", "siam_id")
_ROUND: Final = 1000


def upgrade() -> None:
    for name, size in zip(_MARKS, (16, 32, 64, 36), strict=True):
        op.add_column("certificates", sa.Column(name, sa.String(size)))
    _fill(op.get_bind())
    _create_indexes()
    _create_tables()


def _fill(connection: sa.Connection) -> None:
    """Give the certificates that are there what their registration files say."""
    files = sa.table("registration_files", sa.column("id"), sa.column("body"))
    certificates = sa.table("certificates", sa.column("file_id"), *(sa.column(name) for name in _MARKS))
    write = (
        sa.update(certificates)
        .where(certificates.c.file_id == sa.bindparam("of"))
        .values({name: sa.bindparam(f"to_{name}") for name in _MARKS})
    )
    last = ""
    while True:
        read = sa.select(files.c.id, files.c.body).where(files.c.id > last).order_by(files.c.id).limit(_ROUND)
        rows = connection.execute(read).all()
        if not rows:
            return
        found = [{"of": row.id, **_marks_of(bytes(row.body))} for row in rows]
        marked = [values for values in found if any(values[f"to_{name}"] for name in _MARKS)]
        if marked:
            connection.execute(write, marked)
        last = rows[-1].id


def _marks_of(body: bytes) -> dict[str, Any]:
    members = json.loads(body)
    named = {**members, "licence": members.get("council_number")}
    return {f"to_{name}": named.get(name) for name in _MARKS}


def _create_indexes() -> None:
    create = op.create_index
    create("ix_certificates_state", "certificates", ["state", "id", "profile", "profession", "province"])
    create("ix_certificates_profile", "certificates", ["profile", "id", "state", "profession", "province"])
    create("ix_certificates_profession", "certificates", ["profession", "id", "state", "profile", "province"])
    create("ix_certificates_province", "certificates", ["province", "id", "state", "profile", "profession"])
    create(
        "ix_certificates_not_after",
        "certificates",
        ["not_after", "id", "state", "profile", "profession", "province"],
    )
    for columns in (["licence"], ["siam_id"], ["issued_at"], ["revoked_at", "state"]):
        _create_partial(columns[0], columns, f"{columns[0]} IS NOT NULL")
    _create_partial("ending", ["not_after"], "state NOT IN ('abandoned', 'expired', 'revoked')")


def _create_partial(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(f"ix_certificates_{name}", "certificates", columns, sqlite_where=where, postgresql_where=where)


def _create_tables() -> None:
    op.create_table(
        "reminders",
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("days", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.Column("sent_at", _INSTANT),
        sa.ForeignKeyConstraint(["serial"], ["certificates.serial"], name=op.f("fk_reminders_serial_certificates")),
        sa.PrimaryKeyConstraint("serial", "days", name=op.f("pk_reminders")),
    )
    op.create_index(
        "ix_reminders_unsent",
        "reminders",
        ["due_at"],
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "statistics",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("dimension", sa.String(64), nullable=False),
        sa.Column("value", _BIG_INTEGER, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", "dimension", name=op.f("pk_statistics")),
    )
