"""What is published, lists and answers, compared with the truth while acts may be under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Final

from pki.audit import AuditAction
from tests.ca.status.histories_model import COMPROMISE, Contradiction, Life, ListName, Telling, Truth
from tests.ca.status.histories_reader import Told, read_answer
from tests.ca.status.histories_world import LISTS, PROFILES, SERVERS, Stage

CHANGES: Final = {
    "hold": AuditAction.CERTIFICATE_HELD,
    "unhold": AuditAction.CERTIFICATE_RELEASED,
    "activate": AuditAction.CERTIFICATE_ACTIVATED,
    "revoke": AuditAction.CERTIFICATE_REVOKED,
    "take-back": AuditAction.CERTIFICATE_REVOKED,
}
PUBLISHING: Final = ("publish", "sweep")


@dataclass(slots=True, kw_only=True)
class Doing:
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


class Comparison:
    """A stage, the truth about it, and everything published that was compared with it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.truth = Truth()
        self.published: set[bytes] = set()
        self.lists: dict[ListName, bytes] = {}
        self.recovering = False
        self.doing: list[Doing] = []

    @property
    def is_down(self) -> bool:
        """Whether there is no promise that anything new is signed."""
        return self.recovering or self.stage.faults.device_down or self.stage.faults.database_down

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
        if told is None and not self.is_down:
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
