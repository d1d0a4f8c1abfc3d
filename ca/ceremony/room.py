"""What a step has at hand."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ca.ceremony.console import Console
from ca.ceremony.errors import CeremonyStopped
from ca.ceremony.home import Home
from ca.ceremony.register import Notes, Register
from ca.ceremony.script import Script
from ca.ceremony.tokens import TokenPlace, Tokens, Workshop
from ca.root_desk import RootDesk
from hsm.provider import KeyInfo, KeyProvider
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput

MAX_FILE_OCTETS = 256 * 1024


def actor_of(script: Script) -> str:
    """Return who the register and the ledger say it was."""
    return f"ceremony {script.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRoom:
    """The room of one step."""

    script: Script
    console: Console
    home: Home
    tokens: Tokens
    workshop: Workshop
    clock: Clock
    random_bytes: Callable[[int], bytes]
    notes: Notes

    @property
    def witness(self) -> str:
        """Who confirms what is read aloud."""
        return self.script.witnesses[0]

    def told(self, what: str, whom: str) -> None:
        """Write down what happened with a person or a token."""
        self.notes.note(**{what: whom})

    def keys(self, token: str) -> KeyProvider:
        """Return a token's keys; it is unlocked where it is locked."""
        return self.tokens.keys(self.place(token), self.told)

    def key(self, token: str, label: str) -> KeyInfo | None:
        """Return what is recorded of a key."""
        return next((key for key in self.keys(token).keys() if key.label == label), None)

    def place(self, token: str) -> TokenPlace:
        """Return where a token lies."""
        return self.home.place(token)

    def register(self) -> Register:
        """Return the deployment's register."""
        return Register(
            database=self.home.database,
            settings=self.home.settings,
            clock=self.clock,
            random_bytes=self.random_bytes,
            actor=actor_of(self.script),
        )

    def root_desk(self, keys: KeyProvider) -> RootDesk:
        """Return the root's desk, with its keys."""
        return RootDesk(self.home.database, keys, self.home.settings, self.clock, random_bytes=self.random_bytes)

    def file(self, name: str) -> Path:
        """Return where a file of the ceremony lies."""
        return self.home.folder(self.script.name) / name

    def read(self, name: str, what: str) -> bytes:
        """Read a file that a person brings; CeremonyStopped while it is not there."""
        path = self.file(name)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_OCTETS + 1)
        except FileNotFoundError as error:
            raise CeremonyStopped(f"{what} is not there yet: put it at {path} and go on") from error
        except OSError as error:
            raise InvalidInput(ErrorCode.FILE_UNREADABLE, name) from error
        if len(data) > MAX_FILE_OCTETS:
            raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, name)
        return data
