"""What a deployment decides about registration: which registries there are, and how long a file waits."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from ca.profiles import HolderKind
from ca.registries.asking import Interviewer
from ca.registries.ports import NO_REGISTRIES, Registries

FILE_LIFE: Final = timedelta(days=30)
"""How long a file waits for a decision before it ends by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationTerms:
    """The terms of one deployment; without registries, nothing is asked.

    Files of `evidence_kinds` are approved only with every scan that they name, and they name one at least; files of
    `province_kinds` say their province.
    """

    registries: Registries = NO_REGISTRIES
    interviewer: Interviewer = field(default_factory=Interviewer)
    file_life: timedelta = FILE_LIFE
    evidence_kinds: frozenset[HolderKind] = frozenset()
    province_kinds: frozenset[HolderKind] = frozenset()
