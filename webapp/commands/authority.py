"""`mohr ca`: registration files, certificates, revocation and lists, for operators."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from ca.inventory.search import Search
from ca.issuing.key_proofs import KeyProof
from ca.issuing.orders import IssueOrder
from ca.officers.identity import Act, Officer
from ca.profiles import ProfileName
from ca.status.crl import PublishedCrl
from ca.status.revocation import CertificateState
from pki.certificates import pem
from signer.files import read_file, write_file
from webapp.certificate_documents import certificate_members
from webapp.commands import (
    bulk,
    compromise,
    inventory,
    orders_there,
    renewal,
    revocations,
    status_changes,
    suspension,
)
from webapp.commands.acting import acting_officer
from webapp.commands.activation import activate, activation_group, told_to_wait
from webapp.commands.chain import install_chain
from webapp.commands.est import est_secret
from webapp.commands.files import file_group
from webapp.commands.identities import identities
from webapp.commands.lint import lint
from webapp.commands.nonce import nonce
from webapp.commands.officer import officer_group, realm_group
from webapp.commands.options import acting_officer_option, answer, home_option, output_option
from webapp.commands.profiles import profiles
from webapp.commands.served import served_by
from webapp.compose import opened_parts
from webapp.deployment import Deployment
from webapp.officers import Signatory

MAX_CSR_OCTETS: Final = 64 * 1024


@click.group()
def ca() -> None:
    """Register, issue, revoke, publish. Example: mohr ca list --home var."""


ca.add_command(file_group)
ca.add_command(profiles)
ca.add_command(identities)
ca.add_command(lint)
for _command in (
    *bulk.COMMANDS,
    *inventory.COMMANDS,
    *status_changes.COMMANDS,
    *renewal.COMMANDS,
    *suspension.COMMANDS,
    *revocations.COMMANDS,
    *compromise.COMMANDS,
):
    ca.add_command(_command)
ca.add_command(officer_group)
ca.add_command(realm_group)
ca.add_command(est_secret)
ca.add_command(activation_group)
ca.add_command(activate)
ca.add_command(install_chain)
ca.add_command(nonce)


@ca.command()
@served_by(orders_there.issue)
@home_option
@acting_officer_option
@output_option
@click.option("--profile", required=True, help="A profile of `mohr ca profiles`.")
@click.option("--file", "file_id", required=True, metavar="ID", help="An approved registration file.")
@click.option("--csr", "csr_file", type=click.Path(path_type=Path), required=True, help="The request, DER or PEM.")
@click.option("--unapproved-pilot", is_flag=True, help="Skip the approvals; ledgered and marked in the certificate.")
@click.option("--idempotency-key", metavar="KEY", help="The same order given again makes no second certificate.")
@click.option(
    "--key-proof",
    type=(str, str),
    metavar="NONCE CARD",
    help="The id of the nonce that the request carries, and the serial number of the card that made the key.",
)
@click.option("--lint-first", is_flag=True, help="Have pkilint judge it before it is signed, not soon after.")
def issue(
    deployment: Deployment,
    officer: Signatory | None,
    output: Path | None,
    profile: str,
    file_id: str,
    csr_file: Path,
    unapproved_pilot: bool,  # noqa: FBT001 - click passes options by name
    lint_first: bool,  # noqa: FBT001 - click passes options by name
    idempotency_key: str | None,
    key_proof: tuple[str, str] | None,
) -> None:
    """Issue a certificate for the key of a request to the holder of an approved file.

    Example: mohr ca issue --profile clin-sign --file ID --csr sign.csr -o sign.pem --officer clerk-parsa
    """
    csr = read_file(csr_file, limit=MAX_CSR_OCTETS)
    with opened_parts(deployment) as parts:
        judge = parts.linting.judge_before if lint_first else None
        order = IssueOrder(
            profile=profile,
            file_id=file_id,
            csr=csr,
            actor="",  # whoever signs for it
            idempotency_key=idempotency_key,
            unapproved=unapproved_pilot,
            lint_first=judge,
            key_proof=None if key_proof is None else KeyProof(nonce_id=key_proof[0], card=key_proof[1]),
        )
        digest = order.body_digest.hex()
        by = acting_officer(parts, officer, Act.CERTIFICATE_ISSUE, subject=file_id, digest=digest)
        issued = parts.authority.line.issue(replace(order, actor=by.id, officer=by))
        waits = told_to_wait(parts, file_id, issued)
    text = pem(issued.der)
    if output is not None:
        write_file(output, text.encode())
    members = {"serial": issued.serial_hex, "issuer": issued.issuer, "state": str(issued.state), **waits}
    answer({**members, "repeated": issued.repeated, "pem": text})


@ca.command()
@home_option
@output_option
@click.option("--issuer", help="The authority of the shard; default: persons.")
@click.option("--shard", type=click.IntRange(0, 4095), help="One shard; default: publish every list.")
@click.option("--delta", is_flag=True, help="The delta to one shard's list, and no list.")
def crl(
    deployment: Deployment,
    output: Path | None,
    issuer: str | None,
    shard: int | None,
    delta: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Sign and publish revocation lists. Example: mohr ca crl --issuer persons --shard 0 -o persons-0.crl."""
    if shard is None and (output is not None or issuer is not None or delta):
        raise click.UsageError("name the --shard of the one list that is meant")
    with opened_parts(deployment) as parts:
        parts.clock_guard.now()
        make = parts.publish_new_delta if delta else parts.publish_new_crl
        lists = parts.authority.publish_all_crls() if shard is None else (make(issuer or "persons", shard),)
        for published in lists:
            parts.publish(published)
            answer(_list_members(published))
    if output is not None:
        write_file(output, lists[0].der)


def _list_members(crl: PublishedCrl) -> dict[str, Any]:
    delta = crl if crl.base is not None else crl.delta
    of_delta = {} if delta is None else {"delta": {"base": delta.base, "entries": delta.entries}}
    return {"issuer": crl.issuer, "shard": crl.shard, "number": crl.number, "entries": crl.entries, **of_delta}


@ca.command("list")
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


@ca.command()
@home_option
@click.argument("serial")
def show(deployment: Deployment, serial: str) -> None:
    """Show one certificate. Example: mohr ca show 5f3a…."""
    with opened_parts(deployment) as parts:
        record = parts.inventory.show(serial, Officer.of_deployment("mohr ca show"))
        members = {**certificate_members(record), "successor": parts.inventory.successor(serial)}
    answer({**members, "pem": None if record.der is None else pem(record.der)})
