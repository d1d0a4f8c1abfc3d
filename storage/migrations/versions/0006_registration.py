"""Registration: registry answers, checks, bulk jobs."""

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    """Nothing to change yet."""
