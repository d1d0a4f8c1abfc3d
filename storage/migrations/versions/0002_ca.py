"""Registration files and approvals, certificates, CRLs, OCSP responses, secrets of pseudonyms."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BIG_INTEGER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT: Final = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_registration()
    _create_certificates()
    _create_status()


def _create_registration() -> None:
    op.create_table(
        "registration_files",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("licence", sa.String(16)),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("submitted_by", sa.String(128), nullable=False),
        sa.Column("submitted_at", _INSTANT, nullable=False),
        sa.Column("approvals", sa.Integer(), nullable=False),
        sa.Column("refused_by", sa.String(128)),
        sa.Column("refused_at", _INSTANT),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registration_files")),
    )
    op.create_index("ix_registration_files_holder", "registration_files", ["holder"])
    op.create_index("ix_registration_files_licence", "registration_files", ["licence"])
    op.create_index("ix_registration_files_state", "registration_files", ["state", "submitted_at"])
    op.create_table(
        "approvals",
        sa.Column("file_id", sa.String(36), nullable=False),
        sa.Column("officer", sa.String(128), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["registration_files.id"], name=op.f("fk_approvals_file_id_registration_files")
        ),
        sa.PrimaryKeyConstraint("file_id", "officer", name=op.f("pk_approvals")),
    )
    op.create_table(
        "pseudonym_secrets",
        sa.Column("period", sa.String(16), nullable=False),
        sa.Column("secret", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("period", name=op.f("pk_pseudonym_secrets")),
    )


def _create_certificates() -> None:
    op.create_table(
        "certificates",
        sa.Column("id", _BIG_INTEGER, nullable=False),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("issuer", sa.String(32), nullable=False),
        sa.Column("profile", sa.String(32), nullable=False),
        sa.Column("file_id", sa.String(36)),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("status_version", sa.Integer(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("unapproved", sa.Boolean(), nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("tbs_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("not_before", _INSTANT, nullable=False),
        sa.Column("not_after", _INSTANT, nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("intended_at", _INSTANT, nullable=False),
        sa.Column("issued_at", _INSTANT),
        sa.Column("der", sa.LargeBinary()),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("reason", sa.String(32)),
        sa.Column("invalidity_date", _INSTANT),
        sa.Column("released_at", _INSTANT),
        sa.Column("crl_entry", sa.LargeBinary()),
        sa.ForeignKeyConstraint(
            ["file_id"], ["registration_files.id"], name=op.f("fk_certificates_file_id_registration_files")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certificates")),
        sa.UniqueConstraint("serial", name=op.f("uq_certificates_serial")),
    )
    op.create_index("ix_certificates_file_id", "certificates", ["file_id"])
    op.create_index("ix_certificates_holder", "certificates", ["holder"])
    op.create_index(
        "ix_certificates_intended",
        "certificates",
        ["intended_at"],
        sqlite_where=sa.text("state = 'intended'"),
        postgresql_where=sa.text("state = 'intended'"),
    )
    op.create_index(
        "ix_certificates_listed",
        "certificates",
        ["issuer", "shard"],
        sqlite_where=sa.text("crl_entry IS NOT NULL"),
        postgresql_where=sa.text("crl_entry IS NOT NULL"),
    )
    op.create_index("ix_certificates_spki_sha256", "certificates", ["spki_sha256"])
    op.create_table(
        "named_certificates",
        sa.Column("name", sa.String(48), nullable=False),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("key_label", sa.String(48), nullable=False),
        sa.Column("since", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["serial"], ["certificates.serial"], name=op.f("fk_named_certificates_serial_certificates")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_named_certificates")),
    )


def _create_status() -> None:
    op.create_table(
        "crls",
        sa.Column("id", _BIG_INTEGER, nullable=False),
        sa.Column("issuer", sa.String(32), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("number", _BIG_INTEGER, nullable=False),
        sa.Column("this_update", _INSTANT, nullable=False),
        sa.Column("next_update", _INSTANT, nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("tbs_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("der", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_crls")),
        sa.UniqueConstraint("issuer", "shard", "number", name=op.f("uq_crls_issuer_shard_number")),
    )
    op.create_table(
        "ocsp_responses",
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("status_version", sa.Integer(), nullable=False),
        sa.Column("this_update", _INSTANT, nullable=False),
        sa.Column("next_update", _INSTANT, nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["serial"], ["certificates.serial"], name=op.f("fk_ocsp_responses_serial_certificates")
        ),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_ocsp_responses")),
    )
    op.create_index("ix_ocsp_responses_next_update", "ocsp_responses", ["next_update"])
