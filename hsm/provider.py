"""What the layers above see of keys in devices: a provider of signing keys by label.

Small on purpose. What only some providers can do (batches, binding an issuer) is a Protocol of its own,
so a caller says what it needs and a provider says what it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol, runtime_checkable

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.errors import ErrorCode, InvalidInput
from pki.keys import DEFAULT_RSA_BITS, PublicKey, SignatureAlgorithm, SigningKey

MAX_LABEL_OCTETS = 64


@unique
class KeyPurpose(StrEnum):
    """What a key is for; `hsm.custodian.purposes` says which bytes each may sign."""

    ROOT = "root"
    CERTIFICATE_AUTHORITY = "certificate-authority"
    OCSP = "ocsp"
    TIMESTAMP = "timestamp"
    TOKEN = "token"
    SEAL = "seal"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """One key of a provider. `id` is its CKA_ID in hex, `created` an aware UTC instant."""

    label: str
    algorithm: SignatureAlgorithm
    purpose: KeyPurpose
    id: str
    created: datetime


@unique
class HealthState(StrEnum):
    """Whether a provider can sign now."""

    OK = "ok"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A provider's own word on whether it can sign; `detail` holds no secret."""

    state: HealthState
    detail: str = ""

    @property
    def ok(self) -> bool:
        """True when keys can sign now."""
        return self.state is HealthState.OK


def check_label(label: str) -> None:
    """Refuse a label that is empty, longer than 64 octets or not printable ASCII without spaces."""
    if not label or len(label) > MAX_LABEL_OCTETS or not label.isascii() or not label.isprintable() or " " in label:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a key label is 1 to 64 printable ASCII characters, no spaces")


def spki_of(public_key: PublicKey) -> bytes:
    """Return the DER SubjectPublicKeyInfo of `public_key`."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class KeyProvider(Protocol):
    """Own private keys and sign with them; the keys never leave."""

    def signing_key(self, label: str) -> SigningKey:
        """Return the key that goes by `label`; KeyNotFound, HsmUnavailable."""
        ...

    def generate(
        self, label: str, algorithm: SignatureAlgorithm, purpose: KeyPurpose, rsa_bits: int = DEFAULT_RSA_BITS
    ) -> PublicKey:
        """Make a key that can never be exported and return its public half; KeyExists, MechanismRefused."""
        ...

    def keys(self) -> tuple[KeyInfo, ...]:
        """List the keys, by label."""
        ...

    def health(self) -> Health:
        """Say whether keys can sign now; never raises HsmUnavailable."""
        ...

    def close(self) -> None:
        """Let go of connections and handles."""
        ...


@runtime_checkable
class SignsMany(Protocol):
    """A provider that signs several messages at the cost of one round trip."""

    def sign_many(self, label: str, messages: Sequence[bytes]) -> tuple[bytes, ...]:
        """Sign each message with the key; all or none: the first refusal is raised."""
        ...


@runtime_checkable
class BindsIssuers(Protocol):
    """A provider that holds a key to one issuer's name."""

    def set_issuer(self, label: str, issuer_der: bytes) -> None:
        """Fix the issuer Name (DER) that what this key signs must carry; once only, then Conflict."""
        ...
