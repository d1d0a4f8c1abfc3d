"""Renewal and replacement: which certificate came before."""

revision = "0013"
down_revision: str | None = "0012"


def upgrade() -> None:
    """Nothing yet."""
