"""Tables of the authority: registration files and approvals, certificates, CRLs, OCSP responses.

A certificate's row is its intent first: serial number and digest of what will be signed, durable before the
key is used. `status_version` counts the changes of its status; a pre-signed OCSP response counts only while
it carries the same number. `named_certificates` says which certificate an authority or service uses now.
"""

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
    true,
)

from storage.base import BIG_INTEGER, UtcDateTime, metadata

registration_files: Final = Table(
    "registration_files",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("holder", String(64), nullable=False),
    Column("licence", String(16)),
    Column("name", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("submitted_by", String(128), nullable=False),
    Column("submitted_at", UtcDateTime, nullable=False),
    Column("approvals", Integer, nullable=False),
    Column("refused_by", String(128)),
    Column("refused_at", UtcDateTime),
    Column("reason", Text),
    Column("realm_id", String(36)),
    Column("province", String(64)),
    Column("previous", String(36)),
    Column("rounds", Integer, nullable=False, server_default="0"),
    Column("checked_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Index("ix_registration_files_state", "state", "submitted_at"),
    Index("ix_registration_files_holder", "holder"),
    Index("ix_registration_files_licence", "licence"),
)

# Constants, not bound values: a partial index is used where the query repeats its condition.
UNDECIDED: Final = tuple(literal_column(f"'{state}'", String) for state in ("draft", "submitted", "checked"))
Index(
    "ix_registration_files_expires_at",
    registration_files.c.expires_at,
    sqlite_where=registration_files.c.state.in_(UNDECIDED),
    postgresql_where=registration_files.c.state.in_(UNDECIDED),
)

approvals: Final = Table(
    "approvals",
    metadata,
    Column("file_id", String(36), ForeignKey("registration_files.id"), primary_key=True),
    Column("officer", String(128), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("statement", LargeBinary),
    Column("signature", LargeBinary),
    Column("certificate_sha256", LargeBinary(32)),
    Column("silence_reason", Text),
)

certificates: Final = Table(
    "certificates",
    metadata,
    Column("id", BIG_INTEGER, primary_key=True),
    Column("serial", String(40), nullable=False, unique=True),
    Column("issuer", String(32), nullable=False),
    Column("profile", String(32), nullable=False),
    Column("file_id", String(36), ForeignKey("registration_files.id")),
    Column("holder", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("status_version", Integer, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("unapproved", Boolean, nullable=False),
    Column("spki_sha256", LargeBinary(32), nullable=False),
    Column("tbs_sha256", LargeBinary(32), nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("not_after", UtcDateTime, nullable=False),
    Column("requested_by", String(128), nullable=False),
    Column("intended_at", UtcDateTime, nullable=False),
    Column("issued_at", UtcDateTime),
    Column("der", LargeBinary),
    Column("revoked_at", UtcDateTime),
    Column("reason", String(32)),
    Column("invalidity_date", UtcDateTime),
    Column("released_at", UtcDateTime),
    Column("crl_entry", LargeBinary),
    Column("licence", String(16)),
    Column("profession", String(32)),
    Column("province", String(64)),
    Column("siam_id", String(36)),
    Column("profile_version", Integer),
    Column("lint_state", String(16), nullable=False, server_default="pending"),
    Column("channel", String(16)),
    Column("server", String(36)),
    Column("sign_group", String(36)),
    Column("sign_position", Integer),
    Column("predecessor", String(40)),
    Index("ix_certificates_spki_sha256", "spki_sha256"),
    Index("ix_certificates_holder", "holder"),
    Index("ix_certificates_file_id", "file_id"),
)

INTENDED: Final = literal_column("'intended'", String)
WAITING: Final = literal_column("'issued'", String)

# States that time does not change any more; all others are in the index of what may end.
ENDED: Final = tuple(literal_column(f"'{state}'", String) for state in ("abandoned", "expired", "revoked"))

# Lists by one of these come newest first; the columns behind `id` refuse a row before the table is asked for it.
for _name, _others in {
    "state": ("profile", "profession", "province"),
    "profile": ("state", "profession", "province"),
    "profession": ("state", "profile", "province"),
    "province": ("state", "profile", "profession"),
}.items():
    Index(f"ix_certificates_{_name}", *(certificates.c[column] for column in (_name, "id", *_others)))
Index(
    "ix_certificates_not_after",
    *(certificates.c[column] for column in ("not_after", "id", "state", "profile", "profession", "province")),
)
for _name in ("licence", "siam_id", "issued_at", "predecessor"):
    Index(
        f"ix_certificates_{_name}",
        certificates.c[_name],
        sqlite_where=certificates.c[_name].is_not(None),
        postgresql_where=certificates.c[_name].is_not(None),
    )
Index(
    "ix_certificates_revoked_at",
    certificates.c.revoked_at,
    certificates.c.state,
    sqlite_where=certificates.c.revoked_at.is_not(None),
    postgresql_where=certificates.c.revoked_at.is_not(None),
)
Index(
    "ix_certificates_ending",
    certificates.c.not_after,
    sqlite_where=certificates.c.state.not_in(ENDED),
    postgresql_where=certificates.c.state.not_in(ENDED),
)

# Of two who renew the same certificate at once, one gets no intent; what ended leaves room for another successor.
LIVING_SUCCESSOR: Final = "ix_certificates_living_successor"
_SUCCEEDS: Final = certificates.c.predecessor.is_not(None) & certificates.c.state.not_in(ENDED)
Index(
    LIVING_SUCCESSOR,
    certificates.c.predecessor,
    unique=True,
    sqlite_where=_SUCCEEDS,
    postgresql_where=_SUCCEEDS,
)

# What reconciliation and CRLs ask for must not grow with the number of good certificates.
Index(
    "ix_certificates_intended",
    certificates.c.intended_at,
    sqlite_where=certificates.c.state == INTENDED,
    postgresql_where=certificates.c.state == INTENDED,
)
Index(
    "ix_certificates_listed",  # it holds all that a list is made of: a list is read without the table
    *(certificates.c[column] for column in ("issuer", "shard", "id", "not_after", "crl_entry")),
    sqlite_where=certificates.c.crl_entry.is_not(None),
    postgresql_where=certificates.c.crl_entry.is_not(None),
)
Index(
    "ix_certificates_waiting",
    certificates.c.file_id,
    sqlite_where=certificates.c.state == WAITING,
    postgresql_where=certificates.c.state == WAITING,
)
_WAITS_FOR_LINT: Final = (certificates.c.lint_state == "pending") & certificates.c.der.is_not(None)
Index(
    "ix_certificates_lint_pending",
    certificates.c.id,
    sqlite_where=_WAITS_FOR_LINT,
    postgresql_where=_WAITS_FOR_LINT,
)

named_certificates: Final = Table(
    "named_certificates",
    metadata,
    Column("name", String(48), primary_key=True),
    Column("serial", String(40), ForeignKey("certificates.serial"), nullable=False),
    Column("key_label", String(48), nullable=False),
    Column("since", UtcDateTime, nullable=False),
)

# Of authorities under somebody else's: the certificates above their own, the issuer at 0, the anchor last.
authority_parents: Final = Table(
    "authority_parents",
    metadata,
    Column("authority", String(48), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("der", LargeBinary, nullable=False),
)

# What became of certificates, in the order of the commits; `listed`: a list is to say so, at once when it is `urgent`.
status_changes: Final = Table(
    "status_changes",
    metadata,
    Column("id", BIG_INTEGER, primary_key=True),
    Column("serial", String(40), nullable=False),
    Column("issuer", String(32), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("urgent", Boolean, nullable=False, server_default=true()),
    sqlite_autoincrement=True,
)
Index(
    "ix_status_changes_listed",
    *(status_changes.c[column] for column in ("issuer", "shard", "id")),
    sqlite_where=status_changes.c.listed,
    postgresql_where=status_changes.c.listed,
)

crls: Final = Table(
    "crls",
    metadata,
    Column("id", BIG_INTEGER, primary_key=True),
    Column("issuer", String(32), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("number", BIG_INTEGER, nullable=False),
    Column("this_update", UtcDateTime, nullable=False),
    Column("next_update", UtcDateTime, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("tbs_sha256", LargeBinary(32), nullable=False),
    Column("der", LargeBinary),
    Column("position", BIG_INTEGER),
    Column("paged", Boolean, nullable=False, server_default=false()),  # `der` has no entries: they are in `crl_pages`
    UniqueConstraint("issuer", "shard", "number"),
)

# The entries of the list that is published now, by the register's ids (`ca.status.list_rows`).
crl_pages: Final = Table(
    "crl_pages",
    metadata,
    Column("issuer", String(32), primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("page", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

# Numbers are of one sequence with those of `crls`; a delta that is published with a list has that list's number.
crl_deltas: Final = Table(
    "crl_deltas",
    metadata,
    Column("issuer", String(32), primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("number", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("base", BIG_INTEGER, nullable=False),
    Column("this_update", UtcDateTime, nullable=False),
    Column("next_update", UtcDateTime, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("tbs_sha256", LargeBinary(32), nullable=False),
    Column("position", BIG_INTEGER, nullable=False),
    Column("der", LargeBinary),
)

# Publishing drops the bytes of older lists: it must not look at each list that ever was.
for _table in (crls, crl_deltas):
    Index(
        f"ix_{_table.name}_kept",
        *(_table.c[column] for column in ("issuer", "shard", "number")),
        sqlite_where=_table.c.der.is_not(None),
        postgresql_where=_table.c.der.is_not(None),
    )

pseudonym_secrets: Final = Table(
    "pseudonym_secrets",
    metadata,
    Column("period", String(16), primary_key=True),
    Column("secret", LargeBinary(32), nullable=False),
)
