"""Any history of issuing, judging, activating, closing and newer linters keeps the promises about certificates."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update

from ca.errors import FourEyesRequired, IllegalTransition
from ca.lint.findings import GATE, Severity
from ca.linting.desk import check_activation
from ca.linting.verdicts import LintState
from ca.officers.identity import Officer
from ca.status.revocation import CertificateState
from ca.tables import certificates
from pki.errors import Conflict
from tests.ca.linting.judges import SpokenJudge, desk_of, finding, settle
from tests.ca.world import FIRST, SECOND, THIRD, World

WORDS = st.lists(
    st.builds(finding, st.sampled_from(Severity), st.sampled_from(["pkilint.one", "pkilint.two"])), max_size=2
).map(tuple)


@dataclass
class Known:
    """What a certificate's history allows it to be."""

    active: bool = False
    first: Severity | None = None
    judged: bool = False
    released: bool = False
    versions: set[str] = field(default_factory=set)


class LintHistories(RuleBasedStateMachine):
    """Certificates that start before their activation; `world` is set by the test."""

    world: World

    @initialize()
    def begin(self) -> None:
        settle(self.world)
        with self.world.database.begin() as unit:  # what an earlier example left is out of this one
            unit.connection.execute(update(certificates).values(state=CertificateState.REVOKED.value))
        self.judge = SpokenJudge()
        self.desk = desk_of(self.world, self.judge)
        self.known: dict[str, Known] = {}
        self.closers: dict[str, set[str]] = {}
        self.before = {alarm.id for alarm in self.desk.alarms(limit=500)}

    def _set_state(self, serial: str, state: CertificateState) -> None:
        with self.world.database.begin() as unit:
            unit.connection.execute(
                update(certificates).where(certificates.c.serial == serial).values(state=state.value)
            )

    @precondition(lambda self: len(self.known) < 4)
    @rule()
    def issue(self) -> None:
        serial = self.world.issue("hix-seal").serial_hex
        self._set_state(serial, CertificateState.INTENDED)
        self.known[serial] = Known()

    @rule(words=WORDS)
    def sweep(self, words: tuple[object, ...]) -> None:
        self.judge.words = words  # type: ignore[assignment]
        waiting = [known for known in self.known.values() if not known.judged]
        assert self.desk.sweep(100) >= len(waiting)
        for known in waiting:
            self._now_judged(known)

    def _now_judged(self, known: Known) -> None:
        known.judged = True
        known.first = max((f.severity for f in self.judge.words), default=None)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), words=WORDS)
    def look(self, data: st.DataObject, words: tuple[object, ...]) -> None:
        serial = data.draw(st.sampled_from(list(self.known)))
        self.judge.words = words  # type: ignore[assignment]
        self.desk.verdict_of(serial)
        if not self.known[serial].judged:
            self._now_judged(self.known[serial])

    @rule()
    def upgrade_the_linter(self) -> None:
        self.judge = SpokenJudge(version=str(float(self.judge.version) + 1), words=self.judge.words)
        self.desk = desk_of(self.world, self.judge)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def activate(self, data: st.DataObject) -> None:
        serial = data.draw(st.sampled_from(list(self.known)))
        known = self.known[serial]
        may = known.judged and (known.first is None or known.first < GATE or known.released)
        try:
            with self.world.database.begin() as unit:
                check_activation(unit.connection, [serial])
        except Conflict:
            assert not may
        else:
            assert may
            known.active = True
            self._set_state(serial, CertificateState.GOOD)

    @precondition(lambda self: any(alarm.id not in self.before for alarm in self.desk.alarms(limit=500)))
    @rule(data=st.data(), officer=st.sampled_from([FIRST, SECOND, THIRD]))
    def close(self, data: st.DataObject, officer: Officer) -> None:
        alarms = [alarm for alarm in self.desk.alarms(limit=500) if alarm.id not in self.before]
        issued = list(self.known)  # numbers and ids are random: a history that is replayed must find the same alarm
        alarms.sort(key=lambda alarm: (issued.index(alarm.serial_hex), alarm.holds, alarm.raised_at))
        alarm = data.draw(st.sampled_from(alarms))
        said = self.closers.setdefault(alarm.id, set())
        try:
            closed = self.desk.close_alarm(alarm.id, officer, "seen")
        except (FourEyesRequired, IllegalTransition):
            assert officer.id in said
            return
        assert officer.id not in said
        said.add(officer.id)
        assert (closed.closed_at is not None) == (len(said) == 2)
        known = self.known[alarm.serial_hex]
        if closed.closed_at is not None and alarm.holds:
            known.released = True

    @invariant()
    def no_verdict_moves_a_status(self) -> None:
        with self.world.database.read() as connection:
            rows = connection.execute(
                select(certificates.c.serial, certificates.c.state, certificates.c.lint_state).where(
                    certificates.c.serial.in_(list(self.known))
                )
            ).all()
        for serial, state, lint_state in rows:
            known = self.known[serial]
            assert state == (CertificateState.GOOD if known.active else CertificateState.INTENDED).value
            assert (lint_state == LintState.PENDING) == (not known.judged)
            assert (lint_state == LintState.REVIEWED) == known.released

    @invariant()
    def a_held_certificate_has_an_open_alarm(self) -> None:
        opened = {alarm.serial_hex for alarm in self.desk.alarms(limit=500) if alarm.holds}
        for serial, known in self.known.items():
            held = known.judged and known.first is not None and known.first >= GATE and not known.released
            assert not held or serial in opened


def test_no_history_activates_what_is_held_nor_touches_a_status(world: World) -> None:
    machine = type("MachineOnThisWorld", (LintHistories,), {"world": world})
    run_state_machine_as_test(machine, settings=settings(max_examples=12, stateful_step_count=20, deadline=None))
