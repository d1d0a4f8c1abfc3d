from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ca.errors import IllegalTransition
from ca.registration_states import (
    BEFORE_APPROVERS,
    CLOSED,
    TRANSITIONS,
    UNDECIDED,
    FileAct,
    FileState,
    next_state,
)
from pki.errors import ErrorCode


def test_the_table_speaks_of_every_state_and_every_act() -> None:
    assert set(TRANSITIONS) == set(FileState)
    assert {act for acts in TRANSITIONS.values() for act in acts} == set(FileAct)
    assert set(FileState) == UNDECIDED | CLOSED | {FileState.APPROVED}


def test_what_is_decided_stays_so() -> None:
    for state in CLOSED | {FileState.APPROVED}:
        assert not TRANSITIONS[state]


def test_only_what_lies_before_the_approvers_can_be_approved_or_refused() -> None:
    for act in (FileAct.APPROVE, FileAct.COMPLETE, FileAct.REFUSE):
        assert {state for state, acts in TRANSITIONS.items() if act in acts} == BEFORE_APPROVERS


def test_every_undecided_file_can_be_withdrawn_and_ends_by_itself() -> None:
    for state in UNDECIDED:
        assert next_state(state, FileAct.WITHDRAW) is FileState.WITHDRAWN
        assert next_state(state, FileAct.EXPIRE) is FileState.EXPIRED


@given(state=st.sampled_from(FileState), act=st.sampled_from(FileAct))
def test_what_the_table_lacks_is_refused_by_the_name_of_the_state(state: FileState, act: FileAct) -> None:
    if act in TRANSITIONS[state]:
        assert next_state(state, act) is TRANSITIONS[state][act]
        return
    with pytest.raises(IllegalTransition) as caught:
        next_state(state, act)
    assert (caught.value.code, caught.value.reason) == (ErrorCode.STATE_ILLEGAL, f"file.{state}")


class Life(RuleBasedStateMachine):
    """Any acts in any order, with the yeses counted beside."""

    def __init__(self) -> None:
        super().__init__()
        self.state = FileState.DRAFT
        self.presented = self.refused = False
        self.completed = 0

    @rule(act=st.sampled_from(FileAct))
    def do(self, act: FileAct) -> None:
        before = self.state
        try:
            self.state = next_state(self.state, act)
        except IllegalTransition:
            assert self.state is before
            return
        self.presented |= act is FileAct.PRESENT
        self.refused |= act is FileAct.REFUSE
        self.completed += act is FileAct.COMPLETE

    @invariant()
    def a_file_is_decided_once_and_only_after_it_was_presented(self) -> None:
        assert (self.state is FileState.APPROVED) == (self.completed == 1)
        assert (self.state is FileState.REFUSED) == self.refused
        assert self.presented or self.state in {FileState.DRAFT, FileState.WITHDRAWN, FileState.EXPIRED}


test_any_life_of_a_file = Life.TestCase
