"""The header of an age file: the file's key, wrapped for each recipient, and a code over all of it.

A stanza of a kind that is not known is passed over, as the format wants it: `notes` are such stanzas of ours, which
other programs pass over and which the code covers.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hsm.age.keys import KEY_OCTETS, Identity, Recipient, shared_secret
from pki.errors import ErrorCode, InvalidInput, VerificationFailed

VERSION_LINE: Final = b"age-encryption.org/v1\n"
FILE_KEY_OCTETS: Final = 16
MAX_HEADER_OCTETS: Final = 64 * 1024

_X25519: Final = "X25519"
_LABEL: Final = b"age-encryption.org/v1/X25519"
_COLUMNS: Final = 64
_ZEROS: Final = bytes(12)


@dataclass(frozen=True, slots=True)
class Stanza:
    """One way to the file's key, or a note."""

    kind: str
    arguments: tuple[str, ...]
    body: bytes

    def write(self) -> bytes:
        """Write it: the body's last line is shorter than a whole one."""
        text = _base64(self.body)
        lines = [text[start : start + _COLUMNS] for start in range(0, len(text) + 1, _COLUMNS)]
        return "\n".join((" ".join(("->", self.kind, *self.arguments)), *lines, "")).encode("ascii")


@dataclass(frozen=True, slots=True)
class Header:
    """A header that was read, before its code is checked: only a file key can do that."""

    stanzas: tuple[Stanza, ...]
    covered: bytes
    code: bytes

    def note(self, kind: str) -> bytes | None:
        """Return the body of the first stanza of a kind."""
        return next((stanza.body for stanza in self.stanzas if stanza.kind == kind), None)

    def check(self, file_key: bytes) -> None:
        """Check the code; VerificationFailed."""
        if not hmac.compare_digest(_code(file_key, self.covered), self.code):
            raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the header was changed, or this is not its key")


def derived(secret: bytes, salt: bytes, label: bytes) -> bytes:
    """Derive a key (HKDF with SHA-256)."""
    return HKDF(SHA256(), KEY_OCTETS, salt, label).derive(secret)


def write_header(
    file_key: bytes, recipient: Recipient, notes: Sequence[Stanza], random_octets: Callable[[int], bytes]
) -> bytes:
    """Write the header of a file with this key for one recipient."""
    ephemeral = Identity(bytearray(random_octets(KEY_OCTETS)))
    share = ephemeral.recipient.octets
    key = derived(shared_secret(ephemeral.octets, recipient.octets), share + recipient.octets, _LABEL)
    wrapped = ChaCha20Poly1305(key).encrypt(_ZEROS, file_key, None)
    stanzas = (Stanza(_X25519, (_base64(share),), wrapped), *notes)
    covered = VERSION_LINE + b"".join(stanza.write() for stanza in stanzas) + b"---"
    return covered + b" " + _base64(_code(file_key, covered)).encode("ascii") + b"\n"


def read_header(file: IO[bytes]) -> Header:
    """Read a header, and nothing after it; InvalidInput."""
    data = file.readline(len(VERSION_LINE))
    if data != VERSION_LINE:
        raise _refuse()
    lines: list[str] = []
    while len(data) < MAX_HEADER_OCTETS:
        line = file.readline(MAX_HEADER_OCTETS - len(data) + 1)
        if not line.endswith(b"\n") or not line.isascii():
            raise _refuse()
        text = line[:-1].decode("ascii")
        if text.startswith("--- "):
            return Header(_stanzas(lines), data + b"---", _unbase64(text[4:]))
        lines.append(text)
        data += line
    raise _refuse()


def unwrap(header: Header, identity: Identity) -> bytes:
    """Return the file key that a header holds for an identity; VerificationFailed when it is not for this one."""
    own = identity.recipient.octets
    for stanza in header.stanzas:
        if stanza.kind != _X25519:
            continue
        share = _unbase64(stanza.arguments[0]) if len(stanza.arguments) == 1 else b""
        if len(share) != KEY_OCTETS or len(stanza.body) != FILE_KEY_OCTETS + 16:
            raise _refuse()
        key = derived(shared_secret(identity.octets, share), share + own, _LABEL)
        try:
            file_key = ChaCha20Poly1305(key).decrypt(_ZEROS, stanza.body, None)
        except InvalidTag:
            continue
        header.check(file_key)
        return file_key
    raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the file is not encrypted to this key")


def _stanzas(lines: Sequence[str]) -> tuple[Stanza, ...]:
    found: list[Stanza] = []
    words: list[str] | None = None
    body = ""
    for line in lines:
        if words is None:
            start, *words = line.split(" ")
            if start != "->" or not words or not all(words):
                raise _refuse()
            continue
        body += line
        if len(line) > _COLUMNS:
            raise _refuse()
        if len(line) < _COLUMNS:
            found.append(Stanza(words[0], tuple(words[1:]), _unbase64(body)))
            words, body = None, ""
    if words is not None or not found:
        raise _refuse()
    return tuple(found)


def _code(file_key: bytes, covered: bytes) -> bytes:
    return hmac.digest(derived(file_key, b"", b"header"), covered, "sha256")


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii").rstrip("=")


def _unbase64(text: str) -> bytes:
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise _refuse() from error
    if _base64(octets) != text:
        raise _refuse()
    return octets


def _refuse() -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, "not a file in the age format")
