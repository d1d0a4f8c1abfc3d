"""The gate that answers leave by: none before its entry is durable."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest

from hsm.custodian.gate import ReleaseGate
from hsm.custodian.refusal_flood import SINGLY_OF_A_KIND
from hsm.errors import HsmUnavailable
from pki.errors import ErrorCode
from pki.journal import DONE
from tests.hsm.gate_bench import AWAY, REFUSED, GateBench, broken_disk, said


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[GateBench]:
    with closing(GateBench(tmp_path / "journal")) as made:
        yield made


def test_an_answer_waits_for_its_page_and_leaves_after_it_once(bench: GateBench) -> None:
    call = bench.signed()
    assert bench.gate.settled() == []
    bench.gate.commit()
    assert (bench.gate.settled(), call.answer, bench.outcomes()) == ([], None, [])
    bench.end()
    assert bench.gate.settled() == [call]
    assert (said(call), bench.outcomes()) == (DONE, [DONE])
    assert bench.gate.settled() == []


def test_an_answer_that_comes_after_its_page_is_durable_leaves_at_once(bench: GateBench) -> None:
    slow = bench.used()
    bench.signed()
    bench.gate.commit()
    bench.end()
    bench.gate.settled()
    bench.give(slow)
    assert bench.gate.settled() == [slow]
    assert said(slow) == DONE


def test_an_answer_that_is_not_journalled_waits_for_nothing(bench: GateBench) -> None:
    call = bench.call()
    bench.give(call)
    assert bench.gate.settled() == [call]
    bench.gate.commit()
    assert bench.sync.begun == 0


def test_answers_of_a_commit_that_the_journal_waited_for_leave_at_once(bench: GateBench) -> None:
    bench.sync.takes_on = False
    call = bench.signed()
    bench.gate.commit()
    assert bench.gate.settled() == [call]
    assert (said(call), bench.outcomes()) == (DONE, [DONE])


def test_a_result_whose_page_was_lost_becomes_an_error(bench: GateBench) -> None:
    early, late = bench.signed(), bench.used()
    bench.gate.commit()
    bench.end(errno.EIO)
    assert bench.gate.settled() == [early]
    bench.give(late)  # the device was still busy with it
    assert bench.gate.settled() == [late]
    assert (said(early), said(late), bench.outcomes()) == (AWAY, AWAY, [])


def test_a_result_whose_page_could_not_be_written_becomes_an_error(bench: GateBench) -> None:
    early, late = bench.signed(), bench.used()
    with patch.object(os, "pwrite", broken_disk):
        bench.gate.commit()
    bench.give(late)
    assert bench.gate.settled() == [early, late]
    assert (said(early), said(late), bench.outcomes()) == (AWAY, AWAY, [])
    again = bench.signed()
    bench.gate.commit()
    bench.end()
    assert bench.gate.settled() == [again]
    assert (said(again), bench.outcomes()) == (DONE, [DONE])


def test_a_refusal_keeps_its_answer_when_its_page_is_lost(bench: GateBench) -> None:
    refused, signed = bench.refused(), bench.signed()
    bench.gate.commit()
    assert bench.gate.settled() == []
    bench.end(errno.EIO)
    assert bench.gate.settled() == [refused, signed]
    assert (said(refused), said(signed)) == (REFUSED, AWAY)


def test_calls_of_the_next_page_fail_with_the_one_that_failed(bench: GateBench) -> None:
    first = bench.signed()
    bench.gate.commit()
    signed, refused, asked = bench.signed(), bench.refused(), bench.used()
    bench.end(errno.EIO)
    bench.give(asked)
    assert bench.gate.settled() == [first, signed, refused, asked]
    assert [said(call) for call in (first, signed, refused, asked)] == [AWAY, AWAY, REFUSED, AWAY]
    healed = bench.signed()
    bench.gate.commit()
    bench.end()
    assert (said(healed), bench.outcomes()) == (DONE, [DONE])


def test_calls_of_the_next_page_wait_for_a_commit_of_their_own(bench: GateBench) -> None:
    first = bench.signed()
    bench.gate.commit()
    second = bench.signed()
    bench.end()
    assert bench.gate.settled() == [first]
    bench.gate.commit()
    assert bench.gate.settled() == []
    bench.end()
    assert bench.gate.settled() == [second]
    assert bench.outcomes() == [DONE, DONE]


def test_a_use_that_came_to_nothing_has_a_second_entry_and_waits_for_it(bench: GateBench) -> None:
    other, call = bench.signed(), bench.used()
    bench.gate.commit()
    bench.come_to_nothing(call)
    bench.end()
    assert bench.gate.settled() == [other]
    bench.gate.commit()
    assert bench.gate.settled() == []
    bench.end()
    assert bench.gate.settled() == [call]
    assert said(call) == AWAY
    assert [use.outcome for use in bench.uses() if use.digest == call.digest] == [DONE, AWAY]


def test_a_use_that_came_to_nothing_on_one_page_is_answered_once(bench: GateBench) -> None:
    call = bench.used()
    bench.come_to_nothing(call)
    bench.gate.commit()
    bench.end()
    assert bench.gate.settled() == [call]
    assert bench.outcomes() == [DONE, AWAY]


def test_nothing_is_committed_while_nobody_waits(bench: GateBench) -> None:
    bench.gate.commit()
    call = bench.used()
    bench.gate.commit()
    assert bench.sync.begun == 0
    bench.give(call)
    bench.gate.commit()
    assert bench.sync.begun == 1
    bench.used()
    bench.end()
    bench.gate.commit()
    assert bench.sync.begun == 1


def test_an_entry_that_nobody_waits_for_is_committed_when_it_is_no_use(bench: GateBench) -> None:
    bench.gate.enter(bench.call(), ErrorCode.NOT_ALLOWED)  # a user that was not let in: there is no answer
    bench.gate.commit()
    assert bench.sync.begun == 1
    bench.end()
    assert (bench.outcomes(), bench.gate.settled()) == ([ErrorCode.NOT_ALLOWED], [])


def test_refusals_that_were_held_back_are_told_though_nobody_waits(bench: GateBench) -> None:
    calls = [bench.refused() for _ in range(SINGLY_OF_A_KIND + 3)]
    bench.gate.commit()
    bench.end()
    assert bench.gate.settled() == calls
    bench.gate.commit()
    assert bench.sync.begun == 1
    bench.ticks.now += 2
    bench.gate.commit()
    bench.end()
    assert [use.count for use in bench.uses()] == [1] * SINGLY_OF_A_KIND + [3]


def test_a_refusal_that_is_held_back_waits_for_no_disk(bench: GateBench) -> None:
    for _ in range(SINGLY_OF_A_KIND):
        bench.refused()
    bench.gate.commit()
    bench.end()
    bench.gate.settled()
    call = bench.refused()
    bench.gate.commit()
    assert bench.gate.settled() == [call]
    assert bench.sync.begun == 1


def test_a_second_commit_does_not_begin_while_one_is_under_way(bench: GateBench) -> None:
    bench.signed()
    bench.gate.commit()
    second = bench.signed()
    for _ in range(3):
        bench.gate.commit()  # the sync would say that it was asked twice
    assert bench.sync.begun == 1
    bench.end()
    bench.gate.commit()
    assert bench.sync.begun == 2
    bench.end()
    assert said(second) == DONE


def test_the_end_of_no_commit_changes_nothing(bench: GateBench) -> None:
    call = bench.signed()
    bench.gate.commit_ended()
    assert (bench.gate.settled(), call.answer) == ([], None)


def test_a_use_that_cannot_be_dated_is_not_entered(tmp_path: Path) -> None:
    def now() -> None:
        raise HsmUnavailable("the clock ran back")

    with closing(GateBench(tmp_path / "journal")) as bench:
        bench.gate = ReleaseGate(bench.journal, now)  # type: ignore[arg-type]
        call = bench.call()
        with pytest.raises(HsmUnavailable, match="clock"):
            bench.gate.enter(call, DONE)
        assert call.page is None
        bench.gate.commit()
        assert bench.sync.begun == 0
