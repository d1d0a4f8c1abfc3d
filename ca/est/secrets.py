"""One-time secrets of registration files: made once, shown once, kept as a scrypt hash (RFC 7914).

A try is counted, durably, before it is compared: who ends the process between the two has used up a try. A right one
is given back. What is handed out begins with a handle, which is compared in the clear: a try that does not know it is a
stranger's and is not counted, so that a file's id, which many people see, does not suffice to lock a secret.

A secret is taken for one request before the certificate is made, and no crash gives it back: the same
request, sent again because its answer was lost, is answered by the same certificate, every other one is refused.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, Update, delete, func, insert, or_, select, update

from ca import file_repository as files
from ca.context import event
from ca.errors import IllegalTransition, ProfileMismatch
from ca.est.errors import EnrolmentUnproven
from ca.est.tables import est_secrets
from ca.profiles import HolderKind
from ca.registration import RegistrationFile
from ca.registration_states import CLOSED, FileState
from pki.audit import AuditAction
from pki.clock import Clock
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

MAX_TRIES: Final = 5
LIFE: Final = timedelta(days=7)
MAX_LIFE: Final = timedelta(days=30)
MAX_SECRET: Final = 64
MACHINES: Final = frozenset({HolderKind.CENTRE, HolderKind.SYSTEM})
"""Whose keys live in machines, which ask by themselves; persons' keys are made on cards, before an officer."""

_SECRET_OCTETS: Final = 20
_HANDLE_OCTETS: Final = 5
_SALT_OCTETS: Final = 16
_COST: Final = 1 << 14
_BLOCK: Final = 8

_s = est_secrets.c


Allow = Callable[[UnitOfWork, RegistrationFile], object]


def anybody(_unit: UnitOfWork, _file: RegistrationFile) -> None:
    """Let whoever asks: a command of the deployment's operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentSecret:
    """A new secret, which nobody can be shown again."""

    file_id: str
    secret: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenSecret:
    """That the secret of a file was known; the salt tells it from one that is made later."""

    file_id: str
    salt: bytes = field(repr=False)


def _that(proven: ProvenSecret) -> Update:
    return update(est_secrets).where(_s.file_id == proven.file_id, _s.salt == proven.salt)


def _word(octets: bytes) -> str:
    return base64.b32encode(octets).decode().lower()


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=_COST, r=_BLOCK, p=1, dklen=32)


class EnrolmentSecrets:
    """The secrets of one deployment. Threads may share it."""

    def __init__(
        self, database: Database, clock: Clock, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._database, self._clock, self._random_bytes = database, clock, random_bytes

    def make(self, file_id: str, actor: str, life: timedelta = LIFE, *, allow: Allow = anybody) -> EnrolmentSecret:
        """Make the secret of a file, in place of the one before; `allow` raises where the actor may not.

        NotFound; ProfileMismatch for a person's file; IllegalTransition for a draft or a closed file.
        """
        handle, secret = _word(self._random_bytes(_HANDLE_OCTETS)), _word(self._random_bytes(_SECRET_OCTETS))
        salt = self._random_bytes(_SALT_OCTETS)
        hashed, now = _hash(secret, salt), self._clock.now()
        with self._database.begin() as unit:
            file = files.lock_file(unit.connection, files.get_file(unit.connection, file_id).id)
            allow(unit, file)
            if file.registration.kind not in MACHINES:
                raise ProfileMismatch("only centres and systems enrol by themselves", "est.persons")
            if file.state in CLOSED or file.state is FileState.DRAFT:
                raise IllegalTransition(f"the file is {file.state}", reason=f"file.{file.state}")
            unit.connection.execute(delete(est_secrets).where(_s.file_id == file_id))
            row = {"file_id": file_id, "handle": handle, "salt": salt, "hash": hashed, "tries": 0, "made_by": actor}
            unit.connection.execute(insert(est_secrets).values(**row, made_at=now, expires_at=now + life))
            unit.audit.record(event(AuditAction.EST_SECRET_MADE, now, actor, file_id, days=life.days))
        return EnrolmentSecret(file_id=file_id, secret=f"{handle}-{secret}", expires_at=now + life)

    def check(self, file_id: str, secret: str) -> ProvenSecret:
        """Compare a secret with the file's; EnrolmentUnproven: wrong, locked or expired.

        Only who knows it hears that it is expired, and, from `take`, that it is used.
        """
        is_text = file_id.isascii() and file_id.isalnum() and secret.isascii() and secret.isprintable()
        handle, _, secret = secret.rpartition("-")
        row = self._count_try(file_id, handle) if is_text and len(secret) <= MAX_SECRET else None
        if row is None:
            raise EnrolmentUnproven("est.secret-wrong")
        if row.tries > MAX_TRIES:
            raise EnrolmentUnproven("est.secret-locked", "tried wrongly too often; ask for a new one")
        if not hmac.compare_digest(_hash(secret, row.salt), row.hash):
            self._record_wrong(file_id, row.tries)
            raise EnrolmentUnproven("est.secret-wrong")
        proven = ProvenSecret(file_id=file_id, salt=row.salt)
        with self._database.begin() as unit:
            unit.connection.execute(_that(proven).values(tries=_s.tries - 1))
        if self._clock.now() >= row.expires_at:
            raise EnrolmentUnproven("est.secret-expired", "ask for a new one")
        return proven

    def _count_try(self, file_id: str, handle: str) -> Row[Any] | None:
        """Count a try and return the row as it is then; a locked one is counted no further, a stranger's not at all."""
        its = (_s.file_id == file_id, func.coalesce(_s.handle, "") == handle)
        with self._database.begin() as unit:
            unit.connection.execute(update(est_secrets).where(*its, _s.tries <= MAX_TRIES).values(tries=_s.tries + 1))
            return unit.connection.execute(select(est_secrets).where(*its)).one_or_none()

    def _record_wrong(self, file_id: str, tries: int) -> None:
        now = self._clock.now()
        with self._database.begin() as unit:
            facts: dict[str, str | int] = {"way": "secret", "reason": "est.secret-wrong", "tries": tries}
            unit.audit.record(event(AuditAction.EST_REFUSED, now, "est", file_id, **facts))

    def take(self, proven: ProvenSecret, digest: bytes) -> None:
        """Use the secret up for one request (its SHA-256), before anything is made; EnrolmentUnproven for another."""
        free = _that(proven).where(or_(_s.used_for.is_(None), _s.used_for == digest))
        with self._database.begin() as unit:
            if unit.connection.execute(free.values(used_for=digest)).rowcount != 1:
                raise EnrolmentUnproven("est.secret-used", "used before; ask for a new one")

    def give_back(self, proven: ProvenSecret) -> None:
        """Make a secret good again after a refusal that certainly made no certificate."""
        with self._database.begin() as unit:
            unit.connection.execute(_that(proven).values(used_for=None))
