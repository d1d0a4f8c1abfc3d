"""Certificates of the authorities above ours."""

revision = "0016"
down_revision: str | None = "0015"


def upgrade() -> None:
    """Nothing yet."""
