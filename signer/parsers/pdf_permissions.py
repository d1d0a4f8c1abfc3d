"""What the signers of a PDF allow to follow their signatures (ISO 32000-2 §12.8.2.2 DocMDP, §12.8.2.4 FieldMDP).

A signature that says nothing allows no form field to be filled: silence is not consent (fails closed).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject, TextStringObject

from signer.parsers.model import MAX_SIGNATURES

MAX_NAMES: Final = 10_000  # of fields in one lock

_NO_CHANGES: Final = 1
_FILLING_AND_SIGNING: Final = 2
_LEVELS: Final = frozenset({1, 2, 3})


class Action(StrEnum):
    """Which fields a lock holds (ISO 32000-2 table 236)."""

    ALL = "/All"
    INCLUDE = "/Include"
    EXCLUDE = "/Exclude"


@dataclass(frozen=True, slots=True)
class Lock:
    """A field lock; what is no lock that the standard knows holds all fields."""

    action: Action = Action.ALL
    names: frozenset[str] = frozenset()

    def holds(self, name: str) -> bool:
        """Whether the field of this full name is locked; a name that is listed stands for all below it too."""
        if self.action is Action.ALL:
            return True
        parts = name.split(".")
        listed = any(".".join(parts[: end + 1]) in self.names for end in range(len(parts)))
        return listed is (self.action is Action.INCLUDE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What may follow one signature, with what earlier ones forbid.

    `level` is P of table 257, the least of those in force; None where none was given. `chooses` says that this very
    signature names the fields that it locks, and so leaves the others free.
    """

    level: int | None = None
    locks: tuple[Lock, ...] = ()
    chooses: bool = False

    @property
    def allows_no_changes(self) -> bool:
        """Whether only validation data and document time-stamps may follow."""
        return self.level == _NO_CHANGES

    @property
    def is_certified(self) -> bool:
        """Whether somebody said how far the document may change: then no new signature may show anything."""
        return self.level is not None

    def locks_field(self, name: str) -> bool:
        """Whether the field of this full name keeps its value."""
        return any(lock.holds(name) for lock in self.locks)

    def may_fill(self, name: str) -> bool:
        """Whether a form field that is no signature field may get another value."""
        said = self.chooses or self.level is not None
        return said and not self.allows_no_changes and not self.locks_field(name)

    def after(self, earlier: "Permissions") -> "Permissions":
        """Return these with what an earlier signature forbids; a field that it leaves free is not thereby free here."""
        levels = [level for level in (self.level, earlier.level) if level is not None]
        return Permissions(level=min(levels, default=None), locks=earlier.locks + self.locks, chooses=self.chooses)


SILENT: Final = Permissions()


def read_permissions(form_field: DictionaryObject, signature: DictionaryObject) -> Permissions:
    """Read what a signature and the lock of its field say; whatever is odd about it forbids."""
    levels: list[int] = []
    locks: list[Lock] = []
    if (lock := _entry(form_field, "/Lock")) is not None:
        _read_lock(lock, locks, levels)
    references = _entry(signature, "/Reference") or ()
    for index in range(min(len(references), MAX_SIGNATURES)):
        parameters = _entry(references[index], "/TransformParams")
        match str(_entry(references[index], "/TransformMethod")):
            case "/DocMDP":
                level = _FILLING_AND_SIGNING if parameters is None else _entry(parameters, "/P", _FILLING_AND_SIGNING)
                levels.append(_level(level))
            case "/FieldMDP":
                _read_lock(parameters, locks, levels)
    return Permissions(level=min(levels, default=None), locks=tuple(locks), chooses=bool(locks))


def _read_lock(found: Any, locks: list[Lock], levels: list[int]) -> None:
    """Read a lock and the level that PDF 2.0 lets stand beside it."""
    if not isinstance(found, DictionaryObject):
        locks.append(Lock())
        return
    if (level := _entry(found, "/P")) is not None:
        levels.append(_level(level))
    names, action = _entry(found, "/Fields"), str(_entry(found, "/Action"))
    listed = [names[index] for index in range(min(len(names), MAX_NAMES + 1))] if isinstance(names, ArrayObject) else []
    is_clear = 0 < len(listed) <= MAX_NAMES and all(isinstance(name, TextStringObject) for name in listed)
    locks.append(Lock(Action(action), frozenset(map(str, listed))) if is_clear and action in tuple(Action) else Lock())


def _entry(found: DictionaryObject, key: str, default: Any = None) -> Any:
    """Return an entry, whatever it refers to; a null is none."""
    try:
        return found[key]
    except KeyError:
        return default


def _level(value: Any) -> int:
    return int(value) if isinstance(value, int) and value in _LEVELS else _NO_CHANGES
