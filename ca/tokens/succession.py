"""A connection token follows its centre to the successor of the certificate that it is bound to.

Which of both it wants to go on with the centre says itself: by the first connection over which it shows the successor.
Until then the old one works, and from then on the new one alone.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from ca import certificate_queries
from ca.records import CertificateRecord
from ca.status.revocation import CertificateState
from ca.tokens import repository
from ca.tokens.life_cycle import BoundCertificate, TokenState
from pki.audit import AuditAction, AuditEvent
from pki.certificates import Certificate
from pki.errors import InvalidInput
from pki.jwks import thumbprint
from storage.engine import Database

MAX_STEPS: Final = 16


def follow(database: Database, peer_der: bytes, now: datetime) -> bool:
    """Move a token to the certificate (DER) that a connection proved, where that comes after the token's own."""
    try:
        shown = Certificate.parse(peer_der)
    except InvalidInput:
        return False
    with database.read() as connection:
        token_id = _token_to_move(connection, shown, now)
    if token_id is None:
        return False
    with database.begin() as unit:
        token = repository.lock_token(unit.connection, token_id)
        if _token_to_move(unit.connection, shown, now) is None:  # another server was first
            return True
        bound = BoundCertificate(
            serial=shown.serial_hex,
            sha256=shown.sha256,
            not_after=shown.not_after,
            key_id=thumbprint(shown.public_key),
            spki=shown.spki_der,
        )
        repository.save_token(unit.connection, replace(token, certificate=bound, changed_at=now))
        facts = {"state": str(token.state), "certificate": bound.serial}
        if token.certificate is not None:
            facts["predecessor"] = token.certificate.serial
        unit.audit.record(
            AuditEvent(action=AuditAction.TOKEN_FOLLOWED, at=now, actor=token_id, subject=token_id, facts=facts)
        )
    return True


def _token_to_move(connection: Connection, shown: Certificate, now: datetime) -> str | None:
    """Return the token of the centre whose good certificate this is, while it is bound to one that came before."""
    record = certificate_queries.find(connection, shown.serial_hex)
    if record is None or record.file_id is None or record.der != shown.der:
        return None
    if record.state is not CertificateState.GOOD or not record.not_before <= now < record.not_after:
        return None
    token = repository.find_token(connection, record.file_id)
    if token is None or token.certificate is None or token.state is TokenState.TERMINATED:
        return None
    return token.id if _comes_after(connection, record, token.certificate.serial) else None


def _comes_after(connection: Connection, record: CertificateRecord, serial: str) -> bool:
    before = record.predecessor
    for _ in range(MAX_STEPS):
        if before is None or before == serial:
            return before == serial
        found = certificate_queries.find(connection, before)
        before = None if found is None else found.predecessor
    return False
