"""`mohr ca revoke|hold|unhold`: an officer changes a certificate's status, and its list is published at once."""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import click

from ca.evidence.blobs import MAX_OCTETS, media_type_of
from ca.evidence.revocations import check_kept
from ca.inventory.search import parse_serial
from ca.officers.identity import Act, Officer
from ca.records import CertificateRecord
from ca.status.acts.proposals import check_evidence
from ca.status.revocation import RevocationReason
from ca.status.revocation_desk import parse_reason, reaches_back, revocation_digest
from pki.instants import parse_instant
from signer.files import read_file
from webapp.certificate_documents import certificate_members
from webapp.commands.acting import acting_officer
from webapp.commands.options import acting_officer_option, answer, home_option, say
from webapp.commands.served import served_by
from webapp.compose import Parts, RealClock, opened_parts
from webapp.deployment import Deployment
from webapp.officer_client import OfficerClient
from webapp.officers import Signatory

PATH: Final = "/api/v1/certificates"
PROPOSALS: Final = "/api/v1/revocations"
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


def _propose(
    deployment: Deployment,
    officer: Signatory | None,
    serial: str,
    reason: RevocationReason,
    since: datetime,
    evidence: Path | None,
) -> None:
    with opened_parts(deployment) as parts:
        data = None if evidence is None else _read_evidence(evidence)
        shown = check_evidence(None if data is None else sha256(data).hexdigest())
        digest = revocation_digest(reason, since, shown)
        by = acting_officer(parts, officer, Act.CERTIFICATE_REVOKE, subject=serial, digest=digest)
        made = parts.proposals.propose(serial, reason, since, shown, by)
        if data is not None:
            act = Act.REVOCATION_EVIDENCE_ATTACH
            brings = acting_officer(parts, officer, act, subject=made.proposal.id, digest=shown)
            parts.revocation_evidence.attach_known(made.proposal.id, data, brings)
        crl = parts.publish_status_of(serial)
    say(f"on hold; another officer approves {made.proposal.id}, because signatures made before lose their worth")
    answer({**certificate_members(made.record), "proposal": made.proposal.id, "crl_number": crl.number})


def _read_evidence(evidence: Path) -> bytes:
    data = read_file(evidence, limit=MAX_OCTETS)
    check_kept(data)
    return data


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)


def hyphenless(reason: str) -> str:
    """Turn `key-compromise` into RFC 5280's `keyCompromise`; leave other spellings alone."""
    first, *rest = reason.split("-")
    return first + "".join(word.capitalize() for word in rest)


def _revoke_there(
    client: OfficerClient, serial: str, reason: str, invalidity_date: str | None, evidence: Path | None
) -> None:
    data = None if evidence is None else _read_evidence(evidence)
    digest = None if data is None else sha256(data).hexdigest()
    body = {"reason": hyphenless(reason), "invalidity_date": invalidity_date, "evidence_sha256": digest}
    told = client.post(_path(serial, "revocation"), body)
    if data is not None and "proposal" in told:
        client.put(f"{PROPOSALS}/{told['proposal']}/evidence", data, media_type_of(data))
    answer(told)


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
@click.option(
    "--evidence",
    type=click.Path(path_type=Path),
    help="What a date in the past rests on (PDF, JPEG, PNG): its SHA-256 goes on record, it is kept sealed.",
)
def revoke(
    deployment: Deployment,
    officer: Signatory | None,
    serial: str,
    reason: str,
    invalidity_date: str | None,
    evidence: Path | None,
) -> None:
    """Revoke a certificate for good. With a date more than ten minutes ago this is a proposal, and a hold.

    Another officer approves it: mohr ca revocation approve. Example: mohr ca revoke 5f3a… --reason key-compromise
    --officer officer-akbari
    """
    why, since = parse_reason(hyphenless(reason)), _instant(invalidity_date)
    if since is not None and reaches_back(since, RealClock().now()):
        _propose(deployment, officer, parse_serial(serial), why, since, evidence)
        return
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
