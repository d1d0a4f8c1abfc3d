"""Tables of realms, officers, their certificates and roles, requests for roles, and statements that were used."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table, Text

from storage.base import UtcDateTime, metadata

realms: Final = Table(
    "realms",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("parent_id", String(36), ForeignKey("realms.id")),
    Column("level", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("professions", Text),
    Column("provinces", Text),
)

officers: Final = Table(
    "officers",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("name", Text, nullable=False),
    Column("national_code", String(10), unique=True),
    Column("realm_id", String(36), ForeignKey("realms.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("enrolled_by", String(128), nullable=False),
    Column("enrolled_at", UtcDateTime, nullable=False),
)

officer_certificates: Final = Table(
    "officer_certificates",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("officer_id", String(128), ForeignKey("officers.id"), nullable=False),
    Column("serial", String(40), ForeignKey("certificates.serial"), nullable=False, unique=True),
    Column("bound_by", String(128), nullable=False),
    Column("bound_at", UtcDateTime, nullable=False),
    Index("ix_officer_certificates_officer_id", "officer_id"),
)

officer_roles: Final = Table(
    "officer_roles",
    metadata,
    Column("officer_id", String(128), ForeignKey("officers.id"), primary_key=True),
    Column("role", String(16), primary_key=True),
    Column("realm_id", String(36), ForeignKey("realms.id"), primary_key=True),
    Column("professions", Text),
    Column("provinces", Text),
    Column("granted_at", UtcDateTime, nullable=False),
)

role_requests: Final = Table(
    "role_requests",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("officer_id", String(128), ForeignKey("officers.id"), nullable=False),
    Column("role", String(16), nullable=False),
    Column("realm_id", String(36), ForeignKey("realms.id"), nullable=False),
    Column("professions", Text),
    Column("provinces", Text),
    Column("state", String(16), nullable=False),
    Column("requested_by", String(128), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("decided_by", String(128)),
    Column("decided_at", UtcDateTime),
    Index("ix_role_requests_state", "state", "requested_at"),
)

officer_statements: Final = Table(
    "officer_statements",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_officer_statements_expires_at", "expires_at"),
)
