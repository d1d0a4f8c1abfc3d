"""`mohr ca est-secret`: the one-time secret by which a machine enrols for its registration file."""

from datetime import timedelta
from typing import Final

import click

from ca.est.secrets import LIFE, EnrolmentSecrets
from pki.instants import format_instant
from webapp.commands.options import answer, home_option
from webapp.compose import opened_parts
from webapp.deployment import Deployment

OPERATOR: Final = "operator"
MAX_DAYS: Final = 30


@click.command("est-secret")
@home_option
@click.argument("file_id", metavar="FILE")
@click.option(
    "--days", type=click.IntRange(1, MAX_DAYS), default=LIFE.days, show_default=True, help="How long it lasts."
)
def est_secret(deployment: Deployment, file_id: str, days: int) -> None:
    """Make the one-time secret of a registration FILE (its id) of a centre or system, in place of the one before.

    It is shown now and never again. Example: mohr ca est-secret ID
    """
    with opened_parts(deployment) as parts:
        made = EnrolmentSecrets(parts.database, parts.clock).make(file_id, OPERATOR, timedelta(days=days))
    answer({"file": made.file_id, "secret": made.secret, "expires_at": format_instant(made.expires_at)})
