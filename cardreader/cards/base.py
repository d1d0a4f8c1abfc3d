"""The template of every card: checks, sessions and PIN care here, card families in the `_impl` methods.

What holds for every family:
- one transaction for each public method, never while a person is asked; the application is selected anew in
  each, so that a reset by another program costs nothing but the PIN;
- PINs are checked before any APDU; a blocked PIN is never tried, a known wrong one never sent again, a last try
  wants a confirmation;
- a signature is checked with the public key before it is returned; only whole messages are signed;
- a card that left stays lost: nothing is sent again and this object answers with the same error.
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from cryptography.hazmat.primitives import hashes

from cardreader.cards.objects import CardKey, CardPin, CardProfile, KeySlot, KeyUsage
from cardreader.cards.pin_commands import PinCommands
from cardreader.channel import CardChannel, CommandChaining, ResponseChaining
from cardreader.errors import (
    CardKeyExists,
    CardKeyNotFound,
    CardRemoved,
    CardSignatureMismatch,
    CardUnsupported,
    PinBlocked,
    PinIncorrect,
    PinLastTry,
    ReaderNotFound,
    ReaderServiceDown,
)
from cardreader.pin import Pin, PinStatus
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.keys import PublicKey, SignatureAlgorithm, SigningKey, hash_of, verify_signature

PinSource = Pin | Callable[[PinStatus], Pin]


class CardSigningKey:
    """A key on a card as a `pki.keys.SigningKey`; made by `SmartCard.signing_key`."""

    def __init__(self, key: CardKey, sign: Callable[[bytes], bytes]) -> None:
        self._key, self._sign = key, sign

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """Name the one algorithm this key signs with."""
        return self._key.algorithm

    def public_key(self) -> PublicKey:
        """Return the public half."""
        return self._key.public_key

    def sign(self, message: bytes) -> bytes:
        """Sign the whole `message` on the card; the signature was checked before it is returned.

        Any CardError; after CardRemoved nobody knows whether the card signed.
        """
        return self._sign(message)


class SmartCard(ABC):
    """An opened card, used by one thread. Close it, or use it as a context manager."""

    def __init__(self, channel: CardChannel, profile: CardProfile) -> None:
        self._channel = ResponseChaining(CommandChaining(channel))
        self._commands = PinCommands(self._channel)
        self._lost: CardRemoved | ReaderServiceDown | ReaderNotFound | None = None
        self._pin_was_used = False
        self._wrong_pins: dict[int, bytes] = {}
        self._wrong_pin_key = secrets.token_bytes(16)
        self._keys: tuple[CardKey, ...] | None = None
        self.profile = profile
        self.label = ""
        self.serial = ""

    # --- what a family provides -------------------------------------------------------------------

    @abstractmethod
    def _select_impl(self) -> None:
        """Select the application; CardUnsupported when the card does not have it."""

    @abstractmethod
    def _identify_impl(self) -> tuple[str, str]:
        """Read (label, serial number in hexadecimal)."""

    @abstractmethod
    def _load_impl(self) -> None:
        """Read the directories once, after the card was identified."""

    @abstractmethod
    def _pins_impl(self) -> tuple[CardPin, ...]:
        """Return the PINs of the loaded directories."""

    @abstractmethod
    def _slots_impl(self) -> tuple[KeySlot, ...]:
        """Return the places for keys of the loaded directories."""

    @abstractmethod
    def _keys_impl(self) -> tuple[CardKey, ...]:
        """Read the keys with their certificates."""

    @abstractmethod
    def _sign_impl(self, key: CardKey, digest: bytes) -> bytes:
        """Sign a digest in the running session, PIN verified; return the X.509 encoding."""

    @abstractmethod
    def _generate_impl(self, slot: KeySlot, algorithm: SignatureAlgorithm) -> PublicKey:
        """Make a key in `slot` and write its public half, PIN verified."""

    @abstractmethod
    def _write_certificate_impl(self, key: CardKey, certificate_der: bytes) -> None:
        """Write the certificate of `key`, PIN verified."""

    # --- session ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Identify the card and read its directories; called once, before anything else."""
        with self._session():
            self.label, self.serial = self._identify_impl()
            self._load_impl()

    @contextmanager
    def _session(self) -> Iterator[None]:
        if self._lost is not None:
            raise type(self._lost)("the connection to the card was lost before; connect again")
        try:
            with self._channel.transaction() as was_reset:
                self._select_impl()
                if was_reset:
                    self._check_same_card()
                yield
        except (CardRemoved, ReaderServiceDown, ReaderNotFound) as error:
            self._lost = error
            raise

    def _check_same_card(self) -> None:
        if self.serial and self._identify_impl() != (self.label, self.serial):
            raise CardRemoved("another card is in the reader")

    def close(self) -> None:
        """Let the card go; it is reset if a PIN was verified, so that no other program finds it open."""
        self._channel.close(reset=self._pin_was_used)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # --- PINs -------------------------------------------------------------------------------------

    def pins(self) -> tuple[CardPin, ...]:
        """Return the card's PINs and PUKs."""
        return self._pins_impl()

    def _pin(self, reference: int) -> CardPin:
        for pin in self._pins_impl():
            if pin.reference == reference:
                return pin
        raise CardUnsupported(f"the card has no PIN {reference}")

    def pin_status(self, reference: int) -> PinStatus:
        """Ask for the retry counter of a PIN; takes no try."""
        pin = self._pin(reference)
        with self._session():
            return self._commands.status(pin)

    def verify_pin(self, reference: int, pin: Pin, *, last_try_confirmed: bool = False) -> None:
        """Check a PIN. PinIncorrect, PinBlocked, PinLastTry, PinFormatRefused; the last two take no try."""
        with self._authorised(reference, pin, last_try_confirmed=last_try_confirmed):
            return

    @contextmanager
    def _authorised(self, reference: int | None, secret: Pin, *, last_try_confirmed: bool) -> Iterator[None]:
        """Run the block in a session in which the PIN that guards a key, if one does, was verified."""
        known = None if reference is None else self._pin(reference)
        if known is not None:
            secret.check(known.format)
        with self._session():
            if known is not None:
                with self._counted(known, secret, last_try_confirmed=last_try_confirmed):
                    self._commands.verify(known, secret)
                self._pin_was_used = True
            yield

    def change_pin(self, reference: int, old: Pin, new: Pin, *, last_try_confirmed: bool = False) -> None:
        """Replace a PIN by its holder; errors as for `verify_pin`."""
        known = self._pin(reference)
        for secret in (old, new):
            secret.check(known.format)
        with self._session(), self._counted(known, old, last_try_confirmed=last_try_confirmed):
            self._commands.change(known, old, new)
        self._wrong_pins.pop(reference, None)

    def unblock_pin(self, reference: int, puk: Pin, new: Pin, *, last_try_confirmed: bool = False) -> None:
        """Set a new PIN with the PUK that the card names for it; errors speak of the PUK."""
        known = self._pin(reference)
        if known.puk_reference is None:
            raise CardUnsupported("this PIN cannot be unblocked")
        known_puk = self._pin(known.puk_reference)
        puk.check(known_puk.format)
        new.check(known.format)
        with self._session(), self._counted(known_puk, puk, last_try_confirmed=last_try_confirmed):
            self._commands.unblock(known, known_puk, puk, new)
        self._wrong_pins.pop(reference, None)

    @contextmanager
    def _counted(self, known: CardPin, secret: Pin, *, last_try_confirmed: bool) -> Iterator[None]:
        """Let the block try `secret` unless that try would be wasted; remember it when it was wrong."""
        status = self._commands.status(known)
        if status.blocked:
            raise PinBlocked
        fingerprint = secret.fingerprint(self._wrong_pin_key)
        if self._wrong_pins.get(known.reference) == fingerprint:
            raise PinIncorrect(status.tries_left or 0)
        if status.tries_left == 1 and not last_try_confirmed:
            raise PinLastTry
        try:
            yield
        except (PinIncorrect, PinBlocked):
            self._wrong_pins[known.reference] = fingerprint
            raise
        self._wrong_pins.pop(known.reference, None)

    # --- keys -------------------------------------------------------------------------------------

    def slots(self) -> tuple[KeySlot, ...]:
        """Return the places for private keys, filled or empty."""
        return self._slots_impl()

    def keys(self) -> tuple[CardKey, ...]:
        """Return the keys whose public half is known; read from the card once and after each change."""
        if self._keys is None:
            with self._session():
                self._keys = self._keys_impl()
        return self._keys

    def signing_key(self, key: CardKey, pin: PinSource, *, last_try_confirmed: bool = False) -> SigningKey:
        """Return `key` as something that signs messages.

        `pin` is a PIN that the caller wipes, or is called before each signature with the PIN's status, while the
        card is free, for a PIN that is wiped after use.
        """
        if key not in self.keys():
            raise CardKeyNotFound

        def sign(message: bytes) -> bytes:
            return self._sign_message(key, pin, message, last_try_confirmed=last_try_confirmed)

        return CardSigningKey(key, sign)

    def _sign_message(self, key: CardKey, source: PinSource, message: bytes, *, last_try_confirmed: bool) -> bytes:
        hasher = hashes.Hash(hash_of(key.algorithm))
        hasher.update(message)
        digest = hasher.finalize()
        secret = self._ask(key, source)
        try:
            with self._authorised(key.pin_reference, secret, last_try_confirmed=last_try_confirmed):
                signature = self._sign_impl(key, digest)
        finally:
            if secret is not source:
                secret.wipe()
        try:
            verify_signature(key.public_key, signature, message)
        except VerificationFailed as error:
            raise CardSignatureMismatch from error
        return signature

    def _ask(self, key: CardKey, source: PinSource) -> Pin:
        if isinstance(source, Pin):
            return source
        status = PinStatus(tries_left=None, blocked=False)
        if key.pin_reference is not None:
            status = self.pin_status(key.pin_reference)
            if status.blocked:
                raise PinBlocked
        return source(status)

    def generate_key(
        self,
        usage: KeyUsage,
        algorithm: SignatureAlgorithm,
        pin: Pin,
        *,
        replace: bool = False,
        last_try_confirmed: bool = False,
    ) -> PublicKey:
        """Make a key on the card in the place for `usage` and return its public half.

        CardKeyExists when the place is filled, unless `replace`: that destroys the old key and its certificate.
        """
        slot = next((each for each in self.slots() if each.usage == usage), None)
        if slot is None:
            raise CardUnsupported(f"the card has no place for a key for {usage}")
        if slot.filled and not replace:
            raise CardKeyExists
        with self._authorised(slot.pin_reference, pin, last_try_confirmed=last_try_confirmed):
            self._keys = None
            return self._generate_impl(slot, algorithm)

    def write_certificate(
        self, key_id: bytes, certificate_der: bytes, pin: Pin, *, last_try_confirmed: bool = False
    ) -> None:
        """Write a key's certificate in place of an older one; InvalidInput (`key-refused`) when it is another key's."""
        key = next((each for each in self.keys() if each.key_id == key_id), None)
        if key is None:
            raise CardKeyNotFound
        if Certificate.parse(certificate_der).public_key != key.public_key:
            raise InvalidInput(ErrorCode.KEY_REFUSED, "the certificate is for another key")
        with self._authorised(key.pin_reference, pin, last_try_confirmed=last_try_confirmed):
            self._keys = None
            self._write_certificate_impl(key, certificate_der)
