"""Evidence of registration files, and where persons are."""

revision = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    """Nothing yet."""
