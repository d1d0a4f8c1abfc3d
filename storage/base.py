"""The one `metadata` that every table joins, and the column type for instants.

Tables are SQLAlchemy Core. The naming convention gives every constraint a name that a migration can use.
"""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import BigInteger, DateTime, Integer, MetaData
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# 64 bits everywhere; on SQLite only INTEGER can be the row's own key.
BIG_INTEGER: Final = BigInteger().with_variant(Integer(), "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware and in UTC on the way in (TypeError otherwise) and on the way out.

    `timestamptz` on PostgreSQL, text of fixed width without an offset on SQLite, microseconds on both.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive or foreign-zone instant."""
        if value is None:
            return None
        if value.tzinfo is None or value.utcoffset():
            raise TypeError("an instant must be an aware datetime in UTC")
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)
