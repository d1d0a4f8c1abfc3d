"""The settings of one custodian: what the JSON file says (raw) and what may be used (validated).

No secret is in here: the PIN is in a file of its own, which only the custodian's user may read.
Relative paths are taken from the folder of the settings file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsm.errors import ConfigurationInvalid
from hsm.private_files import write_private
from hsm.socket_address import MAX_NAME_OCTETS
from pki.errors import InvalidInput
from pki.jose import json_object

MAX_SETTINGS_OCTETS = 65_536
DEFAULT_PIN_TRIES = 2
_REFUSED_VARIABLES = ("LD_", "PYTHON", "PATH", "HOME", "GLIBC_", "MALLOC_")

_MEMBERS = {
    "module": str,
    "token": str,
    "pin_file": str,
    "keys_file": str,
    "socket": str,
    "allowed_uids": list,
    "admin_uids": list,
    "environment": dict,
    "pin_tries": int,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodianSettings:
    """Validated settings.

    `allowed_uids` may have bytes signed and read public keys, `admin_uids` may also make keys and bind
    them to an issuer. `environment` is what the vendor's module reads, such as SOFTHSM2_CONF.
    """

    module_path: Path
    token_label: str
    pin_file: Path
    keys_file: Path
    socket_path: Path
    allowed_uids: frozenset[int]
    admin_uids: frozenset[int]
    environment: Mapping[str, str] = field(default_factory=dict)
    pin_tries: int = DEFAULT_PIN_TRIES

    def __post_init__(self) -> None:
        if not 1 <= len(self.token_label.encode()) <= 32:  # CK_TOKEN_INFO.label
            raise ConfigurationInvalid("a token label has 1 to 32 octets")
        if not 1 <= len(self.socket_path.name.encode()) <= MAX_NAME_OCTETS:
            raise ConfigurationInvalid(f"the socket's name is empty or longer than {MAX_NAME_OCTETS} octets")
        if any(not path.is_absolute() for path in (self.module_path, self.pin_file, self.keys_file, self.socket_path)):
            raise ConfigurationInvalid("paths must be absolute")
        if any(uid < 0 for uid in self.allowed_uids | self.admin_uids) or not self.allowed_uids | self.admin_uids:
            raise ConfigurationInvalid("at least one user id must be allowed, none negative")
        if self.pin_tries < 1:
            raise ConfigurationInvalid("pin_tries is at least 1")
        for name in self.environment:
            if not name.isidentifier() or name.startswith(_REFUSED_VARIABLES):
                raise ConfigurationInvalid(f"the module's environment may not set {name!r}")

    @property
    def tries_file(self) -> Path:
        """Where failed PIN tries are counted: beside the key file, in the custodian's own folder."""
        return self.keys_file.with_name(f"{self.keys_file.name}.pin-tries")


def load_settings(path: Path) -> CustodianSettings:
    """Read and validate a settings file; ConfigurationInvalid says what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SETTINGS_OCTETS + 1)
    except OSError as error:
        raise ConfigurationInvalid(f"{path.name}: {error.strerror}") from error
    if len(data) > MAX_SETTINGS_OCTETS:
        raise ConfigurationInvalid(f"{path.name} is larger than {MAX_SETTINGS_OCTETS} octets")
    try:
        raw = json_object(data)
    except InvalidInput as error:
        raise ConfigurationInvalid(f"{path.name}: {error.detail}") from error
    return validate_settings(raw, path.resolve().parent)


def validate_settings(raw: Mapping[str, Any], folder: Path) -> CustodianSettings:
    """Turn the members of a settings file into settings; relative paths start at `folder`."""
    for name, value in raw.items():
        expected = _MEMBERS.get(name)
        if expected is None:
            raise ConfigurationInvalid(f"unknown member {name!r}")
        if type(value) is not expected:
            raise ConfigurationInvalid(f"{name} is not a JSON {expected.__name__}")
    missing = {"module", "token", "pin_file", "keys_file", "socket", "allowed_uids"} - raw.keys()
    if missing:
        raise ConfigurationInvalid(f"missing: {', '.join(sorted(missing))}")
    environment = raw.get("environment", {})
    if not all(isinstance(value, str) for value in environment.values()):
        raise ConfigurationInvalid("environment holds text only")
    allowed = _uids(raw["allowed_uids"])
    return CustodianSettings(
        module_path=folder / raw["module"],
        token_label=raw["token"],
        pin_file=folder / raw["pin_file"],
        keys_file=folder / raw["keys_file"],
        socket_path=folder / raw["socket"],
        allowed_uids=allowed,
        admin_uids=_uids(raw["admin_uids"]) if "admin_uids" in raw else allowed,
        environment=environment,
        pin_tries=raw.get("pin_tries", DEFAULT_PIN_TRIES),
    )


def _uids(values: list[object]) -> frozenset[int]:
    if not all(type(value) is int for value in values):
        raise ConfigurationInvalid("user ids are numbers")
    return frozenset(value for value in values if isinstance(value, int))


def write_settings(settings: CustodianSettings, path: Path) -> None:
    """Write a settings file that `load_settings` reads back as the same settings."""
    raw = {
        "module": str(settings.module_path),
        "token": settings.token_label,
        "pin_file": str(settings.pin_file),
        "keys_file": str(settings.keys_file),
        "socket": str(settings.socket_path),
        "allowed_uids": sorted(settings.allowed_uids),
        "admin_uids": sorted(settings.admin_uids),
        "environment": dict(settings.environment),
        "pin_tries": settings.pin_tries,
    }
    write_private(path, json.dumps(raw, indent=2).encode() + b"\n")
