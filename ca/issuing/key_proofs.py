"""Proof that a key was made for this file, now: a nonce of ours in the request that the key itself signed.

An officer at a personalisation station asks for a nonce of a file; the card signs a request that carries it as its
challenge password (RFC 2985 §5.4.1). No request made before, or for another file, holds it, and it makes one
certificate. That the key was generated on the card, and on which, is the station's statement: no card's maker attests
it here, and what is recorded says so.
"""

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from ca import file_repository as files
from ca.context import event
from ca.issuing.file_states import check_state
from ca.issuing.tables import key_proofs
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.status.revocation import CertificateState
from ca.tables import certificates
from pki.audit import AuditAction
from pki.clock import Clock
from pki.csr import challenge_password
from pki.errors import ErrorCode, InvalidInput
from pki.jose import b64url
from storage.engine import Database

NONCE_LIFE: Final = timedelta(minutes=15)
KEPT_UNUSED: Final = timedelta(days=1)
STATEMENT: Final = "station-statement"
"""How a proof is named in events: what a personalisation station said, without a word of the card's maker."""
_NONCE_OCTETS: Final = 24
_ID_OCTETS: Final = 10
_ID: Final = re.compile(r"[0-9a-f]{20}")
_CARD: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 .:/_-]{0,62}[A-Za-z0-9])?")

_k = key_proofs.c
_FIND: Final = (
    select(_k.id, _k.nonce_sha256, _k.file_id, _k.expires_at, _k.serial, certificates.c.state)
    .outerjoin_from(key_proofs, certificates, certificates.c.serial == _k.serial)
    .order_by(_k.id)
)
_LOCK: Final = select(_k.id).order_by(_k.id).with_for_update()
_USE: Final = (
    update(key_proofs).where(_k.id == bindparam("of")).values(serial=bindparam("by"), card=bindparam("on_card"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyProof:
    """What a personalisation station states with an order: the key was generated on this card, for this nonce's id."""

    nonce_id: str
    card: str

    def __post_init__(self) -> None:
        if not _CARD.fullmatch(self.card):
            detail = "a card's serial number has 1 to 64 letters, digits and . : / _ -"
            raise InvalidInput(ErrorCode.KEY_PROOF_INVALID, detail, reason="key.proof-card")


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrNonce:
    """A nonce for one request's key; `nonce` is shown once and kept as a digest."""

    id: str
    nonce: str = field(repr=False)
    file_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofShown:
    """A proof as an order brings it: the statement, and the digest of what the request carries."""

    proof: KeyProof
    file_id: str
    nonce_sha256: bytes


class NonceDesk:
    """Makes nonces for officers who issue. Threads may share it."""

    def __init__(
        self,
        database: Database,
        gate: OfficerGate,
        clock: Clock,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database, self._gate, self._clock, self._random_bytes = database, gate, clock, random_bytes

    def make(self, file_id: str, officer: Officer) -> CsrNonce:
        """Make a nonce for one key of a file's holder, good for 15 minutes.

        NotFound; NotAllowed as the gate's, and `not-approved` for a file that is closed.
        """
        now, nonce = self._clock.now(), b64url(self._random_bytes(_NONCE_OCTETS))
        made = CsrNonce(
            id=self._random_bytes(_ID_OCTETS).hex(), nonce=nonce, file_id=file_id, expires_at=now + NONCE_LIFE
        )
        with self._database.begin() as unit:
            file = files.get_file(unit.connection, file_id)
            scope = file.registration.scope
            self._gate.allow(officer, Act.CERTIFICATE_ISSUE, scope, unit, realm=file.realm, subject=file_id)
            check_state(file.state, unapproved=True)
            unit.connection.execute(delete(key_proofs).where(_k.serial.is_(None), _k.expires_at < now - KEPT_UNUSED))
            unit.connection.execute(
                insert(key_proofs).values(
                    id=made.id,
                    nonce_sha256=_digest(nonce),
                    file_id=file_id,
                    made_by=officer.id,
                    made_at=now,
                    expires_at=made.expires_at,
                )
            )
            unit.audit.record(event(AuditAction.CSR_NONCE_MADE, now, officer.id, file_id, nonce=made.id))
        return made


def _digest(nonce: str) -> bytes:
    return sha256(nonce.encode()).digest()


def shown_by(proof: KeyProof, csr_der: bytes, file_id: str) -> ProofShown:
    """Return the proof that a request carries; InvalidInput (`nonce-invalid`, `csr-malformed`) without one."""
    challenge = challenge_password(csr_der)
    if challenge is None:
        raise _refuse("csr.nonce-missing", "the request carries no nonce")
    return ProofShown(proof=proof, file_id=file_id, nonce_sha256=_digest(challenge))


def _refuse(reason: str, detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.NONCE_INVALID, detail, reason=reason)


class Nonces:
    """The nonces of one group of orders, locked in one transaction."""

    def __init__(self, connection: Connection, shown: Iterable[ProofShown], now: datetime) -> None:
        ids = {one.proof.nonce_id for one in shown if _ID.fullmatch(one.proof.nonce_id)}
        self._now, self._taken = now, set[str]()
        self._rows: dict[str, Any] = {}
        if ids:
            connection.execute(_LOCK.where(_k.id.in_(ids)))
            self._rows = {row.id: row for row in connection.execute(_FIND.where(_k.id.in_(ids)))}

    def check(self, shown: ProofShown) -> None:
        """Take a nonce for an order; InvalidInput (`nonce-invalid`) where it is stale, used or another one.

        One that was used for a certificate of which nothing came is free again.
        """
        row = self._rows.get(shown.proof.nonce_id)
        if row is None:
            raise _refuse("csr.nonce-stale", "no such nonce, or no longer")
        if row.nonce_sha256 != shown.nonce_sha256 or row.file_id != shown.file_id:
            raise _refuse("csr.nonce-differs", "the request carries another nonce, or one of another file")
        given_up = row.state == CertificateState.ABANDONED.value
        if row.id in self._taken or (row.serial is not None and not given_up):
            raise _refuse("csr.nonce-used", "the nonce made a certificate before")
        if row.expires_at <= self._now:
            raise _refuse("csr.nonce-stale", "the nonce's time is over")
        self._taken.add(row.id)


def use(connection: Connection, proven: Iterable[tuple[KeyProof, str]]) -> None:
    """Write down which card and certificate each nonce was for."""
    rows = [{"of": proof.nonce_id, "by": serial, "on_card": proof.card} for proof, serial in proven]
    if rows:
        connection.execute(_USE, rows)
