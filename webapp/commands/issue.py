"""`mohr ca issue`: one certificate for the holder of an approved file."""

from dataclasses import replace
from pathlib import Path

import click

from ca.issuing.key_proofs import KeyProof
from ca.issuing.orders import IssueOrder
from ca.officers.identity import Act
from pki.certificates import pem
from pki.csr import MAX_CSR_OCTETS
from signer.files import read_file, write_file
from webapp.commands import orders_there
from webapp.commands.acting import acting_officer
from webapp.commands.activation import told_to_wait
from webapp.commands.options import acting_officer_option, answer, home_option, output_option
from webapp.commands.served import served_by
from webapp.compose import opened_parts
from webapp.deployment import Deployment
from webapp.officers import Signatory


@click.command()
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
