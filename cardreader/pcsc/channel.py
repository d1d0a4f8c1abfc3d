"""A card through PC/SC, in shared mode, over pyscard's bare functions.

Nothing here writes a log: commands may carry PINs. What this module makes of a command on its way to the
service is overwritten after the call; pyscard's and the service's own copies are not in our reach.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from smartcard import scard

from cardreader.apdu import CommandApdu, ResponseApdu, parse_response
from cardreader.errors import CardRemoved
from cardreader.pcsc.deadline import within
from cardreader.pcsc.faults import WAS_RESET, fault, require
from cardreader.pin import wipe

DEFAULT_DEADLINE: Final = 10.0
_PROTOCOLS: Final[int] = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1


class PcscChannel:
    """A connection to the card in one reader, with a PC/SC context of its own.

    `deadline` is how long, in seconds, another program's transaction is waited for.
    """

    def __init__(self, reader: str, *, deadline: float = DEFAULT_DEADLINE) -> None:
        self._deadline = deadline
        self._open = False
        result, self._context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
        require(result, "establish context")
        result, self._card, self._protocol = within(deadline, lambda: self._connect(reader), self._give_back_connection)
        if result != scard.SCARD_S_SUCCESS:
            scard.SCardReleaseContext(self._context)
            raise fault(result, "connect")
        self._open = True
        self._atr = self._read_atr()

    def _connect(self, reader: str) -> tuple[int, int, int]:
        result, card, protocol = scard.SCardConnect(self._context, reader, scard.SCARD_SHARE_SHARED, _PROTOCOLS)
        return result, card, protocol

    def _give_back_connection(self, late: tuple[int, int, int]) -> None:
        if late[0] == scard.SCARD_S_SUCCESS:
            scard.SCardDisconnect(late[1], scard.SCARD_LEAVE_CARD)
        scard.SCardReleaseContext(self._context)

    def _read_atr(self) -> bytes:
        result, *rest = scard.SCardStatus(self._card)
        if result != scard.SCARD_S_SUCCESS:
            self.close(reset=False)
            raise fault(result, "read the ATR")
        return bytes(rest[-1])

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        return self._atr

    def transmit(self, command: CommandApdu) -> ResponseApdu:
        """Send one command and return the answer; CardRemoved when the card left, its effect then being unknown."""
        if not self._open:
            raise CardRemoved("the connection is closed")
        encoded = command.encode()
        octets = list(encoded)
        try:
            result, answer = scard.SCardTransmit(self._card, self._request_header(), octets)
        finally:
            wipe(encoded)
            octets[:] = [0] * len(octets)
        require(result, "transmit")
        if not answer:  # no card answers nothing: some drivers call it success when theirs leaves
            raise CardRemoved("transmit: an empty answer")
        return parse_response(bytes(answer))

    def _request_header(self) -> object:
        return scard.SCARD_PCI_T1 if self._protocol == scard.SCARD_PROTOCOL_T1 else scard.SCARD_PCI_T0

    @contextmanager
    def transaction(self) -> Iterator[bool]:
        """Keep other programs from the card; yields whether the card was reset since the last transaction."""
        if not self._open:
            raise CardRemoved("the connection is closed")
        was_reset = self._begin()
        try:
            yield was_reset
        finally:
            # What it returns says nothing about the block: an answer that came stays good when the card leaves
            # right after it, and the next transaction will tell.
            scard.SCardEndTransaction(self._card, scard.SCARD_LEAVE_CARD)

    def _begin(self) -> bool:
        """Begin a transaction, once more after a reset by another program."""
        result = self._try_begin()
        if result != WAS_RESET:
            require(result, "begin transaction")
            return False
        result, self._protocol = scard.SCardReconnect(
            self._card, scard.SCARD_SHARE_SHARED, _PROTOCOLS, scard.SCARD_LEAVE_CARD
        )
        require(result, "reconnect")
        require(self._try_begin(), "begin transaction")
        return True

    def _try_begin(self) -> int:
        card = self._card
        try:
            result: int = within(self._deadline, lambda: scard.SCardBeginTransaction(card), self._give_back_transaction)
        except BaseException:
            self._open = False  # the thread that still waits owns the connection now
            raise
        return result

    def _give_back_transaction(self, late: int) -> None:
        if late == scard.SCARD_S_SUCCESS:
            scard.SCardEndTransaction(self._card, scard.SCARD_LEAVE_CARD)
        scard.SCardDisconnect(self._card, scard.SCARD_LEAVE_CARD)
        scard.SCardReleaseContext(self._context)

    def close(self, *, reset: bool) -> None:
        """Let the card go, and the context; errors are of no use to anybody now."""
        if self._open:
            self._open = False
            scard.SCardDisconnect(self._card, scard.SCARD_RESET_CARD if reset else scard.SCARD_LEAVE_CARD)
            scard.SCardReleaseContext(self._context)
