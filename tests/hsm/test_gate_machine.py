"""The gate that answers leave by, in any order of acts: each leaves in the end, and no result without its entry."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hsm.custodian.connection import Call
from pki.journal import DONE
from tests.hsm.gate_bench import AWAY, REFUSED, GateBench, broken_disk, said


class GateMachine(RuleBasedStateMachine):
    """Uses, refusals, answers, commits and disks that fail, in any order."""

    new_folder: Callable[[], Path]

    def __init__(self) -> None:
        super().__init__()
        self.bench = GateBench(self.new_folder())
        self.asked: list[Call] = []  # of the device
        self.owed: dict[Call, str] = {}  # what was given and has not left
        self.left: list[tuple[Call, str]] = []

    @rule()
    def use(self) -> None:
        self.asked.append(self.bench.used())

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), signed=st.booleans())
    def answer(self, data: st.DataObject, *, signed: bool) -> None:
        call = self.asked.pop(data.draw(st.integers(0, len(self.asked) - 1)))
        if signed:
            self.bench.give(call)
            self.owed[call] = DONE
        else:
            self.bench.come_to_nothing(call)
            self.owed[call] = AWAY

    @rule()
    def answer_without_an_entry_before(self) -> None:
        self.owed[self.bench.signed()] = DONE

    @rule()
    def refuse(self) -> None:
        self.owed[self.bench.refused()] = REFUSED

    @rule(seconds=st.sampled_from([0.3, 2.0]))
    def wait(self, seconds: float) -> None:
        self.bench.ticks.now += seconds

    @rule(taken_on=st.booleans())
    def commit(self, *, taken_on: bool) -> None:
        self.bench.sync.takes_on = taken_on
        self.bench.gate.commit()

    @rule(call=st.sampled_from(["pwrite", "fdatasync"]))
    def commit_to_a_broken_disk(self, call: str) -> None:
        self.bench.sync.takes_on = False
        with patch.object(os, call, broken_disk):
            self.bench.gate.commit()

    @precondition(lambda self: self.bench.sync.under_way)
    @rule(error=st.sampled_from([0, 0, errno.EIO, errno.ENOSPC]))
    def end(self, error: int) -> None:
        self.bench.end(error)

    @invariant()
    def no_result_leaves_without_its_entry(self) -> None:
        durable = {use.digest for use in self.bench.uses() if use.outcome == DONE}
        for call in self.bench.gate.settled():
            given, what = self.owed.pop(call), said(call)
            self.left.append((call, what))
            if given == DONE:
                assert (what == DONE) == (call.digest in durable)
            else:
                assert what == given
        assert all(call.answer is None for call in self.owed)

    def teardown(self) -> None:
        bench = self.bench
        try:
            bench.sync.takes_on = True
            for call in self.asked:
                bench.give(call)
                self.owed[call] = DONE
            for _ in range(2):
                if bench.sync.under_way:
                    bench.end()
                bench.gate.commit()
            if bench.sync.under_way:
                bench.end()
            self.no_result_leaves_without_its_entry()
            assert not self.owed
            durable = {use.digest for use in bench.uses() if use.outcome == DONE}
            assert all((call.digest in durable) == (what == DONE) for call, what in self.left if call.is_result)
        finally:
            bench.close()


def test_a_gate_as_a_machine_lets_every_answer_go_and_no_result_without_its_entry(tmp_path: Path) -> None:
    class Machine(GateMachine):
        made = 0

        @classmethod
        def new_folder(cls) -> Path:
            cls.made += 1
            return tmp_path / str(cls.made)

    run_state_machine_as_test(Machine, settings=settings(max_examples=40, stateful_step_count=40))
