"""A judge whose words a test decides, and certificates for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ca.lint.findings import Finding, Severity
from ca.linting.desk import LintDesk
from tests.ca.world import World
from tests.support.officers import EveryOfficer


def finding(severity: Severity, code: str = "pkilint.a_rule") -> Finding:
    return Finding(code=code, clause="a clause", severity=severity, detail="certificate.tbsCertificate")


@dataclass
class SpokenJudge:
    """Says what `words` holds for every certificate, and keeps what it was asked."""

    name: str = "pkilint"
    version: str = "1.0"
    words: tuple[Finding, ...] = ()
    asked: list[tuple[bytes, tuple[str, ...]]] = field(default_factory=list)

    def judge(self, certificate_der: bytes, linters: Sequence[str]) -> tuple[Finding, ...]:
        self.asked.append((certificate_der, tuple(linters)))
        return self.words


def desk_of(world: World, judge: SpokenJudge | None) -> LintDesk:
    return LintDesk(world.database, judge, world.settings.profiles, world.clock, EveryOfficer())


def settle(world: World) -> None:
    """Judge everything that the ceremony made, so that a test sees its own certificates alone."""
    while desk_of(world, SpokenJudge()).backlog().waiting:
        desk_of(world, SpokenJudge()).sweep(100)
