"""The wire to the virtual reader, with a reader of our own on the other end."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from cardreader.emulated.bridge import InsertedCard
from cardreader.errors import ReaderServiceDown


class EchoCard:
    """Answers each command with itself and 9000, and counts resets."""

    atr = b"\x3b\x00"

    def __init__(self) -> None:
        self.resets = 0
        self.slow = 0.0

    def reset(self) -> None:
        self.resets += 1

    def process(self, raw: bytes) -> bytes:
        time.sleep(self.slow)
        return raw + b"\x90\x00"


class Reader:
    """The listening side of vpcd's protocol."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(60)
        self.port: int = self._listener.getsockname()[1]
        self._taken: socket.socket | None = None

    @property
    def connection(self) -> socket.socket:
        """The card's connection."""
        assert self._taken is not None
        return self._taken

    def take(self) -> None:
        """Accept the card and read its ATR, as pcscd does."""
        self._taken, _address = self._listener.accept()
        self.connection.settimeout(60)
        self.send(b"\x04")

    def send(self, message: bytes) -> None:
        self.connection.sendall(len(message).to_bytes(2, "big") + message)

    def receive(self) -> bytes:
        size = int.from_bytes(self.connection.recv(2, socket.MSG_WAITALL), "big")
        return self.connection.recv(size, socket.MSG_WAITALL)

    def close(self) -> None:
        if self._taken is not None:
            self._taken.close()
        self._listener.close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.close()


def insert(reader: Reader, card: EchoCard) -> InsertedCard:
    """Insert `card`; the constructor waits for the reader, so the reader goes first, in a thread."""
    taking = threading.Thread(target=reader.take)
    taking.start()
    inserted = InsertedCard(card, reader.port)
    taking.join()
    assert reader.receive() == EchoCard.atr
    return inserted


def test_commands_are_answered_and_power_changes_reset_the_card(reader: Reader) -> None:
    card = EchoCard()
    inserted = insert(reader, card)
    before = card.resets
    for control in (b"\x00", b"\x01", b"\x02"):
        reader.send(control)
    reader.send(b"\x00\xa4\x00\x00")
    assert reader.receive() == b"\x00\xa4\x00\x00\x90\x00"
    assert card.resets == before + 3
    assert inserted.present
    inserted.pull()


def test_a_command_in_many_segments_is_one_command(reader: Reader) -> None:
    inserted = insert(reader, EchoCard())
    for octet in b"\x00\x04\x00\xa4\x00\x00":
        reader.connection.sendall(bytes((octet,)))
    assert reader.receive() == b"\x00\xa4\x00\x00\x90\x00"
    inserted.pull()


def test_pulling_the_card_ends_the_connection_even_while_it_answers(reader: Reader) -> None:
    card = EchoCard()
    card.slow = 0.05
    inserted = insert(reader, card)
    reader.send(b"\x00\xa4\x00\x00")
    inserted.pull()
    assert not inserted.present
    assert reader.connection.recv(10) == b""


def test_a_reader_that_ends_lets_the_card_go(reader: Reader) -> None:
    inserted = insert(reader, EchoCard())
    reader.connection.close()
    inserted.wait()
    assert not inserted.present
    inserted.pull()


def test_a_reader_that_ignores_the_card_is_an_error(reader: Reader) -> None:
    with pytest.raises(ReaderServiceDown, match="does not take"):
        InsertedCard(EchoCard(), reader.port, timeout=0.1)


def test_no_reader_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ReaderServiceDown, match="no virtual reader"):
        InsertedCard(EchoCard(), port, timeout=0.05)
