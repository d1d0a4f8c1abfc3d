"""What a registry can answer about a claim: yes, no, or nothing.

The three are three types. Silence has no reference, no end date and no differing claims, so nothing that
happened to a registry can be read as its word against anybody; and no word has a truth value.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import ClassVar, NoReturn

from ca.tokens.lights import Answer


@unique
class Source(StrEnum):
    """The registries, by what they know."""

    COUNCIL = "council"
    CIVIL = "civil"
    SIAM = "siam"
    LICENCE = "licence"


@unique
class Claim(StrEnum):
    """What a registration claims and a registry can find otherwise; never the value itself."""

    GIVEN_NAME = "given_name"
    SURNAME = "surname"
    PROFESSION = "profession"
    COUNCIL_NUMBER = "council_number"
    NAME = "name"
    CENTRE_KIND = "centre_kind"
    LEGAL_ID = "legal_id"
    PROVINCE = "province"
    CITY = "city"


@unique
class Denial(StrEnum):
    """Why a registry says no."""

    NOT_FOUND = "not-found"
    DIFFERS = "differs"
    LAPSED = "lapsed"
    REVOKED = "revoked"


@unique
class Silence(StrEnum):
    """Why nothing was learnt."""

    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"
    OVERDUE = "overdue"
    FAILED = "failed"
    GARBLED = "garbled"
    BUSY = "busy"


class _Word:
    """No word stands for true or false: whoever asks must say which of the three is meant."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise TypeError("a registry's word is neither true nor false: match Yes, No and Silent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Yes(_Word):
    """The registry confirms every claim. `at`: the instant its knowledge is from; `reference`: its own number."""

    answer: ClassVar[Answer] = Answer.OK
    source: Source
    at: datetime
    reference: str = ""
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class No(_Word):
    """The registry denies, and says why; `differs` names what it has otherwise."""

    answer: ClassVar[Answer] = Answer.FAILED
    source: Source
    at: datetime
    why: Denial
    reference: str = ""
    differs: tuple[Claim, ...] = ()
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent(_Word):
    """Nothing was learnt; `at` is when it was asked."""

    answer: ClassVar[Answer] = Answer.SILENT
    source: Source
    at: datetime
    why: Silence


RegistryWord = Yes | No | Silent


def denials(words: Iterable[RegistryWord]) -> tuple[No, ...]:
    """Return the words that are no."""
    return tuple(word for word in words if isinstance(word, No))


def silences(words: Iterable[RegistryWord]) -> tuple[Silent, ...]:
    """Return the words that are nothing."""
    return tuple(word for word in words if isinstance(word, Silent))
