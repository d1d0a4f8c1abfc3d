"""A card that is a list of (command, response) pairs and fails at the first deviation."""

from collections.abc import Iterator
from contextlib import contextmanager

from cardreader.apdu import CommandApdu, ResponseApdu, parse_response


class ScriptedChannel:
    """Answers exactly the exchanges it was given, in hexadecimal, in their order.

    A response may be an exception, which is raised in place of an answer.
    """

    atr = b"\x3b\x00"

    def __init__(self, *exchanges: tuple[str, str | Exception]) -> None:
        self._left = list(exchanges)
        self.sent: list[str] = []
        self.in_transaction = False
        self.closed: str | None = None

    def transmit(self, command: CommandApdu) -> ResponseApdu:
        sent = bytes(command.encode()).hex()
        self.sent.append(sent)
        assert self._left, f"the script has ended, but {sent} was sent"
        wanted, answer = self._left.pop(0)
        assert sent == wanted.replace(" ", "").lower()
        if isinstance(answer, Exception):
            raise answer
        return parse_response(bytes.fromhex(answer))

    @contextmanager
    def transaction(self) -> Iterator[bool]:
        assert not self.in_transaction
        self.in_transaction = True
        try:
            yield False
        finally:
            self.in_transaction = False

    def close(self, *, reset: bool) -> None:
        self.closed = "reset" if reset else "left"

    def assert_played(self) -> None:
        """Fail when a part of the script was never reached."""
        assert not self._left, f"never sent: {self._left[0][0]}"
