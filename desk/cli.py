"""`mohr-agent`: the program on the physician's desk. The composition root of `desk`."""

from errno import ENOENT
from pathlib import Path
from typing import NoReturn

import click

from pki.programs import LateCommands, run_program

_COMMANDS = {
    "cards": ("desk.cards", "cards"),
    "emulate": ("desk.emulate", "emulate"),
    "personalise": ("desk.personalise", "personalise"),
    "pin": ("desk.pins", "pin"),
    "sign": ("desk.signing", "sign"),
}


@click.group(cls=LateCommands, commands_at=_COMMANDS)
def agent() -> None:
    """Show documents, ask, and sign with a smart card.

    Example: mohr-agent sign rx.json --format jades -o rx.signed.json

    The environment variable PCSCLITE_CSOCK_NAME chooses another smart-card service, as for every PC/SC program.
    """


def keep_trace(incident: str, text: str) -> None:
    """Keep `text` under the incident's number in the user's own cache; OSError."""
    try:
        folder = Path.home() / ".cache" / "mohr-agent"
    except RuntimeError as error:  # a user without an entry, and without HOME
        raise FileNotFoundError(ENOENT, "this user has no home folder") from error
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / f"incident-{incident}.txt").write_text(text, encoding="utf-8")


def main() -> NoReturn:
    """Run the agent and end the process."""
    run_program(agent, None, keep_trace)
