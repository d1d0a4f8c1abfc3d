"""Issuing: key holders, idempotency, activation, servers."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    _create_key_holders()
    op.create_table(
        "idempotency",
        sa.Column("id", sa.LargeBinary(32), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_expires_at", "idempotency", ["expires_at"])
    op.create_table(
        "servers",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_servers")),
    )
    # Who made an intent and with which others its signature was asked for: NULL in rows of earlier programs.
    op.add_column("certificates", sa.Column("channel", sa.String(16)))
    op.add_column("certificates", sa.Column("server", sa.String(36)))
    op.add_column("certificates", sa.Column("sign_group", sa.String(36)))
    op.add_column("certificates", sa.Column("sign_position", sa.Integer()))


def _create_key_holders() -> None:
    op.create_table(
        "key_holders",
        sa.Column("spki_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("profile", sa.String(32), nullable=False),
        sa.Column("compromised", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("spki_sha256", name=op.f("pk_key_holders")),
    )
    # A key is its first certificate's holder's; any certificate of it may have been revoked as compromised.
    op.execute(
        "INSERT INTO key_holders (spki_sha256, holder, profile, compromised)"
        " SELECT c.spki_sha256, c.holder, c.profile, k.compromised = 1 FROM certificates c JOIN"
        " (SELECT min(id) AS id, max(CASE WHEN reason = 'keyCompromise' THEN 1 ELSE 0 END) AS compromised"
        " FROM certificates WHERE state <> 'abandoned' GROUP BY spki_sha256) k ON k.id = c.id"
    )
