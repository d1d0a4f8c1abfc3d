"""The tokens of a ceremony: made or found, locked until persons open them, locked again when it ends.

What must outlive a ceremony is a token's record: module, label and, where the PIN is divided, the public set of
its shares. The record is written when the last share was confirmed, not before: a token without one holds no key
and is made again.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Protocol, Self

from ca.ceremony.console import Console
from ca.ceremony.custodians import Told, collect
from ca.ceremony.errors import CeremonyStopped
from ca.ceremony.grammar import SERVICE
from hsm.errors import ConfigurationInvalid
from hsm.pin import Pin
from hsm.private_files import read_private, write_private
from hsm.provider import KeyProvider
from hsm.sharing.pin_shares import pin_of
from hsm.sharing.share_set import MAX_SET_OCTETS, ShareSet
from pki.errors import InvalidInput
from pki.jose import canonical_json, json_object

RECORD_NAME: Final = "token.json"
UNLOCKED: Final = "unlocked"
MAX_RECORD_OCTETS: Final = 2 * MAX_SET_OCTETS
_MEMBERS: Final = {"module", "label", "environment", "shares"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPlace:
    """Where a token of a home lies: SoftHSM2's folder, and the folder of its record and its keys' records."""

    name: str
    token: Path
    folder: Path

    @property
    def record_file(self) -> Path:
        """The token's record."""
        return self.folder / RECORD_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """How to reach a token, and the public set of its PIN's shares where it is divided; holds no secret."""

    module: Path
    label: str
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    shares: ShareSet | None = None

    def to_json(self) -> bytes:
        """Write the record."""
        members = {
            "module": str(self.module),
            "label": self.label,
            "environment": dict(self.environment),
            "shares": None if self.shares is None else self.shares.members(),
        }
        return canonical_json(members) + b"\n"

    @staticmethod
    def from_json(data: bytes) -> "TokenRecord":
        """Read a record; ConfigurationInvalid when it is none."""
        try:
            raw = json_object(data)
            if raw.keys() != _MEMBERS:
                raise ConfigurationInvalid(f"{RECORD_NAME} has other members")
            return TokenRecord(
                module=Path(raw["module"]),
                label=raw["label"],
                environment=MappingProxyType(raw["environment"]),
                shares=None if raw["shares"] is None else ShareSet.from_members(raw["shares"]),
            )
        except (InvalidInput, ValueError, TypeError) as error:
            raise ConfigurationInvalid(f"{RECORD_NAME} cannot be read") from error


class Workshop(Protocol):
    """Who makes tokens and opens them; the real one works with SoftHSM2, vendors' modules and custodians."""

    def make(self, place: TokenPlace, label: str) -> tuple[TokenRecord, Pin]:
        """Initialise a token in a folder of its own, which a token without keys may have left."""
        ...

    def find(self, place: TokenPlace, label: str) -> TokenRecord:
        """Return the record of a SoftHSM2 token that was made here without one; ConfigurationInvalid for none."""
        ...

    def opened(self, place: TokenPlace, record: TokenRecord, pin: Pin) -> AbstractContextManager[KeyProvider]:
        """Run a custodian over the token for the block; PinIncorrect, HsmUnavailable."""
        ...


def read_record(place: TokenPlace) -> TokenRecord | None:
    """Return a token's record, None where it has none; ConfigurationInvalid."""
    if not place.record_file.exists():
        return None
    return TokenRecord.from_json(bytes(read_private(place.record_file, MAX_RECORD_OCTETS)))


def write_record(place: TokenPlace, record: TokenRecord) -> None:
    """Write a token's record durably."""
    place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(place.record_file, record.to_json())


class Tokens:
    """The tokens that are open, by the names of the script; leaving the block locks them."""

    def __init__(
        self, console: Console, workshop: Workshop, service_keys: Callable[[], AbstractContextManager[KeyProvider]]
    ) -> None:
        self._console, self._workshop, self._service_keys = console, workshop, service_keys
        self._open: dict[str, KeyProvider] = {}
        self._stack = ExitStack()

    def keys(self, place: TokenPlace, told: Told) -> KeyProvider:
        """Return a token's keys; where it is locked, its shares or its PIN are asked for. CeremonyStopped."""
        if place.name not in self._open:
            self._open[place.name] = self._unlock(place, told)
        return self._open[place.name]

    def _unlock(self, place: TokenPlace, told: Told) -> KeyProvider:
        if place.name == SERVICE:
            return self._stack.enter_context(self._service_keys())
        record = read_record(place)
        if record is None:
            raise CeremonyStopped(f"there is no token {place.name} yet")
        with self._pin(place, record, told) as pin:
            keys = self._stack.enter_context(self._workshop.opened(place, record, pin))
        told(UNLOCKED, place.name)
        return keys

    def _pin(self, place: TokenPlace, record: TokenRecord, told: Told) -> Pin:
        if record.shares is None:
            return Pin(self._console.ask_secret(f"The PIN of the token {place.name}").encode())
        return pin_of(collect(self._console, record.shares, told))

    def opened(self) -> tuple[tuple[str, KeyProvider], ...]:
        """Return the tokens that are open, by name, with their keys."""
        return tuple(self._open.items())

    def close(self) -> None:
        """Lock every token."""
        self._open.clear()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
