"""Suspension by the holder, revocations that two decide."""

revision = "0021"
down_revision: str | None = "0020"


def upgrade() -> None:
    pass
