"""What a deployer decides about answers to who asks for status: the table `[status]` of `mohr.toml`."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from pki.errors import ErrorCode, InvalidInput

MAX_AGE_SECONDS: Final = 60
MAX_MAX_AGE: Final = 3600
_KINDS: Final = {
    "ocsp_hours": (int, "a whole number of hours"),
    "crl_shards": (int, "a whole number"),
    "crl_deltas": (bool, "true or false"),
    "crl_interval_minutes": (int, "a whole number of minutes"),
    "max_age_seconds": (int, "a whole number of seconds"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSettings:
    """None is the authority's own default, and `ca.config` checks what is given.

    Caches may keep a list or an OCSP answer for `max_age_seconds`. Each authority's new certificates are divided among
    `crl_shards` lists; a certificate keeps its own.
    """

    ocsp_hours: int | None = None
    crl_shards: int | None = None
    crl_deltas: bool | None = None
    crl_interval_minutes: int | None = None
    max_age_seconds: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The members that the deployer wrote."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def of_authority(self) -> dict[str, Any]:
        """Those of them that the authority is told."""
        return {name: value for name, value in self.given.items() if name != "max_age_seconds"}

    @property
    def max_age(self) -> int:
        """For how many seconds caches may keep an answer."""
        return MAX_AGE_SECONDS if self.max_age_seconds is None else self.max_age_seconds


def read_status_settings(table: object) -> StatusSettings:
    """Read the table strictly; InvalidInput names the member."""
    if not isinstance(table, dict):
        raise _refuse("`status` must be a table")
    for name, value in table.items():
        if name not in _KINDS:
            raise _refuse(f"`status` has no member {name[:64]!r}")
        kind, said = _KINDS[name]
        if type(value) is not kind:  # a bool is no whole number
            raise _refuse(f"`status.{name}` must be {said}")
    if not 1 <= table.get("max_age_seconds", MAX_AGE_SECONDS) <= MAX_MAX_AGE:
        raise _refuse(f"`status.max_age_seconds` is 1 to {MAX_MAX_AGE}")
    return StatusSettings(**table)


def _refuse(what: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"mohr.toml: {what}")
