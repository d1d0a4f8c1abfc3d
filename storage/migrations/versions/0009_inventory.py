"""Inventory: what is searched by, reminders, statistics."""

revision = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    """Nothing to change yet."""
