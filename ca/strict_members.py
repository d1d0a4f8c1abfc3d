"""Reading a JSON object strictly: members are taken one by one, and what is left is refused."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pki.errors import ErrorCode, InvalidInput
from pki.instants import parse_instant


class StrictMembers:
    """The members of one JSON object; every refusal is an `input-malformed` that names the member, not its value."""

    def __init__(self, what: str, members: object, *, reason: str = "") -> None:
        """Take an object; `what` is how refusals call it, `reason` their name."""
        self._what = what
        self._reason = reason
        if not isinstance(members, Mapping):
            raise self.refusal("an object was expected")
        self._left: dict[str, Any] = dict(members)

    def refusal(self, rule: str) -> InvalidInput:
        """Return the error that says which rule is broken."""
        return InvalidInput(ErrorCode.INPUT_MALFORMED, f"{self._what}: {rule}", reason=self._reason)

    def text(self, name: str, default: str | None = None) -> str:
        """Take a text."""
        value = self._left.pop(name, default)
        if not isinstance(value, str):
            raise self.refusal(f"{name} is missing or not text")
        return value

    def optional_text(self, name: str) -> str | None:
        """Take a text that may be absent."""
        return self.text(name) if name in self._left else None

    def flag(self, name: str) -> bool:
        """Take true or false."""
        value = self._left.pop(name, None)
        if not isinstance(value, bool):
            raise self.refusal(f"{name} is true or false")
        return value

    def instant(self, name: str) -> datetime | None:
        """Take an RFC 3339 instant that may be absent."""
        text = self.optional_text(name)
        return None if text is None else parse_instant(text)

    def items(self, name: str, limit: int) -> list[Any]:
        """Take a list of at most `limit`; an absent one is empty."""
        value = self._left.pop(name, [])
        if not isinstance(value, list) or len(value) > limit:
            raise self.refusal(f"{name} is a list of at most {limit}")
        return value

    def take(self, name: str) -> object:
        """Take a member as it is; None when it is absent."""
        return self._left.pop(name, None)

    def rest(self) -> dict[str, Any]:
        """Take everything that is left."""
        left, self._left = self._left, {}
        return left

    def end(self) -> None:
        """Refuse what was not taken."""
        if self._left:
            raise self.refusal(f"unknown member {min(self._left)[:64]!r}")
