"""The custodian of a deployment at a second site: what of it is backed up, and how it comes back in another home.

Keys, what is known of them, their policy and the marks that no list falls behind travel; sockets, journals and
the database do not.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath

from hsm.backup.archive import BackupHeader, open_backup, read_header
from hsm.backup.files import BackupPlan, read_plan, write_folder
from hsm.backup.relocation import relocated
from hsm.custodian.config import load_settings
from hsm.custodian.key_records import parse_records
from hsm.softhsm import CONFIGURATION_NAME
from hsm.softhsm_guard import SoftHsmGuard
from pki.errors import ErrorCode, VerificationFailed
from webapp.deployment import Deployment


def read_custodian(deployment: Deployment, *, with_pin: bool) -> dict[str, bytes]:
    """Read what the second site needs, as of one moment, while the custodians run.

    The locks of the key records and of logins are held meanwhile, and the records are read before the token: whatever
    key they name is in it. A token that a kill tore is put back first, so that it is whole in the backup.
    Paths inside start at `backup_home`. NotFound where there is no deployment, ConfigurationInvalid, HsmUnavailable;
    VerificationFailed where the token's folder does not hold what the records name: it would restore nothing.
    """
    deployment.settings()
    settings = load_settings(deployment.custodian_config)
    files = [deployment.custodian_config, settings.keys_file, settings.policy_file]
    if with_pin and settings.pin is not None and settings.pin.file is not None:
        files.append(settings.pin.file)
    if deployment.pin_shares.exists():
        files.append(deployment.pin_shares)
    guard = SoftHsmGuard(deployment.service_token / CONFIGURATION_NAME)
    plan = BackupPlan(
        home=deployment.home,
        files=files,
        folders=[deployment.service_token, settings.marks],
        locks=[settings.keys_file.with_name(f"{settings.keys_file.name}.lock"), guard.folder()],
        prepare=[guard.check],
    )
    read = read_plan(plan)
    _check_holds_keys(read, settings.keys_file.name)
    return relocated(read, _relocated_names(deployment), str(deployment.home), backup_home(deployment))


def _check_holds_keys(files: Mapping[str, bytes], records_name: str) -> None:
    """See that SoftHSM2's files hold two objects for each recorded key, of which the public one shows its CKA_ID."""
    (records,) = [data for name, data in files.items() if PurePosixPath(name).name == records_name]
    objects = [data for name, data in files.items() if name.endswith(".object") and not name.endswith("/token.object")]
    keys = parse_records(records, records_name)
    for label, record in keys.items():
        if not any(bytes.fromhex(record.info.id) in data for data in objects):
            raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"the token's folder does not hold the key {label}")
    if len(objects) < 2 * len(keys):
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the token's folder holds too few objects for its keys")


def backup_home(deployment: Deployment) -> str:
    """Return the home that a backup's paths start from: links followed, as SoftHSM2's configuration has it."""
    return str(deployment.home.resolve())


def _relocated_names(deployment: Deployment) -> frozenset[str]:
    paths = (deployment.custodian_config, deployment.service_token / CONFIGURATION_NAME)
    return frozenset(path.relative_to(deployment.home).as_posix() for path in paths)


def restore_custodian(deployment: Deployment, archive: bytes, key: bytearray) -> BackupHeader:
    """Make the home of a second site from a backup, whole or not at all, once everything in it is checked.

    VerificationFailed, InvalidInput, Conflict where the home holds anything, HsmUnavailable.
    """
    header = read_header(archive)
    files = open_backup(archive, key)
    moved = relocated(files, _relocated_names(deployment), header.home, backup_home(deployment))
    write_folder(deployment.home, moved)
    deployment.complete_folders()
    return header
