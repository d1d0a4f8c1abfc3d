"""The readers of this machine: which there are, what is in them, and waiting for that to change.

The service may stop and start again at any time; each call makes a new context when the old one died, so
nothing here has to be restarted. pyscard's own monitor thread does not survive that and is not used.
"""

from dataclasses import dataclass, field
from typing import Final

from smartcard import scard

from cardreader.cards.base import SmartCard
from cardreader.cards.registry import open_card
from cardreader.pcsc.channel import DEFAULT_DEADLINE, PcscChannel
from cardreader.pcsc.faults import NO_READERS, STALE, SUCCESS, TIMEOUT, fault, require

_READERS_CHANGED: Final = "\\\\?PnP?\\Notification"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderState:
    """One reader. `atr` is empty without a card; `mute` says that the card does not answer."""

    name: str
    card_present: bool
    atr: bytes
    mute: bool
    in_exclusive_use: bool
    event_state: int = field(repr=False, default=0)  # opaque; what `wait` compares with


def _reader_state(name: str, event_state: int, atr: list[int]) -> ReaderState:
    return ReaderState(
        name=name,
        card_present=bool(event_state & scard.SCARD_STATE_PRESENT),
        atr=bytes(atr),
        mute=bool(event_state & scard.SCARD_STATE_MUTE),
        in_exclusive_use=bool(event_state & scard.SCARD_STATE_EXCLUSIVE),
        event_state=event_state & ~scard.SCARD_STATE_CHANGED,
    )


class PcscReaders:
    """The PC/SC service's readers, used by one thread.

    `deadline` is how long, in seconds, a card held by another program is waited for.
    """

    def __init__(self, *, deadline: float = DEFAULT_DEADLINE) -> None:
        self._deadline = deadline
        self._context: int | None = None

    def _established(self) -> int:
        if self._context is None:
            result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
            require(result, "establish context")
            self._context = context
        return self._context

    def list(self) -> tuple[ReaderState, ...]:
        """Return the readers with what is in them, none included; ReaderServiceDown when the service is off."""
        for fresh in (False, True):
            if fresh:
                self.close()
            result, names = scard.SCardListReaders(self._established(), [])
            if result not in STALE:
                break
        if result == NO_READERS or (result == SUCCESS and not names):
            return ()
        require(result, "list readers")
        unknown = [(name, scard.SCARD_STATE_UNAWARE) for name in names]
        result, states = scard.SCardGetStatusChange(self._established(), 0, unknown)
        require(result, "read the readers' states")
        return tuple(_reader_state(*state) for state in states)

    def wait(self, known: tuple[ReaderState, ...], timeout: float) -> tuple[ReaderState, ...]:
        """Wait up to `timeout` seconds until a reader or card comes or goes, and return what is there now.

        ReaderServiceDown as soon as the service ends; calling again finds it when it is back.
        """
        watched = [(state.name, state.event_state) for state in known] + [(_READERS_CHANGED, 0)]
        result, _states = scard.SCardGetStatusChange(self._established(), int(timeout * 1000), watched)
        if result == TIMEOUT:
            return known
        if result in STALE:
            self.close()
            raise fault(result, "wait for readers")
        return self.list()

    def connect(self, reader_name: str) -> SmartCard:
        """Open the card in a reader. CardAbsent, ReaderNotFound, ReaderBusy, CardUnsupported, ReaderServiceDown."""
        return open_card(PcscChannel(reader_name, deadline=self._deadline))

    def close(self) -> None:
        """Give the context back."""
        if self._context is not None:
            scard.SCardReleaseContext(self._context)
            self._context = None
