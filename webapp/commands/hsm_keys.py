"""`mohr hsm keys`: the keys of the running service."""

import click

from webapp.commands.options import answer, home_option
from webapp.compose import running_custodian
from webapp.deployment import Deployment


@click.command()
@home_option
def keys(deployment: Deployment) -> None:
    """List the service token's keys, a JSON object a line. Example: mohr hsm keys --home var."""
    with running_custodian(deployment) as custodian:
        for key in custodian.keys():
            answer(
                {
                    "label": key.label,
                    "algorithm": str(key.algorithm),
                    "purpose": str(key.purpose),
                    "id": key.id,
                    "created": key.created.isoformat(),
                }
            )
