"""`mohr token`: connection tokens of centres, from the request to the end."""

from pathlib import Path

import click

from ca.officers.identity import Act
from ca.registration import KeyStorage
from ca.tokens.service import request_subject
from pki.certificates import pem
from signer.files import read_file, write_file
from webapp.commands.acting import acting_officer
from webapp.commands.options import acting_officer_option, answer, home_option, officer_option, output_option
from webapp.compose import Parts, opened_parts
from webapp.deployment import Deployment
from webapp.officers import Signatory

MAX_CSR_OCTETS = 64 * 1024
_TOKEN = click.argument("token_id", metavar="TOKEN")


@click.group()
def token() -> None:
    """Give centres their HIX tokens. Example: mohr token status TOKEN."""


def _tell(parts: Parts, token_id: str) -> None:
    answer(parts.tokens.status(token_id).document())


@token.command()
@home_option
@officer_option
@click.option("--siam", required=True, metavar="ID", help="The centre's SIAM id.")
@click.option("--system", "system_id", required=True, metavar="ID", help="Its certified information system.")
@click.option(
    "--medium", type=click.Choice([str(medium) for medium in KeyStorage]), default="software", show_default=True
)
def request(deployment: Deployment, officer: Signatory, siam: str, system_id: str, medium: str) -> None:
    """Ask for a token; the three lights are shown.

    Example: mohr token request --siam pilot-clinic-1 --system his-demo-1 --officer clerk-parsa
    """
    with opened_parts(deployment) as parts:
        by = officer.say(parts.gate, parts.clock, Act.TOKEN_REQUEST, subject=request_subject(siam, system_id))
        _tell(parts, parts.tokens.request(siam, system_id, KeyStorage(medium), by).id)


@token.command()
@home_option
@officer_option
@_TOKEN
def approve(deployment: Deployment, officer: Signatory, token_id: str) -> None:
    """Give one of the two approvals. Example: mohr token approve TOKEN --officer officer-akbari."""
    with opened_parts(deployment) as parts:
        file = parts.authority.file(token_id)
        by = officer.say(parts.gate, parts.clock, Act.REGISTRATION_APPROVE, subject=file.id, digest=file.digest)
        _tell(parts, parts.tokens.approve(token_id, by).id)


@token.command()
@home_option
@output_option
@_TOKEN
@acting_officer_option
@click.option("--csr", "csr_file", type=click.Path(path_type=Path), required=True, help="The centre's request.")
def activate(
    deployment: Deployment, output: Path | None, token_id: str, officer: Signatory | None, csr_file: Path
) -> None:
    """Issue the certificate for the centre's own key, which puts the token in force.

    Example: mohr token activate TOKEN --csr centre.csr -o centre.pem --officer clerk-parsa
    """
    csr = read_file(csr_file, limit=MAX_CSR_OCTETS)
    with opened_parts(deployment) as parts:
        by = acting_officer(parts, officer, Act.TOKEN_ACTIVATE, subject=token_id)
        activation = parts.tokens.activate(token_id, csr, by)
        if output is not None:
            write_file(output, pem(activation.certificate_der).encode())
        _tell(parts, token_id)


@token.command()
@home_option
@officer_option
@_TOKEN
@click.option("--reason", required=True)
def suspend(deployment: Deployment, officer: Signatory, token_id: str, reason: str) -> None:
    """Put a hold on a token.

    Example: mohr token suspend TOKEN --officer officer-akbari --reason 'reported stolen'
    """
    with opened_parts(deployment) as parts:
        by = officer.say(parts.gate, parts.clock, Act.TOKEN_SUSPEND, subject=token_id)
        parts.tokens.suspend(token_id, by, reason)
        _tell(parts, token_id)


@token.command()
@home_option
@officer_option
@_TOKEN
def restore(deployment: Deployment, officer: Signatory, token_id: str) -> None:
    """Lift the hold. Example: mohr token restore TOKEN --officer officer-akbari."""
    with opened_parts(deployment) as parts:
        by = officer.say(parts.gate, parts.clock, Act.TOKEN_RESTORE, subject=token_id)
        parts.tokens.restore(token_id, by)
        _tell(parts, token_id)


@token.command()
@home_option
@_TOKEN
def status(deployment: Deployment, token_id: str) -> None:
    """Show a token, its lights and what the gate allows. Example: mohr token status TOKEN."""
    with opened_parts(deployment) as parts:
        _tell(parts, token_id)


@token.command("list")
@home_option
def list_tokens(deployment: Deployment) -> None:
    """List living tokens, a JSON object a line. Example: mohr token list."""
    with opened_parts(deployment) as parts:
        for found in parts.tokens.list():
            answer({"id": found.id, "siam_id": found.siam_id, "system_id": found.system_id, "state": str(found.state)})
