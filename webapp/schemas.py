"""The JSON of a verdict, as `mohr verify --json` prints it and the API answers it.

The pages read a verdict through these models too, so that a page and the API can never differ. Members that
only some formats have are optional; unknown members are kept.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Indication = Literal["TOTAL-PASSED", "TOTAL-FAILED", "INDETERMINATE"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Reason(_Model):
    """Why a verdict is what it is: a stable code and its sentence in both languages."""

    code: str = Field(examples=["no-trusted-path"])
    text_fa: str
    text_en: str


class Identity(_Model):
    """What the signer's certificate says of its holder's profession."""

    council_number: str | None = None
    profession: str | None = None


class Signer(_Model):
    """The signer's certificate."""

    subject: str
    serial: str
    identity: Identity | None = None


class Covered(_Model):
    """Bytes that a signature covers."""

    what: str = Field(examples=["payload"])
    sha256: str
    bytes: int


class ChainLink(_Model):
    """One certificate of the path, signer first."""

    subject: str
    serial: str


class StatusEvidence(_Model):
    """What was known of a certificate's status, from where and as of when."""

    source: str = Field(examples=["ocsp"])
    status: str = Field(examples=["good"])
    as_of: datetime | None = None


class Signature(_Model):
    """The verdict on one signature (ETSI EN 319 102-1)."""

    id: str
    level: str | None = Field(examples=["B-T"])
    indication: Indication
    sub_indication: str | None
    care: Literal["valid", "deferred", "invalid"]
    crypto: Literal["intact", "broken", "unknown"]
    assurance: str | None = Field(default=None, examples=["A3"])
    best_signature_time: datetime | None
    time_proof: Literal["timestamp", "ledger", "claimed"] | None
    signer: Signer | None
    covered: list[Covered]
    reasons: list[Reason]
    chain: list[ChainLink] = []
    status: list[StatusEvidence] = []
    policy: str | None = None


class Timestamp(_Model):
    """A time-stamp token of its own, or one that covers a whole document."""

    indication: Indication | None = None
    time: datetime | None = None


class FileVerdict(_Model):
    """The verdict on a file: its worst signature's."""

    file: str | None
    format: str | None = Field(examples=["JAdES"])
    indication: Indication
    sub_indication: str | None
    signatures: list[Signature]
    timestamps: list[Timestamp] = []
    reasons: list[Reason] = []
