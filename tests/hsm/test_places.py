"""When all places are taken, whoever holds the most makes room, and nobody else."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hsm.custodian.connection import Call, Connection
from hsm.custodian.places import makes_room
from hsm.framing import frame


class Crowd:
    """Connections without anybody at the other end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __call__(self, role: str, pid: int, *, asked: int = 0, at: float = 0.0, state: str = "idle") -> Connection:
        ours, theirs = socket.socketpair()
        self._stack.enter_context(theirs)
        connection = Connection(ours, role, pid, 0, at)
        self._stack.callback(connection.close)
        connection.served = asked
        if state == "busy":
            connection.calls.append(Call(connection))
        if state == "stuck":
            connection.out = b"an answer"
            connection.calls.append(Call(connection))
        return connection


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with ExitStack() as stack:
        yield Crowd(stack)


def test_of_one_process_the_connection_that_never_asked_goes_first(crowd: Crowd) -> None:
    asked, silent = crowd("server", 1, asked=1, at=1), crowd("server", 1, at=5)
    stuck, busy = crowd("server", 1, asked=1, state="stuck"), crowd("server", 1, state="busy")
    among = [asked, busy, stuck, silent]
    for expected in (silent, stuck, asked):
        assert makes_room(among, crowd("server", 1)) is expected
        among.remove(expected)


def test_among_equals_the_one_that_is_quiet_the_longest_goes(crowd: Crowd) -> None:
    among = [crowd("server", 1, at=at) for at in (3.0, 1.0, 2.0)]
    assert makes_room(among, crowd("server", 1)) is among[1]


def test_a_role_that_fills_every_place_makes_room_for_another_even_while_it_is_busy(crowd: Crowd) -> None:
    many = [crowd("server", 1, state="busy", at=number) for number in range(5)]
    own = crowd("worker", 2, asked=1)
    assert makes_room([own, *many], crowd("worker", 2)) is many[0]
    assert makes_room([own, *many], crowd("operator", 3)) is many[0]


def test_a_process_that_fills_every_place_of_its_role_makes_room_for_another(crowd: Crowd) -> None:
    many = [crowd("server", 1, state=("busy", "stuck")[number % 2], at=number) for number in range(6)]
    other = crowd("server", 2, asked=9)
    leaving = makes_room([other, *many], crowd("server", 3))
    assert leaving in many
    assert leaving is many[1]  # it does not take its answers


def test_whoever_has_the_most_takes_no_place_of_others(crowd: Crowd) -> None:
    many = [crowd("server", 1, state="busy") for _ in range(6)]
    others = [crowd("worker", 2), crowd("worker", 2), crowd("server", 3, asked=1)]
    assert makes_room([*others, *many], crowd("server", 1)) is None


def test_nobody_who_is_busy_goes_for_an_equal(crowd: Crowd) -> None:
    among = [crowd("server", number, state="busy") for number in range(5)]
    assert makes_room(among, crowd("server", 9)) is None
    idle = crowd("server", 7, asked=1)
    assert makes_room([*among, idle], crowd("server", 9)) is idle


def test_a_peer_whose_frames_go_on_arriving_never_stalls_and_one_that_stops_does(crowd: Crowd) -> None:
    peer, whole = crowd("server", 1), frame(b"request", 100)
    peer.feed(whole[:5], 0)
    for second in range(1, 60):  # each piece ends a frame and begins the next
        peer.feed(whole[5:] + whole[:5], second)
        assert not peer.stalled(second)
    assert peer.stalled(59 + 11)
