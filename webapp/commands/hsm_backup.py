"""`mohr hsm backup` and `mohr hsm restore`: the service token at a second site, under shares that people hold."""

import secrets
import sys
from pathlib import Path

import click

from ca.ceremony.custodians import hand_out
from hsm.backup import SealedBackup, read_header, seal_backup
from hsm.backup_files import check_absent, read_backup, write_backup, write_folder
from hsm.custodian.config import CustodianSettings, Pkcs11Settings, load_settings
from hsm.errors import ConfigurationInvalid, ShareRepeated, ShareWrong
from hsm.shares import ShareCollection
from pki.errors import Conflict, ErrorCode
from pki.instants import format_instant
from pki.messages import sentence
from signer.files import check_writable
from webapp.commands.ceremony_console import Terminal
from webapp.commands.options import answer, home_option, say
from webapp.commands.secret_prompts import ask_share
from webapp.compose import RealClock
from webapp.deployment import Deployment
from webapp.second_site import backup_home, read_custodian, restore_custodian


@click.command()
@home_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new file.")
@click.option("--shares", type=click.IntRange(1, 16), default=3, show_default=True, help="Among how many people.")
@click.option("--threshold", type=click.IntRange(1, 16), default=2, show_default=True, help="How many restore it.")
@click.option("--custodian", "custodians", multiple=True, metavar="NAME", help="A person's name, once for each share.")
@click.option("--without-pin", is_flag=True, help="Leave the PIN out: the second site's operators bring it.")
@click.option(
    "--share-files",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write the shares into a new owner-only folder, instead of showing them to one person after the other.",
)
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
    on_screen = sys.stdin.isatty() and sys.stderr.isatty()
    if not on_screen and share_files is None:
        raise click.UsageError("shares are shown at a terminal; without one, name a folder for --share-files")
    names = custodians or tuple(f"custodian {number}" for number in range(1, shares + 1))
    if len(names) != shares:
        raise click.UsageError(f"{len(names)} custodians are named for {shares} shares")
    for path in (out, share_files):
        if path is not None:
            _check_new(path)
    sealed = seal_backup(
        read_custodian(deployment, with_pin=not without_pin),
        token_label=_token_of(load_settings(deployment.custodian_config)),
        home=backup_home(deployment),
        created=RealClock().now(),
        threshold=threshold,
        custodians=names,
        random_octets=secrets.token_bytes,
    )
    # The file comes last: where it is, its shares were given.
    if share_files is not None:
        _write_shares(sealed, share_files)
    else:
        hand_out(Terminal(on_screen=True), sealed.header.share_set, sealed.shares, _told)
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


def _check_new(path: Path) -> None:
    """Refuse a place that is taken or cannot be written, before anybody is given a share."""
    if path.is_symlink() or path.exists():
        raise Conflict(ErrorCode.CONFLICT, f"{path.name} is there already")
    check_writable(path)


def _told(what: str, whom: str) -> None:
    say(f"{what}: {whom}")


def _write_shares(sealed: SealedBackup, folder: Path) -> None:
    share_set = sealed.header.share_set
    written = {
        f"share-{share.index}.txt": f"{commitment.custodian}\n{share_set.about}\n{share.text()}\n".encode()
        for share, commitment in zip(sealed.shares, share_set.commitments, strict=True)
    }
    write_folder(folder, written)
    for share in sealed.shares:
        share.wipe()


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
    say(f"{header.share_set.about}: ceremony {header.share_set.name}, {header.share_set.threshold} shares open it")
    with ShareCollection(header.share_set) as collection:
        while collection.missing:
            share = ask_share(f"share ({collection.missing} more needed)")
            try:
                collection.add(share)
            except (ShareWrong, ShareRepeated) as error:
                share.wipe()
                say(sentence(error))
        key = collection.combine()
    try:
        restore_custodian(deployment, archive, key)
    finally:
        key[:] = bytes(len(key))
    answer({"home": str(deployment.home), "token": header.token_label, "files": len(header.digests)})


def _token_of(settings: CustodianSettings) -> str:
    """Name the token that a backup holds; a key store reached over a network has its own backups."""
    if not isinstance(settings.device, Pkcs11Settings):
        raise ConfigurationInvalid("the keys are in no token of this machine")
    return settings.device.token
