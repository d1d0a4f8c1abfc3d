"""Who gives or takes octets too slowly is ended by what the kernel counts; who waits for us is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import pytest

from webapp.slow_peers import AtWork, Pace, SlowPeers

PACE = Pace(
    window=1.0,
    rate=1000,
    patience=3.0,
    longest=20.0,
    work=8.0,
    short_window=0.5,
    grace=2.0,
    least_grace=0.5,
    contested_rate=4000,
)


@dataclass
class Line:
    """Connections to a port of this process, and a clock of their own."""

    stack: ExitStack
    listener: socket.socket
    at_work: AtWork = field(default_factory=AtWork)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.peers = SlowPeers(self.listener.getsockname()[1], PACE, self.at_work)

    def connected(self) -> tuple[socket.socket, socket.socket]:
        """Connect; return the client's and the server's side."""
        client = self.stack.enter_context(socket.create_connection(self.listener.getsockname()))
        server = self.stack.enter_context(self.listener.accept()[0])
        client.settimeout(5)
        return client, server

    def look(self, seconds: float = PACE.window) -> int:
        """Look again after so long."""
        self.now += seconds
        return self.peers.look(self.now)


@pytest.fixture
def line() -> Iterator[Line]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        made = Line(stack, listener)
        made.look()
        yield made


def gave(sender: socket.socket, receiver: socket.socket, count: int) -> None:
    sender.sendall(bytes(count))
    while count:
        count -= len(receiver.recv(count))


def test_who_is_silent_or_gives_single_octets_is_ended_and_who_is_fast_is_not(line: Line) -> None:
    silent, _ = line.connected()
    trickling, trickled = line.connected()
    fast, taken = line.connected()
    line.look()
    ended = []
    for _ in range(4):
        gave(trickling, trickled, 1)
        gave(fast, taken, 1000)
        ended.append(line.look())
        if ended[-1]:
            break
    assert ended == [0, 0, 2]
    assert silent.recv(1) == trickling.recv(1) == b""
    gave(fast, taken, 10)


def test_one_transfer_lasts_so_long_at_most_however_fast_it_is(line: Line) -> None:
    client, server = line.connected()
    line.look()
    looks = 0
    while not line.look():
        gave(client, server, 1000)
        looks += 1
        assert looks < 30
    assert looks == PACE.longest - 1


def test_many_answered_requests_may_last_for_ever(line: Line) -> None:
    client, server = line.connected()
    for _ in range(30):
        gave(client, server, 50)
        gave(server, client, 10)
        assert line.look() == 0


def test_who_waits_for_us_may_be_silent_while_we_work_and_not_for_ever(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = line.connected()
    stranger, _ = line.connected()
    gave(client, server, 50)
    line.look()
    monkeypatch.setattr("time.monotonic", lambda: line.now)
    port = client.getsockname()[1]
    line.at_work.begin({"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": str(port)})
    looks = [line.look() for _ in range(12)]
    assert looks == [0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert stranger.recv(1) == client.recv(1) == b""


def test_whose_octets_we_did_not_read_yet_waits_for_us(line: Line) -> None:
    client, server = line.connected()
    client.sendall(b"hello")
    assert [line.look() for _ in range(6)] == [0] * 6
    server.recv(5)
    assert [line.look() for _ in range(3)] == [0, 0, 1]
    assert is_ended(client)


def test_a_server_that_names_no_port_spares_each_connection_of_the_address(line: Line) -> None:
    line.connected()
    line.look()
    assert line.at_work.began_before("127.0.0.1", 1, float("inf")) is False
    line.at_work.begin({"REMOTE_ADDR": "127.0.0.1"})
    assert line.at_work.began_before("127.0.0.1", 1, float("inf"))
    assert not line.at_work.began_before("127.0.0.2", 1, float("inf"))
    assert not line.at_work.began_before("127.0.0.1", 1, 0)
    line.at_work.end()
    assert line.at_work.began_before("127.0.0.1", 1, float("inf")) is False


def test_who_does_not_take_its_answer_is_ended(line: Line) -> None:
    slow, full = line.connected()
    fast, drained = line.connected()
    full.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            full.send(bytes(1 << 20))
    line.look()
    for expected in (0, 0, 1):
        gave(drained, fast, 2000)
        assert line.look() == expected
    with pytest.raises(OSError, match=r"."):
        full.send(b"x")
    gave(drained, fast, 10)
    slow.close()


def test_nobody_is_blamed_for_the_time_in_which_we_stood_still(line: Line) -> None:
    client, server = line.connected()
    line.look()
    assert line.look(100.0) == 0
    assert line.look() == 0
    gave(client, server, 1)


def test_connections_to_others_are_not_touched(line: Line) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as other:
        elsewhere = socket.create_connection(other.getsockname())
        with elsewhere, other.accept()[0] as accepted:
            assert [line.look() for _ in range(30)] == [0] * 30
            gave(elsewhere, accepted, 1)
            gave(ours, theirs, 1)
    with socket.create_connection(line.listener.getsockname()):
        pass


def asking(line: Line, *counts: int) -> list[socket.socket]:
    """Connect, and ask so many octets of each; return the clients' sides."""
    clients = []
    for count in counts:
        client, server = line.connected()
        gave(client, server, count)
        clients.append(client)
    line.look()
    return clients


def is_ended(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_for_those_who_wait_the_slowest_are_ended_and_with_each_look_twice_as_many_sooner(line: Line) -> None:
    clients = asking(line, 100, 50, 200, 400, 500, 9000)
    assert line.look(1.0) == 0
    with line.peers.hurried():
        assert line.look(0.5) == 0  # nobody had two seconds
        assert line.look(0.5) == 2
        assert [is_ended(one) for one in clients] == [True, True, False, False, False, False]
        assert line.look(0.1) == 3
    assert [is_ended(one) for one in clients] == [True, True, True, True, True, False]
    clients = asking(line, 100)
    with line.peers.hurried():
        assert line.look(1.0) == 1  # what was asked of all is forgotten as slowly
    for _ in range(5):
        line.look()
    asking(line, 100)
    with line.peers.hurried():
        assert line.look(1.0) == 0


def test_nobody_is_ended_for_others_where_none_waits(line: Line) -> None:
    asking(line, 100)
    assert [line.look() for _ in range(2)] == [0, 0]


def test_who_waits_for_us_loses_no_place(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: line.now)
    silent, in_work = asking(line, 100, 200)
    unread, _ = line.connected()
    unread.sendall(bytes(300))
    line.at_work.begin({"REMOTE_ADDR": "127.0.0.1"})
    line.look(2.0)
    with line.peers.hurried():
        for _ in range(3):
            line.look(0.2)
    assert [is_ended(one) for one in (silent, in_work, unread)] == [True, False, False]


def test_an_address_with_many_slow_ones_goes_before_others(line: Line) -> None:
    of_others = line.stack.enter_context(
        socket.create_connection(line.listener.getsockname(), source_address=("127.0.0.2", 0))
    )
    accepted = line.stack.enter_context(line.listener.accept()[0])
    gave(of_others, accepted, 10)
    many = asking(line, 100, 200)
    line.look(2.0)
    with line.peers.hurried():
        assert line.look(0.1) == 1
        assert [is_ended(one) for one in (*many, of_others)] == [True, False, False]
