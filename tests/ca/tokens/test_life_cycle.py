"""States of a connection token: what the table allows, and nothing else."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.tokens.life_cycle import TRANSITIONS, TokenAct, TokenState, next_state
from pki.errors import Conflict


@pytest.mark.parametrize(("state", "act"), list(product(TokenState, TokenAct)))
def test_every_step_is_in_the_table_or_refused(state: TokenState, act: TokenAct) -> None:
    if (state, act) in TRANSITIONS:
        assert next_state(state, act) is TRANSITIONS[state, act]
    else:
        with pytest.raises(Conflict):
            next_state(state, act)


@given(st.lists(st.sampled_from(TokenAct), max_size=20))
def test_nothing_comes_back_from_the_end_and_no_life_skips_approval(acts: list[TokenAct]) -> None:
    state, seen = TokenState.REQUESTED, [TokenState.REQUESTED]
    for act in acts:
        if (state, act) in TRANSITIONS:
            state = next_state(state, act)
            seen.append(state)
    assert TokenState.TERMINATED not in seen[:-1]
    assert TokenState.ACTIVE not in seen or seen.index(TokenState.APPROVED) < seen.index(TokenState.ACTIVE)
