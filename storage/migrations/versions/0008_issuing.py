"""Issuing: key holders, idempotency, activation, servers."""

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    """Nothing to change yet."""
