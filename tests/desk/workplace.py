"""A physician's desk in this process: the agent's commands over the real card engine and an emulated card."""

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from cardreader.apdu import Instruction
from cardreader.cards.base import SmartCard
from cardreader.cards.objects import KeyUsage
from cardreader.cards.registry import open_card
from cardreader.emulated.card import EmulatedCard
from cardreader.emulated.state import CardState
from cardreader.errors import CardAbsent, CardUnsupported
from cardreader.pcsc.readers import ReaderState
from cardreader.pin import Pin
from desk.cli import agent
from pki.certificates import Certificate
from pki.keys import SignatureAlgorithm
from pki.signatures import SubjectKey
from tests.support.emulated_card import AUTH_PIN, SIGN_PIN, CardInProcess, key_of, new_state, open_emulated
from tests.support.pki import Holder, TrustPath, make_path
from tests.support.programs import Ended, handed_over, run_here

READER = "Emulated reader 00 00"
SIGN, AUTH = SIGN_PIN.decode(), AUTH_PIN.decode()
DIGITS = {KeyUsage.SIGN: SIGN_PIN, KeyUsage.AUTH: AUTH_PIN}


@lru_cache
def authority() -> TrustPath:
    """The small software CA that certifies the cards' keys."""
    return make_path()


@dataclass(frozen=True)
class _PublicHalf:
    """A key whose private half is on a card."""

    key: SubjectKey

    def public_key(self) -> SubjectKey:
        return self.key


def certify(public_key: SubjectKey) -> Holder:
    """Issue a clinician's signing certificate, valid now, for a card's key."""
    now = datetime.now(UTC)
    return authority().intermediate.issue(
        key=_PublicHalf(public_key),  # type: ignore[arg-type]  # only its public half is asked for
        not_before=now - timedelta(days=1),
        not_after=now + timedelta(days=300),
    )


@lru_cache
def _ready(algorithm: SignatureAlgorithm) -> CardState:
    state = new_state()
    card, _channel = open_emulated(state)
    for usage, digits in DIGITS.items():
        with Pin(digits) as pin:
            holder = certify(card.generate_key(usage, algorithm, pin))
            card.write_certificate(key_of(card, usage).key_id, holder.certificate.der, pin)
    return state


def ready_state(algorithm: SignatureAlgorithm = SignatureAlgorithm.ES256) -> CardState:
    """A copy of a card with both keys and certificates of `authority`."""
    return copy.deepcopy(_ready(algorithm))


@dataclass
class Workplace:
    """One reader with one card, a folder for documents, and the agent."""

    folder: Path
    state: CardState = field(default_factory=ready_state)
    inserted: bool = True
    known: bool = True
    opened: list[CardInProcess] = field(default_factory=list)
    pull_at: Instruction | None = None

    def agent(self, *arguments: str | Path, pins: tuple[str, ...] = (), answers: str = "") -> Ended:
        """Run one command of `mohr-agent`; `pins` are handed over a pipe."""
        words = [str(argument) for argument in arguments]
        if not pins:
            return run_here(agent, *words, answers=answers)
        with handed_over(*pins) as descriptor:
            return run_here(agent, *words, "--pin-fd", str(descriptor), answers=answers)

    def write(self, name: str, data: bytes) -> Path:
        """Put a document on the desk."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def tries_left(self, usage: KeyUsage = KeyUsage.SIGN) -> int:
        """Read the counter inside the card."""
        return self.state.pins[2 if usage is KeyUsage.SIGN else 1].tries_left

    def sent(self, instruction: Instruction) -> int:
        """Count the commands with data that were sent with `instruction`."""
        return sum(channel.count(instruction) for channel in self.opened)

    def certificate(self, usage: KeyUsage = KeyUsage.SIGN) -> Certificate:
        """Read the certificate that is on the card now."""
        card, _channel = open_emulated(self.state)
        der = key_of(card, usage).certificate
        assert der is not None
        return Certificate.parse(der)

    # --- what `cardreader.pcsc.readers.PcscReaders` gives the agent ----------------------------------

    def list(self) -> tuple[ReaderState, ...]:
        return (
            ReaderState(name=READER, card_present=self.inserted, atr=b"", mute=False, in_exclusive_use=False),
            ReaderState(name="Empty reader", card_present=False, atr=b"", mute=False, in_exclusive_use=False),
        )

    def connect(self, reader_name: str) -> SmartCard:
        if reader_name != READER or not self.inserted:
            raise CardAbsent
        if not self.known:
            raise CardUnsupported("no engine knows this card")
        channel = CardInProcess(EmulatedCard(self.state, lambda _state: None))
        if self.pull_at is not None:
            channel.pull_at(self.pull_at)
        self.opened.append(channel)
        return open_card(channel)
