"""What can go wrong with cards and readers, each sorted under the class that says what the caller can do.

No error holds a PIN, an APDU or a card holder's data.
"""

from typing import ClassVar

from pki.errors import (
    Conflict,
    ErrorCode,
    InvalidInput,
    NotAllowed,
    NotFound,
    ServiceError,
    Unavailable,
    VerificationFailed,
)


class CardError(ServiceError):
    """Any error of this package; `CODE` is fixed by the class."""

    CODE: ClassVar[ErrorCode] = ErrorCode.CARD_PROTOCOL

    def __init__(self, detail: str = "") -> None:
        super().__init__(self.CODE, detail)


class CardProtocolError(CardError, InvalidInput):
    """The card answered something that its standard does not allow here, or the reader failed."""


class CardRefused(CardProtocolError):
    """The card refused a command with a status word that has no better name."""

    def __init__(self, command: str, sw: int) -> None:
        super().__init__(f"{command} was answered with {sw:04X}")
        self.sw = sw


class CardUnsupported(CardError, InvalidInput):
    """No engine knows this card, or the card lacks what was asked."""

    CODE = ErrorCode.CARD_UNSUPPORTED


class CardAbsent(CardError, NotFound):
    """The reader is empty."""

    CODE = ErrorCode.CARD_ABSENT


class CardRemoved(CardError, Unavailable):
    """The card left the reader; whether its last command took effect is unknown, so nothing is sent again."""

    CODE = ErrorCode.CARD_REMOVED
    retryable = False


class ReaderNotFound(CardError, NotFound):
    """No reader of that name is connected."""

    CODE = ErrorCode.READER_NOT_FOUND


class ReaderBusy(CardError, Unavailable):
    """Another program holds the reader or the card."""

    CODE = ErrorCode.READER_BUSY


class ReaderServiceDown(CardError, Unavailable):
    """The PC/SC service does not answer."""

    CODE = ErrorCode.READER_SERVICE_DOWN


class CardKeyNotFound(CardError, NotFound):
    """The card has no such key."""

    CODE = ErrorCode.CARD_KEY_NOT_FOUND


class CardKeyExists(CardError, Conflict):
    """A key is there already and would be destroyed."""

    CODE = ErrorCode.CARD_KEY_EXISTS


class CardFull(CardError, Conflict):
    """No free file on the card is large enough."""

    CODE = ErrorCode.CARD_FULL


class CardSignatureMismatch(CardError, VerificationFailed):
    """The card's signature does not verify with the public key that belongs to it."""

    CODE = ErrorCode.CARD_SIGNATURE_MISMATCH


class PinIncorrect(CardError, NotAllowed):
    """The PIN was wrong; `tries_left` more wrong ones block it."""

    CODE = ErrorCode.PIN_INCORRECT

    def __init__(self, tries_left: int) -> None:
        super().__init__(f"{tries_left} tries left")
        self.tries_left = tries_left


class PinBlocked(CardError, NotAllowed):
    """The PIN is blocked; only its PUK, where there is one, helps."""

    CODE = ErrorCode.PIN_BLOCKED


class PinLastTry(CardError, NotAllowed):
    """One try is left and the caller did not say that the holder knows it."""

    CODE = ErrorCode.PIN_LAST_TRY


class PinFormatRefused(CardError, InvalidInput):
    """The PIN cannot be right: not digits, too short or too long. Nothing was sent to the card."""

    CODE = ErrorCode.PIN_FORMAT


class PinRequired(CardError, NotAllowed):
    """The card wants its PIN first, or the secret given was wiped already."""

    CODE = ErrorCode.PIN_REQUIRED
