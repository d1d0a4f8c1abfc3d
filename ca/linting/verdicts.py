"""What a judge says of a certificate, and the alarm that a bad verdict raises."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from ca.lint.findings import GATE, Finding, Severity


@unique
class LintState(StrEnum):
    """What the first verdict of the independent linter made of a certificate.

    `failed` holds a certificate that is not yet activated; `reviewed`: two officers closed the alarm about it.
    """

    PENDING = "pending"
    CLEAN = "clean"
    NOTED = "noted"
    FAILED = "failed"
    REVIEWED = "reviewed"


class Judge(Protocol):
    """An independent linter; one version of it gives one verdict on the same octets."""

    @property
    def name(self) -> str:
        """The linter's name."""
        ...

    @property
    def version(self) -> str:
        """The linter's version."""
        ...

    def judge(self, certificate_der: bytes, linters: Sequence[str]) -> tuple[Finding, ...]:
        """Apply the rule sets that a profile names; findings of NOTICE and above. Never raises."""
        ...


def worst(findings: Sequence[Finding]) -> Severity | None:
    """Return the highest severity; None without findings."""
    return max((finding.severity for finding in findings), default=None)


def state_after(severity: Severity | None) -> LintState:
    """Return the lint state that a first verdict leads to."""
    if severity is None:
        return LintState.CLEAN
    return LintState.FAILED if severity >= GATE else LintState.NOTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict of one version of one linter; `severity` is the worst finding's."""

    linter: str
    version: str
    findings: tuple[Finding, ...]
    at: datetime

    @property
    def severity(self) -> Severity | None:
        """The worst finding's severity; None without findings."""
        return worst(self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class LintVerdict:
    """Everything said of one certificate, oldest first."""

    serial_hex: str
    state: LintState
    judgements: tuple[Judgement, ...]

    @property
    def holds(self) -> bool:
        """Whether the certificate must not be activated now."""
        return self.state in (LintState.PENDING, LintState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmNote:
    """What one officer says on closing an alarm."""

    officer: str
    at: datetime
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A certificate that breaks rules; closed once two different officers said why it may be.

    `holds`: its certificate is not yet activated, and cannot be while this is open.
    """

    id: str
    serial_hex: str
    linter: str
    linter_version: str
    severity: Severity
    codes: tuple[str, ...]
    holds: bool
    raised_at: datetime
    closed_at: datetime | None
    notes: tuple[AlarmNote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many certificates wait for their first verdict, and since when the oldest does."""

    waiting: int
    oldest: datetime | None
