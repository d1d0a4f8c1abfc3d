"""`mohr token`: connection tokens of centres, from the request to the end."""

from pathlib import Path

import click

from ca.registration import KeyStorage
from pki.certificates import pem
from signer.files import read_file, write_file
from webapp.commands.options import answer, home_option, officer_option, output_option
from webapp.compose import Parts, opened_parts
from webapp.deployment import Deployment

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
def request(deployment: Deployment, officer: str, siam: str, system_id: str, medium: str) -> None:
    """Ask for a token; the three lights are shown.

    Example: mohr token request --siam pilot-clinic-1 --system his-demo-1 --officer parsa
    """
    with opened_parts(deployment) as parts:
        _tell(parts, parts.tokens.request(siam, system_id, KeyStorage(medium), officer).id)


@token.command()
@home_option
@officer_option
@_TOKEN
def approve(deployment: Deployment, officer: str, token_id: str) -> None:
    """Give one of the two approvals. Example: mohr token approve TOKEN --officer akbari."""
    with opened_parts(deployment) as parts:
        _tell(parts, parts.tokens.approve(token_id, officer).id)


@token.command()
@home_option
@output_option
@_TOKEN
@click.option("--officer", default="operator", show_default=True, metavar="ID")
@click.option("--csr", "csr_file", type=click.Path(path_type=Path), required=True, help="The centre's request.")
def activate(deployment: Deployment, output: Path | None, token_id: str, officer: str, csr_file: Path) -> None:
    """Issue the certificate for the centre's own key.

    Example: mohr token activate TOKEN --csr centre.csr -o centre.pem
    """
    csr = read_file(csr_file, limit=MAX_CSR_OCTETS)
    with opened_parts(deployment) as parts:
        activation = parts.tokens.activate(token_id, csr, officer)
        if output is not None:
            write_file(output, pem(activation.certificate_der).encode())
        _tell(parts, token_id)


@token.command()
@home_option
@officer_option
@_TOKEN
@click.option("--reason", required=True)
def suspend(deployment: Deployment, officer: str, token_id: str, reason: str) -> None:
    """Put a hold on a token. Example: mohr token suspend TOKEN --officer akbari --reason 'reported stolen'."""
    with opened_parts(deployment) as parts:
        parts.tokens.suspend(token_id, officer, reason)
        _tell(parts, token_id)


@token.command()
@home_option
@officer_option
@_TOKEN
def restore(deployment: Deployment, officer: str, token_id: str) -> None:
    """Lift the hold. Example: mohr token restore TOKEN --officer akbari."""
    with opened_parts(deployment) as parts:
        parts.tokens.restore(token_id, officer)
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
