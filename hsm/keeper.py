"""The keeper of a PIN: `python -m hsm.keeper CONFIG.json [PARENT]`.

Composition root of a process with no other duty: it holds the PIN of a token that operators unlock by hand, in memory
that is never written to disk, and gives it to the custodian's user alone. A keeper that is restarted waits for its PIN
again; custodians heal by themselves once it has it.

The settings file is `{"sockets": FOLDER, "custodian_uids": […], "operator_uids": […], "share_set": FILE}`; relative
paths start at its folder. The share set may be missing: then the PIN is typed, not put together. Sockets are
`FOLDER/custodian/keeper.sock` and `FOLDER/operator/keeper.sock`.
"""

import logging
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hsm.child_process import ExitCode
from hsm.daemon import log_as_json, stop_signals
from hsm.errors import ConfigurationInvalid
from hsm.hardening import end_with_parent, hide_memory
from hsm.keeper_protocol import KeeperRole
from hsm.keeper_server import Door, KeeperServer
from hsm.kept_pin import KeptPin
from hsm.locked_memory import lock_all_memory
from hsm.share_set import MAX_SET_OCTETS, ShareSet
from pki.errors import InvalidInput, ServiceError
from pki.jose import compact_json, json_object

SOCKET_NAME: Final = "keeper.sock"
_MAX_SETTINGS_OCTETS: Final = 65_536
_MEMBERS: Final = {"sockets": str, "custodian_uids": list, "operator_uids": list}
_OPTIONAL_MEMBERS: Final = {"share_set": str}

_log = logging.getLogger("hsm.keeper")


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
    raw = _read_object(path, _MAX_SETTINGS_OCTETS)
    kinds = _MEMBERS | _OPTIONAL_MEMBERS
    for name, value in raw.items():
        if name not in kinds:
            raise ConfigurationInvalid(f"unknown member {name!r}")
        if type(value) is not kinds[name]:
            raise ConfigurationInvalid(f"{name} is not a JSON {kinds[name].__name__}")
    if missing := _MEMBERS.keys() - raw.keys():
        raise ConfigurationInvalid(f"missing: {', '.join(sorted(missing))}")
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


def _read_object(path: Path, limit: int) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigurationInvalid(f"{path.name}: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigurationInvalid(f"{path.name} is larger than {limit} octets")
    try:
        return json_object(data)
    except InvalidInput as error:
        raise ConfigurationInvalid(f"{path.name}: {error.detail}") from error


def _uids(values: list[object]) -> frozenset[int]:
    uids = frozenset(value for value in values if type(value) is int and value >= 0)
    if not values or len(uids) != len(values):
        raise ConfigurationInvalid("user ids are numbers, each named once")
    return uids


def _load_share_set(path: Path) -> ShareSet:
    members = dict(_read_object(path, MAX_SET_OCTETS))
    try:
        return ShareSet.from_members(members)
    except InvalidInput as error:
        raise ConfigurationInvalid(f"{path.name}: {error.detail}") from error


def run(settings: KeeperSettings) -> ExitCode:
    """Serve until SIGTERM or SIGINT."""
    os.umask(0o077)
    hide_memory()
    if not lock_all_memory():
        _log.info("only the pages of the PIN are locked: this user may not lock all memory")
    share_set = None if settings.share_set is None else _load_share_set(settings.share_set)
    with stop_signals() as wakeup:
        server = KeeperServer(settings.doors, KeptPin(share_set, time.monotonic, secrets.token_bytes), time.monotonic)
        server.stop_on(wakeup)
        try:
            _log.info("ready; the PIN is waited for")
            server.serve()
        finally:
            server.close()
    _log.info("stopped")
    return ExitCode.CLEAN


def main(arguments: list[str]) -> ExitCode:
    """Run a keeper with the settings file, and for the parent, named on the command line."""
    log_as_json()
    if len(arguments) not in (1, 2) or arguments[0].startswith("-") or not all(map(str.isdecimal, arguments[1:])):
        sys.stderr.write("usage: python -m hsm.keeper CONFIG.json [PARENT]\n")
        return ExitCode.USAGE
    try:
        if arguments[1:] and not end_with_parent(int(arguments[1])):
            return ExitCode.CLEAN
        return run(load_keeper_settings(Path(arguments[0])))
    except ServiceError as error:
        _log.error("cannot serve: %s", error.detail)
        return ExitCode.CONFIGURATION
    except OSError as error:
        _log.error("cannot serve: %s", error.strerror)
        return ExitCode.CONFIGURATION


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
