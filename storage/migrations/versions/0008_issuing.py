"""Issuing: key holders, idempotency, activation, servers."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    _create_key_holders()


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
