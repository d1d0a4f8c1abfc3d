"""The one map from PC/SC return codes to errors."""

from typing import Final

from smartcard import scard

from cardreader.errors import (
    CardAbsent,
    CardError,
    CardProtocolError,
    CardRemoved,
    CardUnsupported,
    ReaderBusy,
    ReaderNotFound,
    ReaderServiceDown,
)

SUCCESS: Final[int] = scard.SCARD_S_SUCCESS
TIMEOUT: Final[int] = scard.SCARD_E_TIMEOUT
WAS_RESET: Final[int] = scard.SCARD_W_RESET_CARD
NO_READERS: Final[int] = scard.SCARD_E_NO_READERS_AVAILABLE
# A context of a service that ended: a new one may succeed.
STALE: Final = frozenset(
    (scard.SCARD_E_NO_SERVICE, scard.SCARD_E_SERVICE_STOPPED, scard.SCARD_E_INVALID_HANDLE, scard.SCARD_F_COMM_ERROR)
)

_ERRORS: Final[dict[int, type[CardError]]] = {
    **dict.fromkeys(STALE, ReaderServiceDown),
    scard.SCARD_E_NO_SMARTCARD: CardAbsent,
    scard.SCARD_W_REMOVED_CARD: CardRemoved,
    scard.SCARD_E_NOT_TRANSACTED: CardRemoved,  # what a pull in the middle of a command looks like
    scard.SCARD_W_RESET_CARD: CardRemoved,  # inside a transaction: the card's state is unknown
    scard.SCARD_W_UNPOWERED_CARD: CardRemoved,
    scard.SCARD_E_UNKNOWN_READER: ReaderNotFound,
    scard.SCARD_E_READER_UNAVAILABLE: ReaderNotFound,
    scard.SCARD_E_NO_READERS_AVAILABLE: ReaderNotFound,
    scard.SCARD_E_SHARING_VIOLATION: ReaderBusy,
    scard.SCARD_W_UNRESPONSIVE_CARD: CardUnsupported,
    scard.SCARD_W_UNSUPPORTED_CARD: CardUnsupported,
    scard.SCARD_E_PROTO_MISMATCH: CardUnsupported,
}


def fault(result: int, doing: str) -> CardError:
    """Return the error for a PC/SC return code."""
    return _ERRORS.get(result, CardProtocolError)(f"{doing}: PC/SC error {result & 0xFFFFFFFF:08X}")


def require(result: int, doing: str) -> None:
    """Raise the error for `result` unless it is success."""
    if result != SUCCESS:
        raise fault(result, doing)
