"""Signed notes and the checkpoints of a log: C2SP signed-note and tlog-checkpoint, with Ed25519 keys.

A note is text, an empty line, and signature lines `— NAME base64(key id || signature)`. Signatures of keys that
the reader does not know (other witnesses, later keys) are ignored; one of a known key that fails spoils the note.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.keys import SigningKey, verify_signature
from pki.merkle import HASH_SIZE

MAX_NOTE_OCTETS: Final = 262_144
MAX_SIGNATURES: Final = 100
MAX_TREE_SIZE: Final = 2**63 - 1

_ED25519: Final = b"\x01"
_KEY_ID_SIZE: Final = 4
_SIGNATURE_START: Final = "\u2014 "


def _refuse(reason: str) -> InvalidInput:
    return InvalidInput(ErrorCode.CHECKPOINT_INVALID, reason)


def _unbase64(text: str) -> bytes:
    """Decode RFC 4648 §4 base64 in its one canonical form."""
    try:
        octets = b64decode(text, validate=True)
    except ValueError as error:
        raise _refuse("not base64") from error
    if b64encode(octets).decode() != text:
        raise _refuse("base64 is not canonical")
    return octets


def _check_name(name: str) -> str:
    if not name or "+" in name or any(character.isspace() for character in name):
        raise _refuse("a key name is empty or holds a space or a plus sign")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key under its name; `str()` gives the form in which it is handed round, `name+id+key`."""

    name: str
    public_key: Ed25519PublicKey

    @property
    def key_id(self) -> bytes:
        """The first four octets of SHA-256(name || 0x0A || 0x01 || key)."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key.public_bytes_raw()).digest()[
            :_KEY_ID_SIZE
        ]

    def __str__(self) -> str:
        encoded = b64encode(_ED25519 + self.public_key.public_bytes_raw()).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note's text, its last newline included, and its signatures."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The size and root of the log named `origin`; `extensions` are opaque further lines."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


def parse_verifier_key(text: str) -> VerifierKey:
    """Read `name+hex+base64`; InvalidInput when malformed, not Ed25519, or with a key id of another key."""
    _check_text(text)
    name, *rest = text.split("+", 2)
    octets = _unbase64(rest[1]) if len(rest) == 2 else b""
    if len(octets) != 1 + 32 or octets[:1] != _ED25519:
        raise _refuse("not an Ed25519 verifier key")
    try:
        public_key = Ed25519PublicKey.from_public_bytes(octets[1:])
    except ValueError as error:
        raise _refuse("not an Ed25519 point") from error
    key = VerifierKey(name=_check_name(name), public_key=public_key)
    if rest[0] != key.key_id.hex():
        raise _refuse("the key id is not of this key")
    return key


def _check_text(text: str) -> None:
    try:
        octets = text.encode()
    except UnicodeEncodeError as error:
        raise _refuse("not Unicode text") from error
    if len(octets) > MAX_NOTE_OCTETS:
        raise _refuse("longer than a note may be")
    if any(octet < 0x20 and octet != 0x0A for octet in octets):
        raise _refuse("holds a control character")


def _parse_signature(line: str) -> NoteSignature:
    name, separator, encoded = line.removeprefix(_SIGNATURE_START).partition(" ")
    if not line.startswith(_SIGNATURE_START) or not separator:
        raise _refuse("not a signature line")
    octets = _unbase64(encoded)
    if len(octets) <= _KEY_ID_SIZE:
        raise _refuse("a signature line holds no signature")
    return NoteSignature(name=_check_name(name), key_id=octets[:_KEY_ID_SIZE], value=octets[_KEY_ID_SIZE:])


def parse_note(note: str) -> Note:
    """Split a note into text and signatures without checking any; InvalidInput (`checkpoint-invalid`) if malformed."""
    _check_text(note)
    text, separator, block = note.rpartition("\n\n")
    if not separator or not block.endswith("\n"):
        raise _refuse("a note is text, an empty line and signature lines")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise _refuse(f"more than {MAX_SIGNATURES} signatures")
    return Note(text=text + "\n", signatures=tuple(_parse_signature(line) for line in lines))


def verify_note(note: str, keys: Iterable[VerifierKey]) -> Note:
    """Return the note with its verified signatures alone; its text may then be believed.

    InvalidInput if malformed; VerificationFailed when no key of `keys` signed it, or a signature line that names
    one of them does not hold.
    """
    parsed = parse_note(note)
    known = {(key.name, key.key_id): key for key in keys}
    message = parsed.text.encode()
    verified = []
    for signature in parsed.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        try:
            verify_signature(key.public_key, signature.value, message)
        except VerificationFailed as error:
            raise VerificationFailed(ErrorCode.CHECKPOINT_INVALID, "a signature of the note is not valid") from error
        verified.append(signature)
    if not verified:
        raise VerificationFailed(ErrorCode.CHECKPOINT_INVALID, "no known key signed the note")
    return Note(text=parsed.text, signatures=tuple(verified))


def verifier_key(name: str, key: SigningKey) -> VerifierKey:
    """Return the public half of `key` under `name`; InvalidInput unless it is Ed25519 and the name is allowed."""
    public_key = key.public_key()
    if not isinstance(public_key, Ed25519PublicKey):
        raise InvalidInput(ErrorCode.KEY_REFUSED, "notes are signed with Ed25519 keys")
    return VerifierKey(name=_check_name(name), public_key=public_key)


def sign_note(text: str, name: str, key: SigningKey) -> str:
    """Sign `text` (ends in a newline) as `name`; the new signature is checked before it is returned."""
    public = verifier_key(name, key)
    _check_text(text)
    if not text.endswith("\n"):
        raise _refuse("the text of a note ends in a newline")
    value = key.sign(text.encode())
    note = f"{text}\n{_SIGNATURE_START}{name} {b64encode(public.key_id + value).decode()}\n"
    verify_note(note, (public,))
    return note


def build_checkpoint(checkpoint: Checkpoint) -> str:
    """Write the note text of a checkpoint; InvalidInput for one that would not be read back."""
    lines = (checkpoint.origin, str(checkpoint.size), b64encode(checkpoint.root).decode(), *checkpoint.extensions)
    text = "".join(f"{line}\n" for line in lines)
    if parse_checkpoint(text) != checkpoint:
        raise _refuse("a line of the checkpoint holds a newline")
    return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the note text of a checkpoint; InvalidInput (`checkpoint-invalid`) if malformed."""
    _check_text(text)
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise _refuse("a checkpoint is three or more lines, none empty")
    origin, size, root, *extensions = lines
    if not (size.isascii() and size.isdecimal() and len(size) <= 19) or str(int(size)) != size:
        raise _refuse("the tree size is not a whole number")
    if int(size) > MAX_TREE_SIZE:
        raise _refuse("the tree size is too large")
    octets = _unbase64(root)
    if len(octets) != HASH_SIZE:
        raise _refuse("the root hash is not 32 octets")
    return Checkpoint(origin=origin, size=int(size), root=octets, extensions=tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    """Sign a checkpoint under its origin's name."""
    return sign_note(build_checkpoint(checkpoint), checkpoint.origin, key)


def open_checkpoint(note: str, log: VerifierKey) -> Checkpoint:
    """Verify that `log` signed the checkpoint `note` about itself, and read it.

    InvalidInput if malformed, VerificationFailed when the signature or the origin is not of `log`.
    """
    checkpoint = parse_checkpoint(verify_note(note, (log,)).text)
    if checkpoint.origin != log.name:
        raise VerificationFailed(ErrorCode.CHECKPOINT_INVALID, "the checkpoint is of another log")
    return checkpoint
