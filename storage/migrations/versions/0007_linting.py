"""Linting: verdicts on certificates, alarms for officers."""

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    """Nothing to change yet."""
