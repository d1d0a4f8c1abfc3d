"""What a deployer decides about registration: the table `[registration]` of `mohr.toml`."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from ca.evidence.store import KEPT
from ca.profiles import HolderKind
from pki.errors import ErrorCode, InvalidInput

_DAYS: Final = "evidence_days"
MAX_DAYS: Final = 36_500
_PERSONS: Final = (HolderKind.CITIZEN, HolderKind.CLINICIAN)
_KINDS: Final = {
    "evidence_required": (*_PERSONS, HolderKind.CENTRE, HolderKind.OFFICER, HolderKind.SYSTEM),
    "province_required": _PERSONS,  # a centre has one; the deployment's own systems and officers are everywhere
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationSettings:
    """Files of which kinds need their scans before approval, and a province; how long scans outlive the decision."""

    evidence_required: frozenset[HolderKind] = frozenset()
    province_required: frozenset[HolderKind] = frozenset()
    evidence_days: int = KEPT.days

    @property
    def evidence_kept(self) -> timedelta:
        """How long a scan stays after the decision on its file."""
        return timedelta(days=self.evidence_days)

    @property
    def given(self) -> dict[str, Any]:
        """The members that differ from the program's own, as the table has them."""
        kinds = {name: sorted(kind.value for kind in getattr(self, name)) for name in _KINDS}
        found: dict[str, Any] = {name: values for name, values in kinds.items() if values}
        return found if self.evidence_days == KEPT.days else found | {_DAYS: self.evidence_days}


def read_registration_settings(table: object) -> RegistrationSettings:
    """Read the table strictly; InvalidInput names the member."""
    if not isinstance(table, dict):
        raise _refuse("`registration` must be a table")
    unknown = sorted(set(table) - {*_KINDS, _DAYS})
    if unknown:
        raise _refuse(f"`registration` has no member {unknown[0][:64]!r}")
    days = table.get(_DAYS, KEPT.days)
    if type(days) is not int or not 0 <= days <= MAX_DAYS:  # a bool is no whole number
        raise _refuse(f"`registration.{_DAYS}` must be a whole number of days, at most {MAX_DAYS}")
    return RegistrationSettings(
        evidence_required=_kinds(table, "evidence_required"),
        province_required=_kinds(table, "province_required"),
        evidence_days=days,
    )


def _kinds(table: dict[str, Any], member: str) -> frozenset[HolderKind]:
    names, known = table.get(member, []), {kind.value: kind for kind in _KINDS[member]}
    if not isinstance(names, list) or not all(isinstance(name, str) and name in known for name in names):
        raise _refuse(f"`registration.{member}` must be a list of {', '.join(sorted(known))}")
    return frozenset(known[name] for name in names)


def _refuse(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"mohr.toml: {detail}")
