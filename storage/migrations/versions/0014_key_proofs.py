"""Nonces of key proofs."""

revision = "0014"
down_revision: str | None = "0013"


def upgrade() -> None:
    """Nothing yet."""
