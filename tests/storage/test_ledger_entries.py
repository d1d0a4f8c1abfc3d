from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.audit import AuditAction, AuditEvent
from pki.errors import ErrorCode, InvalidInput
from storage.ledger_entries import entry_of, event_columns, event_json, instant_text, leaf_entry

AT = "2026-11-22T09:00:00.000000Z"
SALT = bytes(range(16))
EVENT = (
    b'{"action":"token.approved","actor":"officer-1","at":"2026-11-22T09:00:00.000000Z",'
    b'"facts":{"n":1},"id":"e1","subject":"s"}'
)


def written(**changes: str) -> bytes:
    members = {"event_id": "e1", "at": AT, "action": "token.approved", "actor": "officer-1", "subject": "s"}
    return event_json(**{"facts": '{"n":1}', **members, **changes})


def test_an_event_and_its_entry_are_exactly_these_octets() -> None:
    assert written() == EVENT
    digest = sha256(SALT + EVENT).hexdigest()
    entry = leaf_entry(action="token.approved", at=AT, salt=SALT, event=EVENT)
    assert entry.decode() == f'{{"v":1,"action":"token.approved","at":"{AT}","digest":"{digest}"}}'
    assert entry_of(EVENT, SALT) == entry


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
facts = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=5)


@given(texts, texts, facts, st.sampled_from(AuditAction))
def test_what_is_proven_reads_back_as_what_was_recorded(
    actor: str, subject: str, members: dict[str, str | int | bool | None], action: AuditAction
) -> None:
    event = AuditEvent(action=action, at=datetime(2026, 1, 2, tzinfo=UTC), actor=actor, subject=subject, facts=members)
    columns = {name: str(value) for name, value in event_columns(event).items() if name != "at"}
    octets = event_json(event_id="e", at=instant_text(event.at), **columns)
    assert json.loads(octets) == {
        "action": action.value,
        "actor": actor,
        "at": "2026-01-02T00:00:00.000000Z",
        "facts": members,
        "id": "e",
        "subject": subject,
    }
    assert entry_of(octets, SALT) == leaf_entry(action=action.value, at=instant_text(event.at), salt=SALT, event=octets)


@given(st.lists(texts, min_size=6, max_size=6), st.lists(texts, min_size=6, max_size=6))
def test_two_different_events_never_have_the_same_octets(one: list[str], other: list[str]) -> None:
    """Whatever an attacker puts into the facts, which are taken as they lie."""
    names = ("event_id", "at", "action", "actor", "subject", "facts")
    first, second = (event_json(**dict(zip(names, values, strict=True))) for values in (one, other))
    assert (first == second) == (one == other)


def test_facts_that_pretend_to_be_other_members_change_the_event() -> None:
    forged = written(facts='{"n":1},"id":"e1","subject":"s"')
    assert forged != EVENT
    with pytest.raises(InvalidInput):
        entry_of(forged, SALT)


def test_the_entry_shows_no_person_and_hides_the_event_behind_the_salt() -> None:
    entry = entry_of(EVENT, SALT)
    assert b"officer" not in entry
    assert set(json.loads(entry)) == {"v", "action", "at", "digest"}
    assert entry_of(EVENT, bytes(16)) != entry


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_are_written_with_microseconds_and_sort_as_they_pass(moment: datetime) -> None:
    text = instant_text(moment)
    assert datetime.fromisoformat(text) == moment
    assert len(text) == 27
    if moment.year < 9999:
        assert text < instant_text(moment + timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("event", "salt"),
    [
        (b"", SALT),
        (b"[]", SALT),
        (b"\xff", SALT),
        (EVENT[:-1], SALT),
        (EVENT, SALT[:-1]),
        (EVENT, SALT + b"\0"),
        (EVENT.replace(b'"at":"2026-11-22T09:00:00.000000Z"', b'"at":1'), SALT),
        (EVENT.replace(b'"id":"e1",', b""), SALT),
        (EVENT.replace(b'"id":"e1"', b'"id":"e1","id":"e2"'), SALT),
        (EVENT.replace(b'"id":"e1"', b'"id":"e1","x":1'), SALT),
    ],
)
def test_octets_that_are_no_event_are_refused(event: bytes, salt: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        entry_of(event, salt)
    assert caught.value.code is ErrorCode.JSON_MALFORMED


@given(st.binary(max_size=200), st.binary(max_size=17))
def test_the_reader_of_entries_never_raises_anything_but_ours(event: bytes, salt: bytes) -> None:
    with pytest.raises(InvalidInput):
        entry_of(event, salt)
