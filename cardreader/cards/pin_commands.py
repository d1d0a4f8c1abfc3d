"""VERIFY, CHANGE REFERENCE DATA and RESET RETRY COUNTER, and what their status words mean (ISO/IEC 7816-4 §11.6)."""

from cardreader.apdu import CommandApdu, Instruction, ResponseApdu, StatusWord
from cardreader.cards.objects import CardPin
from cardreader.channel import CardChannel
from cardreader.errors import CardRefused, CardUnsupported, PinBlocked, PinFormatRefused, PinIncorrect
from cardreader.pin import Pin, PinStatus, reference_data

_BLOCKED = frozenset((StatusWord.BLOCKED, StatusWord.REFERENCE_UNUSABLE, 0x63C0))
_BAD_FORM = frozenset((StatusWord.WRONG_LENGTH, StatusWord.WRONG_DATA))


class PinCommands:
    """The PIN commands of a card that follows ISO/IEC 7816-4."""

    def __init__(self, channel: CardChannel) -> None:
        self._channel = channel

    def status(self, pin: CardPin) -> PinStatus:
        """Ask for the retry counter with an empty VERIFY, which takes no try; many cards do not tell a PUK's."""
        response = self._channel.transmit(CommandApdu(ins=Instruction.VERIFY, p2=pin.reference))
        if response.ok:
            return PinStatus(tries_left=None, blocked=False, verified=True)
        if response.sw in _BLOCKED:
            return PinStatus(tries_left=0, blocked=True)
        if response.tries_left is not None:
            return PinStatus(tries_left=response.tries_left, blocked=False)
        if response.sw == StatusWord.REFERENCE_NOT_FOUND and not pin.is_puk:
            raise CardUnsupported(f"the card has no PIN {pin.reference}")
        return PinStatus(tries_left=None, blocked=False)

    def verify(self, pin: CardPin, secret: Pin) -> None:
        """Check `secret`; PinIncorrect, PinBlocked or PinFormatRefused."""
        with reference_data((secret, pin.format)) as data:
            self._judge(self._channel.transmit(_command(Instruction.VERIFY, pin, data)), "VERIFY")

    def change(self, pin: CardPin, old: Pin, new: Pin) -> None:
        """Replace the PIN by its holder; errors as for `verify`."""
        with reference_data((old, pin.format), (new, pin.format)) as data:
            self._judge(self._channel.transmit(_command(Instruction.CHANGE_REFERENCE_DATA, pin, data)), "CHANGE")

    def unblock(self, pin: CardPin, puk_pin: CardPin, puk: Pin, new: Pin) -> None:
        """Set a new PIN with the PUK; errors speak of the PUK."""
        with reference_data((puk, puk_pin.format), (new, pin.format)) as data:
            self._judge(self._channel.transmit(_command(Instruction.RESET_RETRY_COUNTER, pin, data)), "UNBLOCK")

    def _judge(self, response: ResponseApdu, command: str) -> None:
        if response.ok:
            return
        if response.sw in _BLOCKED:
            raise PinBlocked
        if response.tries_left is not None:
            raise PinIncorrect(response.tries_left)
        if response.sw in _BAD_FORM:
            raise PinFormatRefused("the card does not accept a PIN of this form")
        raise CardRefused(command, response.sw)


def _command(instruction: Instruction, pin: CardPin, data: bytearray) -> CommandApdu:
    return CommandApdu(ins=instruction, p2=pin.reference, data=data)
