"""Activation by the holder: codes, tries and what they activate."""

revision = "0012"
down_revision: str | None = "0011"


def upgrade() -> None:
    """Nothing yet."""
