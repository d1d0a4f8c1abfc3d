"""Stored OCSP answers lie in a file of their own."""

revision = "0020"
down_revision: str | None = "0019"


def upgrade() -> None:
    pass
