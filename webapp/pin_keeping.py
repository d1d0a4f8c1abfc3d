"""The service token's PIN out of its file and into a keeper, which people unlock after each start."""

import os
from dataclasses import replace
from pathlib import Path

from hsm.custodian.config import CustodianSettings, PinSettings, load_settings, write_settings
from hsm.errors import ConfigurationInvalid
from hsm.keeper.config import KeeperSettings, keeper_settings_json, keeper_socket
from hsm.keeper.protocol import KeeperRole
from hsm.pin import MAX_PIN_OCTETS, Pin
from hsm.private_files import sync_folder
from hsm.sharing.pin_shares import check_pin
from hsm.sharing.share_set import ShareSet
from pki.errors import Conflict, ErrorCode, ServiceError
from webapp.atomic_files import write_atomically
from webapp.deployment import Deployment


def keeps_pin(deployment: Deployment) -> bool:
    """Whether the custodians get their PIN from a keeper; False, too, where their settings cannot be read."""
    try:
        pin = load_settings(deployment.custodian_config).pin
    except ServiceError:  # the custodian reads them next, and says what is wrong with them
        return False
    return pin is not None and pin.keeper is not None


def prepare_keeper(deployment: Deployment, custodian_uid: int, operator_uid: int) -> None:
    """Write what the keeper is told: who may read the PIN, who may unlock it, and whose shares do."""
    settings = KeeperSettings(
        sockets=deployment.keeper_sockets,
        custodian_uids=frozenset({custodian_uid}),
        operator_uids=frozenset({operator_uid}),
        share_set=deployment.pin_shares if deployment.pin_shares.exists() else None,
    )
    write_atomically(deployment.keeper_config, keeper_settings_json(settings))


def _pin_file(settings: CustodianSettings) -> Path:
    if settings.pin is None or settings.pin.file is None:
        raise Conflict(ErrorCode.CONFLICT, "the custodians' PIN is in no file")
    return settings.pin.file


def read_service_pin(deployment: Deployment) -> Pin:
    """Read the PIN's file as its owner or as root, whose own it need not be; Conflict, ConfigurationInvalid."""
    path = _pin_file(load_settings(deployment.custodian_config))
    octets = bytearray(MAX_PIN_OCTETS + 2)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            del octets[os.readv(descriptor, [octets]) :]
        finally:
            os.close(descriptor)
        line = octets.rstrip(b"\r\n")
        check_pin(line, MAX_PIN_OCTETS)
        return Pin(line)
    except OSError as error:
        raise ConfigurationInvalid(f"{path.name}: {error.strerror}") from error
    finally:
        octets[:] = bytes(len(octets))


def move_to_keeper(deployment: Deployment, share_set: ShareSet | None) -> None:
    """Have the custodians ask the keeper from their next start on, and remove the PIN's file, last.

    Whoever calls has made sure that people know the PIN or hold its shares.
    """
    settings = load_settings(deployment.custodian_config)
    pin_file, owner = _pin_file(settings), deployment.custodian_config.stat()
    if share_set is None:
        deployment.pin_shares.unlink(missing_ok=True)
    else:
        write_atomically(deployment.pin_shares, share_set.to_json())
    keeper = keeper_socket(deployment.keeper_sockets, KeeperRole.CUSTODIAN)
    write_settings(replace(settings, pin=PinSettings(keeper=keeper)), deployment.custodian_config)
    if os.geteuid() == 0:
        os.chown(deployment.custodian_config, owner.st_uid, owner.st_gid)
    pin_file.unlink()
    sync_folder(pin_file.parent)
