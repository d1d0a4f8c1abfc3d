"""`mohr ca renew|replace|renew-services`: what comes after a certificate, a holder's or a service's own."""

from dataclasses import replace as changed
from pathlib import Path
from typing import Final

import click

from ca.issuing.key_proofs import KeyProof
from ca.issuing.renewal import Wish
from ca.officers.identity import Act
from ca.own_certificates import OwnCertificate
from ca.status.revocation_desk import parse_reason
from pki.certificates import pem
from pki.csr import MAX_CSR_OCTETS
from pki.instants import format_instant
from signer.files import read_file, write_file
from webapp.commands import orders_there
from webapp.commands.acting import acting_officer
from webapp.commands.options import acting_officer_option, answer, home_option, output_option, say
from webapp.commands.served import served_by
from webapp.commands.status_changes import hyphenless
from webapp.compose import Parts, opened_parts
from webapp.deployment import Deployment
from webapp.listener_key import mend_listener
from webapp.officers import Signatory
from webapp.own_certificates import renew_services

_SERIAL: Final = click.argument("serial")
_CSR: Final = click.option(
    "--csr", "csr_file", type=click.Path(path_type=Path), required=True, help="The request, DER or PEM."
)
_KEY: Final = click.option(
    "--idempotency-key", metavar="KEY", help="The same order given again makes no second certificate."
)
_PROOF: Final = click.option(
    "--key-proof",
    type=(str, str),
    metavar="NONCE CARD",
    help="The id of the nonce that the request carries, and the serial number of the card that made the key.",
)
_SILENCE: Final = click.option(
    "--silence-reason", metavar="TEXT", help="Why it is taken that a registry does not answer."
)


def _proof(stated: tuple[str, str] | None) -> KeyProof | None:
    return None if stated is None else KeyProof(nonce_id=stated[0], card=stated[1])


def _carry_out(parts: Parts, wish: Wish, officer: Signatory | None, output: Path | None) -> None:
    order = parts.renewals.order(wish)
    digest = order.body_digest.hex()
    by = acting_officer(parts, officer, Act.CERTIFICATE_ISSUE, subject=order.file_id, digest=digest)
    issued = parts.renewals.carry_out(wish, by)
    if wish.reason is not None:
        parts.publish_status_of(parts.authority.get(wish.serial).serial_hex)
    text = pem(issued.der)
    if output is not None:
        write_file(output, text.encode())
    answer(
        {
            "serial": issued.serial_hex,
            "predecessor": parts.authority.get(wish.serial).serial_hex,
            "issuer": issued.issuer,
            "state": str(issued.state),
            "repeated": issued.repeated,
            "pem": text,
        }
    )


@click.command()
@served_by(orders_there.renew)
@home_option
@acting_officer_option
@output_option
@_SERIAL
@_CSR
@_KEY
@_PROOF
@_SILENCE
def renew(
    deployment: Deployment,
    officer: Signatory | None,
    output: Path | None,
    serial: str,
    csr_file: Path,
    idempotency_key: str | None,
    key_proof: tuple[str, str] | None,
    silence_reason: str | None,
) -> None:
    """Renew a good certificate within its profile's window; it stays good until it ends.

    Example: mohr ca renew 5f3a… --csr new.csr -o new.pem --officer clerk-parsa
    """
    wish = Wish(
        serial=serial,
        csr=read_file(csr_file, limit=MAX_CSR_OCTETS),
        key_proof=_proof(key_proof),
        silence_reason=silence_reason,
        idempotency_key=idempotency_key,
    )
    with opened_parts(deployment) as parts:
        _carry_out(parts, wish, officer, output)


@click.command()
@served_by(orders_there.replace)
@home_option
@acting_officer_option
@output_option
@_SERIAL
@_CSR
@_KEY
@_PROOF
@_SILENCE
@click.option("--reason", required=True, help="superseded (lost, damaged), keyCompromise or unspecified.")
def replace(
    deployment: Deployment,
    officer: Signatory | None,
    output: Path | None,
    serial: str,
    csr_file: Path,
    idempotency_key: str | None,
    key_proof: tuple[str, str] | None,
    silence_reason: str | None,
    reason: str,
) -> None:
    """Replace a certificate by one for a new key, and revoke it in the same step.

    Example: mohr ca replace 5f3a… --csr new.csr --reason key-compromise --officer clerk-parsa
    """
    why = parse_reason(hyphenless(reason))
    wish = Wish(
        serial=serial,
        csr=read_file(csr_file, limit=MAX_CSR_OCTETS),
        key_proof=_proof(key_proof),
        silence_reason=silence_reason,
        idempotency_key=idempotency_key,
    )
    with opened_parts(deployment) as parts:
        _carry_out(parts, changed(wish, reason=why), officer, output)


@click.command("renew-services")
@home_option
@click.option("--early", is_flag=True, help="Make the next keys now, before they are due.")
def renew_own(deployment: Deployment, early: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Make the keys that services need next, renew what is due, and list the services' certificates.

    The worker renews by itself; what it may not do is make keys, also that of the mutual-TLS listener where its file
    was lost. Example: mohr ca renew-services --early
    """
    with opened_parts(deployment) as parts:
        if mend_listener(parts, "operator"):
            say("the key of the mutual-TLS listener was lost: it has another one, and a certificate for it")
        keys = parts.authority.prepare_keys(early=early)
        renewed = renew_services(parts)
        for own in parts.authority.own_certificates():
            answer(_members(own) | {"renewed": own.name in renewed, "key_made": own.next_label() in keys})


def _members(own: OwnCertificate) -> dict[str, str | bool]:
    return {
        "service": own.name,
        "key": own.key_label,
        "serial": own.certificate.serial_hex,
        "usable_until": format_instant(own.usable_until),
        "renews_from": format_instant(own.renews_from),
    }
