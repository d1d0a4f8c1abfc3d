"""Playing a history: each step is done by the product, entered into the truth, and all that is published is compared.

What became of a step that was cut off is read from the ledger: the act is in it or it never was. Whatever the ledger
tells must have been asked for, whatever was answered to have been done must be in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from tests.ca.status.histories_comparison import Comparison, Doing
from tests.ca.status.histories_faults import FREE, Killed, Point
from tests.ca.status.histories_model import COMPROMISE, Contradiction, Life, ListName
from tests.ca.status.histories_plan import Step, plan
from tests.ca.status.histories_reader import read_certificate
from tests.ca.status.histories_world import LISTS, PROFILES, SERVERS, WAITING, Stage, keep, lose, put_back, spoil
from tests.ca.world import CLERK, FIRST

REASONS: Final = tuple(reason for reason in RevocationReason if reason is not RevocationReason.CERTIFICATE_HOLD)
EVIDENCE: Final = "5e" * 32


class Player(Comparison):
    """Plays one history on a stage."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.restored = False
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
        doing = Doing(act=step.act, server=server, begun=self._second(), moment=self.truth.moment)
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
        if self.is_down or abs(now - self.kept) < timedelta(hours=12):
            return
        authority = self.stage.servers[server].authority
        authority.prepare_keys()
        if authority.renew_services():
            self.stage.clock.move(seconds=61)  # after which every server knows
        self.stage.new_events()
        self.kept = now

    def _do(self, step: Step, doing: Doing, random: Random, server: int) -> None:
        act: Callable[[Doing, Random, int], None] = getattr(self, "_" + step.act.replace("-", "_"), self._change)
        try:
            act(doing, random, server)
        except Killed:
            doing.disturbed = True
            self.stage.restart(server)
        except Unavailable:
            if not (doing.disturbed or self.is_down or self.stage.faults.store_down):
                raise

    def _lay(self, step: Step, server: int, random: Random, doing: Doing) -> None:
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

    def _issue(self, doing: Doing, random: Random, server: int) -> None:
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

    def _change(self, doing: Doing, random: Random, server: int) -> None:
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

    def _ask_for(self, doing: Doing, life: Life, random: Random, server: int) -> None:
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

    def _done(self, doing: Doing, serial: int) -> None:
        """What was answered to have been done is on record."""
        self.absorb()
        if serial not in doing.entered:
            raise Contradiction(f"{doing.act} of {serial:x} was answered, but is not on record")

    def _wait(self, _doing: Doing, random: Random, _server: int) -> None:
        self.stage.clock.move(seconds=random.choice((0.4, 1, 1, 2, 30, 61, 600, 3600, 8 * 3600)))

    def _wait_long(self, _doing: Doing, random: Random, _server: int) -> None:
        self.stage.clock.move(hours=random.choice((20, 25, 49, 8 * 24, 21 * 24, 40 * 24, 91 * 24)))

    def _expire(self, _doing: Doing, _random: Random, server: int) -> None:
        self.stage.servers[server].authority.expire()

    def _publish(self, doing: Doing, random: Random, server: int) -> None:
        authority = self.stage.servers[server].authority
        act = random.choice((authority.publish_crl, authority.publish_delta, authority.publish_change))
        self._publish_one(random.choice(LISTS), doing, act)

    def _publish_one(self, on: ListName, doing: Doing, act: Callable[[str, int], PublishedCrl]) -> None:
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

    def _sweep(self, doing: Doing, _random: Random, server: int) -> None:
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

    def _presign(self, _doing: Doing, random: Random, server: int) -> None:
        self.stage.servers[server].authority.presign(limit=random.choice((1, 5, 1000)))

    def _restart(self, _doing: Doing, _random: Random, server: int) -> None:
        self.stage.restart(server)

    def _device(self, _doing: Doing, _random: Random, _server: int) -> None:
        self.stage.faults.device_down = not self.stage.faults.device_down

    def _database(self, _doing: Doing, _random: Random, _server: int) -> None:
        faults = self.stage.faults
        faults.database_down = not (faults.database_down or faults.store_down)  # one thing at a time

    def _store(self, _doing: Doing, _random: Random, _server: int) -> None:
        faults = self.stage.faults
        faults.store_down = not (faults.store_down or faults.database_down)

    def _backup(self, _doing: Doing, _random: Random, _server: int) -> None:
        self.stage.back_up()

    def _restore(self, doing: Doing, random: Random, _server: int) -> None:
        """Lose the register and put an older one in its place; then nothing that it tells may be wrong either."""
        self.stage.faults.forget()
        down = self.is_down or self.stage.faults.store_down
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

    def _answers(self, doing: Doing, random: Random, _server: int) -> None:
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

    def _enter(self, action: str, doing: Doing, serial: int, at: datetime) -> None:
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

    def _settle(self, doing: Doing) -> None:
        """A compromised key's certificates end together or not at all."""
        if doing.reason != COMPROMISE or doing.serial not in doing.entered:
            return
        left = [
            life for life in self.truth.siblings(doing.serial) if not life.revoked and life.not_after >= doing.begun
        ]
        if left and not doing.disturbed:
            raise Contradiction(f"{left[0].serial:x} outlives its compromised key")
