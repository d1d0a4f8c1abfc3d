"""`mohr hsm backup` and `mohr hsm restore`: the service token at a second site, under shares that people hold."""

import secrets
from pathlib import Path

import click

from hsm.backup.archive import read_header, seal_backup
from hsm.backup.files import check_absent, read_backup, write_backup
from hsm.custodian.config import CustodianSettings, Pkcs11Settings, load_settings
from hsm.errors import ConfigurationInvalid
from pki.instants import format_instant
from webapp.commands.options import answer, home_option
from webapp.commands.secret_prompts import collect_shares
from webapp.commands.share_delivery import check_delivery, check_new, custodian_names, deliver, share_options
from webapp.compose import RealClock
from webapp.deployment import Deployment
from webapp.second_site import backup_home, read_custodian, restore_custodian


@click.command()
@home_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new file.")
@share_options
@click.option("--without-pin", is_flag=True, help="Leave the PIN out: the second site's operators bring it.")
def backup(
    deployment: Deployment,
    *,
    out: Path,
    shares: int,
    threshold: int,
    custodians: tuple[str, ...],
    without_pin: bool,
    share_files: Path | None,
) -> None:
    """Back up the service token for a second site, encrypted under a key that is divided among people.

    Example: mohr hsm backup --out service.backup --shares 3 --threshold 2
    """
    deployment.settings()
    names = custodian_names(shares, custodians)
    check_new(out)
    check_delivery(share_files)
    token = _token_of(deployment, load_settings(deployment.custodian_config))
    sealed = seal_backup(
        read_custodian(deployment, with_pin=not without_pin),
        token_label=token,
        home=backup_home(deployment),
        created=RealClock().now(),
        threshold=threshold,
        custodians=names,
        random_octets=secrets.token_bytes,
    )
    # The file comes last: where it is, its shares were given.
    deliver(sealed.header.share_set, sealed.shares, share_files)
    write_backup(out, sealed.archive)
    answer(
        {
            "backup": str(out),
            "token": sealed.header.token_label,
            "created": format_instant(sealed.header.created),
            "ceremony": sealed.header.share_set.name,
            "files": len(sealed.header.digests),
        }
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@home_option
def restore(deployment: Deployment, file: Path) -> None:
    """Make the custodian of a second site from a backup; asks for shares, one a line, and shows none.

    The home must be new. Example: mohr hsm restore service.backup --home /srv/second
    """
    check_absent(deployment.home)
    archive = read_backup(file)
    header = read_header(archive)
    key = collect_shares(header.share_set)
    try:
        restore_custodian(deployment, archive, key)
    finally:
        key[:] = bytes(len(key))
    answer({"home": str(deployment.home), "token": header.token_label, "files": len(header.digests)})


def _token_of(deployment: Deployment, settings: CustodianSettings) -> str:
    """Name the token that a backup holds; a key store elsewhere has its own backups."""
    if not isinstance(settings.device, Pkcs11Settings) or not deployment.service_token.exists():
        raise ConfigurationInvalid("the keys are in no token of this home: their device's own backup takes its place")
    return settings.device.token
