"""Which engine and profile a card gets, by its answer to reset.

A row's `verified` is true only when the engine was run against that very card. Cards in no row are asked to
describe themselves by ISO/IEC 7816-15; a card that cannot is unsupported, and said to be.
"""

from dataclasses import dataclass
from typing import Final

from cardreader.cards.base import SmartCard
from cardreader.cards.iso7816_15 import Iso7816Card
from cardreader.cards.objects import CardProfile
from cardreader.channel import CardChannel


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """Cards whose ATR, under the mask, is `atr`. Octets that the ATR lacks do not match."""

    atr: bytes
    mask: bytes
    profile: CardProfile
    engine: type[SmartCard]

    def matches(self, atr: bytes) -> bool:
        """Compare `atr` with this row."""
        return len(atr) == len(self.atr) and all(
            octet & mask == wanted & mask for octet, wanted, mask in zip(atr, self.atr, self.mask, strict=True)
        )


_EMULATED: Final = bytes.fromhex("3B8E80018073C001C0584D4F48522D454D55CD")
_ROWS: Final = (
    _Row(
        atr=_EMULATED,
        mask=b"\xff" * len(_EMULATED),
        profile=CardProfile(name="mohr-emulated", verified=True),
        engine=Iso7816Card,
    ),
)
_SELF_DESCRIBING: Final = CardProfile(name="iso7816-15", verified=False)


def open_card(channel: CardChannel) -> SmartCard:
    """Open the card behind `channel` with the engine that fits; CardUnsupported when none does.

    The channel is closed when opening fails.
    """
    row = next((each for each in _ROWS if each.matches(channel.atr)), None)
    engine, profile = (Iso7816Card, _SELF_DESCRIBING) if row is None else (row.engine, row.profile)
    card = engine(channel, profile)
    try:
        card.open()
    except BaseException:
        card.close()
        raise
    return card
