"""The keys of one transaction that writes intents: one holder, one profile, and one living certificate for each."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from ca.errors import KeyRefused
from ca.issuing.key_holders import KeyHolder, claim_keys, living_by_key
from ca.issuing.succession import Succession
from ca.status.revocation import CertificateState
from pki.errors import Conflict, ErrorCode


class KeyClaims:
    """What keys are asked for, held against whose they are and what they have; fixed until the commit."""

    def __init__(self, connection: Connection, claims: Iterable[KeyHolder], now: datetime) -> None:
        """Give each free key to who claims it."""
        self._holders = claim_keys(connection, claims)
        self._living = living_by_key(connection, self._holders, now)

    def take(self, claim: KeyHolder, serial: str, succession: Succession | None) -> None:
        """Let a certificate be made for a key; KeyRefused, Conflict (`request-in-progress`)."""
        found = self._holders[claim.spki_sha256]
        if found.compromised:
            raise KeyRefused("this key was revoked as compromised", "key.compromised")
        if found.holder != claim.holder:
            raise KeyRefused("this key is certified for another holder", "key.other-holder")
        if found != claim:
            raise KeyRefused("this key is certified for another purpose", "key.other-purpose")
        living = self._living.setdefault(claim.spki_sha256, {})
        if succession is None or not (succession.of_service or succession.predecessor in living):
            _check_first(living)
        living[serial] = CertificateState.INTENDED


def _check_first(living: dict[str, CertificateState]) -> None:
    """Two certificates for one key would have to be revoked together, and nothing but a renewal makes them."""
    if CertificateState.INTENDED in living.values():
        detail = "a certificate for this key is being made"
        raise Conflict(ErrorCode.REQUEST_IN_PROGRESS, detail, reason="key.at-once")
    if living:
        detail = f"the key has certificate {min(living)}: renew that, or make a new key"
        raise KeyRefused(detail, "key.certified")
