"""What is known of a scan without opening it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A scan of a registration file, by its SHA-256; `deleted_at` is set once its octets are gone."""

    file_id: str
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
