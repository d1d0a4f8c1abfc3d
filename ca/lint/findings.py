"""What a lint rule is and what it says."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final, Generic, TypeVar


@unique
class Severity(IntEnum):
    """How bad a finding is; ERROR and above stop the issuance."""

    NOTICE = 1
    WARNING = 2
    ERROR = 3
    FATAL = 4


GATE: Final = Severity.ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One broken rule: its code, its clause and what was seen; never a holder's identifier."""

    code: str
    clause: str
    severity: Severity
    detail: str

    def __str__(self) -> str:
        return f"{self.code} ({self.clause}): {self.detail}"


Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[Subject]):
    """One clause as a function: it returns None, or what breaks the clause."""

    code: str
    clause: str
    severity: Severity
    check: Callable[[Subject], str | None]

    def finding(self, detail: str) -> Finding:
        """Say that this rule is broken."""
        return Finding(code=self.code, clause=self.clause, severity=self.severity, detail=detail)


class RulePack(Generic[Subject]):
    """The rules of one source, collected as they are defined."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rules: list[Rule[Subject]] = []

    def rule(
        self, clause: str, severity: Severity = Severity.ERROR
    ) -> Callable[[Callable[[Subject], str | None]], Callable[[Subject], str | None]]:
        """Register the decorated function; its code is the pack's name and the function's."""

        def register(check: Callable[[Subject], str | None]) -> Callable[[Subject], str | None]:
            code = f"{self.name}.{check.__name__.lstrip('_')}"
            self.rules.append(Rule(code=code, clause=clause, severity=severity, check=check))
            return check

        return register
