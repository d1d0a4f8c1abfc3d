"""What a card holds, as the layers above see it: keys, PINs, profile."""

from dataclasses import dataclass
from enum import StrEnum, unique

from cardreader.pin import PinFormat
from pki.keys import PublicKey, SignatureAlgorithm


@unique
class KeyUsage(StrEnum):
    """What a key on a card is for; one key never serves both."""

    SIGN = "sign"  # non-repudiation: a person's signature under a document
    AUTH = "auth"  # logging in


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProfile:
    """Which row of the registry matched. `verified` is false until the row was tried on the card it names."""

    name: str
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPin:
    """A PIN of the card; `puk_reference` names the secret that unblocks it, if the card says so."""

    reference: int
    label: str
    format: PinFormat
    puk_reference: int | None = None
    is_puk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CardKey:
    """A private key of the card with what is publicly known of it.

    `certificate` is DER or None. `asks_always` is true when the card forgets the PIN after each signature.
    """

    key_id: bytes
    label: str
    usage: KeyUsage
    algorithm: SignatureAlgorithm
    key_reference: int
    pin_reference: int | None
    asks_always: bool
    public_key: PublicKey
    certificate: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySlot:
    """A place for a private key that the card declares, filled or empty."""

    key_id: bytes
    label: str
    usage: KeyUsage
    key_reference: int
    pin_reference: int | None
    filled: bool
