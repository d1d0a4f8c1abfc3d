"""Whom a file is encrypted to (X25519, RFC 7748): the recipient is public, its identity opens."""

from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from hsm.age.bech32 import read_bech32, write_bech32
from pki.errors import ErrorCode, InvalidInput, VerificationFailed

KEY_OCTETS: Final = 32
_RECIPIENT: Final = "age"
_IDENTITY: Final = "age-secret-key-"


@dataclass(frozen=True, slots=True)
class Recipient:
    """A public key, written `age1…`."""

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != KEY_OCTETS:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not an X25519 key")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `age-keygen` writes; InvalidInput."""
        return cls(bytes(read_bech32(_RECIPIENT, text)))

    def __str__(self) -> str:
        return write_bech32(_RECIPIENT, self.octets)


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key; it never shows itself. `octets` are the caller's to wipe."""

    octets: bytearray = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.octets) != KEY_OCTETS:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not an X25519 key")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a file of `age-keygen`, of which one line is `AGE-SECRET-KEY-1…`; InvalidInput."""
        lines = [line.strip() for line in text.splitlines()]
        found = [line for line in lines if line and not line.startswith("#")]
        if len(found) != 1:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not an age identity")
        return cls(read_bech32(_IDENTITY, found[0]))

    @property
    def recipient(self) -> Recipient:
        """The public key that belongs to it."""
        return Recipient(X25519PrivateKey.from_private_bytes(self.octets).public_key().public_bytes_raw())


def shared_secret(private: bytes | bytearray, public: bytes) -> bytes:
    """Agree on a secret (RFC 7748 §6.1); VerificationFailed for a point of small order."""
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "a share of the key that no key has") from error
