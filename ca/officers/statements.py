"""Signed decisions, `mohr-decision/1`: what an officer's key says is to be done, once, now.

    {"act": "registration.approve", "at": "2026-11-22T09:00:00Z", "format": "mohr-decision/1",
     "nonce": …, "sha256": …, "subject": …}

Written as JSON with sorted members and no white space, and signed whole. `subject` is what is acted on, `sha256` the
digest of what is decided, each empty where the act has none.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pki.errors import ErrorCode, InvalidInput
from pki.instants import format_instant, parse_instant
from pki.jose import b64url, canonical_json, json_object
from pki.keys import SigningKey

FORMAT: Final = "mohr-decision/1"
MAX_OCTETS: Final = 4096
NONCE_OCTETS: Final = 16
PATIENCE: Final = timedelta(minutes=5)
"""How far a statement's instant may be from the gate's clock."""

_MEMBERS: Final = frozenset({"format", "act", "subject", "sha256", "at", "nonce"})
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{22,64}")
_SHA256: Final = re.compile(r"(?:[0-9a-f]{64})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One decision: the act, what it is about, and when it was said; good once."""

    act: str
    subject: str = ""
    sha256: str = ""
    at: datetime
    nonce: str

    def octets(self) -> bytes:
        """Write the statement as it is signed."""
        return canonical_json(
            {
                "format": FORMAT,
                "act": self.act,
                "subject": self.subject,
                "sha256": self.sha256,
                "at": format_instant(self.at),
                "nonce": self.nonce,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A statement's octets and the signature over them."""

    data: bytes
    signature: bytes


def sign_statement(
    key: SigningKey, act: str, *, subject: str = "", sha256: str = "", now: datetime, random: bytes
) -> Signed:
    """Say with `key` that `act` is to be done; `random`: 16 octets that were never used before."""
    if not subject.isprintable():
        raise _malformed("a subject is printable")
    data = Statement(act=act, subject=subject, sha256=sha256, at=now, nonce=b64url(random)).octets()
    return Signed(data=data, signature=key.sign(data))


def parse_statement(data: bytes) -> Statement:
    """Read a statement; InvalidInput (`input-malformed`, `json-malformed`, `input-too-large`)."""
    if len(data) > MAX_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "a statement has at most 4 KiB")
    members: dict[str, Any] = json_object(data)
    texts = {name: value for name, value in members.items() if isinstance(value, str)}
    if set(texts) != _MEMBERS or set(members) != _MEMBERS or texts["format"] != FORMAT:
        raise _malformed(f"a statement is {FORMAT} with act, subject, sha256, at and nonce")
    if not _NONCE.fullmatch(texts["nonce"]) or not _SHA256.fullmatch(texts["sha256"]):
        raise _malformed("nonce or sha256 are not of their form")
    statement = Statement(
        act=texts["act"],
        subject=texts["subject"],
        sha256=texts["sha256"],
        at=parse_instant(texts["at"]),
        nonce=texts["nonce"],
    )
    if statement.octets() != data:
        raise _malformed("a statement has sorted members and no white space")
    return statement


def _malformed(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, detail, reason="officer.statement-malformed")
