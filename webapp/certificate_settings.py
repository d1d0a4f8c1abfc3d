"""What a deployer decides about what certificates say: the table `[certificates]` of `mohr.toml`."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from pki.errors import ErrorCode, InvalidInput

_TEXTS: Final = ("person_serial", "admission_authority", "policy_notice")
_NUMBERS: Final = (
    "alarm_changes",
    "alarm_minutes",
    "backdate_seconds",
)
_SWITCHES: Final = ("demand_key_proof",)
_KINDS: Final = {
    **dict.fromkeys(_TEXTS, (str, "text")),
    **dict.fromkeys(_NUMBERS, (int, "a whole number")),
    **dict.fromkeys(_SWITCHES, (bool, "true or false")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSettings:
    """None is the authority's own default; `ca.config` checks what is given, and says what each is."""

    person_serial: str | None = None
    admission_authority: str | None = None
    policy_notice: str | None = None
    backdate_seconds: int | None = None
    alarm_changes: int | None = None
    alarm_minutes: int | None = None
    demand_key_proof: bool | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The members that the deployer wrote."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def read_certificate_settings(table: object) -> CertificateSettings:
    """Read the table strictly; InvalidInput names the member."""
    if not isinstance(table, dict):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "mohr.toml: `certificates` must be a table")
    for name, value in table.items():
        if name not in _KINDS:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"mohr.toml: `certificates` has no member {name[:64]!r}")
        kind, said = _KINDS[name]
        if type(value) is not kind:  # a bool is no whole number
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"mohr.toml: `certificates.{name}` must be {said}")
    return CertificateSettings(**table)
