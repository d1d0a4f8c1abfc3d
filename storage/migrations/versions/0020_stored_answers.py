"""Stored OCSP answers lie in a file of their own, which is made again from the rows."""

from alembic import op

revision = "0020"
down_revision: str | None = "0019"


def upgrade() -> None:
    op.drop_index("ix_ocsp_responses_next_update", "ocsp_responses")
    op.drop_table("ocsp_responses")
