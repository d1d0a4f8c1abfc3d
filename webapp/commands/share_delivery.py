"""How a command's shares get to the people who will hold them: one after the other at a terminal, or as files."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ca.ceremony.custodians import hand_out
from hsm.backup.files import write_folder
from hsm.sharing.share_set import ShareSet
from hsm.sharing.shares import Share
from pki.errors import Conflict, ErrorCode
from signer.files import check_writable
from webapp.commands.ceremony_console import Terminal
from webapp.commands.options import say


def share_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say who gets shares, how many open the secret, and how they get there."""
    for option in (
        click.option(
            "--share-files",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="Write the shares into a new owner-only folder, instead of showing them to one after the other.",
        ),
        click.option("--custodian", "custodians", multiple=True, metavar="NAME", help="A name, once for each share."),
        click.option("--threshold", type=click.IntRange(1, 16), default=2, show_default=True, help="How many open it."),
        click.option("--shares", type=click.IntRange(1, 16), default=3, show_default=True, help="How many people."),
    ):
        command = option(command)
    return command


def custodian_names(shares: int, custodians: Sequence[str]) -> tuple[str, ...]:
    """Return the names of those who get a share; UsageError when they are not as many."""
    names = tuple(custodians) or tuple(f"custodian {number}" for number in range(1, shares + 1))
    if len(names) != shares:
        raise click.UsageError(f"{len(names)} custodians are named for {shares} shares")
    return names


def check_delivery(share_files: Path | None) -> None:
    """Refuse, before anything is done, shares that could not be delivered; UsageError, Conflict, InvalidInput."""
    if share_files is not None:
        check_new(share_files)
    elif not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("shares are shown at a terminal; without one, name a folder for --share-files")


def check_new(path: Path) -> None:
    """Refuse a place that is taken or cannot be written; Conflict, InvalidInput."""
    if path.is_symlink() or path.exists():
        raise Conflict(ErrorCode.CONFLICT, f"{path.name} is there already")
    check_writable(path)


def deliver(share_set: ShareSet, shares: Sequence[Share], share_files: Path | None) -> None:
    """Give every custodian their share, then wipe them; CeremonyStopped when a person does not take theirs."""
    if share_files is None:
        hand_out(Terminal(on_screen=True), share_set, shares, lambda what, whom: say(f"{what}: {whom}"))
        return
    written = {
        f"share-{share.index}.txt": f"{commitment.custodian}\n{share_set.about}\n{share.text()}\n".encode()
        for share, commitment in zip(shares, share_set.commitments, strict=True)
    }
    try:
        write_folder(share_files, written)
    finally:
        for share in shares:
            share.wipe()
