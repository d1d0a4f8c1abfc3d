"""What is known of holders' codes: frozen values; a code is in the one alone that lives until it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ca.notices import Notice

MAX_TRIES: Final = 5
HOLDER: Final = "holder"  # the actor of what codes do


@dataclass(frozen=True, slots=True, kw_only=True)
class DueCodes:
    """A row whose codes are to be made and sent: by what they are named, of which file, sent how often before."""

    name: str = field(repr=False)
    file_id: str
    sendings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDigest:
    """What the codes of one sending are compared with."""

    name: str = field(repr=False)
    file_id: str
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCodes:
    """Codes of one sending: in memory from here to the channel, in the notices that tell them, and nowhere else.

    `columns` are written with the digest.
    """

    due: DueCodes
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    notices: tuple[Notice, ...]
    columns: Mapping[str, object] = field(default_factory=dict)
