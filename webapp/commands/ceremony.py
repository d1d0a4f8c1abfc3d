"""`mohr hsm ceremony`: carry out a reviewed script, or check the transcript of one that was held."""

import getpass
import os
import sys
from contextlib import closing
from pathlib import Path

import click

from ca.ceremony.runner import Room, hold
from ca.ceremony.script import MAX_SCRIPT_OCTETS, parse_script
from ca.ceremony.transcript import MAX_TRANSCRIPT_OCTETS, verify_transcript
from ca.ceremony.workshop import CustodianWorkshop
from ca.parents import read_certificate_file
from pki.instants import format_instant
from signer.files import read_file
from webapp.ceremony import ended_gently
from webapp.ceremony_home import DeploymentHome, ceremony_folder
from webapp.commands.ceremony_console import Terminal
from webapp.commands.options import answer, home_option, say
from webapp.compose import RealClock
from webapp.deployment import Deployment


@click.command()
@home_option
@click.argument("script", required=False, type=click.Path(path_type=Path))
@click.option("--rehearsal", is_flag=True, help="Take answers from a pipe; the transcript says so.")
@click.option("--verify", "transcript", type=click.Path(path_type=Path), help="Check a transcript instead.")
@click.option("--anchor", type=click.Path(path_type=Path), help="The root to check it under; default: this home's.")
def ceremony(
    deployment: Deployment,
    script: Path | None,
    transcript: Path | None,
    anchor: Path | None,
    rehearsal: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Carry out the key ceremony of a reviewed SCRIPT; the same command resumes it.

    Example: mohr hsm ceremony docs/ceremonies/root-crl.toml --home var
    """
    if (script is None) == (transcript is None):
        raise click.UsageError("name a script, or a transcript to --verify")
    if transcript is not None:
        _verify(transcript, anchor or deployment.anchor)
    elif script is not None:
        _hold(deployment, script, rehearsal=rehearsal)


def _hold(deployment: Deployment, path: Path, *, rehearsal: bool) -> None:
    on_screen = sys.stdin.isatty() and sys.stderr.isatty()
    if not on_screen and not rehearsal:
        raise click.UsageError("a ceremony needs a terminal; a --rehearsal takes answers from a pipe")
    script = parse_script(read_file(path, limit=MAX_SCRIPT_OCTETS))
    with closing(DeploymentHome(deployment, script)) as home, ended_gently():
        room = Room(
            console=Terminal(on_screen=on_screen),
            home=home,
            workshop=CustodianWorkshop(deployment.custodian_log, home.settings),
            clock=RealClock(),
            operator=login_name(),
            rehearsal=rehearsal,
        )
        digest = hold(script, room)
    folder = ceremony_folder(deployment, script.name)
    say(f"the ceremony is closed; its transcript and files are in {folder}")
    answer({"ceremony": script.name, "transcript": str(folder / "transcript.jsonl"), "sha256": digest})


def login_name() -> str:
    """Return the name of who runs this program; the number of a user who has none, as in a container."""
    try:
        return getpass.getuser()
    except KeyError:
        return f"user {os.getuid()}"


def _verify(path: Path, anchor: Path) -> None:
    root = read_certificate_file(anchor.name, read_file(anchor, limit=64 * 1024))[0]
    found = verify_transcript(read_file(path, limit=MAX_TRANSCRIPT_OCTETS), root)
    answer(
        {
            "ceremony": found.name,
            "script": found.script,
            "sha256": found.digest,
            "opened": format_instant(found.opened),
            "closed": format_instant(found.closed),
            "lines": len(found.entries),
            "rehearsal": found.rehearsal,
            "signed_by": found.signer.subject,
        }
    )
