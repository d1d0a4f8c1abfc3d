"""The transcript of a ceremony: what was done, when, before whom; JSON Lines that hold each other's hash.

    line      canonical JSON {"act","at","facts","previous","seq","step","v"}
    previous  SHA-256 of the line before, in hexadecimal; zeros in the first
    last      {"signature": compact JWS}, type `jose+json`, over {"ceremony","head","lines","script","transcript"}

A line is on the disk before the act that it announces and before anybody is told of the act that it records, so
the lines are also the ceremony's progress: whoever reads them knows where to go on. No PIN and no share is ever
in one. The signature is the home's service seal's; its certificate and the one above it are in the header.
"""

import base64
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from ca.parents import MAX_CHAIN
from pki.certificates import Certificate
from pki.errors import Conflict, ErrorCode, InvalidInput, ServiceError, Unavailable, VerificationFailed
from pki.instants import format_instant, parse_instant
from pki.jose import b64url, canonical_json, compact_json, json_object, unb64url
from pki.keys import SignatureAlgorithm, SigningKey, jose_signature, verify_signature, x509_signature

MAX_TRANSCRIPT_OCTETS: Final = 16 * 1024 * 1024
VERSION: Final = 1
_START: Final = "0" * 64
_TYPE: Final = "jose+json"
_CONTENT: Final = "application/mohr-ceremony+json"
_MEMBERS: Final = {"act", "at", "facts", "previous", "seq", "step", "v"}


@unique
class EntryAct(StrEnum):
    """What a line records."""

    OPENED = "opened"
    RESUMED = "resumed"
    STEP_BEGUN = "step-begun"
    NOTED = "noted"
    STEP_DONE = "step-done"
    STOPPED = "stopped"
    CLOSED = "closed"


Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line. `step` counts from 1 and is None for what belongs to no step; `at` is aware UTC."""

    seq: int
    previous: str
    at: datetime
    act: EntryAct
    step: int | None
    facts: Facts

    def line(self) -> bytes:
        """Write the line, without a line feed."""
        return canonical_json(
            {
                "v": VERSION,
                "seq": self.seq,
                "previous": self.previous,
                "at": format_instant(self.at),
                "act": self.act.value,
                "step": self.step,
                "facts": dict(self.facts),
            }
        )


def _refuse(line: int, what: str) -> VerificationFailed:
    return VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"transcript, line {line}: {what}")


def _parse_line(line: bytes, number: int, previous: str) -> Entry:
    try:
        members = json_object(line)
        if members.keys() != _MEMBERS or members["v"] != VERSION or type(members["facts"]) is not dict:
            raise _refuse(number, "not a line of a ceremony's transcript")
        entry = Entry(
            seq=members["seq"],
            previous=members["previous"],
            at=parse_instant(members["at"]),
            act=EntryAct(members["act"]),
            step=members["step"],
            facts=members["facts"],
        )
    except (InvalidInput, ValueError, TypeError) as error:
        raise _refuse(number, "not a line of a ceremony's transcript") from error
    if entry.seq != number or entry.previous != previous:
        raise _refuse(number, "does not continue the line before")
    if entry.line() != line:
        raise _refuse(number, "not written as a transcript is")
    return entry


def _parse_lines(lines: Sequence[bytes]) -> tuple[Entry, ...]:
    previous, entries = _START, []
    for number, line in enumerate(lines, 1):
        entries.append(_parse_line(line, number, previous))
        previous = sha256(line).hexdigest()
    return tuple(entries)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unavailable(ErrorCode.FILE_UNREADABLE, path.name) from error
    if len(data) > MAX_TRANSCRIPT_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, path.name)
    return data


class Transcript:
    """The open transcript of a ceremony that is being held; one process at a time has it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        data = _read(path)
        whole = data[: data.rfind(b"\n") + 1]  # a line that was cut off announced nothing: nobody waited for it
        if len(whole) != len(data):
            os.ftruncate(descriptor, len(whole))
        lines = whole.splitlines()
        self.signed = bool(lines) and lines[-1].startswith(b'{"signature":')
        self.entries: list[Entry] = list(_parse_lines(lines[:-1] if self.signed else lines))
        self._head = sha256(self.entries[-1].line()).hexdigest() if self.entries else _START

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> "Iterator[Transcript]":
        """Open or begin a transcript; Conflict where another process holds it, VerificationFailed when damaged."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Unavailable(ErrorCode.FILE_UNWRITABLE, path.name) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield cls(path, descriptor)
        except BlockingIOError as error:
            raise Conflict(ErrorCode.CONFLICT, "this ceremony is being held by another program") from error
        finally:
            os.close(descriptor)

    def append(self, act: EntryAct, at: datetime, facts: Facts, step: int | None = None) -> Entry:
        """Write a line and return when it is on the disk; Unavailable (`file-unwritable`)."""
        entry = Entry(seq=len(self.entries) + 1, previous=self._head, at=at, act=act, step=step, facts=facts)
        self._write(entry.line())
        self.entries.append(entry)
        self._head = sha256(entry.line()).hexdigest()
        return entry

    def sign(self, key: SigningKey, chain: Sequence[Certificate]) -> None:
        """Close the transcript with a signature of `key`, whose certificate is the first of `chain`."""
        self._write(compact_json({"signature": sign_closing(self.entries, _read(self.path), key, chain)}))
        self.signed = True

    def digest(self) -> str:
        """Return the SHA-256 of the whole file, in hexadecimal."""
        return sha256(_read(self.path)).hexdigest()

    def _write(self, line: bytes) -> None:
        try:
            os.write(self._descriptor, line + b"\n")
            os.fsync(self._descriptor)
        except OSError as error:
            raise Unavailable(ErrorCode.FILE_UNWRITABLE, self.path.name) from error


def sign_closing(entries: Sequence[Entry], data: bytes, key: SigningKey, chain: Sequence[Certificate]) -> str:
    """Sign what closes a transcript: its octets, the hash and number of its lines, its ceremony and script."""
    header = {
        "alg": key.algorithm.value,
        "typ": _TYPE,
        "cty": _CONTENT,
        "x5c": [base64.b64encode(certificate.der).decode() for certificate in chain],
    }
    opened = entries[0].facts
    payload = {
        "ceremony": opened["name"],
        "script": opened["script"],
        "lines": len(entries),
        "head": sha256(entries[-1].line()).hexdigest(),
        "transcript": sha256(data).hexdigest(),
    }
    message = f"{b64url(compact_json(header))}.{b64url(compact_json(payload))}".encode()
    return f"{message.decode()}.{b64url(jose_signature(key.algorithm, key.sign(message)))}"


# --- verifying ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedTranscript:
    """A transcript that holds; `digest` is what the ledger has of it."""

    name: str
    script: str
    digest: str
    rehearsal: bool
    opened: datetime
    closed: datetime
    signer: Certificate = field(repr=False)
    entries: tuple[Entry, ...] = field(repr=False)


def verify_transcript(data: bytes, anchor: Certificate) -> VerifiedTranscript:
    """Check every line, the chain of lines, and the signature under `anchor`; VerificationFailed says where."""
    if len(data) > MAX_TRANSCRIPT_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "a transcript")
    lines = data.split(b"\n")
    if len(lines) < 3 or lines.pop():
        raise _refuse(len(lines), "the transcript does not end with a signature")
    closing = lines.pop()
    entries = _parse_lines(lines)
    if entries[-1].act is not EntryAct.CLOSED or entries[0].act is not EntryAct.OPENED:
        raise _refuse(len(lines), "the ceremony did not come to its end")
    signer = _check_closing(closing, entries, data[: -len(closing) - 1], anchor)
    opened = entries[0].facts
    return VerifiedTranscript(
        name=str(opened["name"]),
        script=str(opened["script"]),
        digest=sha256(data).hexdigest(),
        rehearsal=opened.get("rehearsal") is True,
        opened=entries[0].at,
        closed=entries[-1].at,
        signer=signer,
        entries=entries,
    )


def _check_closing(closing: bytes, entries: Sequence[Entry], data: bytes, anchor: Certificate) -> Certificate:
    number = len(entries) + 1
    try:
        members = json_object(closing)
        token = members["signature"]
        if members.keys() != {"signature"} or compact_json(members) != closing:
            raise _refuse(number, "not a closing signature")
        protected, body, value = token.split(".")
        header, payload = json_object(unb64url(protected)), json_object(unb64url(body))
        chain = [Certificate.parse(base64.b64decode(text, validate=True)) for text in header["x5c"]]
        algorithm = SignatureAlgorithm(header["alg"])
        signature = x509_signature(algorithm, unb64url(value))
    except (InvalidInput, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refuse(number, "not a closing signature") from error
    if header.keys() != {"alg", "typ", "cty", "x5c"} or (header["typ"], header["cty"]) != (_TYPE, _CONTENT):
        raise _refuse(number, "not a closing signature")
    signer = _check_chain(chain, anchor, entries[-1].at, number)
    try:
        verify_signature(signer.public_key, signature, f"{protected}.{body}".encode(), algorithm)
    except ServiceError as error:
        raise _refuse(number, "the signature does not hold") from error
    opened = entries[0].facts
    meant = {
        "ceremony": opened.get("name"),
        "script": opened.get("script"),
        "lines": len(entries),
        "head": sha256(entries[-1].line()).hexdigest(),
        "transcript": sha256(data).hexdigest(),
    }
    if payload != meant:
        raise _refuse(number, "the signature is over another transcript")
    return signer


def _check_chain(chain: Sequence[Certificate], anchor: Certificate, at: datetime, number: int) -> Certificate:
    """See that the chain leads to `anchor` by names and signatures and that each certificate was valid at `at`."""
    if not 1 <= len(chain) <= MAX_CHAIN + 2:
        raise _refuse(number, "the signature comes without its certificates")
    for certificate, issuer in zip(chain, (*chain[1:], anchor), strict=True):
        if certificate.issuer_der != issuer.subject_der or not issuer.is_ca:
            raise _refuse(number, "the signer's certificates do not lead to the anchor")
        try:
            certificate.verify_signed_by(issuer)
        except ServiceError as error:
            raise _refuse(number, "the signer's certificates do not lead to the anchor") from error
        if not certificate.not_before <= at <= certificate.not_after:
            raise _refuse(number, "a certificate of the signer was not valid at the end of the ceremony")
    if chain[0].is_ca or "digitalSignature" not in (chain[0].key_usage or ()):
        raise _refuse(number, "the signer's certificate is not a seal's")
    return chain[0]
