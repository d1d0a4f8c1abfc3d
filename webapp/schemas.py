"""The JSON of a verdict, as `mohr verify --json` prints it and the API answers it.

The pages read a verdict through these models too, so that a page and the API can never differ. Unknown members
are kept: a newer verifier may say more.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Indication = Literal["TOTAL-PASSED", "TOTAL-FAILED", "INDETERMINATE"]
Crypto = Literal["intact", "broken", "unknown"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Reason(_Model):
    """Something found: with an indication it decided, without one it only informs."""

    code: str = Field(examples=["issuer-not-found"])
    text_fa: str
    text_en: str
    indication: Indication | None = None
    sub_indication: str | None = None
    detail: str | None = None
    object: str | None = None


class Identity(_Model):
    """What the signer's certificate says of its holder's profession."""

    council_number: str | None = None
    profession: str | None = Field(default=None, examples=["physician"])


class Signer(_Model):
    """The signer's certificate."""

    subject: str
    issuer: str | None = None
    serial: str
    not_before: datetime | None = None
    not_after: datetime | None = None
    identity: Identity | None = None


class ChainLink(_Model):
    """One certificate of the path."""

    subject: str
    serial: str
    sha256: str


class Covered(_Model):
    """Bytes that a signature covers."""

    what: str = Field(examples=["payload"])
    sha256: str
    bytes: int
    ranges: list[tuple[int, int]] = []


class Claims(_Model):
    """What a prescription code says of itself."""

    id: str | None = Field(description="Of the prescription, in hexadecimal.")
    issued_at: datetime | None
    not_before: datetime | None
    expires_at: datetime | None
    document_sha256: str | None = Field(description="Of the document that the code belongs to.")


class SignaturePolicy(_Model):
    """A signature policy by its OID or URI."""

    id: str | None = Field(description="Null where the signer leaves it to the context.")
    digest: str | None = Field(description="Of the policy's document, in hexadecimal, as the signer gives it.")


class StatusEvidence(_Model):
    """What was known of one certificate's revocation, from where and as of when."""

    serial: str
    status: str = Field(examples=["good", "stale", "silent", "on-hold", "revoked"])
    source: str
    as_of: datetime | None
    next_update: datetime | None
    revoked_at: datetime | None
    reason: str | None


class Timestamp(_Model):
    """The verdict on one time-stamp token."""

    id: str
    kind: str = Field(examples=["signature"])
    time: datetime | None
    indication: Indication
    sub_indication: str | None
    crypto: Crypto
    authority: str | None
    serial: str | None = Field(description="The token's serial number, as the authority counts.")
    policy: str | None = Field(description="The time-stamping policy (RFC 3161 §2.4.2).")
    covers: list[str] = []
    status: list[StatusEvidence] = []
    reasons: list[Reason] = []


class Signature(_Model):
    """The verdict on one signature (ETSI EN 319 102-1)."""

    id: str
    format: str
    level: str | None = Field(examples=["B-T"])
    indication: Indication
    sub_indication: str | None
    crypto: Crypto
    care: Literal["valid", "deferred", "invalid"]
    assurance: Literal["A0", "A1", "A2", "A3"]
    algorithm: str | None = None
    best_signature_time: datetime | None
    time_proof: Literal["timestamp", "ledger", "claimed"]
    claimed_signing_time: datetime | None = None
    signer: Signer | None
    chain: list[ChainLink] = []
    covered: list[Covered]
    claims: Claims | None = Field(default=None, description="What a prescription code says of itself.")
    signature_policy: SignaturePolicy | None = Field(default=None, description="The policy that the signer names.")
    timestamps: list[Timestamp] = []
    status: list[StatusEvidence] = []
    counter_signatures: list["Signature"] = Field(default=[], description="Those who signed this signature's value.")
    reasons: list[Reason]


class TrustBundle(_Model):
    """The signed trust bundle that a verdict rests on, and its age when the file was judged."""

    bundle: str
    sequence: int
    issued: datetime
    next_update: datetime
    age_seconds: int
    outdated: bool
    sha256: str


class FileVerdict(_Model):
    """The verdict on a file: its worst signature's."""

    file: str
    sha256: str | None = Field(default=None, description="Of the file itself.")
    format: str | None = Field(examples=["JAdES"])
    indication: Indication
    sub_indication: str | None
    validated_at: datetime
    policy: str
    offline: bool = Field(default=False, description="Nobody was asked: only what the verifier holds was used.")
    trust: TrustBundle | None = None
    signatures: list[Signature]
    timestamps: list[Timestamp] = []
    reasons: list[Reason] = []
