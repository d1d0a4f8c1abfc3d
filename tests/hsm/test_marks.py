import fcntl
import os
import secrets
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm.custodian import marks as marks_module
from hsm.custodian.limits import KeyLimits
from hsm.custodian.marks import Marks
from hsm.custodian.purposes import MessageKind, MessageRead
from hsm.errors import HsmUnavailable, PurposeRefused

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
DIGEST, OTHER = bytes(32), bytes(31) + b"\x01"


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path / "marks")


def test_lists_follow_each_other(marks: Marks) -> None:
    for number in (1, 2, 3, 17, 2**150):
        marks.check_and_advance("ca", b"shard", number, NOW, DIGEST, LATER)


def test_a_number_never_goes_back(marks: Marks) -> None:
    marks.check_and_advance("ca", b"shard", 7, NOW, DIGEST, LATER)
    with pytest.raises(PurposeRefused, match="6 does not follow 7"):
        marks.check_and_advance("ca", b"shard", 6, LATER, OTHER, LATER)


def test_a_number_is_used_once(marks: Marks) -> None:
    marks.check_and_advance("ca", b"shard", 7, NOW, DIGEST, LATER)
    with pytest.raises(PurposeRefused):
        marks.check_and_advance("ca", b"shard", 7, NOW, OTHER, LATER)


def test_the_same_list_may_be_asked_for_again(marks: Marks) -> None:
    marks.check_and_advance("ca", b"shard", 7, NOW, DIGEST, LATER)
    marks.check_and_advance("ca", b"shard", 7, NOW, DIGEST, LATER)


def test_time_never_goes_back(marks: Marks) -> None:
    marks.check_and_advance("ca", b"shard", 7, LATER, DIGEST, LATER)
    with pytest.raises(PurposeRefused, match="thisUpdate"):
        marks.check_and_advance("ca", b"shard", 8, NOW, OTHER, LATER)
    marks.check_and_advance("ca", b"shard", 8, LATER, OTHER, LATER)


def test_an_earlier_time_follows_a_list_of_our_future_with_a_higher_number(marks: Marks) -> None:
    marks.check_and_advance("ca", b"shard", 7, LATER, DIGEST, LATER)
    with pytest.raises(PurposeRefused, match="number"):
        marks.check_and_advance("ca", b"shard", 7, NOW, OTHER, NOW)
    marks.check_and_advance("ca", b"shard", 8, NOW, OTHER, NOW)
    with pytest.raises(PurposeRefused, match="thisUpdate"):
        marks.check_and_advance("ca", b"shard", 9, NOW - timedelta(minutes=14), OTHER, NOW - timedelta(minutes=14))


def test_time_stamps_of_a_wrong_clock_are_forgotten_when_it_is_accepted(marks: Marks) -> None:
    limits, read = KeyLimits(timestamp_tolerance_ms=1000), MessageRead(MessageKind.TIMESTAMP_ATTRIBUTES, instant=LATER)
    marks.advance("tsa", read, limits, DIGEST, LATER)
    marks.clock_was_accepted()
    marks.advance("tsa", read._replace(instant=NOW), limits, DIGEST, NOW)
    with pytest.raises(PurposeRefused, match="genTime"):
        marks.advance("tsa", read._replace(instant=NOW - timedelta(seconds=2)), limits, DIGEST, NOW)


def test_scopes_and_keys_are_apart(marks: Marks) -> None:
    marks.check_and_advance("ca", b"shard 1", 7, NOW, DIGEST, LATER)
    marks.check_and_advance("ca", b"shard 2", 1, NOW, DIGEST, LATER)
    marks.check_and_advance("other", b"shard 1", 1, NOW, DIGEST, LATER)


def test_another_custodian_sees_the_mark(marks: Marks, tmp_path: Path) -> None:
    marks.check_and_advance("ca", b"shard", 7, NOW, DIGEST, LATER)
    with pytest.raises(PurposeRefused):
        Marks(tmp_path / "marks").check_and_advance("ca", b"shard", 6, LATER, OTHER, LATER)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"digest":"","number":5,"this_update":""}', b"x" * 2000])
def test_a_mark_that_cannot_be_read_stops_its_lists(marks: Marks, tmp_path: Path, content: bytes) -> None:
    marks.check_and_advance("ca", b"shard", 7, NOW, DIGEST, LATER)
    (mark,) = (tmp_path / "marks").glob("*.mark")
    mark.write_bytes(content)
    with pytest.raises(HsmUnavailable):
        marks.check_and_advance("ca", b"shard", 8, LATER, OTHER, LATER)
    marks.check_and_advance("ca", b"another", 1, NOW, DIGEST, LATER)


def test_scopes_beyond_a_bound_are_refused(marks: Marks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks_module, "MAX_MARKS", 3)
    for number in range(3):
        marks.check_and_advance("ca", bytes((number,)), 1, NOW, DIGEST, LATER)
    with pytest.raises(PurposeRefused, match="too many"):
        marks.check_and_advance("ca", b"one more", 1, NOW, DIGEST, LATER)
    marks.check_and_advance("ca", b"\x00", 2, NOW, OTHER, LATER)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HsmUnavailable):
        Marks(tmp_path / "file" / "marks")


def test_a_folder_that_is_gone_is_said(marks: Marks, tmp_path: Path) -> None:
    (tmp_path / "marks").rmdir()
    with pytest.raises(HsmUnavailable):
        marks.check_and_advance("ca", b"shard", 1, NOW, DIGEST, LATER)


def test_what_was_read_is_what_advances(marks: Marks) -> None:
    read = MessageRead(MessageKind.REVOCATION_LIST, crl_scope=b"shard", crl_number=5, instant=NOW)
    marks.advance("ca", read, KeyLimits(), DIGEST, LATER)
    with pytest.raises(PurposeRefused):
        marks.advance("ca", read._replace(crl_number=4, instant=LATER), KeyLimits(), OTHER, LATER)
    for kind in (MessageKind.CERTIFICATE, MessageKind.TIMESTAMP_ATTRIBUTES):
        marks.advance("ca", MessageRead(kind), KeyLimits(), DIGEST, LATER)


def test_a_time_stamp_is_not_much_earlier_than_the_last(marks: Marks) -> None:
    limits = KeyLimits(timestamp_tolerance_ms=1000)
    read = MessageRead(MessageKind.TIMESTAMP_ATTRIBUTES, instant=LATER)
    marks.advance("tsa", read, limits, DIGEST, LATER)
    marks.advance("tsa", read._replace(instant=LATER - timedelta(milliseconds=900)), limits, DIGEST, LATER)
    marks.advance("tsa", read._replace(instant=LATER - timedelta(milliseconds=900)), limits, DIGEST, LATER)
    with pytest.raises(PurposeRefused, match="genTime"):
        marks.advance("tsa", read._replace(instant=LATER - timedelta(milliseconds=1100)), limits, DIGEST, LATER)
    marks.advance("another", read._replace(instant=NOW), limits, DIGEST, LATER)
    marks.advance("tsa", read._replace(instant=NOW), KeyLimits(), DIGEST, LATER)


_RACER = """
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from hsm.custodian.marks import Marks
from hsm.errors import HsmUnavailable, PurposeRefused
marks = Marks(Path(sys.argv[1]))
at = datetime(2026, 11, 22, tzinfo=UTC)
number = 0
while number < 100_000:
    number += 1
    try:
        marks.check_and_advance("ca", b"shard", number, at, sha256(f"{sys.argv[2]} {number}".encode()).digest(), at)
    except PurposeRefused:
        continue
    except HsmUnavailable:  # the other one was quicker, many times
        number -= 1
        continue
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_no_number_is_given_twice_to_racing_custodians_that_are_killed(tmp_path: Path) -> None:
    folder = tmp_path / "marks"
    numbers: list[int] = []
    for turn in range(2):
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", _RACER, str(folder), f"{turn}.{which}"], stdout=subprocess.PIPE, text=True
            )
            for which in range(2)
        ]
        for racer in racers:
            assert racer.stdout is not None
            numbers.append(int(racer.stdout.readline()))
        time.sleep(secrets.randbelow(100) / 1000)
        for racer in racers:
            racer.send_signal(signal.SIGKILL)
        for racer in racers:
            with racer:
                assert racer.stdout is not None
                numbers += [int(line) for line in racer.stdout if line.endswith("\n")]
    assert len(set(numbers)) == len(numbers)
    with pytest.raises(PurposeRefused):
        Marks(folder).check_and_advance("ca", b"shard", max(numbers), NOW, sha256(b"another").digest(), LATER)


@given(numbers=st.permutations(range(12)))
@settings(max_examples=10)
def test_numbers_in_any_order_only_rise(tmp_path_factory: pytest.TempPathFactory, numbers: list[int]) -> None:
    marks = Marks(tmp_path_factory.mktemp("marks"))
    taken = []
    for number in numbers:
        try:
            marks.check_and_advance("ca", b"", number, NOW, sha256(bytes((number,))).digest(), LATER)
        except PurposeRefused:
            continue
        taken.append(number)
    assert taken == sorted(taken)
    assert taken[-1] == 11


def test_marks_that_another_custodian_does_not_let_go_of_are_not_waited_for(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "marks")
    descriptor = os.open(tmp_path / "marks", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(HsmUnavailable, match="another custodian"):
            marks.check_and_advance("ca", b"complete", 7, NOW, bytes(32), LATER)
    finally:
        os.close(descriptor)
    marks.check_and_advance("ca", b"complete", 7, NOW, bytes(32), LATER)
