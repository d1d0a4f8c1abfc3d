"""Activation of what waits for its holder: codes asked for, tried, and what they make good.

A try is counted, durably, before it is compared; a right one is given back.
"""

import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from ca import certificate_queries
from ca import file_repository as files
from ca.activation import repository
from ca.activation.codes import CODE_SYMBOLS, NAME_SYMBOLS, digest_of, new_code, read_code
from ca.activation.records import Activated, Activation
from ca.activation.repository import CODES
from ca.activation.tables import activations
from ca.context import event
from ca.errors import IllegalTransition
from ca.holder_codes.codes import COST, SALT_OCTETS, grouped
from ca.holder_codes.post import MOST_PLANNED, CodeKind, CodePost
from ca.holder_codes.records import HOLDER, MAX_TRIES, CodeDigest, DrawnCodes, DueCodes
from ca.linting.desk import check_activation
from ca.notices import Notice, NoticeKind, Notifier
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.records import CertificateRecord
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import Conflict, ErrorCode, NotAllowed, NotFound
from pki.instants import format_instant
from storage.engine import Database
from storage.unit_of_work import UnitOfWork, take_turn

LIFE: Final = timedelta(days=30)
CHANNELS: Final = ("letter", "sms")
ROUND: Final = 50


class StatusDoor(Protocol):
    """Where certificates are made good."""

    def activate_within(
        self, unit: UnitOfWork, serials: Sequence[str], actor: str, way: str
    ) -> tuple[CertificateRecord, ...]:
        """Make good what waits, in a transaction of the caller's."""
        ...

    def presign_now(self, record: CertificateRecord) -> None:
        """Make a new status known; never raises."""
        ...


class ActivationDesk:
    """Use cases of activation; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        status: StatusDoor,
        gate: OfficerGate,
        notifier: Notifier,
        clock: Clock,
        *,
        judge: Callable[[str], object],
        life: timedelta = LIFE,
        cost: int = COST,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`judge` has the linter look at a certificate (its serial number) that it did not see yet, where one runs."""
        self._database, self._status, self._gate = database, status, gate
        self._clock, self._judge = clock, judge
        self._life, self._cost, self._random_bytes = life, cost, random_bytes
        kind = CodeKind(
            rows=CODES,
            sent=AuditAction.ACTIVATION_SENT,
            covered=repository.COVERED,
            write=self._write,
            draw=self._draw,
        )
        self._post = CodePost(database, notifier, clock, kind)

    # -- making -------------------------------------------------------------------------------------

    def make(self, file_id: str, officer: Officer, *, claimed: bool = False) -> Activation:
        """Have new codes made for what waits for the holder of a file; earlier ones are void from now on.

        The worker's sweep makes and sends them; with `claimed` it leaves that to the caller's `send`. NotAllowed as
        the gate's; NotFound; IllegalTransition where nothing waits.
        """
        with self._database.begin() as unit:
            take_turn(unit.connection, activations)
            file = files.lock_file(unit.connection, files.get_file(unit.connection, file_id).id)
            scope = file.registration.scope
            self._gate.allow(
                officer, Act.ACTIVATION_MAKE, scope, unit, realm=file.realm, subject=file.id, digest=file.digest
            )
            if not repository.waiting_serials(unit.connection, file.id):
                raise _nothing_waits()
            return self._write(unit, file.id, officer.id, claimed=claimed)

    def plan(self) -> int:
        """Write activations for what waits and has none; return how many."""
        return self._post.plan()

    def _write(self, unit: UnitOfWork, file_id: str, actor: str, *, claimed: bool = False) -> Activation:
        now = self._clock.now()
        made = Activation(
            id=new_code(NAME_SYMBOLS, self._random_bytes),
            file_id=file_id,
            made_by=actor,
            made_at=now,
            expires_at=now + self._life,
            tries=0,
            sendings=0,
            sent_at=None,
            done_at=None,
        )
        repository.replace_open(unit.connection, made, now if claimed else None)
        unit.audit.record(event(AuditAction.ACTIVATION_MADE, now, actor, file_id, days=self._life.days))
        return made

    # -- sending ------------------------------------------------------------------------------------

    def sweep(self, limit: int = ROUND, planned: int = MOST_PLANNED) -> int:
        """Make and send at most `limit` pairs of codes that are due, after writing about `planned`; return how many.

        Unavailable when the channel does not answer: the next sweep goes on.
        """
        return self._post.sweep(limit, planned)

    def send(self, activation_id: str) -> Activation:
        """Make and send the codes of one activation now, unless somebody did; NotFound, Unavailable."""
        found = self._get(activation_id)
        if found.sent_at is None and found.done_at is None:
            self._post.send([DueCodes(name=found.id, file_id=found.file_id, sendings=found.sendings)])
        return self._get(activation_id)

    def _get(self, activation_id: str) -> Activation:
        with self._database.read() as connection:
            found = repository.find(connection, activation_id)
        if found is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no such activation")
        return found

    def _draw(self, due: DueCodes, now: datetime) -> DrawnCodes:
        first, second = (new_code(CODE_SYMBOLS, self._random_bytes) for _ in CHANNELS)
        salt, expires_at = self._random_bytes(SALT_OCTETS), now + self._life
        return DrawnCodes(
            due=due,
            salt=salt,
            digest=digest_of(first, second, salt, self._cost),
            notices=_notices(due, first, second, expires_at, now),
            columns={"expires_at": expires_at},
        )

    # -- what the holder does -----------------------------------------------------------------------

    def activate(self, name: str, first: str, second: str, way: str) -> Activated:
        """Make good what waits, for who knows both codes; the same codes, given again, are answered the same.

        `way` is where they were typed. InvalidInput for a mistyped name or code, which costs no try. NotAllowed
        (`activation-refused`): a wrong code, never which. Conflict: `activation-locked` from the fifth wrong pair on;
        `activation-expired` and `lint-hold` (not judged yet, or badly) for right codes. IllegalTransition where
        everything was revoked meanwhile.
        """
        activation_id = read_code(name, NAME_SYMBOLS)
        typed = (read_code(first, CODE_SYMBOLS), read_code(second, CODE_SYMBOLS))
        codes = self._count_try(activation_id)
        if not hmac.compare_digest(digest_of(*typed, codes.salt, self._cost), codes.digest):
            raise self._record_wrong(codes, way)
        with self._database.begin() as unit:
            repository.give_back_try(unit.connection, codes)
        with self._database.read() as connection:
            waiting = repository.waiting_serials(connection, codes.file_id)
        for serial in waiting:
            self._judge(serial)
        done = self._make_good(codes, way)
        for record in () if done.repeated else done.certificates:
            self._status.presign_now(record)
        return done

    def _count_try(self, activation_id: str) -> CodeDigest:
        with self._database.read() as connection:  # strangers, who know no name, never wait for a writer's turn
            if CODES.digest_of(connection, activation_id) is None:
                raise _refused()
        with self._database.begin() as unit:
            codes = repository.count_try(unit.connection, activation_id)
            locked = codes is None and CODES.digest_of(unit.connection, activation_id) is not None
        if codes is None:
            raise _locked() if locked else _refused()
        return codes

    def _record_wrong(self, codes: CodeDigest, way: str) -> NotAllowed | Conflict:
        """Keep that a try was wrong, and return how it is refused."""
        now = self._clock.now()
        with self._database.begin() as unit:
            facts: dict[str, str | int] = {"tries": codes.tries, "way": way}
            unit.audit.record(event(AuditAction.ACTIVATION_FAILED, now, HOLDER, codes.file_id, **facts))
            if codes.tries < MAX_TRIES:
                return _refused()
            unit.audit.record(event(AuditAction.ACTIVATION_LOCKED, now, HOLDER, codes.file_id, **facts))
            return _locked()

    def _make_good(self, codes: CodeDigest, way: str) -> Activated:
        now, name, file_id = self._clock.now(), codes.name, codes.file_id
        with self._database.begin() as unit:
            connection = unit.connection
            still = CODES.digest_of(connection, name, locked=True)
            found = repository.find(connection, name)
            if found is None or still is None or still.digest != codes.digest:
                raise _refused()  # new codes were made meanwhile
            if found.done_at is not None:
                certificates = _records(unit, repository.activated_by(connection, name))
                return Activated(activation_id=name, file_id=file_id, certificates=certificates, repeated=True)
            if now >= found.expires_at:
                raise Conflict(ErrorCode.ACTIVATION_EXPIRED, "ask for new codes", reason="activation.expired")
            serials = repository.waiting_serials(connection, file_id, locked=True)
            if not serials:
                raise _nothing_waits()
            check_activation(connection, serials)
            certificates = self._status.activate_within(unit, serials, HOLDER, way)
            repository.finish(connection, name, serials, now)
        return Activated(activation_id=name, file_id=file_id, certificates=certificates)

    # -- what officers see --------------------------------------------------------------------------

    def status(self, file_id: str) -> tuple[Activation | None, tuple[str, ...]]:
        """Return a file's activation, if there is or was one, and the serial numbers that wait; NotFound."""
        with self._database.read() as connection:
            known = files.get_file(connection, file_id).id
            found = repository.latest_of(connection, known)
            return found, tuple(repository.waiting_serials(connection, known))


def _notices(due: DueCodes, first: str, second: str, expires_at: datetime, now: datetime) -> tuple[Notice, ...]:
    """Write the letter, which names the activation, and the SMS, which does not."""
    letter, sms = CHANNELS
    common = {"expires_at": format_instant(expires_at)}
    told: dict[str, dict[str, str | int]] = {
        letter: {"activation": grouped(due.name), "code": grouped(first), **common},
        sms: {"code": grouped(second), **common},
    }
    return tuple(
        Notice(
            id=f"activation-{due.name.lower()}-{due.sendings + 1}-{channel}",
            kind=NoticeKind.ACTIVATION_CODE,
            file_id=due.file_id,
            at=now,
            facts={"channel": channel, **facts},
        )
        for channel, facts in told.items()
    )


def _records(unit: UnitOfWork, serials: Sequence[str]) -> tuple[CertificateRecord, ...]:
    found = (certificate_queries.find(unit.connection, serial) for serial in serials)
    return tuple(record for record in found if record is not None)


def _refused() -> NotAllowed:
    return NotAllowed(ErrorCode.ACTIVATION_REFUSED, reason="activation.refused")


def _locked() -> Conflict:
    return Conflict(ErrorCode.ACTIVATION_LOCKED, "ask for new codes", reason="activation.locked")


def _nothing_waits() -> IllegalTransition:
    return IllegalTransition("nothing waits for this holder", reason="activation.nothing")
