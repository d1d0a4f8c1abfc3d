"""Both engines for the tests of the issuing line."""

from tests.storage.conftest import (  # noqa: F401 - fixtures
    make_database,
    postgres_folder,
    postgres_maker,
    postgres_pool,
    sqlite_maker,
    sqlite_template,
)
