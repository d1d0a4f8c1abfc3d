"""Emergency suspension by the holder (a lost card): one code, without login or officer, suspends all that is theirs.

A code is sent by letter with the activation of what is issued first, or when an officer asks for it. It suspends
from now on only, as often as it is given; an officer lifts. A try is counted, durably, before it is compared. Whoever
gives a wrong code hears the same for every wrong code.
"""

import hmac
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

from ca import certificate_queries
from ca import file_repository as files
from ca.context import event
from ca.errors import IllegalTransition
from ca.holder_codes.codes import COST, SALT_OCTETS, grouped
from ca.holder_codes.post import MOST_PLANNED, CodeKind, CodePost
from ca.holder_codes.records import HOLDER, CodeDigest, DrawnCodes, DueCodes
from ca.issuing.endings import abandon
from ca.notices import Notice, NoticeKind, Notifier
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import NOTHING
from ca.status.acts import suspension_repository as repository
from ca.status.acts.codes import NAME_DIGITS, code_of, digest_of, new_digits, read_code
from ca.status.acts.notices import tell_holder
from ca.status.acts.records import StatusDoor, Suspended, SuspensionCode
from ca.status.acts.suspension_repository import CODES
from ca.status.acts.tables import suspension_codes
from ca.status.revocation import CertificateState, hold
from ca.status.revocation_desk import write_status
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import ErrorCode, NotAllowed
from storage.engine import Database
from storage.unit_of_work import UnitOfWork, take_turn

ROUND: Final = 25  # a fraction of a second of scrypt: lists and answers wait for the same worker
NOBODY: Final = "nobody"  # the subject of a code that is nobody's, or of one that is not taken for an hour
CHANNEL: Final = "letter"

_NOBODYS: Final = bytes(SALT_OCTETS)


class SuspensionDesk:
    """Use cases of suspension codes; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        status: StatusDoor,
        gate: OfficerGate,
        notifier: Notifier,
        clock: Clock,
        *,
        cost: int = COST,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`cost` is scrypt's N."""
        self._database, self._status, self._gate = database, status, gate
        self._clock, self._cost, self._random_bytes = clock, cost, random_bytes
        kind = CodeKind(
            rows=CODES,
            sent=AuditAction.SUSPENSION_CODE_SENT,
            covered=repository.COVERED,
            write=self._write,
            draw=self._draw,
            posted=repository.drop_earlier,
        )
        self._post = CodePost(database, notifier, clock, kind)

    # -- making and sending -------------------------------------------------------------------------

    def make(self, file_id: str, officer: Officer, *, claimed: bool = False) -> SuspensionCode:
        """Have a new code made for the holder of a file; the one before is void once this one is under way.

        The worker's sweep makes and sends it; with `claimed` it leaves that to the caller's `send`. NotAllowed as the
        gate's; NotFound; IllegalTransition where the holder has nothing to suspend.
        """
        with self._database.begin() as unit:
            take_turn(unit.connection, suspension_codes)
            file = files.get_file(unit.connection, file_id)
            scope = file.registration.scope
            self._gate.allow(
                officer, Act.SUSPENSION_MAKE, scope, unit, realm=file.realm, subject=file.id, digest=file.digest
            )
            if not certificate_queries.living_of(unit.connection, holder=file.registration.holder):
                raise IllegalTransition("nothing is there to be suspended", reason="suspension.nothing")
            return self._write(unit, file.id, officer.id, claimed=claimed)

    def plan(self) -> int:
        """Write codes for holders whose first certificates wait for them; return how many."""
        return self._post.plan()

    def _write(self, unit: UnitOfWork, file_id: str, actor: str, *, claimed: bool = False) -> SuspensionCode:
        now = self._clock.now()
        made = SuspensionCode(
            name=new_digits(NAME_DIGITS, self._random_bytes),
            file_id=file_id,
            made_by=actor,
            made_at=now,
            sendings=0,
            sent_at=None,
        )
        repository.add(unit.connection, made, now if claimed else None)
        unit.audit.record(event(AuditAction.SUSPENSION_CODE_MADE, now, actor, file_id))
        return made

    def code_of(self, file_id: str) -> SuspensionCode | None:
        """Return the code of a file that was made last, without its digits; None where there is none."""
        with self._database.read() as connection:
            return repository.latest_of(connection, file_id)

    def sweep(self, limit: int = ROUND, planned: int = MOST_PLANNED) -> int:
        """Make and send at most `limit` codes that are due; return how many.

        Unavailable when the channel does not answer: the next sweep goes on.
        """
        return self._post.sweep(limit, planned)

    def send(self, code: SuspensionCode) -> SuspensionCode:
        """Make and send a code that the caller claimed; Unavailable."""
        self._post.send([DueCodes(name=code.name, file_id=code.file_id, sendings=code.sendings)])
        return self.code_of(code.file_id) or code

    def _draw(self, due: DueCodes, now: datetime) -> DrawnCodes:
        code, salt = code_of(due.name, self._random_bytes), self._random_bytes(SALT_OCTETS)
        notice = Notice(
            id=f"suspension-{due.name}-{due.sendings + 1}",
            kind=NoticeKind.SUSPENSION_CODE,
            file_id=due.file_id,
            at=now,
            facts={"channel": CHANNEL, "code": grouped(code)},
        )
        return DrawnCodes(due=due, salt=salt, digest=digest_of(code, salt, self._cost), notices=(notice,))

    # -- what the holder does -----------------------------------------------------------------------

    def suspend(self, typed: str, way: str) -> Suspended:
        """Suspend from now on all that is the holder's, for who knows the code; given again, it does so again.

        `way` is where it was typed. InvalidInput for a mistyped code, which costs no try. NotAllowed
        (`suspension-refused`) for a wrong one, for one of nobody, and for any from the sixth within an hour on.
        """
        return self._suspend(typed, way, HOLDER)

    def suspend_for(self, typed: str, officer: Officer, way: str) -> Suspended:
        """Do the same for a holder on the telephone who tells an officer the code; errors as `suspend`.

        NotAllowed also as the gate's: any officer may, whatever their scope.
        """
        with self._database.begin() as unit:
            self._gate.allow(officer, Act.SUSPENSION_TAKE, NOTHING, unit, realm=officer.realm)
        return self._suspend(typed, way, officer.id)

    def _suspend(self, typed: str, way: str, actor: str) -> Suspended:
        code = read_code(typed)
        digest = self._count_try(code[:NAME_DIGITS])
        told = digest_of(code, _NOBODYS if digest is None else digest.salt, self._cost)
        if digest is None:
            if actor != HOLDER:
                self._record_refusal(NOBODY, way, actor)
            raise _refused()
        if not hmac.compare_digest(told, digest.digest):
            self._record_refusal(digest.file_id, way, actor, tries=digest.tries)
            raise _refused()
        done = self._hold_all(digest, way, actor)
        for record in done.changed:
            self._status.presign_now(record)
        return done

    def _count_try(self, name: str) -> CodeDigest | None:
        with self._database.read() as connection:  # strangers, who know no name, never wait for a writer's turn
            if CODES.digest_of(connection, name) is None:
                return None
        with self._database.begin() as unit:
            return repository.count_try(unit.connection, name, self._clock.now())

    def _record_refusal(self, subject: str, way: str, actor: str, **facts: int) -> None:
        now = self._clock.now()
        with self._database.begin() as unit:
            unit.audit.record(event(AuditAction.SUSPENSION_REFUSED, now, actor, subject, way=way, **facts))

    def _hold_all(self, digest: CodeDigest, way: str, actor: str) -> Suspended:
        now = self._clock.now().replace(microsecond=0)
        with self._database.begin() as unit:
            connection, file_id = unit.connection, digest.file_id
            still = CODES.digest_of(connection, digest.name, locked=True)
            if still is None or still.digest != digest.digest:
                raise _refused()  # a new code is under way
            repository.forgive_tries(connection, digest)
            holder = repository.holder_of(connection, file_id)
            locked = repository.lock_activations(connection, holder=holder)
            abandoned = abandon(unit, certificate_queries.intents_of(connection, holder=holder), now)
            living = certificate_queries.living_of(connection, holder=holder)
            good = [record for record in living if record.state is CertificateState.GOOD]
            changed = tuple(
                write_status(unit, record, hold(record.status, now), AuditAction.CERTIFICATE_HELD, now, actor, way=way)
                for record in good
            )
            facts = {"certificates": len(changed), "abandoned": len(abandoned), "activations": locked}
            unit.audit.record(event(AuditAction.HOLDER_SUSPENDED, now, actor, file_id, way=way, **facts))
            if changed:
                tell_holder(connection, NoticeKind.SUSPENDED, file_id, now, {"certificates": len(changed), "way": way})
        before = tuple(record for record in living if record.state is not CertificateState.GOOD)
        return Suspended(file_id=file_id, at=now, changed=changed, before=before)


def _refused() -> NotAllowed:
    return NotAllowed(ErrorCode.SUSPENSION_REFUSED, reason="suspension.refused")
