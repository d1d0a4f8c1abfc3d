import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.jose import canonical_json
from pki.journal import (
    DONE,
    MAX_LINE_OCTETS,
    START,
    KeyUse,
    check_continues,
    is_key,
    is_name,
    journal_line,
    line_hash,
    parse_line,
)

NOW = datetime(2026, 11, 22, 9, 0, 0, 120, tzinfo=UTC)
USE = KeyUse(
    at=NOW, role="worker", uid=998, key="issuing-persons", act="certificate", count=1, digest=bytes(32), outcome=DONE
)

names = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,31}", fullmatch=True)
uses = st.builds(
    KeyUse,
    at=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=3, minutes=30))]))
    .filter(lambda at: 1 < at.year < 9999)
    .map(lambda at: at.astimezone(UTC)),
    role=names,
    uid=st.integers(0, 2**32),
    key=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=64),
    act=names,
    count=st.integers(1, 2**40),
    digest=st.binary(min_size=32, max_size=32),
    outcome=names,
)


def chain(found: list[KeyUse], sequence: int = 0, previous: bytes = START) -> list[bytes]:
    lines = []
    for use in found:
        sequence += 1
        lines.append(journal_line(sequence, previous, use))
        previous = line_hash(lines[-1])
    return lines


@given(sequence=st.integers(1, 2**53 - 1), previous=st.binary(min_size=32, max_size=32), use=uses)
def test_what_is_written_is_read_as_the_same_entry(sequence: int, previous: bytes, use: KeyUse) -> None:
    line = journal_line(sequence, previous, use)
    entry = parse_line(line)
    assert (entry.sequence, entry.previous, entry.use) == (sequence, previous, use)
    assert b"\n" not in line
    assert len(line) <= MAX_LINE_OCTETS


@given(use=uses)
def test_a_line_is_canonical_json(use: KeyUse) -> None:
    line = journal_line(7, START, use)
    assert canonical_json(json.loads(line)) == line


def test_the_line_and_its_hash_are_these_octets() -> None:
    line = journal_line(1, START, USE)
    assert line == (
        b'{"act":"certificate","at":"2026-11-22T09:00:00.000120Z","count":1,"digest":"' + b"0" * 64 + b'",'
        b'"key":"issuing-persons","outcome":"done","previous":"' + b"0" * 64 + b'","role":"worker","sequence":1,'
        b'"uid":998}'
    )
    assert line_hash(line) == hashlib.sha256(line).digest()


def changed(**members: object) -> bytes:
    found = json.loads(journal_line(1, START, USE)) | members
    return canonical_json({name: value for name, value in found.items() if value is not None})


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="no object"),
        pytest.param(journal_line(1, START, USE) + b"\n", id="line feed"),
        pytest.param(b" " + journal_line(1, START, USE), id="space before"),
        pytest.param(journal_line(1, START, USE).replace(b'"uid":998', b'"uid":998.0'), id="fraction"),
        pytest.param(journal_line(1, START, USE).replace(b'"uid":998', b'"uid":998,"uid":998'), id="member twice"),
        pytest.param(journal_line(1, START, USE).replace(b"issuing", b"\\u0069ssuing"), id="another spelling"),
        pytest.param(changed(uid=None), id="member missing"),
        pytest.param(changed(more=1), id="member too many"),
        pytest.param(changed(sequence=0), id="sequence 0"),
        pytest.param(changed(sequence=2**53), id="sequence beyond what JSON keeps"),
        pytest.param(changed(sequence=True), id="sequence true"),
        pytest.param(changed(uid=-1), id="negative user id"),
        pytest.param(changed(count=0), id="no message"),
        pytest.param(changed(digest="00" * 31), id="short digest"),
        pytest.param(changed(digest="AB" * 32), id="upper case"),
        pytest.param(changed(previous=5), id="previous a number"),
        pytest.param(changed(at="2026-11-22T09:00:00Z"), id="whole seconds"),
        pytest.param(changed(at="2026-11-22T09:00:00.000000"), id="no zone"),
        pytest.param(changed(at="0001-01-01T00:00:00.000000+03:30"), id="before the first year"),
        pytest.param(changed(role="a role"), id="role with a space"),
        pytest.param(changed(act=["certificate"]), id="act a list"),
        pytest.param(changed(outcome=""), id="no outcome"),
        pytest.param(changed(key="k" * 65), id="long key"),
        pytest.param(changed(key="کلید"), id="key not ASCII"),
        pytest.param(b"{" + b" " * MAX_LINE_OCTETS + b"}", id="too long"),
        pytest.param(b"\xff", id="not UTF-8"),
    ],
)
def test_a_line_of_another_form_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_line(line)


@given(line=st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_arbitrary_octets_are_never_an_entry(line: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_line(line)


@given(found=st.lists(uses, min_size=1, max_size=6), data=st.data())
def test_any_changed_octet_of_a_chain_shows_but_one_in_its_last_line(found: list[KeyUse], data: st.DataObject) -> None:
    lines = chain(found)
    head = check_continues(lines, 0, START)
    which = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[which]) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda octet: octet != lines[which][at]))
    lines[which] = lines[which][:at] + bytes((octet,)) + lines[which][at + 1 :]
    try:
        seen = check_continues(lines, 0, START)
    except VerificationFailed as error:
        assert error.code is ErrorCode.HSM_JOURNAL_GAP
        return
    assert which == len(lines) - 1
    assert seen != head  # the custodian's head, or the entry after it, tells


@given(found=st.lists(uses, min_size=3, max_size=8), data=st.data())
def test_a_line_taken_out_put_in_or_moved_is_a_gap(found: list[KeyUse], data: st.DataObject) -> None:
    lines = chain(found)
    at = data.draw(st.integers(0, len(lines) - 2))
    kind = data.draw(st.sampled_from(["removed", "twice", "swapped"]))
    if kind == "removed":
        del lines[at]
    elif kind == "twice":
        lines.insert(at, lines[at])
    else:
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    with pytest.raises(VerificationFailed) as gap:
        check_continues(lines, 0, START)
    assert gap.value.code is ErrorCode.HSM_JOURNAL_GAP


@given(found=st.lists(uses, min_size=2, max_size=6), cut=st.integers(1, 5))
def test_a_chain_may_be_read_in_pieces(found: list[KeyUse], cut: int) -> None:
    lines = chain(found)
    first = check_continues(lines[:cut], 0, START)
    assert check_continues(lines[cut:], *first) == check_continues(lines, 0, START)


def test_another_chain_does_not_continue_this_one() -> None:
    with pytest.raises(VerificationFailed):
        check_continues(chain([USE, USE]), 2, line_hash(chain([USE, USE])[-1]))


@pytest.mark.parametrize(("text", "good"), [("worker", True), ("", False), ("-", False), ("a\n", False), ("A", False)])
def test_names_are_lower_case_and_short(text: str, good: bool) -> None:
    assert is_name(text) is good


@pytest.mark.parametrize(("text", "good"), [("", True), ('a"\\b', True), ("a b", False), ("a\n", False), ("é", False)])
def test_keys_are_printable_ascii(text: str, good: bool) -> None:
    assert is_key(text) is good
