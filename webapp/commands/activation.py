"""`mohr ca activation` and `mohr ca activate`: what waits for its holder, its codes, and making it good."""

from contextlib import suppress
from typing import Any, Final

import click

from ca.activation.codes import NAME_SYMBOLS, read_code
from ca.activation.records import ActivationState
from ca.holder_codes.codes import grouped
from ca.issuing.orders import Issued
from ca.officers.identity import Act
from ca.status.revocation import CertificateState
from pki.errors import ErrorCode, NotFound, ServiceError
from webapp.activation_documents import activation_members
from webapp.certificate_documents import certificate_members
from webapp.commands.acting import acting_officer
from webapp.commands.options import acting_officer_option, answer, home_option
from webapp.commands.secret_prompts import ask_secret
from webapp.compose import Parts, opened_parts
from webapp.deployment import Deployment
from webapp.officers import Signatory

WAY: Final = "command"
_FILE: Final = click.argument("file_id", metavar="FILE")


@click.group("activation")
def activation_group() -> None:
    """Codes by which holders activate their certificates. Example: mohr ca activation status ID."""


@activation_group.command("send")
@home_option
@acting_officer_option
@_FILE
def send(deployment: Deployment, officer: Signatory | None, file_id: str) -> None:
    """Make new codes for what waits in a registration FILE (its id) and send them: a letter and an SMS.

    Earlier codes are void. They are not shown. Example: mohr ca activation send ID --officer clerk-parsa
    """
    with opened_parts(deployment) as parts:
        file = parts.authority.file(file_id)
        by = acting_officer(parts, officer, Act.ACTIVATION_MAKE, subject=file.id, digest=file.digest)
        parts.activation.send(parts.activation.make(file.id, by, claimed=True).id)
        answer(_status(parts, file.id))


@activation_group.command("status")
@home_option
@_FILE
def status(deployment: Deployment, file_id: str) -> None:
    """Tell where the activation of a registration FILE (its id) stands. Example: mohr ca activation status ID."""
    with opened_parts(deployment) as parts:
        answer(_status(parts, file_id))


def _status(parts: Parts, file_id: str) -> dict[str, Any]:
    found, waiting = parts.activation.status(file_id)
    if found is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no activation of this file yet")
    return activation_members(found, parts.clock.now(), waiting)


@click.command()
@home_option
@click.argument("activation", metavar="ACTIVATION")
def activate(deployment: Deployment, activation: str) -> None:
    """Make good what waits for the holder of an ACTIVATION (its name is in the letter).

    The two codes are asked for, or read from two lines of standard input: the letter's, then the SMS's. Example:
    mohr ca activate K7QM-2X9C-41TD
    """
    deployment.settings()  # NotFound before anything is asked for
    read_code(activation, NAME_SYMBOLS)
    first, second = ask_secret("Code of the letter"), ask_secret("Code of the SMS")
    with opened_parts(deployment) as parts:
        done = parts.activation.activate(activation, first, second, WAY)
        for issuer, shard in {(record.issuer, record.shard) for record in done.certificates}:
            parts.publish_change_of(issuer, shard)
    answer(
        {
            "activation": grouped(done.activation_id),
            "file": done.file_id,
            "repeated": done.repeated,
            "certificates": [certificate_members(record) for record in done.certificates],
        }
    )


def told_to_wait(parts: Parts, file_id: str, issued: Issued) -> dict[str, Any]:
    """List what waits for its holder as on hold at once, and name its activation where there is one already.

    Where the list cannot be made now, the worker makes it within a second: the certificate is issued all the same.
    """
    if issued.state is not CertificateState.ISSUED:
        return {}
    with suppress(ServiceError):
        parts.publish_status_of(issued.serial_hex)
    found, _ = parts.activation.status(file_id)
    if found is None or found.state(parts.clock.now()) is ActivationState.DONE:
        return {}
    return {"activation": grouped(found.id)}
