"""The settings of a keeper: what the JSON file says (raw) and what may be used (validated).

The file is `{"sockets": FOLDER, "custodian_uids": […], "operator_uids": […], "share_set": FILE}`; relative paths start
at its folder. The share set may be missing: then the PIN is typed, not put together. Sockets are
`FOLDER/custodian/keeper.sock` and `FOLDER/operator/keeper.sock`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hsm.errors import ConfigurationInvalid
from hsm.keeper.protocol import KeeperRole
from hsm.keeper.server import Door
from hsm.settings_file import check_members, read_settings
from hsm.sharing.share_set import MAX_SET_OCTETS, ShareSet
from pki.errors import InvalidInput
from pki.jose import compact_json

SOCKET_NAME: Final = "keeper.sock"
_MAX_SETTINGS_OCTETS: Final = 65_536
_MEMBERS: Final = {"sockets": str, "custodian_uids": list, "operator_uids": list, "share_set": str}


def keeper_socket(sockets: Path, role: KeeperRole) -> Path:
    """Return where a role reaches the keeper whose sockets lie in `sockets`."""
    return sockets / role.folder / SOCKET_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperSettings:
    """Validated settings: who may read the PIN, who may unlock it, and whose shares do."""

    sockets: Path
    custodian_uids: frozenset[int]
    operator_uids: frozenset[int]
    share_set: Path | None = None

    @property
    def doors(self) -> tuple[Door, Door]:
        """Where the two roles come in."""
        return (
            Door(
                role=KeeperRole.CUSTODIAN,
                path=keeper_socket(self.sockets, KeeperRole.CUSTODIAN),
                uids=self.custodian_uids,
            ),
            Door(
                role=KeeperRole.OPERATOR,
                path=keeper_socket(self.sockets, KeeperRole.OPERATOR),
                uids=self.operator_uids,
            ),
        )


def load_keeper_settings(path: Path) -> KeeperSettings:
    """Read and validate a settings file; ConfigurationInvalid says what is wrong with it."""
    raw = read_settings(path, _MAX_SETTINGS_OCTETS)
    check_members(raw, _MEMBERS, required=_MEMBERS.keys() - {"share_set"})
    folder = path.resolve().parent
    return KeeperSettings(
        sockets=folder / raw["sockets"],
        custodian_uids=_uids(raw["custodian_uids"]),
        operator_uids=_uids(raw["operator_uids"]),
        share_set=folder / raw["share_set"] if "share_set" in raw else None,
    )


def keeper_settings_json(settings: KeeperSettings) -> bytes:
    """Write what `load_keeper_settings` reads back as the same settings."""
    raw: dict[str, object] = {
        "sockets": str(settings.sockets),
        "custodian_uids": sorted(settings.custodian_uids),
        "operator_uids": sorted(settings.operator_uids),
    }
    if settings.share_set is not None:
        raw["share_set"] = str(settings.share_set)
    return compact_json(raw) + b"\n"


def _uids(values: list[object]) -> frozenset[int]:
    uids = frozenset(value for value in values if type(value) is int and value >= 0)
    if not values or len(uids) != len(values):
        raise ConfigurationInvalid("user ids are numbers, each named once")
    return uids


def load_share_set(path: Path) -> ShareSet:
    """Read the public record of whose shares open the PIN; ConfigurationInvalid."""
    members = dict(read_settings(path, MAX_SET_OCTETS))
    try:
        return ShareSet.from_members(members)
    except InvalidInput as error:
        raise ConfigurationInvalid(f"{path.name}: {error.detail}") from error
