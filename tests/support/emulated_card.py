"""The emulated card in this process: its PINs, and a channel that can be pulled, reset and listened to."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cardreader.apdu import CommandApdu, Instruction, ResponseApdu, parse_response
from cardreader.cards.base import SmartCard
from cardreader.cards.objects import CardKey, KeyUsage
from cardreader.cards.registry import open_card
from cardreader.emulated.card import EmulatedCard
from cardreader.emulated.layout import InitialSecrets, blank_state
from cardreader.emulated.state import CardState
from cardreader.errors import CardRemoved
from cardreader.pin import Pin
from pki.keys import PublicKey, SignatureAlgorithm

AUTH_PIN, SIGN_PIN, PUK = b"2468", b"135790", b"87654321"
SERIAL = bytes.fromhex("4d4f485200000001")
TEST_SCRYPT_COST = 2


def initial_secrets() -> InitialSecrets:
    """Return fresh copies of the test secrets."""
    return InitialSecrets(auth_pin=Pin(AUTH_PIN), sign_pin=Pin(SIGN_PIN), puk=Pin(PUK))


def new_state(serial: bytes = SERIAL) -> CardState:
    """Return the state of a blank card whose PIN checks are fast."""
    return blank_state(initial_secrets(), serial=serial, label="Test card", scrypt_cost=TEST_SCRYPT_COST)


class CardInProcess:
    """A channel to an emulated card without PC/SC. `before` sees each command and may raise."""

    def __init__(self, card: EmulatedCard) -> None:
        self.card = card
        self.atr = card.atr
        self.commands: list[CommandApdu] = []
        self.before: Callable[[CommandApdu], None] = lambda command: None
        self.after: Callable[[CommandApdu, ResponseApdu], ResponseApdu] = lambda command, response: response
        self.in_transaction = False
        self.reset_pending = False
        self.closed: str | None = None

    def transmit(self, command: CommandApdu) -> ResponseApdu:
        assert self.in_transaction, "a command outside a transaction"
        self.commands.append(command)
        self.before(command)
        return self.after(command, parse_response(self.card.process(bytes(command.encode()))))

    @contextmanager
    def transaction(self) -> Iterator[bool]:
        assert not self.in_transaction, "a transaction inside another"
        was_reset, self.reset_pending = self.reset_pending, False
        self.in_transaction = True
        try:
            yield was_reset
        finally:
            self.in_transaction = False

    def close(self, *, reset: bool) -> None:
        self.closed = "reset" if reset else "left"

    def reset_by_another(self) -> None:
        """Do what another program's SCARD_RESET_CARD does."""
        self.card.reset()
        self.reset_pending = True

    def pull_at(self, instruction: Instruction) -> None:
        """Let the card leave when `instruction` is sent next."""

        def leave(command: CommandApdu) -> None:
            if command.ins == instruction:
                raise CardRemoved("pulled by the test")

        self.before = leave

    def count(self, instruction: Instruction) -> int:
        """Count the commands with data that were sent with `instruction`."""
        return sum(1 for command in self.commands if command.ins == instruction and command.data)


def open_emulated(state: CardState | None = None) -> tuple[SmartCard, CardInProcess]:
    """Open a card in this process; a blank one unless `state` is given."""
    channel = CardInProcess(EmulatedCard(new_state() if state is None else state, lambda _state: None))
    return open_card(channel), channel


def certificate_for(public_key: PublicKey, *, padding: int = 0) -> bytes:
    """Issue a synthetic clinician's certificate for a card's key, DER; `padding` octets make it larger."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "نمونهٔ پزشک")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2028, 1, 1, tzinfo=UTC))
    )
    if padding:
        filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), bytes(padding))
        builder = builder.add_extension(filler, critical=False)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.DER)


def key_of(card: SmartCard, usage: KeyUsage) -> CardKey:
    """Return the card's key for `usage`."""
    return next(key for key in card.keys() if key.usage is usage)


def personalise(card: SmartCard, algorithm: SignatureAlgorithm) -> None:
    """Make both keys on the card and write their certificates."""
    for usage, digits in ((KeyUsage.AUTH, AUTH_PIN), (KeyUsage.SIGN, SIGN_PIN)):
        with Pin(digits) as pin:
            public_key = card.generate_key(usage, algorithm, pin)
            card.write_certificate(key_of(card, usage).key_id, certificate_for(public_key), pin)


@lru_cache(maxsize=4)
def _personalised(algorithm: SignatureAlgorithm) -> CardState:
    state = new_state()
    card, _channel = open_emulated(state)
    personalise(card, algorithm)
    return state


def personalised_state(algorithm: SignatureAlgorithm = SignatureAlgorithm.ES256) -> CardState:
    """Return a copy of a card with both keys and certificates; the keys are made once per process."""
    return copy.deepcopy(_personalised(algorithm))
