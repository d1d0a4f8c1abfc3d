"""A real reader stack, started once for the tests that need one and put in order before each."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

from cardreader.emulated.layout import create_card
from cardreader.emulated.stack import PrivateReaderStack
from cardreader.emulated.state import StateFile
from cardreader.pcsc import PcscReaders, ReaderState
from pki.keys import SignatureAlgorithm
from tests.support.emulated_card import SERIAL, TEST_SCRYPT_COST, initial_secrets, personalised_state
from tests.support.reader_stack import attach, require_reader_programs

WAIT_SECONDS = 30.0


def wait_for_card(readers: PcscReaders, *, present: bool = True) -> ReaderState:
    """Wait until a reader does, or does not, hold a card, and return the first such reader."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        states = readers.list()
        if present == any(state.card_present for state in states):
            return next(state for state in states if state.card_present == present)
        time.sleep(0.02)
    raise AssertionError(f"no reader came to hold {'a' if present else 'no'} card")


@dataclass(frozen=True, kw_only=True)
class RealReader:
    """A running stack with a card in it, and the means to talk to it."""

    stack: PrivateReaderStack
    readers: PcscReaders
    name: str


@contextmanager
def reader_on(stack: PrivateReaderStack) -> Iterator[RealReader]:
    """Point this process's PC/SC at `stack` and wait for its card."""
    attach(stack)
    readers = PcscReaders(deadline=WAIT_SECONDS)
    try:
        yield RealReader(stack=stack, readers=readers, name=wait_for_card(readers).name)
    finally:
        readers.close()


@pytest.fixture
def stack_folder() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="mohr-") as folder:
        yield Path(folder)


@pytest.fixture
def blank_file(stack_folder: Path) -> StateFile:
    """A blank card's state file."""
    require_reader_programs()
    return create_card(stack_folder / "card.json", initial_secrets(), serial=SERIAL, scrypt_cost=TEST_SCRYPT_COST)


@pytest.fixture
def blank_reader(blank_file: StateFile) -> Iterator[RealReader]:
    """A real reader of the test's own, with a blank card."""
    with PrivateReaderStack(blank_file.path.parent / "s", blank_file.path) as stack, reader_on(stack) as reader:
        yield reader


@pytest.fixture(scope="session")
def shared_stacks() -> Iterator[Callable[[SignatureAlgorithm], PrivateReaderStack]]:
    """Stacks with personalised cards, one for each algorithm, started when first asked for."""
    require_reader_programs()
    with ExitStack() as running:

        @lru_cache
        def stack(algorithm: SignatureAlgorithm) -> PrivateReaderStack:
            folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="mohr-")))
            file = StateFile(folder / "card.json")
            file.save(personalised_state(algorithm))
            return running.enter_context(PrivateReaderStack(folder / "s", file.path))

        yield stack


@pytest.fixture(params=[SignatureAlgorithm.ES256])
def real_reader(
    shared_stacks: Callable[[SignatureAlgorithm], PrivateReaderStack], request: pytest.FixtureRequest
) -> Iterator[RealReader]:
    """A shared real reader with a personalised card in it; parametrise indirectly for RSA.

    Tests leave the card's keys and PIN counters as they were; card and service are put back here.
    """
    stack = shared_stacks(request.param)
    stack.start_service()
    stack.insert()
    with reader_on(stack) as reader:
        yield reader
