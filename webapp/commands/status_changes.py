"""`mohr ca revoke|hold|unhold`: an officer changes a certificate's status, and its list is published at once."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import click

from ca.inventory.search import parse_serial
from ca.officers.identity import Act, Officer
from ca.records import CertificateRecord
from ca.status.revocation_desk import parse_reason, revocation_digest
from pki.instants import parse_instant
from webapp.certificate_documents import certificate_members
from webapp.commands.acting import acting_officer
from webapp.commands.options import acting_officer_option, answer, home_option
from webapp.commands.served import served_by
from webapp.compose import Parts, opened_parts
from webapp.deployment import Deployment
from webapp.officer_client import OfficerClient
from webapp.officers import Signatory

PATH: Final = "/api/v1/certificates"
_SERIAL: Final = click.argument("serial")


def _change(
    deployment: Deployment,
    serial: str,
    sign: Callable[[Parts, str], Officer],
    change: Callable[[Parts, Officer], CertificateRecord],
) -> None:
    """Change a status and make it felt: the list of its shard is published before the command answers."""
    wanted = parse_serial(serial)
    with opened_parts(deployment) as parts:
        record = change(parts, sign(parts, wanted))
        crl = parts.publish_status_of(wanted)
    answer({**certificate_members(record), "crl_number": crl.number})


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)


def hyphenless(reason: str) -> str:
    """Turn `key-compromise` into RFC 5280's `keyCompromise`; leave other spellings alone."""
    first, *rest = reason.split("-")
    return first + "".join(word.capitalize() for word in rest)


def _revoke_there(client: OfficerClient, serial: str, reason: str, invalidity_date: str | None) -> None:
    body = {"reason": hyphenless(reason), "invalidity_date": invalidity_date}
    answer(client.post(_path(serial, "revocation"), body))


def _hold_there(client: OfficerClient, serial: str) -> None:
    answer(client.post(_path(serial, "hold"), {}))


def _unhold_there(client: OfficerClient, serial: str) -> None:
    answer(client.post(_path(serial, "release"), {}))


def _path(serial: str, act: str) -> str:
    return f"{PATH}/{parse_serial(serial)}/{act}"


@click.command()
@served_by(_revoke_there)
@home_option
@acting_officer_option
@_SERIAL
@click.option("--reason", required=True, help="RFC 5280 §5.3.1, such as keyCompromise or key-compromise.")
@click.option("--invalidity-date", metavar="RFC3339", help="Since when the key is doubted (RFC 5280 §5.3.2).")
def revoke(
    deployment: Deployment, officer: Signatory | None, serial: str, reason: str, invalidity_date: str | None
) -> None:
    """Revoke a certificate for good.

    Example: mohr ca revoke 5f3a… --reason key-compromise --officer officer-akbari
    """
    why, since = parse_reason(hyphenless(reason)), _instant(invalidity_date)
    digest = revocation_digest(why, since)
    _change(
        deployment,
        serial,
        lambda parts, wanted: acting_officer(parts, officer, Act.CERTIFICATE_REVOKE, subject=wanted, digest=digest),
        lambda parts, by: parts.authority.revoke(serial, why, by, invalidity_date=since),
    )


@click.command()
@served_by(_hold_there)
@home_option
@acting_officer_option
@_SERIAL
def hold(deployment: Deployment, officer: Signatory | None, serial: str) -> None:
    """Suspend a certificate. Example: mohr ca hold 5f3a… --officer officer-akbari."""
    _change(
        deployment,
        serial,
        lambda parts, wanted: acting_officer(parts, officer, Act.CERTIFICATE_HOLD, subject=wanted),
        lambda parts, by: parts.authority.hold(serial, by),
    )


@click.command()
@served_by(_unhold_there)
@home_option
@acting_officer_option
@_SERIAL
def unhold(deployment: Deployment, officer: Signatory | None, serial: str) -> None:
    """Lift a suspension. Example: mohr ca unhold 5f3a… --officer officer-akbari."""
    _change(
        deployment,
        serial,
        lambda parts, wanted: acting_officer(parts, officer, Act.CERTIFICATE_RELEASE, subject=wanted),
        lambda parts, by: parts.authority.unhold(serial, by),
    )


COMMANDS: Final = (revoke, hold, unhold)
