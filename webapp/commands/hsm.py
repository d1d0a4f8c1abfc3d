"""`mohr hsm`: look after keys; each command in a file of its own."""

import click

from pki.programs import LateCommands

_COMMANDS = {
    "adopt": ("webapp.commands.hsm_adopt", "adopt"),
    "backup": ("webapp.commands.hsm_backup", "backup"),
    "ceremony": ("webapp.commands.ceremony", "ceremony"),
    "check": ("webapp.commands.hsm_keys", "check"),
    "keep-pin": ("webapp.commands.keep_pin", "keep_pin"),
    "keys": ("webapp.commands.hsm_keys", "keys"),
    "restore": ("webapp.commands.hsm_backup", "restore"),
    "unlock": ("webapp.commands.unlock", "unlock"),
}


@click.group(cls=LateCommands, commands_at=_COMMANDS)
def hsm() -> None:
    """Look after keys. Example: mohr hsm keys."""
