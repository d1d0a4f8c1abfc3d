"""`mohr ca est-secret`: the one-time secret by which a machine enrols for its registration file."""

from datetime import timedelta

import click

from ca.est.secrets import LIFE, MAX_LIFE
from ca.officers.identity import Act
from pki.instants import format_instant
from webapp.commands import files_there
from webapp.commands.acting import acting_officer
from webapp.commands.options import acting_officer_option, answer, home_option
from webapp.commands.served import served_by
from webapp.compose import opened_parts
from webapp.deployment import Deployment
from webapp.officers import Signatory


@click.command("est-secret")
@served_by(files_there.est_secret)
@home_option
@acting_officer_option
@click.argument("file_id", metavar="FILE")
@click.option(
    "--days", type=click.IntRange(1, MAX_LIFE.days), default=LIFE.days, show_default=True, help="How long it lasts."
)
def est_secret(deployment: Deployment, officer: Signatory | None, file_id: str, days: int) -> None:
    """Make the one-time secret of a registration FILE (its id) of a centre or system, in place of the one before.

    It is shown now and never again. Example: mohr ca est-secret ID --officer clerk-parsa
    """
    with opened_parts(deployment) as parts:
        file = parts.authority.file(file_id)
        by = acting_officer(parts, officer, Act.SECRET_MAKE, subject=file.id, digest=file.digest)
        made = parts.secrets.make(file.id, by, timedelta(days=days))
    answer({"file": made.file_id, "secret": made.secret, "expires_at": format_instant(made.expires_at)})
