"""`mohr`: the program of operators, auditors and centres. The composition root of the server side."""

from typing import NoReturn

import click

from pki.programs import LateCommands, run_program
from webapp.incidents import keep_trace

_COMMANDS = {
    "audit": ("webapp.commands.audit", "audit"),
    "backup": ("webapp.commands.recovery", "backup"),
    "bench": ("webapp.commands.bench", "bench"),
    "ca": ("webapp.commands.authority", "ca"),
    "centre": ("webapp.centre_cli", "centre"),
    "demo": ("webapp.commands.demo", "demo"),
    "hsm": ("webapp.commands.hsm", "hsm"),
    "init": ("webapp.commands.init", "init"),
    "reconcile": ("webapp.commands.recovery", "reconcile"),
    "recovery": ("webapp.commands.recovery", "recovery"),
    "restore": ("webapp.commands.recovery", "restore"),
    "run": ("webapp.commands.run", "run"),
    "serve": ("webapp.commands.serve", "serve"),
    "sign": ("webapp.commands.sign", "sign"),
    "token": ("webapp.commands.token", "token"),
    "trust": ("webapp.commands.trust", "trust"),
    "verify": ("signer.verify_cli", "verify"),
}


@click.group(cls=LateCommands, commands_at=_COMMANDS)
def mohr() -> None:
    """Run a certification authority, sign and verify.

    Example: mohr verify prescription.jades.json --anchor root.pem --json
    """


def main() -> NoReturn:
    """Run the program and end the process."""
    run_program(mohr, None, keep_trace)
