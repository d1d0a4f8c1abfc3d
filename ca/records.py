"""What the repositories give back: frozen values, never rows."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ca.profiles import IssuerName, ProfileName
from ca.status.revocation import CertificateState, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderMarks:
    """What a certificate is found by beside its holder: council number, profession, province, centre's SIAM id."""

    licence: str | None = field(default=None, repr=False)
    profession: str | None = None
    province: str | None = None
    siam_id: str | None = None


UNMARKED: Final = HolderMarks()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """One certificate of the register. `der` is None while it is an intent and once that is abandoned.

    `profile_version` is None for those of others and for those from before versions were recorded. `predecessor` is
    the serial number of what it renews or replaces.

    `holder` is the register's identifier of the holder (national code, SIAM id, name): not for logs.
    """

    serial_hex: str
    issuer: IssuerName
    profile: ProfileName
    profile_version: int | None
    file_id: str | None
    holder: str = field(repr=False)
    name: str = field(repr=False)
    status: Status
    status_version: int
    shard: int
    unapproved: bool
    not_before: datetime
    not_after: datetime
    requested_by: str
    intended_at: datetime
    issued_at: datetime | None
    released_at: datetime | None
    predecessor: str | None = None
    der: bytes | None = field(repr=False)

    @property
    def serial(self) -> int:
        """The serial number."""
        return int(self.serial_hex, 16)

    @property
    def state(self) -> CertificateState:
        """Where the certificate is in its life."""
        return self.status.state


def one_of_each_list(records: Iterable[CertificateRecord]) -> tuple[str, ...]:
    """Name one of these certificates, by serial number, for each list that speaks of any of them."""
    return tuple({(record.issuer, record.shard): record.serial_hex for record in records}.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCertificate:
    """The certificate that an authority or service uses now, and its key's label."""

    name: str
    key_label: str
    der: bytes = field(repr=False)
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldStatus:
    """What is told of a certificate: its status, and the SHA-256 digest by which it is meant."""

    status: Status
    cert_sha256: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToPresign:
    """A certificate whose OCSP response is missing or about to end."""

    serial_hex: str
    issuer: str
    status: Status
    status_version: int
    cert_sha256: bytes | None
