"""Recovery: what a restored database still has to be told."""

revision = "0022"
down_revision: str | None = "0021"


def upgrade() -> None:
    pass
