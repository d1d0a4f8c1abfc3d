"""`mohr`: the program of operators, auditors and centres. The composition root of the server side."""

import importlib
import tempfile
from pathlib import Path
from typing import NoReturn

import click

from pki.programs import run_program

_COMMANDS = {
    "audit": ("webapp.commands.audit", "audit"),
    "bench": ("webapp.commands.bench", "bench"),
    "ca": ("webapp.commands.authority", "ca"),
    "centre": ("webapp.centre_cli", "centre"),
    "demo": ("webapp.commands.demo", "demo"),
    "hsm": ("webapp.commands.hsm", "hsm"),
    "init": ("webapp.commands.init", "init"),
    "run": ("webapp.commands.run", "run"),
    "serve": ("webapp.commands.serve", "serve"),
    "sign": ("webapp.commands.sign", "sign"),
    "token": ("webapp.commands.token", "token"),
    "verify": ("signer.verify_cli", "verify"),
}


class _LateCommands(click.Group):
    """Commands whose modules load when they are called: `mohr verify` starts without Flask and SQLAlchemy."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        return command if isinstance(command, click.Command) else None


@click.group(cls=_LateCommands)
def mohr() -> None:
    """Run a certification authority, sign and verify.

    Example: mohr verify prescription.jades.json --anchor root.pem --json
    """


def _keep_trace(incident: str, text: str) -> None:
    path = Path(tempfile.gettempdir()) / f"mohr-incident-{incident}.txt"
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def main() -> NoReturn:
    """Run the program and end the process."""
    run_program(mohr, None, _keep_trace)
