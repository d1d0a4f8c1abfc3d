"""Profiles: versions that were adopted."""

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    """Nothing to change yet."""
