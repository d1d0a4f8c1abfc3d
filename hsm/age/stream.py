"""The payload of an age file: pieces of 64 KiB, each encrypted and counted, the last one marked (STREAM).

A piece is given out once it is proved; that nothing is missing at the end is known at the end.
"""

from collections.abc import Callable
from typing import IO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from hsm.age.header import derived
from pki.errors import ErrorCode, VerificationFailed

PIECE_OCTETS: Final = 64 * 1024
NONCE_OCTETS: Final = 16
_TAG_OCTETS: Final = 16
_LABEL: Final = b"payload"


class SealedWriter:
    """Encrypts what is written to it; without `finish` the file has no end and is refused."""

    def __init__(self, file: IO[bytes], file_key: bytes, random_octets: Callable[[int], bytes]) -> None:
        """Write after a header."""
        nonce = random_octets(NONCE_OCTETS)
        file.write(nonce)
        self._file, self._cipher = file, ChaCha20Poly1305(derived(file_key, nonce, _LABEL))
        self._held, self._pieces = bytearray(), 0

    def write(self, data: bytes) -> int:
        """Take octets; they are written when a piece is full and another follows."""
        self._held += data
        while len(self._held) > PIECE_OCTETS:
            self._put(bytes(self._held[:PIECE_OCTETS]), last=False)
            del self._held[:PIECE_OCTETS]
        return len(data)

    def finish(self) -> None:
        """Write the last piece."""
        self._put(bytes(self._held), last=True)
        self._held.clear()

    def _put(self, piece: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._pieces, last=last), piece, None))
        self._pieces += 1


class SealedReader:
    """Decrypts what is read from it; VerificationFailed where an octet is another one, or the end is missing."""

    def __init__(self, file: IO[bytes], file_key: bytes) -> None:
        """Read after a header."""
        nonce = file.read(NONCE_OCTETS)
        if len(nonce) != NONCE_OCTETS:
            raise _changed()
        self._file, self._cipher = file, ChaCha20Poly1305(derived(file_key, nonce, _LABEL))
        self._next = file.read(PIECE_OCTETS + _TAG_OCTETS)
        self._held, self._pieces, self._ended = b"", 0, False

    def read(self, size: int) -> bytes:
        """Return up to `size` octets, fewer at the end alone."""
        found = [self._held[:size]]
        self._held = self._held[size:]
        missing = size - len(found[0])
        while missing and not self._ended:
            piece = self._piece()
            found.append(piece[:missing])
            self._held = piece[missing:]
            missing -= len(found[-1])
        return b"".join(found)

    def _piece(self) -> bytes:
        sealed, self._next = self._next, self._file.read(PIECE_OCTETS + _TAG_OCTETS)
        self._ended = not self._next
        try:
            piece = self._cipher.decrypt(_nonce(self._pieces, last=self._ended), sealed, None)
        except InvalidTag as error:
            raise _changed() from error
        if not piece and self._pieces:
            raise _changed()
        self._pieces += 1
        return piece


def _nonce(pieces: int, *, last: bool) -> bytes:
    return pieces.to_bytes(11, "big") + bytes((last,))


def _changed() -> VerificationFailed:
    return VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the file was changed, or is cut short")
