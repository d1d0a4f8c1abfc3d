import threading
import time

import pytest

from cardreader.errors import ReaderBusy
from cardreader.pcsc.deadline import within
from pki.errors import ErrorCode


def test_a_call_in_time_gives_its_result() -> None:
    given_back: list[int] = []
    assert within(60, lambda: 7, given_back.append) == 7
    assert not given_back


def test_a_call_that_waits_too_long_is_left_and_its_result_given_back() -> None:
    release, returned = threading.Event(), threading.Event()
    given_back: list[int] = []

    def give_back(result: int) -> None:
        given_back.append(result)
        returned.set()

    started = time.monotonic()
    with pytest.raises(ReaderBusy) as caught:
        within(0.05, lambda: 7 if release.wait(60) else 0, give_back)
    assert time.monotonic() - started < 30
    assert caught.value.code is ErrorCode.READER_BUSY
    assert not given_back
    release.set()
    assert returned.wait(60)
    assert given_back == [7]
