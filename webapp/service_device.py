"""The key store that a new deployment's keys are made in: what `mohr init --device` is given.

Its credentials are copied into the deployment's own folder, where they belong to whoever runs the custodians. A token
that somebody else renews stays where it is: a copy of it would end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hsm.custodian.config import MAX_SETTINGS_OCTETS, PinSettings, Pkcs11Settings, parse_device, parse_pin
from hsm.errors import ConfigurationInvalid
from hsm.private_files import read_private_line, write_private
from hsm.settings_file import check_members, read_settings
from hsm.transit.settings import AppRoleFiles, TransitSettings
from signer.files import read_file

_MAX_LINE_OCTETS: Final = 4096
_MAX_AUTHORITIES_OCTETS: Final = 1024 * 1024
_PIN: Final = "service.pin"
_ROLE_ID: Final = "role-id"
_SECRET_ID: Final = "secret-id"
_AUTHORITIES: Final = "device-ca.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDevice:
    """A key store and the octets of its credentials, by the names that they get."""

    device: Pkcs11Settings | TransitSettings
    credentials: Mapping[str, bytes]

    def kept_in(self, folder: Path) -> tuple[Pkcs11Settings | TransitSettings, PinSettings | None]:
        """Write the credentials into `folder`, owner only; return what custodians are told."""
        for name, octets in self.credentials.items():
            write_private(folder / name, octets)
        device = self.device
        if isinstance(device, Pkcs11Settings):
            return device, PinSettings(file=folder / _PIN)
        if isinstance(device.auth, AppRoleFiles):
            auth = replace(device.auth, role_id_file=folder / _ROLE_ID, secret_id_file=folder / _SECRET_ID)
            device = replace(device, auth=auth)
        return (device if device.ca_file is None else replace(device, ca_file=folder / _AUTHORITIES)), None


def read_device(path: Path) -> ServiceDevice:
    """Read the members `device` and `pin` as a custodian's settings have them, and the files that they name.

    Relative paths start at the file's folder. ConfigurationInvalid, also for a credential that is not ours alone;
    InvalidInput (`file-unreadable`).
    """
    raw = read_settings(path, MAX_SETTINGS_OCTETS)
    check_members(raw, {"device": dict, "pin": dict}, required={"device"}, where=path.name)
    folder = path.resolve().parent
    device = parse_device(raw["device"], folder)
    pin = parse_pin(raw["pin"], folder) if "pin" in raw else None
    if isinstance(device, Pkcs11Settings):
        if pin is None or pin.file is None:
            raise ConfigurationInvalid(
                f"{path.name}: a token needs a pin of a file; mohr hsm keep-pin gives it to people"
            )
        return ServiceDevice(device=device, credentials={_PIN: _line(pin.file)})
    if pin is not None:
        raise ConfigurationInvalid(f"{path.name}: a Transit engine has no pin")
    credentials = {}
    if isinstance(device.auth, AppRoleFiles):
        credentials = {_ROLE_ID: _line(device.auth.role_id_file), _SECRET_ID: _line(device.auth.secret_id_file)}
    if device.ca_file is not None:
        credentials[_AUTHORITIES] = read_file(device.ca_file, limit=_MAX_AUTHORITIES_OCTETS)
    return ServiceDevice(device=device, credentials=credentials)


def _line(path: Path) -> bytes:
    return bytes(read_private_line(path, _MAX_LINE_OCTETS)) + b"\n"
