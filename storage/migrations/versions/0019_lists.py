"""Lists at scale: their places in the feed of changes, and deltas."""

revision = "0019"
down_revision: str | None = "0018"


def upgrade() -> None:
    pass
