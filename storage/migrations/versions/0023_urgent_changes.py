"""Which changes of status a list says at once, and which within half a minute."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision: str | None = "0022"


def upgrade() -> None:
    op.add_column("status_changes", sa.Column("urgent", sa.Boolean(), nullable=False, server_default=sa.true()))
