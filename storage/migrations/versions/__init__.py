"""Version scripts, found by Alembic by their file names."""
