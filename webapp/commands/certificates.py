"""`mohr ca list` and `show`: certificates, for whoever runs commands beside the database."""

import click

from ca.inventory.search import Search
from ca.officers.identity import Officer
from ca.profiles import ProfileName
from ca.status.revocation import CertificateState
from pki.certificates import pem
from webapp.certificate_documents import certificate_members
from webapp.commands.options import answer, home_option
from webapp.compose import opened_parts
from webapp.deployment import Deployment


@click.command("list")
@home_option
@click.option("--state", help="good, on_hold, revoked …")
@click.option("--profile")
def list_certificates(deployment: Deployment, state: str | None, profile: str | None) -> None:
    """List certificates, newest first, a JSON object a line. Example: mohr ca list --state revoked."""
    try:
        wanted = CertificateState(state) if state else None
        kind = ProfileName(profile) if profile else None
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with opened_parts(deployment) as parts:
        search, reader = Search(state=wanted, profile=kind), Officer.of_deployment("mohr ca list")
        page = parts.inventory.records(search, reader)
        if not page and kind is not None and kind not in parts.authority.profiles.profiles:
            raise click.UsageError(f"no profile {kind}, and no certificate of one")
        while page:
            for record in page:
                answer(certificate_members(record))
            page = parts.inventory.records(search, reader, before=page[-1].serial_hex)


@click.command()
@home_option
@click.argument("serial")
def show(deployment: Deployment, serial: str) -> None:
    """Show one certificate. Example: mohr ca show 5f3a…."""
    with opened_parts(deployment) as parts:
        record = parts.inventory.show(serial, Officer.of_deployment("mohr ca show"))
        members = {**certificate_members(record), "successor": parts.inventory.successor(serial)}
    answer({**members, "pem": None if record.der is None else pem(record.der)})
