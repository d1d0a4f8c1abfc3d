"""Reading a table of settings strictly: members are taken one by one, and what is left is refused."""

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

from pki.errors import InvalidInput

MAX_DAYS: Final = 365 * 50

_Value = TypeVar("_Value")
_Enum = TypeVar("_Enum", bound=StrEnum)


Refusal = Callable[[str, str], InvalidInput]
"""Makes the error that names a member and the rule that it breaks."""


class StrictTable:
    """One table of a file; every refusal names the member."""

    def __init__(self, path: str, members: object, refusal: Refusal) -> None:
        """Take a table; `path` is how refusals call it."""
        if not isinstance(members, dict):
            raise refusal(path, "is a table")
        self._path, self._left, self._refusal = path, dict(members), refusal

    def at(self, member: str) -> str:
        """Name a member with its path."""
        return f"{self._path}.{member}" if self._path else member

    def has(self, member: str) -> bool:
        """Tell whether a member is still there."""
        return member in self._left

    def take(self, member: str) -> Any:
        """Take a member as it is; None when it is absent."""
        return self._left.pop(member, None)

    def tables(self, member: str) -> dict[str, Any]:
        """Take a table of tables; an absent one is empty."""
        return self.typed(member, dict, "is a table", {})

    def typed(self, member: str, kind: type[_Value], rule: str, default: _Value | None = None) -> _Value:
        """Take a member of exactly this type."""
        value = self._left.pop(member, default)
        if value is None:
            raise self._refusal(self.at(member), f"is missing: it {rule}")
        if type(value) is not kind:  # a bool is no whole number
            raise self._refusal(self.at(member), rule)
        return value

    def text(self, member: str, default: str | None = None) -> str:
        """Take a text."""
        return self.typed(member, str, "is text", default)

    def flag(self, member: str, *, default: bool = False) -> bool:
        """Take true or false."""
        return self.typed(member, bool, "is true or false", default)

    def number(self, member: str, low: int, high: int, default: int | None = None) -> int:
        """Take a whole number within bounds."""
        rule = f"is a whole number from {low} to {high}"
        value = self.typed(member, int, rule, default)
        if not low <= value <= high:
            raise self._refusal(self.at(member), rule)
        return value

    def days(self, member: str, default: int | None = None) -> timedelta:
        """Take a number of days."""
        return timedelta(days=self.number(member, 0, MAX_DAYS, default))

    def choice(self, member: str, kind: type[_Enum], default: _Enum | None = None) -> _Enum:
        """Take one of a few words."""
        return self._one_of(kind)(self.text(member, None if default is None else default.value), self.at(member))

    def choices(self, member: str, kind: type[_Enum]) -> frozenset[_Enum]:
        """Take some of a few words."""
        return frozenset(self.listed(member, self._one_of(kind)))

    def listed_words(self, member: str, kind: type[_Enum]) -> tuple[_Enum, ...]:
        """Take some of a few words, in order; none where the member is absent."""
        return self.listed(member, self._one_of(kind), [])

    def listed(
        self, member: str, read: Callable[[str, str], _Value], default: list[str] | None = None
    ) -> tuple[_Value, ...]:
        """Take a list of different texts; `read` gets each with the member's name."""
        texts = self.typed(member, list, "is a list", default)
        if not all(isinstance(text, str) for text in texts) or len(set(texts)) != len(texts):
            raise self._refusal(self.at(member), "is a list of different texts")
        return tuple(read(text, self.at(member)) for text in texts)

    def end(self) -> None:
        """Refuse what was not taken."""
        if self._left:
            raise self._refusal(self.at(min(self._left)[:64]), "is not a member here")

    def _one_of(self, kind: type[_Enum]) -> Callable[[str, str], _Enum]:
        def read(text: str, member: str) -> _Enum:
            try:
                return kind(text)
            except ValueError as error:
                raise self._refusal(member, f"is one of {', '.join(kind)}") from error

        return read
