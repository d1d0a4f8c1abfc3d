"""Playing a history: each step is done by the product, entered into the truth, and all that is published is compared.

What became of a step that was cut off is read from the ledger: the act is in it or it never was. Whatever the ledger
tells must have been asked for, whatever was answered to have been done must be in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Final

from ca.errors import CrlRegression
from ca.status.crl import PublishedCrl
from ca.status.revocation import RevocationReason
from pki.audit import AuditAction
from pki.certificates import serial_hex
from pki.errors import ErrorCode, ServiceError, Unavailable
from tests.ca.status.histories_faults import FREE, Killed, Point
from tests.ca.status.histories_model import COMPROMISE, Contradiction, Life, ListName, Telling, Truth
from tests.ca.status.histories_plan import Step, plan
from tests.ca.status.histories_reader import Told, read_answer, read_certificate
from tests.ca.status.histories_world import LISTS, PROFILES, SERVERS, WAITING, Stage, keep, lose, put_back, spoil
from tests.ca.world import CLERK, FIRST

REASONS: Final = tuple(reason for reason in RevocationReason if reason is not RevocationReason.CERTIFICATE_HOLD)
EVIDENCE: Final = "5e" * 32
CHANGES: Final = {
    "hold": AuditAction.CERTIFICATE_HELD,
    "unhold": AuditAction.CERTIFICATE_RELEASED,
    "activate": AuditAction.CERTIFICATE_ACTIVATED,
    "revoke": AuditAction.CERTIFICATE_REVOKED,
    "take-back": AuditAction.CERTIFICATE_REVOKED,
}
PUBLISHING: Final = ("publish", "sweep")


@dataclass(slots=True, kw_only=True)
class _Doing:
    """An act that is under way: what it may enter into the ledger, and what it has."""

    act: str
    server: int
    begun: datetime
    moment: int
    serial: int | None = None
    reason: str = ""
    invalidity: datetime | None = None
    entered: set[int] = field(default_factory=set)
    disturbed: bool = False

    def explains(self, action: str, serial: int, truth: Truth) -> bool:
        if self.act == "issue":
            return action == AuditAction.CERTIFICATE_ISSUED
        if action == AuditAction.CERTIFICATE_HELD and self.invalidity is not None and serial == self.serial:
            return True
        if CHANGES.get(self.act) != action:
            return False
        if serial == self.serial:
            return True
        siblings = [] if self.serial is None else [life.serial for life in truth.siblings(self.serial)]
        return self.reason == COMPROMISE and serial in siblings


class Player:
    """Plays one history on a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.truth = Truth()
        self.published: set[bytes] = set()
        self.lists: dict[ListName, bytes] = {}
        self.recovering = self.restored = False
        self.doing: list[_Doing] = []
        self.compromised: set[bytes] = set()
        self.proposed: set[int] = set()
        self.kept = stage.clock.now()

    def play(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.step(step)
        faults = self.stage.faults
        faults.device_down = faults.database_down = faults.store_down = False
        self.step(Step("sweep", 0))
        self.compare(Random(0), everything=True)  # noqa: S311 - to be repeated

    # -- one step -------------------------------------------------------------------------------------

    def step(self, step: Step) -> None:
        """Do one step, which something may happen to, and compare."""
        random = Random(step.draw)  # noqa: S311 - to be repeated
        at_work = {doing.server for doing in self.doing}
        server = random.choice([number for number in range(SERVERS) if number not in at_work])
        doing = _Doing(act=step.act, server=server, begun=self._second(), moment=self.truth.moment)
        self.doing.append(doing)
        self._lay(step, server, random, doing)
        try:
            self._do(step, doing, random, server)
        finally:
            self.stage.faults.forget()
        self.absorb()
        self._settle(doing)
        if len(self.doing) == 1:
            self._keep_house(server)
        self.compare(random)
        self.doing.pop()

    def _keep_house(self, server: int) -> None:
        """See to what the services need, as the worker does hourly."""
        now = self.stage.clock.now()
        if self._is_down() or abs(now - self.kept) < timedelta(hours=12):
            return
        authority = self.stage.servers[server].authority
        authority.prepare_keys()
        if authority.renew_services():
            self.stage.clock.move(seconds=61)  # after which every server knows
        self.stage.new_events()
        self.kept = now

    def _do(self, step: Step, doing: _Doing, random: Random, server: int) -> None:
        act: Callable[[_Doing, Random, int], None] = getattr(self, "_" + step.act.replace("-", "_"), self._change)
        try:
            act(doing, random, server)
        except Killed:
            doing.disturbed = True
            self.stage.restart(server)
        except Unavailable:
            if not (doing.disturbed or self._is_down() or self.stage.faults.store_down):
                raise

    def _is_down(self) -> bool:
        """Whether there is no promise that anything new is signed."""
        return self.recovering or self.stage.faults.device_down or self.stage.faults.database_down

    def _lay(self, step: Step, server: int, random: Random, doing: _Doing) -> None:
        """Lay a fault in the way of a step."""

        def disturb(what: Callable[[], None], _point: Point) -> None:
            doing.disturbed = True
            what()

        def kill() -> None:
            raise Killed

        def refuse(point: Point) -> None:
            doing.disturbed = True
            raise Unavailable(ErrorCode.UNAVAILABLE, point)

        draw, faults = random.getrandbits(32), self.stage.faults
        if step.fault == "kill":
            faults.wait(step.at, frozenset(Point), partial(disturb, kill))
        elif step.fault == "device":
            faults.wait(step.at // 3, frozenset({Point.BEFORE_SIGNATURE}), refuse)
        elif step.fault == "database":
            faults.wait(step.at, frozenset({Point.READ, Point.BEGIN, Point.BEFORE_COMMIT}), refuse)
        elif step.fault == "other":
            other = plan(draw, 1)[-1]
            faults.wait(step.at, FREE, partial(disturb, partial(self._meanwhile, Step(other.act, draw))))
        elif step.fault == "clock":
            faults.wait(step.at, FREE, partial(disturb, partial(self.stage.clock.move, seconds=random.randrange(1, 5))))

    def _meanwhile(self, step: Step) -> None:
        """Let another server act while one is at work."""
        if step.act in ("restart", "device", "database", "store", "wait-long", "restore"):
            return
        self.absorb()
        if not self.stage.faults.database_down:
            self.look_at_lists(1 - self.doing[-1].server)
        self.step(step)

    # -- acts -----------------------------------------------------------------------------------------

    def _issue(self, doing: _Doing, random: Random, server: int) -> None:
        profile = random.choice(list(PROFILES.values()))
        ground = self.stage.ground
        csr = random.choice(ground.ceremony.csrs[profile])
        try:
            issued = self.stage.servers[server].authority.issue(profile, ground.files[profile], csr, "clerk")
        except Unavailable:
            raise
        except ServiceError as error:
            if not (self.compromised or doing.disturbed):
                raise Contradiction(f"no certificate is issued: {error}") from error
            return
        self._done(doing, int(issued.serial_hex, 16))

    def _change(self, doing: _Doing, random: Random, server: int) -> None:
        lives = list(self.truth.lives.values())
        if not lives:
            return
        fitting = [life for life in lives if self.truth.may(doing.act, life.serial)]
        life = random.choice(fitting if fitting and random.random() < 0.85 else lives)
        doing.serial = life.serial
        allowed = self.truth.may(doing.act, life.serial)
        decided = doing.act == "unhold" and life.serial in self.proposed
        if decided and self.restored:
            doing.disturbed = True  # nobody knows whether it is still proposed
        elif decided:
            allowed = False
        try:
            self._ask_for(doing, life, random, server)
        except Unavailable:
            raise
        except ServiceError as error:
            if allowed and not doing.disturbed and doing.begun <= life.not_after:
                raise Contradiction(f"{doing.act} of {life.serial:x} is refused: {error}") from error
            return
        self._done(doing, life.serial)
        if not (allowed or doing.disturbed):
            raise Contradiction(f"{doing.act} of {life.serial:x}, which is {life.told}")

    def _ask_for(self, doing: _Doing, life: Life, random: Random, server: int) -> None:
        authority, name = self.stage.servers[server].authority, serial_hex(life.serial)
        if doing.act == "hold":
            authority.hold(name, CLERK)
        elif doing.act == "unhold":
            authority.unhold(name, CLERK)
        elif doing.act == "activate":
            with self.stage.servers[server].database.begin() as unit:
                records = authority.activate_within(unit, [name], "holder", "test")
            for record in records:
                authority.presign_now(record)
        elif doing.act == "take-back":
            doing.reason = RevocationReason.CESSATION_OF_OPERATION.value
            authority.take_back(name, "clerk")
        else:
            reason = random.choice(REASONS)
            doing.reason = reason.value
            lived = (doing.begun - life.not_before).total_seconds()
            if lived > 0 and random.random() < 0.4 and life.serial not in self.proposed:
                doing.invalidity = life.not_before + timedelta(seconds=int(random.random() * lived))
            if doing.invalidity is None:
                authority.revoke(name, reason, CLERK)
            else:  # it reaches back: two decide, and it is on hold meanwhile
                desk = self.stage.servers[server].proposals
                proposal = desk.propose(name, reason, doing.invalidity, EVIDENCE, CLERK).proposal
                desk.approve(proposal.id, FIRST)

    def _done(self, doing: _Doing, serial: int) -> None:
        """What was answered to have been done is on record."""
        self.absorb()
        if serial not in doing.entered:
            raise Contradiction(f"{doing.act} of {serial:x} was answered, but is not on record")

    def _wait(self, _doing: _Doing, random: Random, _server: int) -> None:
        self.stage.clock.move(seconds=random.choice((0.4, 1, 1, 2, 30, 61, 600, 3600, 8 * 3600)))

    def _wait_long(self, _doing: _Doing, random: Random, _server: int) -> None:
        self.stage.clock.move(hours=random.choice((20, 25, 49, 8 * 24, 21 * 24, 40 * 24, 91 * 24)))

    def _expire(self, _doing: _Doing, _random: Random, server: int) -> None:
        self.stage.servers[server].authority.expire()

    def _publish(self, doing: _Doing, random: Random, server: int) -> None:
        authority = self.stage.servers[server].authority
        act = random.choice((authority.publish_crl, authority.publish_delta, authority.publish_change))
        self._publish_one(random.choice(LISTS), doing, act)

    def _publish_one(self, on: ListName, doing: _Doing, act: Callable[[str, int], PublishedCrl]) -> None:
        first = on not in self.truth.lists
        try:
            made = act(on.issuer, on.shard)
        except CrlRegression as error:
            unknown = self.restored and act.__name__ == "publish_delta"  # what was put back may have no base
            if not (doing.disturbed or first or unknown):
                raise Contradiction(f"{on} is not published: {error}") from error
            return
        if not doing.disturbed and made.der not in self.stage.list_bytes(on, doing.server):
            raise Contradiction(f"{on}: another list is served than was published")

    def _sweep(self, doing: _Doing, _random: Random, server: int) -> None:
        """Do what the worker does each minute; then, if nothing came in between, lists say what is so now."""
        authority = self.stage.servers[server].authority
        for on in LISTS:
            if authority.is_list_due(on.issuer, on.shard, timedelta(hours=24)):
                self._publish_one(on, doing, authority.publish_change)
        if doing.disturbed:
            return
        self.look_at_lists(server)
        for on in LISTS:
            faults = self.truth.faults_of(on, self.truth.latest(on), self.truth.moment)
            if faults:
                raise Contradiction(f"{on} is outdated after the sweep: {faults}")

    def _presign(self, _doing: _Doing, random: Random, server: int) -> None:
        self.stage.servers[server].authority.presign(limit=random.choice((1, 5, 1000)))

    def _restart(self, _doing: _Doing, _random: Random, server: int) -> None:
        self.stage.restart(server)

    def _device(self, _doing: _Doing, _random: Random, _server: int) -> None:
        self.stage.faults.device_down = not self.stage.faults.device_down

    def _database(self, _doing: _Doing, _random: Random, _server: int) -> None:
        faults = self.stage.faults
        faults.database_down = not (faults.database_down or faults.store_down)  # one thing at a time

    def _store(self, _doing: _Doing, _random: Random, _server: int) -> None:
        faults = self.stage.faults
        faults.store_down = not (faults.store_down or faults.database_down)

    def _backup(self, _doing: _Doing, _random: Random, _server: int) -> None:
        self.stage.back_up()

    def _restore(self, doing: _Doing, random: Random, _server: int) -> None:
        """Lose the register and put an older one in its place; then nothing that it tells may be wrong either."""
        self.stage.faults.forget()
        down = self._is_down() or self.stage.faults.store_down
        if len(self.doing) > 1 or down or not self.stage.lose_register():
            return
        doing.disturbed = self.recovering = True
        self.compare(random, everything=True)
        stage, lists = self.stage, [self.lists[on] for on in LISTS if on in self.lists]
        recovery = stage.outliving.reconcile(stage.witness, lists)
        self.compare(random, everything=True)
        stage.outliving.release(stage.witness, recovery)
        self.recovering, self.kept = False, stage.clock.now() - timedelta(days=1)
        self.restored = True
        self._keep_house(0)
        self.compare(random, everything=True)

    def _answers(self, doing: _Doing, random: Random, _server: int) -> None:
        """Lose the file of answers, spoil it, keep it, or put back what was kept."""
        if not self.stage.faults.database_down:  # what it lacks then nobody can know
            doing.disturbed = True
            random.choice((lose, spoil, keep, put_back))(self.stage.answers, random)

    # -- the truth ------------------------------------------------------------------------------------

    def _second(self) -> datetime:
        return self.stage.clock.now().replace(microsecond=0)

    def absorb(self) -> None:
        """Enter into the truth what was committed since the last look."""
        for action, serial, at in sorted(self.stage.new_events()):
            if action in (AuditAction.CERTIFICATE_INTENDED, AuditAction.CERTIFICATE_ABANDONED):
                continue
            if action == AuditAction.REVOCATION_PROPOSED:
                self.proposed.add(serial)
                continue
            doing = next((d for d in reversed(self.doing) if d.explains(action, serial, self.truth)), None)
            if doing is None:
                raise Contradiction(f"nobody asked for {action} of {serial:x}")
            if not doing.begun <= at <= self.stage.clock.now():
                raise Contradiction(f"{action} of {serial:x} is dated {at}")
            doing.entered.add(serial)
            self._enter(action, doing, serial, at.replace(microsecond=0))

    def _enter(self, action: str, doing: _Doing, serial: int, at: datetime) -> None:
        truth = self.truth
        if action == AuditAction.CERTIFICATE_ISSUED:
            issuers = self.stage.ground.ceremony.issuers
            life = read_certificate(self.stage.certificate(serial), issuers)
            life.waits = PROFILES[life.on.issuer] in WAITING
            if life.key in self.compromised:
                raise Contradiction(f"{serial:x} is for a compromised key")
            truth.born(life, at)
        elif action == AuditAction.CERTIFICATE_HELD:
            truth.hold(serial, at)
        elif action in (AuditAction.CERTIFICATE_RELEASED, AuditAction.CERTIFICATE_ACTIVATED):
            truth.lift(serial, at)
        else:
            life = truth.lives[serial]
            since = doing.invalidity
            if serial != doing.serial and since is not None:
                since = max(since, life.not_before)
            truth.revoke(serial, at, doing.reason, since)
            if doing.reason == COMPROMISE:
                self.compromised.add(life.key)

    def _settle(self, doing: _Doing) -> None:
        """A compromised key's certificates end together or not at all."""
        if doing.reason != COMPROMISE or doing.serial not in doing.entered:
            return
        left = [
            life for life in self.truth.siblings(doing.serial) if not life.revoked and life.not_after >= doing.begun
        ]
        if left and not doing.disturbed:
            raise Contradiction(f"{left[0].serial:x} outlives its compromised key")

    # -- what is published ------------------------------------------------------------------------------

    def compare(self, random: Random, *, everything: bool = False) -> None:
        """Compare what is published now with the truth."""
        server = random.randrange(SERVERS)
        if self.stage.faults.store_down or any(doing.disturbed for doing in self.doing):
            for each in self.stage.servers:
                each.follow()
        publishes = any(doing.disturbed or doing.act in PUBLISHING for doing in self.doing)
        if not (self.stage.faults.database_down or self.recovering) and (
            everything or publishes or random.random() < 0.1
        ):
            self.look_at_lists(server)
        lives = list(self.truth.lives.values())
        chosen = lives if everything else random.sample(lives, min(len(lives), 1))
        touched = [self.truth.lives[serial] for doing in self.doing for serial in doing.entered]
        for life in {life.serial: life for life in (*touched, *chosen)}.values():
            self._ask_about(life, random)
        if random.random() < 0.2:
            self._ask_about_strangers(random)

    def look_at_lists(self, server: int) -> None:
        """Read each list that is new."""
        since = min((doing.moment for doing in self.doing), default=self.truth.moment)
        for on in LISTS:
            for data, take in zip(
                self.stage.list_bytes(on, server), (self.truth.take_list, self.truth.take_delta), strict=True
            ):
                if data is not None and data not in self.published:
                    take(on, self.stage.read_list(on, data), since=since)
                    self.published.add(data)
                    if take == self.truth.take_list:
                        self.lists[on] = data

    def _ask(self, serial: int, issuer: str, random: Random) -> Told | None:
        nonce = random.randbytes(16) if random.random() < 0.2 else None
        answer = self.stage.ocsp(serial, issuer, random.randrange(SERVERS), nonce)
        told = read_answer(answer, serial, self.stage.ground.ceremony.issuers[issuer], self.stage.clock.now(), nonce)
        if told is None and not self._is_down():
            raise Contradiction(f"{serial:x}: no answer, and nothing is down")
        return told

    def _ask_about(self, life: Life, random: Random) -> None:
        told = self._ask(life.serial, life.on.issuer, random)
        if told is None:
            return
        true = life.told
        meant = None if true is None else Telling(true.since, true.reason)
        if not told.known or told.telling != meant:
            raise Contradiction(f"{life.serial:x} is {true}, but answered is {told}")

    def _ask_about_strangers(self, random: Random) -> None:
        """Ask about a number that was never given, and at one authority about what another issued."""
        asked = [(random.getrandbits(150), issuer) for issuer in PROFILES]
        for life in random.sample(list(self.truth.lives.values()), min(1, len(self.truth.lives))):
            asked += [(life.serial, issuer) for issuer in PROFILES if issuer != life.on.issuer]
        for serial, issuer in asked:
            told = self._ask(serial, issuer, random)
            if told is not None and told.known:
                raise Contradiction(f"{serial:x} was never issued by {issuer}, but answered is {told}")
