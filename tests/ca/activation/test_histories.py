"""Any history of codes, tries, ends and revocations keeps the promises about activation."""

from __future__ import annotations

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

from ca.activation.desk import LIFE
from ca.activation.records import ActivationState
from ca.holder_codes.records import MAX_TRIES
from ca.status.revocation import CertificateState, RevocationReason
from pki.errors import Conflict, ErrorCode, NotAllowed
from tests.ca.world import CLERK, World, new_csr

WRONG = "0000-0000"


class ActivationHistories(RuleBasedStateMachine):
    """One card's file over its life; `world` is set by the test."""

    world: World

    @initialize()
    def begin(self) -> None:
        self.file = self.world.approved()
        self.name = ""
        self.codes = ("", "")
        self.old: list[tuple[str, tuple[str, str]]] = []
        self.wrong = 0
        self.ends = self.world.clock.now()
        self.done = False
        self.issued: list[str] = []  # in their order: a history that is replayed must find the same one
        self.good: set[str] = set()
        self.waiting: set[str] = set()
        self.revoked: set[str] = set()

    @precondition(lambda self: len(self.issued) < 4)
    @rule(profile=st.sampled_from(["clin-sign", "clin-auth"]))
    def issue(self, profile: str) -> None:
        issued = self.world.authority.issue(profile, self.file.id, new_csr(), "clerk")
        self.issued.append(issued.serial_hex)
        self.waiting.add(issued.serial_hex)

    @precondition(lambda self: self.waiting)
    @rule()
    def make_codes(self) -> None:
        made = self.world.activation.send(self.world.activation.make(self.file.id, CLERK).id)
        if self.name and not self.done:
            self.old.append((self.name, self.codes))
        self.name, self.codes = made.id, self.world.postbox.codes_of(made.id)
        self.wrong, self.done, self.ends = 0, False, made.expires_at

    @rule(days=st.sampled_from([1, LIFE.days // 2, LIFE.days]))
    def time_passes(self, days: int) -> None:
        self.world.clock.move(days=days)

    @precondition(lambda self: self.name)
    @rule(which=st.sampled_from([0, 1]))
    def type_a_wrong_code(self, which: int) -> None:
        typed = (WRONG, self.codes[1]) if which else (self.codes[0], WRONG)
        self.wrong = min(self.wrong + 1, MAX_TRIES + 1)
        code = ErrorCode.ACTIVATION_REFUSED if self.wrong < MAX_TRIES else ErrorCode.ACTIVATION_LOCKED
        assert self.attempt(self.name, typed) == code

    @precondition(lambda self: self.name)
    @rule()
    def type_the_right_codes(self) -> None:
        said = self.attempt(self.name, self.codes)
        if self.wrong >= MAX_TRIES:
            assert said == ErrorCode.ACTIVATION_LOCKED
        elif self.done:
            assert said == "repeated"
        elif self.world.clock.now() >= self.ends:
            assert said == ErrorCode.ACTIVATION_EXPIRED
        elif not self.waiting:
            assert said == ErrorCode.STATE_ILLEGAL
        else:
            assert said == "done"
            self.done = True
            self.good |= self.waiting
            self.waiting = set()

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def type_codes_of_before(self, data: st.DataObject) -> None:
        name, codes = data.draw(st.sampled_from(self.old))
        assert self.attempt(name, codes) == ErrorCode.ACTIVATION_REFUSED

    @precondition(lambda self: self.waiting | self.good)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        serial = data.draw(st.sampled_from([one for one in self.issued if one not in self.revoked]))
        self.world.authority.revoke(serial, RevocationReason.SUPERSEDED, CLERK)
        self.waiting.discard(serial)
        self.good.discard(serial)
        self.revoked.add(serial)

    def attempt(self, name: str, typed: tuple[str, str]) -> str:
        try:
            return "repeated" if self.world.activation.activate(name, *typed, "test").repeated else "done"
        except (NotAllowed, Conflict) as error:
            return error.code

    @invariant()
    def every_certificate_is_where_its_history_put_it(self) -> None:
        for serials, state in (
            (self.waiting, CertificateState.ISSUED),
            (self.good, CertificateState.GOOD),
            (self.revoked, CertificateState.REVOKED),
        ):
            for serial in serials:
                record = self.world.authority.get(serial)
                assert record.state is state
                assert record.status.listed == (state is not CertificateState.GOOD)

    @invariant()
    def the_count_of_tries_is_of_wrong_ones(self) -> None:
        found, waiting = self.world.activation.status(self.file.id)
        assert set(waiting) == self.waiting
        if found is not None and found.id == self.name:
            assert found.tries == min(self.wrong, MAX_TRIES)
            locked = found.state(self.world.clock.now()) is ActivationState.LOCKED
            assert locked == (self.wrong >= MAX_TRIES and not self.done)


def test_no_history_makes_good_without_the_codes(world: World) -> None:
    machine = type("MachineOnThisWorld", (ActivationHistories,), {"world": world})
    run_state_machine_as_test(machine, settings=settings(max_examples=12, stateful_step_count=16, deadline=None))
