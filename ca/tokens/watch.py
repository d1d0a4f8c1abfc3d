"""Watching the lights: what registries say is written down, and suspends or restores in the same transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from ca.tokens import repository
from ca.tokens.config import TokenSettings
from ca.tokens.gate import GateDecision, decide
from ca.tokens.life_cycle import ConnectionToken, TokenAct, TokenState, next_state
from ca.tokens.lights import Light, LightKind, RegistryAnswer, next_light
from ca.tokens.registry import CentreRegistry
from ca.tokens.status import TokenStatus
from pki.audit import AuditAction, AuditEvent
from pki.clock import Clock
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

ACTOR: Final = "centre-registry"
ALIVE: Final = (TokenState.REQUESTED, TokenState.APPROVED, TokenState.ACTIVE, TokenState.SUSPENDED)
PAGE: Final = 200
PURGE_AFTER: Final = timedelta(hours=1)  # a clock that is set back a little meets no forgotten assertion


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """What a sweep found: tokens looked at, suspended and restored by it, and how many have a silent light."""

    checked: int
    suspended: tuple[str, ...]
    restored: tuple[str, ...]
    silent: int


def hear(
    unit: UnitOfWork, token: ConnectionToken, answers: Iterable[RegistryAnswer], settings: TokenSettings, now: datetime
) -> TokenStatus:
    """Write answers down for a token that is locked; suspend it for a no, restore it when all are cured.

    A hold by a person is not lifted.
    """
    lights = repository.lights_of(unit.connection, [token.id])[token.id]
    for answer in answers:
        before = lights.get(answer.kind)
        after = lights[answer.kind] = next_light(before, answer, now)
        repository.save_light(unit.connection, token.id, after)
        if not after.says_the_same(before):
            repository.add_light_change(unit.connection, token.id, after, now)
            unit.audit.record(_light_event(token, after, now))
    gate = decide(lights.values(), settings.policy, now)
    return TokenStatus(token=_follow(unit, token, gate, now), lights=lights, gate=gate)


def _follow(unit: UnitOfWork, token: ConnectionToken, gate: GateDecision, now: datetime) -> ConnectionToken:
    """Bring the state in line with the lights."""
    if gate.failed and token.state is TokenState.ACTIVE:
        act, action = TokenAct.SUSPEND, AuditAction.TOKEN_SUSPENDED
    elif not gate.failed and token.hold is None and token.state is TokenState.SUSPENDED:
        act, action = TokenAct.RESTORE, AuditAction.TOKEN_RESTORED
    else:
        return token
    changed = replace(token, state=next_state(token.state, act), changed_at=now)
    repository.save_token(unit.connection, changed)
    facts = {"cause": "lights", "failed": ",".join(str(light.kind) for light in gate.failed)}
    unit.audit.record(AuditEvent(action=action, at=now, actor=ACTOR, subject=token.id, facts=facts))
    return changed


def _light_event(token: ConnectionToken, light: Light, now: datetime) -> AuditEvent:
    return AuditEvent(
        action=AuditAction.TOKEN_LIGHT_CHANGED,
        at=now,
        actor=ACTOR,
        subject=token.id,
        facts={
            "light": str(light.kind),
            "state": str(light.state),
            "last_answer": None if light.last_answer is None else str(light.last_answer),
            "source": light.source,
            "reference": light.reference,
        },
    )


class Watch:
    """Ask the registry about connection tokens and follow its answers."""

    def __init__(self, database: Database, registry: CentreRegistry, settings: TokenSettings, clock: Clock) -> None:
        self._database, self._registry, self._settings, self._clock = database, registry, settings, clock

    def refresh(self, token_id: str) -> TokenStatus:
        """Ask about one token now; NotFound."""
        now = self._clock.now()
        with self._database.read() as connection:
            token = repository.get_token(connection, token_id)
        answers = self._ask(token, now)
        with self._database.begin() as unit:
            return hear(unit, repository.lock_token(unit.connection, token_id), answers, self._settings, now)

    def sweep(self) -> SweepReport:
        """Ask about every living token; forget assertions and denials that have expired. Idempotent."""
        checked, silent = 0, 0
        suspended: list[str] = []
        restored: list[str] = []
        after = ""
        while page := self._page(after):
            after, checked = page[-1].token.id, checked + len(page)
            for before, now_is in zip(page, self._sweep_page(page), strict=True):
                silent += now_is.is_silent
                step = (before.token.state, now_is.token.state)
                if step == (TokenState.ACTIVE, TokenState.SUSPENDED):
                    suspended.append(now_is.token.id)
                elif step == (TokenState.SUSPENDED, TokenState.ACTIVE):
                    restored.append(now_is.token.id)
        self._purge()
        return SweepReport(checked=checked, suspended=tuple(suspended), restored=tuple(restored), silent=silent)

    def _purge(self) -> None:
        before = self._clock.now() - PURGE_AFTER
        with self._database.read() as connection:
            if not repository.has_expired(connection, before):
                return
        with self._database.begin() as unit:
            repository.purge_expired(unit.connection, before)

    def _ask(self, token: ConnectionToken, now: datetime) -> tuple[RegistryAnswer, ...]:
        return self._registry.ask(token.siam_id, token.system_id, now).answers

    def _page(self, after: str) -> list[TokenStatus]:
        now = self._clock.now()
        with self._database.read() as connection:
            tokens = repository.list_tokens(connection, ALIVE, after=after, limit=PAGE)
            lights = repository.lights_of(connection, [token.id for token in tokens])
        return [
            TokenStatus(
                token=token, lights=lights[token.id], gate=decide(lights[token.id].values(), self._settings.policy, now)
            )
            for token in tokens
        ]

    def _sweep_page(self, page: Sequence[TokenStatus]) -> list[TokenStatus]:
        """Hear what is new about a page of tokens in one transaction; most pages have no news and need none."""
        now = self._clock.now()
        news = {}
        for status in page:
            answers = self._ask(status.token, now)
            if self._is_news(status.lights, answers, now):
                news[status.token.id] = answers
        if not news:
            return list(page)
        found = {status.token.id: status for status in page}
        with self._database.begin() as unit:
            for token_id, answers in news.items():
                token = repository.lock_token(unit.connection, token_id)
                found[token_id] = hear(unit, token, answers, self._settings, now)
        return list(found.values())

    def _is_news(self, known: Mapping[LightKind, Light], answers: Iterable[RegistryAnswer], now: datetime) -> bool:
        """Whether the answers say more than that everything is as it was a moment ago."""
        for answer in answers:
            before = known.get(answer.kind)
            after = next_light(before, answer, now)
            if before is None or not after.says_the_same(before):
                return True
            if before.last_answer_at and after.last_answer_at:
                grown = after.last_answer_at - before.last_answer_at
                if grown >= self._settings.light_refresh:
                    return True
        return False
