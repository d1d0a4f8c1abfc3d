"""`mohr-agent`: the program on the physician's desk. The composition root of `desk`."""

import importlib
from pathlib import Path
from typing import NoReturn

import click

from pki.programs import run_program

_COMMANDS = {
    "cards": ("desk.cards", "cards"),
    "emulate": ("desk.emulate", "emulate"),
    "personalise": ("desk.personalise", "personalise"),
    "pin": ("desk.pins", "pin"),
    "sign": ("desk.signing", "sign"),
}


class _LateCommands(click.Group):
    """Commands whose modules load when they are called, so `--help` needs no reader and no PDF library."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        return command if isinstance(command, click.Command) else None


@click.group(cls=_LateCommands)
def agent() -> None:
    """Show documents, ask, and sign with a smart card.

    Example: mohr-agent sign rx.json --format jades -o rx.signed.json

    The environment variable PCSCLITE_CSOCK_NAME chooses another smart-card service, as for every PC/SC program.
    """


def _keep_trace(incident: str, text: str) -> None:
    folder = Path.home() / ".cache" / "mohr-agent"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / f"incident-{incident}.txt").write_text(text, encoding="utf-8")


def main() -> NoReturn:
    """Run the agent and end the process."""
    run_program(agent, None, _keep_trace)
