"""What the emulated card remembers, kept in one JSON file.

The file holds the card's private keys in the clear and its PINs as salted scrypt digests, which six digits
do not resist. It is written whole and renamed into place, readable by its owner alone (mode 0600).
"""

import base64
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from cardreader.errors import CardUnsupported

FORMAT: Final = "mohr-emulated-card-1"
PIN_TRIES: Final = 3
SCRYPT_COST: Final = 2**13
MAX_STATE_OCTETS: Final = 1 << 20


@dataclass(slots=True, kw_only=True)
class PinRecord:
    """One PIN or PUK: its digest, its counter and who may reset it."""

    salt: bytes
    digest: bytes
    cost: int
    min_length: int
    max_length: int
    tries_left: int = PIN_TRIES
    puk_reference: int | None = None

    def matches(self, digits: bytes) -> bool:
        """Compare `digits` with the stored digest."""
        return hmac.compare_digest(self.digest, _digest(digits, self.salt, self.cost))

    def replace(self, digits: bytes) -> None:
        """Store a new PIN and give back all tries."""
        self.salt = secrets.token_bytes(16)
        self.digest = _digest(digits, self.salt, self.cost)
        self.tries_left = PIN_TRIES


def _digest(digits: bytes, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(digits, salt=salt, n=cost, r=8, p=1, dklen=32)


def new_pin(
    digits: bytes, *, min_length: int, max_length: int, puk_reference: int | None = None, cost: int = SCRYPT_COST
) -> PinRecord:
    """Make the record of a fresh PIN."""
    salt = secrets.token_bytes(16)
    return PinRecord(
        salt=salt,
        digest=_digest(digits, salt, cost),
        cost=cost,
        min_length=min_length,
        max_length=max_length,
        puk_reference=puk_reference,
    )


@dataclass(slots=True, kw_only=True)
class KeyRecord:
    """A place for a private key (PKCS #8 DER, empty until generated) and the PIN that guards it."""

    pin_reference: int
    asks_always: bool
    pkcs8: bytes = b""


@dataclass(slots=True, kw_only=True)
class CardState:
    """Everything that survives a power cycle. Files are named by their path from the MF, in hexadecimal."""

    files: dict[str, bytes]
    writable: list[str]
    pins: dict[int, PinRecord]
    keys: dict[int, KeyRecord] = field(default_factory=dict)


def _pack(value: Any) -> Any:
    match value:
        case bytes():
            return {"b64": base64.b64encode(value).decode()}
        case dict():
            return {str(key): _pack(each) for key, each in value.items()}
        case list():
            return [_pack(each) for each in value]
    return value


def _unpack(value: Any) -> Any:
    match value:
        case {"b64": str(text)}:
            return base64.b64decode(text, validate=True)
        case dict():
            return {key: _unpack(each) for key, each in value.items()}
        case list():
            return [_unpack(each) for each in value]
    return value


class StateFile:
    """The file of one card."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> CardState:
        """Read the state; CardUnsupported when the file is absent or not an emulated card's."""
        try:
            if self.path.stat().st_size > MAX_STATE_OCTETS:
                raise CardUnsupported("the state file is too large")
            document = _unpack(json.loads(self.path.read_bytes()))
            if document.pop("format") != FORMAT:
                raise CardUnsupported("the state file is of another kind")
            return CardState(
                files=document["files"],
                writable=document["writable"],
                pins={int(reference): PinRecord(**pin) for reference, pin in document["pins"].items()},
                keys={int(reference): KeyRecord(**key) for reference, key in document["keys"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CardUnsupported("the emulated card's state file cannot be read") from error

    def save(self, state: CardState) -> None:
        """Replace the file by `state`, at once or not at all; CardUnsupported when it cannot be written."""
        text = json.dumps({"format": FORMAT, **_pack(asdict(state))}, indent=1)
        try:
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mode 0600
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(text)
                Path(name).replace(self.path)
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise CardUnsupported("the emulated card's state file cannot be written") from error

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the card for this process; CardUnsupported when another process runs it."""
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CardUnsupported("another process runs this emulated card") from error
            yield
