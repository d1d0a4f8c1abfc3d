"""Any history of answers, silences, holds, clock steps and restarts leaves a token that is what it must be."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca.tokens import repository
from ca.tokens.gate import HIX_POLICY
from ca.tokens.life_cycle import TokenState
from tests.support.exchange import CLINIC, CLINIC_SYSTEM, FIRST, Centre, Ceremony, Exchange

LIGHTS = {"operating_licence": "operating-licence", "siam": "siam-id", CLINIC_SYSTEM: "certified-system"}
STEPS = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(sorted(LIGHTS)), st.sampled_from(["ok", "failed", "silent"])),
    st.tuples(st.just("move"), st.integers(1, 24 * 7)),
    st.tuples(st.sampled_from(["registry-away", "registry-back", "sweep", "hold", "lift", "restart"])),
)


@dataclass
class History:
    """What happened, and what the token must therefore be."""

    clinic: Centre
    said: dict[str, str] = field(default_factory=lambda: dict.fromkeys(LIGHTS, "ok"))
    known: dict[str, str] = field(default_factory=lambda: dict.fromkeys(LIGHTS, "ok"))
    answers: bool = True
    held: bool = False

    def step(self, name: str, *details: object) -> None:
        """Let one thing happen."""
        exchange, token_id = self.clinic.exchange, self.clinic.client_id
        match name, *details:
            case "say", str(light), str(state):
                self.said[light] = state
                self._sweep()
            case "move", int(hours):
                exchange.clock.move(timedelta(hours=hours))
            case (("registry-away" | "registry-back"), *_):
                self.answers = name == "registry-back"
                self._sweep()
            case "hold", *_ if not self.held:
                exchange.service.suspend(token_id, FIRST, "test")
                self.held = True
            case "lift", *_ if self.held:
                exchange.service.restore(token_id, FIRST)
                self.held = False
            case "restart", *_:
                self.clinic.exchange = exchange.again()
            case "sweep", *_:
                self._sweep()

    def _sweep(self) -> None:
        exchange = self.clinic.exchange
        if self.answers:
            for light, state in self.said.items():
                exchange.say(CLINIC, light, state=state)
            self.known |= {light: state for light, state in self.said.items() if state != "silent"}
            exchange.service.sweep()
        else:
            kept = exchange.registry_file.read_bytes()
            exchange.silence()
            exchange.service.sweep()
            exchange.registry_file.write_bytes(kept)

    def check(self) -> None:
        """Compare the token with what it must be."""
        exchange, token_id = self.clinic.exchange, self.clinic.client_id
        failed = {LIGHTS[light] for light, state in self.known.items() if state == "failed"}
        usable = not failed and not self.held
        status = exchange.service.status(token_id)
        assert (status.token.state is TokenState.ACTIVE) == usable
        assert {light.kind for light in status.gate.failed} == failed
        with exchange.database.read() as connection:
            replayed = {light.kind: light for light in repository.light_changes_of(connection, token_id)}
        assert {kind: light.last_answer for kind, light in replayed.items()} == {
            kind: light.last_answer for kind, light in status.lights.items()
        }
        answer = self.clinic.ask(scope="hix.read")
        assert (answer.status == 200) == usable
        if answer.status == 200 and answer.json is not None:
            granted = set(answer.json["scope"].split())
            assert granted
            assert granted == {"hix.read"} or granted == set(status.gate.scopes)
            assert set(HIX_POLICY.emergency) <= set(status.gate.scopes)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=6, max_size=14))
def test_any_history_leaves_the_token_what_it_must_be(
    ceremony: Ceremony, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]]
) -> None:
    history = History(clinic=Exchange.copy(ceremony, tmp_path_factory.mktemp("history")).centre())
    history.check()
    for name, *details in steps:
        history.step(str(name), *details)
        history.check()
    history.clinic.exchange.database.close()
