"""How certificates are told to officers, by command and by route: no national code."""

from typing import Any

from ca.records import CertificateRecord
from pki.instants import format_instant


def certificate_members(record: CertificateRecord) -> dict[str, Any]:
    """Write a certificate and its status."""
    status = record.status
    return {
        "serial": record.serial_hex,
        "state": str(record.state),
        "profile": str(record.profile),
        "profile_version": record.profile_version,
        "issuer": str(record.issuer),
        "name": record.name,
        "not_after": format_instant(record.not_after),
        "unapproved": record.unapproved,
        "reason": None if status.reason is None else str(status.reason),
        "revoked_at": None if status.revoked_at is None else format_instant(status.revoked_at),
        "predecessor": record.predecessor,
    }
