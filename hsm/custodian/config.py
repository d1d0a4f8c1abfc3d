"""The settings of a deployment's custodians: what the JSON file says (raw) and what may be used (validated).

No secret is in here: the PIN is in a file of its own, which only the custodian's user may read, or with a
keeper. All custodians of one device read the same file; what belongs to one of them alone (its sockets, its
journal, its lock) goes by its index, from 0. Relative paths are taken from the folder of the settings file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hsm.errors import ConfigurationInvalid
from hsm.key_uri import parse_token
from hsm.private_files import write_private
from hsm.settings_file import check_members, read_settings
from hsm.socket_address import MAX_NAME_OCTETS
from hsm.transit.settings import TransitSettings, parse_transit_settings
from pki.errors import InvalidInput

MAX_SETTINGS_OCTETS: Final = 65_536
MAX_CUSTODIANS: Final = 64
DEFAULT_PIN_TRIES: Final = 2
_REFUSED_VARIABLES: Final = ("LD_", "PYTHON", "PATH", "HOME", "GLIBC_", "MALLOC_")

_MEMBERS: Final = {
    "device": dict,
    "pin": dict,
    "pin_tries": int,
    "keys_file": str,
    "policy_file": str,
    "marks": str,
    "journal": str,
    "sockets": str,
}
_PKCS11_MEMBERS: Final = {"kind": str, "module": str, "token": str, "environment": dict}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Settings:
    """A token of a vendor's module, by its label or its `pkcs11:` URI.

    `environment` is what the module reads, such as SOFTHSM2_CONF.
    """

    module_path: Path
    token: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            parse_token(self.token)
        except InvalidInput as error:
            raise ConfigurationInvalid(error.detail) from error
        for name in self.environment:
            if not name.isidentifier() or name.startswith(_REFUSED_VARIABLES):
                raise ConfigurationInvalid(f"the module's environment may not set {name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PinSettings:
    """Where the PIN comes from: an owner-only file, or the socket of a keeper that was given it."""

    file: Path | None = None
    keeper: Path | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.keeper is None):
            raise ConfigurationInvalid("the PIN comes from a file or from a keeper")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodianSettings:
    """Validated settings of every custodian of one device."""

    device: Pkcs11Settings | TransitSettings
    pin: PinSettings | None = None
    pin_tries: int = DEFAULT_PIN_TRIES
    keys_file: Path
    policy_file: Path
    marks: Path
    journal: Path
    sockets: Path

    def __post_init__(self) -> None:
        if isinstance(self.device, Pkcs11Settings) and self.pin is None:
            raise ConfigurationInvalid("missing: pin")
        if self.pin_tries < 1:
            raise ConfigurationInvalid("pin_tries is at least 1")
        paths = [self.keys_file, self.policy_file, self.marks, self.journal, self.sockets]
        if isinstance(self.device, Pkcs11Settings):
            paths.append(self.device.module_path)
        if any(not path.is_absolute() for path in paths):
            raise ConfigurationInvalid("paths must be absolute")

    @property
    def tries_file(self) -> Path:
        """Where failed PIN tries are counted: beside the key file, in the custodian's own folder."""
        return self.keys_file.with_name(f"{self.keys_file.name}.pin-tries")

    def lock_file(self, index: int) -> Path:
        """Whose lock one custodian holds while it lives."""
        return self.keys_file.with_name(f"{self.keys_file.name}.{index}.lock")

    def journal_folder(self, index: int) -> Path:
        """Where one custodian keeps its journal."""
        return self.journal / str(index)

    def socket_path(self, role: str, index: int) -> Path:
        """Where one custodian listens for one role."""
        return role_socket(self.sockets, role, index)


def role_socket(sockets: Path, role: str, index: int) -> Path:
    """Return where custodian `index` listens for `role`, below the folder of the sockets."""
    if not 1 <= len(role.encode()) <= MAX_NAME_OCTETS or "/" in role or role.startswith("."):
        raise ConfigurationInvalid(f"the name of a role is empty, longer than {MAX_NAME_OCTETS} octets or a path")
    return sockets / role / f"{index}.sock"


def role_sockets(sockets: Path, role: str, custodians: int) -> tuple[Path, ...]:
    """Return where the custodians with the indices below `custodians` listen for `role`."""
    return tuple(role_socket(sockets, role, index) for index in range(custodians))


def load_settings(path: Path) -> CustodianSettings:
    """Read and validate a settings file; ConfigurationInvalid says what is wrong with it."""
    raw = read_settings(path, MAX_SETTINGS_OCTETS)
    try:
        return validate_settings(raw, path.resolve().parent)
    except ConfigurationInvalid as error:
        raise ConfigurationInvalid(f"{path.name}: {error.detail}") from error


def validate_settings(raw: Mapping[str, Any], folder: Path) -> CustodianSettings:
    """Turn the members of a settings file into settings; relative paths start at `folder`."""
    check_members(raw, _MEMBERS, required=_MEMBERS.keys() - {"pin", "pin_tries"})
    return CustodianSettings(
        device=parse_device(raw["device"], folder),
        pin=parse_pin(raw["pin"], folder) if "pin" in raw else None,
        pin_tries=raw.get("pin_tries", DEFAULT_PIN_TRIES),
        keys_file=folder / raw["keys_file"],
        policy_file=folder / raw["policy_file"],
        marks=folder / raw["marks"],
        journal=folder / raw["journal"],
        sockets=folder / raw["sockets"],
    )


def parse_device(raw: Mapping[str, Any], folder: Path) -> Pkcs11Settings | TransitSettings:
    """Validate a `device` member; relative paths start at `folder`. ConfigurationInvalid."""
    match raw.get("kind"):
        case "pkcs11":
            check_members(raw, _PKCS11_MEMBERS, required=_PKCS11_MEMBERS.keys() - {"environment"})
            environment = raw.get("environment", {})
            if not all(isinstance(value, str) for value in environment.values()):
                raise ConfigurationInvalid("environment holds text only")
            return Pkcs11Settings(module_path=folder / raw["module"], token=raw["token"], environment=environment)
        case "transit":
            return parse_transit_settings(raw, folder)
    raise ConfigurationInvalid("the device's kind is pkcs11 or transit")


def parse_pin(raw: Mapping[str, Any], folder: Path) -> PinSettings:
    """Validate a `pin` member; relative paths start at `folder`. ConfigurationInvalid."""
    check_members(raw, {"file": str, "keeper": str})
    return PinSettings(**{name: folder / value for name, value in raw.items()})


def write_settings(settings: CustodianSettings, path: Path) -> None:
    """Write a settings file that `load_settings` reads back as the same settings."""
    raw: dict[str, Any] = {
        "device": device_json(settings.device),
        "pin_tries": settings.pin_tries,
        "keys_file": str(settings.keys_file),
        "policy_file": str(settings.policy_file),
        "marks": str(settings.marks),
        "journal": str(settings.journal),
        "sockets": str(settings.sockets),
    }
    if settings.pin is not None:
        raw["pin"] = pin_json(settings.pin)
    write_private(path, json.dumps(raw, indent=2).encode() + b"\n")


def device_json(device: Pkcs11Settings | TransitSettings) -> dict[str, Any]:
    """Return the members of a settings file that describe the device."""
    if isinstance(device, TransitSettings):
        return device.member()
    return {
        "kind": "pkcs11",
        "module": str(device.module_path),
        "token": device.token,
        "environment": dict(device.environment),
    }


def pin_json(pin: PinSettings) -> dict[str, str]:
    """Return the members of a settings file that say where the PIN comes from."""
    return {name: str(path) for name, path in (("file", pin.file), ("keeper", pin.keeper)) if path is not None}
