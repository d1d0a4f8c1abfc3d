"""`mohr trust`: signed trust bundles, made here and relied on elsewhere."""

import click

from pki.programs import LateCommands

_COMMANDS = {
    "check": ("signer.trust_cli", "check"),
    "keep": ("signer.trust_cli", "keep"),
    "make": ("webapp.commands.trust_make", "make"),
    "show": ("signer.trust_cli", "show"),
}


@click.group(cls=LateCommands, commands_at=_COMMANDS)
def trust() -> None:
    """Make, show, check and keep signed trust bundles.

    Example: mohr trust keep pilot.trust.json --signer seal.pem -o /etc/mohr/trust
    """
