"""`mohr ca nonce`: what the request of a key that is made on a card carries."""

import click

from ca.officers.identity import Act
from pki.instants import format_instant
from webapp.commands.acting import acting_officer
from webapp.commands.options import acting_officer_option, answer, home_option
from webapp.commands.served import served_by
from webapp.compose import opened_parts
from webapp.deployment import Deployment
from webapp.officer_client import OfficerClient
from webapp.officers import Signatory


def _nonce_there(client: OfficerClient, file_id: str) -> None:
    answer(client.post("/api/v1/csr-nonces", {"file": file_id}))


@click.command("nonce")
@served_by(_nonce_there)
@home_option
@acting_officer_option
@click.argument("file_id", metavar="FILE")
def nonce(deployment: Deployment, officer: Signatory | None, file_id: str) -> None:
    """Make a nonce for the request of one key of a registration FILE's holder; it lasts 15 minutes.

    Example: mohr ca nonce ID --officer clerk-parsa
    """
    with opened_parts(deployment) as parts:
        made = parts.nonces.make(file_id, acting_officer(parts, officer, Act.CERTIFICATE_ISSUE, subject=file_id))
    members = {"id": made.id, "nonce": made.nonce, "file": made.file_id}
    answer(members | {"expires_at": format_instant(made.expires_at)})
