"""Realms: ministry, university, hospital; each within its parent, with a scope that its parent's covers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from ca.officers.scopes import EVERYTHING, Scope
from pki.errors import ErrorCode, InvalidInput

_ID: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
MAX_ID: Final = 36
MAX_DEPTH: Final = 3


@unique
class Level(StrEnum):
    """How high a realm stands."""

    MINISTRY = "ministry"
    UNIVERSITY = "university"
    HOSPITAL = "hospital"


_RANKS: Final = {level: rank for rank, level in enumerate(Level)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Realm:
    """One realm; the one without a parent holds all others."""

    id: str
    parent: str | None
    level: Level
    name: str
    scope: Scope = EVERYTHING

    def __post_init__(self) -> None:
        if len(self.id) > MAX_ID or not _ID.fullmatch(self.id):
            detail = "a realm's id is small letters and digits in words with hyphens between them, at most 36"
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail)
        if not self.name.strip() or len(self.name) > 128 or not self.name.isprintable():
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a realm's name has 1 to 128 printable characters")
        if (self.parent is None) != (self.level is Level.MINISTRY):
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a ministry and nothing else stands at the top")


def check_below(realm: Realm, parent: Realm) -> None:
    """Refuse a realm that is not lower than its parent, or reaches further; InvalidInput."""
    if _RANKS[realm.level] <= _RANKS[parent.level]:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a realm stands lower than its parent", reason="realm.level")
    if not parent.scope.covers(realm.scope):
        raise InvalidInput(ErrorCode.SCOPE_EXCEEDED, "a realm's scope lies within its parent's", reason="realm.scope")


def reach(chain: Sequence[Realm]) -> Scope:
    """Return what may be done in a realm at all: what every realm from it up to the top covers."""
    scope = EVERYTHING
    for realm in chain:
        scope = scope.meet(realm.scope)
    return scope
