"""Officers: realms, certificates, roles and requests for them; what proves an approval; a file's realm."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    _create_realms()
    _create_officers()
    _create_roles()
    op.create_table(
        "officer_statements",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_officer_statements")),
    )
    op.create_index("ix_officer_statements_expires_at", "officer_statements", ["expires_at"])
    op.add_column("approvals", sa.Column("statement", sa.LargeBinary()))
    op.add_column("approvals", sa.Column("signature", sa.LargeBinary()))
    op.add_column("approvals", sa.Column("certificate_sha256", sa.LargeBinary(32)))
    op.add_column("registration_files", sa.Column("realm_id", sa.String(36)))


def _create_realms() -> None:
    op.create_table(
        "realms",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("parent_id", sa.String(36)),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("professions", sa.Text()),
        sa.Column("provinces", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_realms")),
        sa.ForeignKeyConstraint(["parent_id"], ["realms.id"], name=op.f("fk_realms_parent_id_realms")),
    )


def _create_officers() -> None:
    op.create_table(
        "officers",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("national_code", sa.String(10)),
        sa.Column("realm_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("enrolled_by", sa.String(128), nullable=False),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_officers")),
        sa.UniqueConstraint("national_code", name=op.f("uq_officers_national_code")),
        sa.ForeignKeyConstraint(["realm_id"], ["realms.id"], name=op.f("fk_officers_realm_id_realms")),
    )
    op.create_table(
        "officer_certificates",
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("officer_id", sa.String(128), nullable=False),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("bound_by", sa.String(128), nullable=False),
        sa.Column("bound_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_officer_certificates")),
        sa.UniqueConstraint("serial", name=op.f("uq_officer_certificates_serial")),
        sa.ForeignKeyConstraint(
            ["officer_id"], ["officers.id"], name=op.f("fk_officer_certificates_officer_id_officers")
        ),
        sa.ForeignKeyConstraint(
            ["serial"], ["certificates.serial"], name=op.f("fk_officer_certificates_serial_certificates")
        ),
    )
    op.create_index("ix_officer_certificates_officer_id", "officer_certificates", ["officer_id"])


def _create_roles() -> None:
    op.create_table(
        "officer_roles",
        sa.Column("officer_id", sa.String(128), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("realm_id", sa.String(36), nullable=False),
        sa.Column("professions", sa.Text()),
        sa.Column("provinces", sa.Text()),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("officer_id", "role", "realm_id", name=op.f("pk_officer_roles")),
        sa.ForeignKeyConstraint(["officer_id"], ["officers.id"], name=op.f("fk_officer_roles_officer_id_officers")),
        sa.ForeignKeyConstraint(["realm_id"], ["realms.id"], name=op.f("fk_officer_roles_realm_id_realms")),
    )
    op.create_table(
        "role_requests",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("officer_id", sa.String(128), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("realm_id", sa.String(36), nullable=False),
        sa.Column("professions", sa.Text()),
        sa.Column("provinces", sa.Text()),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(128)),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_requests")),
        sa.ForeignKeyConstraint(["officer_id"], ["officers.id"], name=op.f("fk_role_requests_officer_id_officers")),
        sa.ForeignKeyConstraint(["realm_id"], ["realms.id"], name=op.f("fk_role_requests_realm_id_realms")),
    )
    op.create_index("ix_role_requests_state", "role_requests", ["state", "requested_at"])
