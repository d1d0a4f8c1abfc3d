"""What is known of a scan without opening it, and a scan that was opened."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A scan, by its SHA-256, of a registration file or a proposed revocation: its `subject`, by its id.

    `deleted_at` is set once its octets are gone.
    """

    subject: str
    digest: bytes
    media_type: str
    octets: int
    attached_by: str
    attached_at: datetime
    deleted_at: datetime | None = None

    @property
    def sha256(self) -> str:
        """The digest as the file names it, hexadecimal."""
        return self.digest.hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A scan that an officer is shown."""

    attachment: Attachment
    data: bytes = field(repr=False)
