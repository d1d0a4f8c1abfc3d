"""Officers: who may do what in which realm."""

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    """Nothing to change yet."""
