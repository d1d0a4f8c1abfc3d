"""`mohr ca suspend` and `mohr ca suspension-code`: emergency suspension by the holder, at the counter."""

from typing import Final

import click

from ca.officers.identity import Act
from webapp.commands.acting import acting_officer
from webapp.commands.options import acting_officer_option, answer, home_option
from webapp.commands.secret_prompts import ask_secret
from webapp.compose import opened_parts
from webapp.deployment import Deployment
from webapp.officers import Signatory
from webapp.suspension_documents import suspended_members, suspension_code_members

WAY: Final = "command"


@click.command()
@home_option
def suspend(deployment: Deployment) -> None:
    """Suspend from now on everything of the holder who knows a suspension code.

    The code is asked for, or read from a line of standard input. Example: mohr ca suspend --home var
    """
    deployment.settings()  # NotFound before anything is asked for
    code = ask_secret("Suspension code")
    with opened_parts(deployment) as parts:
        done = parts.suspension.suspend(code, WAY)
        parts.publish_status_of_all(done.changed)
    answer(suspended_members(done))


@click.command("suspension-code")
@home_option
@acting_officer_option
@click.argument("file_id", metavar="FILE")
def suspension_code(deployment: Deployment, officer: Signatory | None, file_id: str) -> None:
    """Make a new suspension code for the holder of a registration FILE (its id) and send it; it is not shown.

    The one before is void then. Example: mohr ca suspension-code ID --officer clerk-parsa
    """
    with opened_parts(deployment) as parts:
        file = parts.authority.file(file_id)
        by = acting_officer(parts, officer, Act.SUSPENSION_MAKE, subject=file.id, digest=file.digest)
        made = parts.suspension.make(file.id, by, claimed=True)
        answer(suspension_code_members(parts.suspension.send(made)))
