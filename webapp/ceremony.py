"""`mohr init`: the ceremony that makes a pilot deployment, root token first, `mohr.toml` last.

A ceremony that breaks off leaves a folder without `mohr.toml`: the next one refuses it until a person has looked
and removed it, because keys may lie there. The root's PIN is in a file only while its custodian logs in.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from ca.ceremony.tokens import TokenPlace, TokenRecord
from ca.ceremony.workshop import CustodianWorkshop
from ca.custody_policy import OPERATOR, SERVER, WORKER, service_policy
from ca.hierarchy import Hierarchy, adopt, create_hierarchy
from ca.profiles import IssuerName
from hsm.client import CEREMONY_TIMEOUT, CustodianClient
from hsm.custodian.config import CustodianSettings, PinSettings, Pkcs11Settings, write_settings
from hsm.custodian.policy import write_policy
from hsm.private_files import write_private
from hsm.process import CustodianProcess
from hsm.softhsm import SoftHsmToken, create_softhsm_token
from hsm.transit.settings import TransitSettings
from pki.audit import AuditAction, AuditEvent
from pki.errors import Conflict, ErrorCode, InvalidInput
from storage.engine import Database, open_database
from storage.migrate import current_revision, upgrade
from webapp.compose import RealClock, assemble, authority_settings, token_settings
from webapp.database_password import with_password
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings
from webapp.fonts import cut_font
from webapp.founders import enrol_founders
from webapp.opening import open_for_service
from webapp.service_device import ServiceDevice

CEREMONY: Final = "mohr init"
ROOT_TOKEN: Final = "mohr-root"
SERVICE_TOKEN: Final = "mohr-service"


def hold_ceremony(
    deployment: Deployment,
    settings: DeploymentSettings,
    *,
    database_password: str | None = None,
    device: ServiceDevice | None = None,
) -> str:
    """Make a deployment and return the root token's PIN, which is stored nowhere.

    The service's keys are made in `device`, or in a SoftHSM2 token that is made for them.

    Conflict (`deployment-exists`) for a folder that holds anything but our caches; InvalidInput for settings that
    cannot be, before anything is made: also for a database that has its authorities already (Conflict), or that does
    not answer (Unavailable).
    """
    begin_deployment(deployment, settings, database_password, device)
    root = create_softhsm_token(deployment.root / "token", ROOT_TOKEN)
    with ended_gently():
        _make_everything(deployment, settings, root)
    cut_font(deployment.cache)
    deployment.write_settings(settings)
    with root.pin as pin:
        return pin.reveal()


def begin_deployment(
    deployment: Deployment,
    settings: DeploymentSettings,
    database_password: str | None,
    device: ServiceDevice | None = None,
) -> None:
    """Make the folders of a deployment, the service's token and what its custodians are told; errors as above."""
    if not is_free(deployment):
        raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, str(deployment.home))
    for check in (authority_settings, token_settings):  # refuse before anything is made
        check(settings)
    if settings.database_url is not None:
        _check_database(with_password(settings.database_url, database_password))
    deployment.create_folders()
    if database_password is not None:
        write_private(deployment.database_password, database_password.encode() + b"\n")
    if device is None:
        write_service_custodian(deployment, settings, create_softhsm_token(deployment.service_token, SERVICE_TOKEN))
    else:
        _write_custodian(deployment, settings, *device.kept_in(deployment.custodian_config.parent))


def _check_database(url: str) -> None:
    """Refuse a server that does not answer, and a database that is somebody's already."""
    database = open_database(url)
    try:
        if current_revision(database) is not None:
            raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, "the database is in use by a deployment")
    finally:
        database.close()


@contextmanager
def ended_gently() -> Iterator[None]:
    """Have a request to end unwind what is under way, as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_free(deployment: Deployment) -> bool:
    """Whether nothing but our caches lies where a deployment is to be; InvalidInput (`file-unwritable`)."""
    return not deployment.exists() and all(path == deployment.cache for path in entries(deployment.home))


def entries(folder: Path) -> tuple[Path, ...]:
    """List what lies in a folder; nothing where there is none. InvalidInput (`file-unwritable`)."""
    try:
        return tuple(folder.iterdir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, folder.name) from error


def write_service_custodian(deployment: Deployment, settings: DeploymentSettings, token: SoftHsmToken) -> None:
    """Write the service's PIN file and, last, what its custodians are told."""
    write_private(deployment.pin_file, token.pin.reveal().encode() + b"\n")
    device = Pkcs11Settings(module_path=token.module_path, token=token.label, environment=token.environment)
    _write_custodian(deployment, settings, device, PinSettings(file=deployment.pin_file))


def _write_custodian(
    deployment: Deployment,
    settings: DeploymentSettings,
    device: Pkcs11Settings | TransitSettings,
    pin: PinSettings | None,
) -> None:
    """Tell the custodians where the keys are. Every role is ours until a user each is arranged."""
    us = dict.fromkeys((SERVER, WORKER, OPERATOR), os.getuid())
    config = deployment.custodian_config
    custodians = CustodianSettings(
        device=device,
        pin=pin,
        keys_file=config.with_name("keys.json"),
        policy_file=config.with_name("policy.json"),
        marks=config.with_name("marks"),
        journal=config.with_name("journal"),
        sockets=deployment.custodian_sockets,
    )
    write_policy(service_policy(authority_settings(settings), token_settings(settings), us), custodians.policy_file)
    write_settings(custodians, config)


def _make_everything(deployment: Deployment, settings: DeploymentSettings, root: SoftHsmToken) -> None:
    clock, authorities = RealClock(), authority_settings(settings)
    with ExitStack() as stack:
        service = stack.enter_context(CustodianProcess(deployment.custodian_config, log_path=deployment.custodian_log))
        keys = CustodianClient(service.socket_path(OPERATOR), timeout=CEREMONY_TIMEOUT)
        stack.callback(keys.close)
        workshop = CustodianWorkshop(deployment.custodian_log, authorities)
        place = TokenPlace(name=IssuerName.ROOT.value, token=deployment.root / "token", folder=deployment.root)
        record = TokenRecord(module=root.module_path, label=root.label, environment=root.environment)
        with workshop.opened(place, record, root.pin) as root_keys:
            hierarchy = create_hierarchy(root_keys, keys, authorities, clock)
        database = open_database(deployment.database_url(settings))
        stack.callback(database.close)
        upgrade(database)
        adopt(database, hierarchy, authorities, clock, CEREMONY)
        _record_creation(database, hierarchy, clock)
        parts = assemble(deployment, settings, database, keys)
        enrol_founders(parts, CEREMONY)
        open_for_service(parts, CEREMONY)


def _record_creation(database: Database, hierarchy: Hierarchy, clock: RealClock) -> None:
    with database.begin() as unit:
        unit.audit.record(
            AuditEvent(
                action=AuditAction.DEPLOYMENT_CREATED,
                at=clock.now(),
                actor=CEREMONY,
                subject="deployment",
                facts={"certificates": len(hierarchy.certificates)},
            )
        )
