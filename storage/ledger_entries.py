"""How an audit event becomes a leaf: its canonical JSON, its salted digest, its entry.

    event    {"action","actor","at","facts","id","subject"}: JSON, members sorted, no spaces, UTF-8
    digest   SHA-256(salt || event)
    entry    {"v":1,"action","at","digest"}: members in this order, no spaces, ASCII
    leaf     SHA-256(0x00 || entry)            (RFC 6962 §2.1)

Facts are put into the event as the text that was stored, never parsed and written again, so each stored octet
counts. The entry names no person and no thing; the salt keeps the digest from being guessed. Standard library
and `pki` only: an auditor runs this without a database.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple, NewType

from pki.audit import AuditEvent
from pki.errors import ErrorCode, InvalidInput
from pki.jose import strict_json

EventId = NewType("EventId", str)

SALT_SIZE: Final = 16
MAX_NAME_CHARACTERS: Final = 1024
MAX_FACTS_CHARACTERS: Final = 65_536

_ordered = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_quoted = json.JSONEncoder(ensure_ascii=False).encode
_ascii = json.JSONEncoder().encode
_FACT_TYPES: Final = frozenset({str, int, bool, type(None)})
_EVENT_MEMBERS: Final = {"action", "actor", "at", "facts", "id", "subject"}
_COUNTER_BITS: Final = 26
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def instant_text(at: datetime) -> str:
    """Write an aware UTC instant with microseconds and `Z` (RFC 3339 §5.6)."""
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def new_event_id(at: datetime, count: int, random: bytes) -> EventId:
    """Make a UUID version 7 (RFC 9562 §5.7, §6.2 method 1) that sorts by `at`, then by `count`.

    `count` is the number of events before it in its transaction; `random` is 6 octets.
    """
    milliseconds = (at - _EPOCH) // _MILLISECOND & 0xFFFF_FFFF_FFFF
    counter = count & ((1 << _COUNTER_BITS) - 1)
    high, low = counter >> 14, counter & 0x3FFF
    time_hex = f"{milliseconds:012x}"
    return EventId(f"{time_hex[:8]}-{time_hex[8:]}-7{high:03x}-{0x8000 | low:04x}-{random.hex()}")


def _check_text(name: str, value: str, limit: int) -> None:
    if len(value) > limit:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"audit {name} is longer than {limit} characters")
    if "\0" in value:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"audit {name} holds a NUL")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"audit {name} is not Unicode text") from error


def facts_json(facts: Mapping[str, str | int | bool | None]) -> str:
    """Write facts as canonical JSON; InvalidInput for a value that is not text, a whole number, a truth or null."""
    if not facts:
        return "{}"
    for value in facts.values():
        if type(value) not in _FACT_TYPES:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"an audit fact is a {type(value).__name__}")
    text = _ordered(dict(facts))
    _check_text("facts", text, MAX_FACTS_CHARACTERS)
    return text


def event_columns(event: AuditEvent) -> dict[str, object]:
    """Return the stored columns of `event`; InvalidInput for what cannot be stored and proven exactly."""
    if event.at.tzinfo is None or event.at.utcoffset():
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the instant of an audit event must be aware and in UTC")
    _check_text("actor", event.actor, MAX_NAME_CHARACTERS)
    _check_text("subject", event.subject, MAX_NAME_CHARACTERS)
    return {
        "at": event.at,
        "action": event.action.value,
        "actor": event.actor,
        "subject": event.subject,
        "facts": facts_json(event.facts),
    }


def event_json(*, event_id: str, at: str, action: str, actor: str, subject: str, facts: str) -> bytes:
    """Write the canonical JSON of a stored event; `at` as `instant_text` writes it, `facts` as stored.

    InvalidInput when a value is not Unicode text.
    """
    text = (
        f'{{"action":{_quoted(action)},"actor":{_quoted(actor)},"at":{_quoted(at)},"facts":{facts},'
        f'"id":{_quoted(event_id)},"subject":{_quoted(subject)}}}'
    )
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a stored event is not Unicode text") from error


class ProvableEvent(NamedTuple):
    """A stored event in the form that the ledger proves: its canonical JSON, its salt, its entry."""

    event: bytes
    salt: bytes
    entry: bytes


def leaf_entry(*, action: str, at: str, salt: bytes, event: bytes) -> bytes:
    """Write the ledger entry of a canonical `event`."""
    digest = sha256(salt + event).hexdigest()
    return f'{{"v":1,"action":{_ascii(action)},"at":{_ascii(at)},"digest":"{digest}"}}'.encode()


def entry_of(event: bytes, salt: bytes) -> bytes:
    """Write the ledger entry of a canonical event that came from elsewhere; InvalidInput when it is malformed."""
    members = strict_json(event)
    if not isinstance(members, dict) or members.keys() != _EVENT_MEMBERS or len(salt) != SALT_SIZE:
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "not an audit event and its salt")
    texts = [members[name] for name in ("action", "at")]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "not an audit event")
    return leaf_entry(action=texts[0], at=texts[1], salt=salt, event=event)
