"""What an officer may act on: professions and provinces, as sets that only ever narrow."""

import json
from dataclasses import dataclass
from typing import Final

from ca.profiles import HolderKind
from pki.errors import ErrorCode, InvalidInput
from pki.identity_scheme import IdentityScheme

MAX_NAMES: Final = 64
MAX_NAME: Final = 64
_WITHOUT_PROFESSION: Final = tuple(
    kind.value for kind in (HolderKind.CITIZEN, HolderKind.CENTRE, HolderKind.SYSTEM, HolderKind.OFFICER)
)

Names = frozenset[str] | None
"""Names that are meant; None for all there are."""


def _covers(wide: Names, narrow: Names) -> bool:
    return wide is None or (narrow is not None and narrow <= wide)


def _meet(one: Names, other: Names) -> Names:
    if one is None or other is None:
        return other if one is None else one
    return one & other


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Professions and provinces. A holder without a profession counts by its kind: `citizen`, `centre`, `system`.

    What a single file is about is a scope too; a file that does not say its province is about all of them, so a
    limited officer may not touch it.
    """

    professions: Names = None
    provinces: Names = None

    def __post_init__(self) -> None:
        for names in (self.professions, self.provinces):
            if names is not None and (len(names) > MAX_NAMES or not all(map(_is_name, names))):
                detail = f"a scope names at most {MAX_NAMES} professions and provinces, of 1 to {MAX_NAME} characters"
                raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail)

    def covers(self, other: "Scope") -> bool:
        """Whether all of `other` lies within this scope."""
        return _covers(self.professions, other.professions) and _covers(self.provinces, other.provinces)

    def within(self, limit: "Scope") -> "Scope":
        """Return this scope with what it does not name as `limit` has it."""
        return Scope(
            professions=limit.professions if self.professions is None else self.professions,
            provinces=limit.provinces if self.provinces is None else self.provinces,
        )

    def meet(self, other: "Scope") -> "Scope":
        """Return what both scopes cover."""
        return Scope(
            professions=_meet(self.professions, other.professions), provinces=_meet(self.provinces, other.provinces)
        )


def _is_name(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and name.isprintable() and name == name.strip()


EVERYTHING: Final = Scope()
NOTHING: Final = Scope(professions=frozenset(), provinces=frozenset())
"""What an act on no file at all is about; every scope covers it."""


def check_names(scope: Scope, scheme: IdentityScheme) -> None:
    """Refuse a scope of what the deployment does not have, which would cover nothing; InvalidInput."""
    known = {*scheme.professions, *_WITHOUT_PROFESSION}
    for what, names, those in (
        ("profession", scope.professions, known),
        ("province", scope.provinces, scheme.provinces or scope.provinces),
    ):
        unknown = (names or frozenset()) - (those or frozenset())
        if unknown:
            detail = f"this deployment has no {what} {min(unknown)!r}"
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail, reason="officer.scope-unknown")


def names_text(names: Names) -> str | None:
    """Write names as a column holds them."""
    return None if names is None else json.dumps(sorted(names), ensure_ascii=False)


def parse_names(text: str | None) -> Names:
    """Read names as a column holds them."""
    return None if text is None else frozenset(json.loads(text))
