"""`mohr init`: the ceremony that makes a pilot deployment, root token first, `mohr.toml` last.

A ceremony that breaks off leaves a folder without `mohr.toml`: the next one refuses it until a person has looked
and removed it, because keys may lie there. A ceremony that is killed with SIGKILL while the root's custodian runs
leaves the root's PIN there too; one that is asked to end takes it away.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from ca.hierarchy import Hierarchy, adopt, create_hierarchy
from hsm.client import CustodianClient
from hsm.custodian.config import CustodianSettings, write_settings
from hsm.private_files import write_private
from hsm.process import CustodianProcess
from hsm.softhsm import SoftHsmToken, create_softhsm_token
from pki.audit import AuditAction, AuditEvent
from pki.errors import Conflict, ErrorCode, InvalidInput
from storage.engine import Database, open_database
from storage.migrate import upgrade
from webapp.compose import RealClock, assemble, authority_settings, token_settings
from webapp.deployment import Deployment, DeploymentSettings
from webapp.fonts import cut_font
from webapp.opening import open_for_service

CEREMONY: Final = "mohr init"
ROOT_TOKEN: Final = "mohr-root"
SERVICE_TOKEN: Final = "mohr-service"


def hold_ceremony(deployment: Deployment, settings: DeploymentSettings) -> str:
    """Make a deployment and return the root token's PIN, which is stored nowhere.

    Conflict (`deployment-exists`) for a folder that holds anything but our caches; InvalidInput for settings that
    cannot be, before anything is made.
    """
    if deployment.exists() or any(path != deployment.cache for path in entries(deployment.home)):
        raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, str(deployment.home))
    for check in (authority_settings, token_settings):  # refuse before anything is made
        check(settings)
    deployment.create_folders()
    root = create_softhsm_token(deployment.root / "token", ROOT_TOKEN)
    service = create_softhsm_token(deployment.service_token, SERVICE_TOKEN)
    write_custodian(service, deployment.custodian_config, deployment.pin_file, deployment.custodian_socket)
    with ended_gently():
        _make_everything(deployment, settings, root)
    cut_font(deployment.cache)
    deployment.write_settings(settings)
    with root.pin as pin:
        return pin.reveal()


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


@contextmanager
def _root_custodian(deployment: Deployment, token: SoftHsmToken) -> Iterator[CustodianClient]:
    """Run the root's custodian for the block; its PIN is in a file for as long and no longer."""
    config, pin_file = deployment.root / "custodian.json", deployment.root / "pin"
    try:
        write_custodian(token, config, pin_file, deployment.root / "custodian.sock")
        with CustodianProcess(config, log_path=deployment.custodian_log) as root:
            keys = CustodianClient(root.socket_path)
            try:
                yield keys
            finally:
                keys.close()
    finally:
        pin_file.unlink(missing_ok=True)


def entries(folder: Path) -> tuple[Path, ...]:
    """List what lies in a folder; nothing where there is none. InvalidInput (`file-unwritable`)."""
    try:
        return tuple(folder.iterdir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, folder.name) from error


def write_custodian(token: SoftHsmToken, config: Path, pin_file: Path, socket: Path) -> None:
    """Write a token's PIN file and, last, the settings of its custodian."""
    write_private(pin_file, token.pin.reveal().encode() + b"\n")
    us = frozenset({os.getuid()})
    settings = CustodianSettings(
        module_path=token.module_path,
        token_label=token.label,
        pin_file=pin_file,
        keys_file=config.with_name("keys.json"),
        socket_path=socket,
        allowed_uids=us,
        admin_uids=us,
        environment=token.environment,
    )
    write_settings(settings, config)


def _make_everything(deployment: Deployment, settings: DeploymentSettings, root: SoftHsmToken) -> None:
    clock, authorities = RealClock(), authority_settings(settings)
    with ExitStack() as stack:
        service = stack.enter_context(CustodianProcess(deployment.custodian_config, log_path=deployment.custodian_log))
        keys = CustodianClient(service.socket_path)
        stack.callback(keys.close)
        with _root_custodian(deployment, root) as root_keys:
            hierarchy = create_hierarchy(root_keys, keys, authorities, clock)
        database = open_database(deployment.database_url(settings))
        stack.callback(database.close)
        upgrade(database)
        adopt(database, hierarchy, authorities, clock, CEREMONY)
        _record_creation(database, hierarchy, clock)
        open_for_service(assemble(deployment, settings, database, keys), CEREMONY)


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
