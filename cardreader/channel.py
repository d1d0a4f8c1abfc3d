"""The way to a card, and the wrappers that make a short-APDU card look as if lengths had no limits.

`ResponseChaining(CommandChaining(channel))` is what card engines talk to. Each wrapper does one thing
and keeps its own count, so that a card that never stops answering cannot hold the caller.
"""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final, Protocol

from cardreader.apdu import (
    CHAINING,
    EXTENDED_NE,
    SHORT_NC,
    SHORT_NE,
    CommandApdu,
    Instruction,
    ResponseApdu,
)
from cardreader.errors import CardProtocolError

MAX_RESPONSE_ROUNDS: Final = 260


class CardChannel(Protocol):
    """An open connection to one inserted card, used by one thread."""

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        ...

    def transmit(self, command: CommandApdu) -> ResponseApdu:
        """Send one command; CardRemoved, ReaderServiceDown or CardProtocolError when no answer comes."""
        ...

    def transaction(self) -> AbstractContextManager[bool]:
        """Keep others from the card inside the block; yields whether the card was reset since the last one.

        Never held while a person is asked something.
        """
        ...

    def close(self, *, reset: bool) -> None:
        """Let the card go; `reset` makes it forget verified PINs."""
        ...


class _Wrapper:
    """Hand everything but `transmit` to the wrapped channel."""

    def __init__(self, channel: CardChannel) -> None:
        self._channel = channel

    @property
    def atr(self) -> bytes:
        return self._channel.atr

    def transaction(self) -> AbstractContextManager[bool]:
        return self._channel.transaction()

    def close(self, *, reset: bool) -> None:
        self._channel.close(reset=reset)


class CommandChaining(_Wrapper):
    """Send data longer than 255 octets as a chain of commands (ISO/IEC 7816-4 §5.3.3)."""

    def transmit(self, command: CommandApdu) -> ResponseApdu:
        """Send `command`; a refused link is the answer, what follows it is not sent."""
        if len(command.data) <= SHORT_NC:
            return self._channel.transmit(command)
        links = [command.data[start : start + SHORT_NC] for start in range(0, len(command.data), SHORT_NC)]
        for link in links[:-1]:
            response = self._channel.transmit(replace(command, cla=command.cla | CHAINING, data=link, ne=0))
            if not response.ok:
                return response
        return self._channel.transmit(replace(command, data=links[-1]))


class ResponseChaining(_Wrapper):
    """Collect long answers: 61xx by GET RESPONSE, 6Cxx by asking once more with the length the card names."""

    def transmit(self, command: CommandApdu) -> ResponseApdu:
        """Send `command` and return the whole answer with its last status word.

        CardProtocolError when the card never ends, answers more than asked, or repeats 6Cxx.
        """
        response = self._exchange(command)
        data = bytearray(response.data)
        rounds = 0
        while response.sw1 == 0x61:
            rounds += 1
            if rounds > MAX_RESPONSE_ROUNDS or len(data) > EXTENDED_NE:
                raise CardProtocolError("the card's answer has no end")
            fetch = CommandApdu(cla=command.cla & ~CHAINING, ins=Instruction.GET_RESPONSE, ne=response.sw2 or SHORT_NE)
            response = self._exchange(fetch)
            if response.sw1 == 0x61 and not response.data:
                raise CardProtocolError("GET RESPONSE brought nothing")
            data += response.data
        return ResponseApdu(data=bytes(data), sw=response.sw)

    def _exchange(self, command: CommandApdu) -> ResponseApdu:
        response = self._channel.transmit(command)
        if response.sw1 == 0x6C and not command.carries_secret:
            command = replace(command, ne=response.sw2 or SHORT_NE)
            response = self._channel.transmit(command)
        if response.sw1 == 0x6C:
            raise CardProtocolError("the card refuses the length it asked for")
        if len(response.data) > command.ne:
            raise CardProtocolError("the card answered more than was asked")
        return response
