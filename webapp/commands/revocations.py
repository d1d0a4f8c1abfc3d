"""`mohr ca revocation`, `mohr ca revoke-all`, `mohr ca status-alarms`: what more than one officer has to see to."""

from pathlib import Path
from typing import Final

import click

from ca.officers.identity import Act
from ca.status.acts.holders import holder_revocation_digest
from ca.status.acts.proposals import Decided
from ca.status.revocation_desk import parse_reason
from signer.files import check_writable
from webapp.atomic_files import write_atomically
from webapp.commands.acting import acting_officer
from webapp.commands.options import acting_officer_option, answer, home_option, officer_option, perhaps_officer_option
from webapp.commands.served import in_path, served_by
from webapp.commands.status_changes import hyphenless
from webapp.compose import Parts, opened_parts
from webapp.deployment import Deployment
from webapp.officer_client import OfficerClient
from webapp.officers import Signatory
from webapp.registration_documents import attachment_members
from webapp.revocation_documents import proposal_members, revoked_members, status_alarm_members

PATH: Final = "/api/v1/revocations"
REGISTRATIONS: Final = "/api/v1/registrations"
ALARMS: Final = "/api/v1/status-alarms"


@click.group("revocation")
def revocation_group() -> None:
    """Revocations with a date in the past, which two officers decide. Example: mohr ca revocation list."""


def _list_there(client: OfficerClient) -> None:
    for one in client.get(PATH)["revocations"]:
        answer(one)


def _approve_there(client: OfficerClient, proposal_id: str) -> None:
    answer(client.post(f"{PATH}/{in_path(proposal_id)}/approval", {}))


def _refuse_there(client: OfficerClient, proposal_id: str, why: str) -> None:
    answer(client.post(f"{PATH}/{in_path(proposal_id)}/refusal", {"why": why}))


def _revoke_all_there(client: OfficerClient, file_id: str, reason: str, *, whole_holder: bool) -> None:
    body = {"reason": hyphenless(reason), "whole_holder": whole_holder}
    answer(client.post(f"{REGISTRATIONS}/{in_path(file_id)}/revocation", body))


@revocation_group.command("list")
@served_by(_list_there, for_officers_there=True)
@home_option
def list_proposed(deployment: Deployment) -> None:
    """List what waits for a second officer. Example: mohr ca revocation list --home var."""
    with opened_parts(deployment) as parts:
        for proposal in parts.proposals.open_proposals():
            answer(proposal_members(proposal))


_PROPOSAL: Final = click.argument("proposal_id", metavar="PROPOSAL")


@revocation_group.command("approve")
@served_by(_approve_there)
@home_option
@officer_option
@_PROPOSAL
def approve(deployment: Deployment, officer: Signatory, proposal_id: str) -> None:
    """Revoke as another officer proposed: what was signed after its date loses its worth.

    Example: mohr ca revocation approve 3f… --officer officer-bahrami
    """
    with opened_parts(deployment) as parts:
        proposal = parts.proposals.proposal(proposal_id)
        act, digest = Act.REVOCATION_APPROVE, proposal.digest
        by = acting_officer(parts, officer, act, subject=proposal.id, digest=digest)
        _tell(parts, parts.proposals.approve(proposal.id, by))


@revocation_group.command("refuse")
@served_by(_refuse_there)
@home_option
@officer_option
@_PROPOSAL
@click.option("--why", required=True, help="Why; kept with the proposal.")
def refuse(deployment: Deployment, officer: Signatory, proposal_id: str, why: str) -> None:
    """Refuse what was proposed, or take back one's own; the certificate stays on hold until it is lifted.

    Example: mohr ca revocation refuse 3f… --why "the card was found" --officer officer-bahrami
    """
    with opened_parts(deployment) as parts:
        proposal = parts.proposals.proposal(proposal_id)
        act, digest = Act.REVOCATION_REFUSE, proposal.digest
        by = acting_officer(parts, officer, act, subject=proposal.id, digest=digest)
        _tell(parts, parts.proposals.refuse(proposal.id, by, why))


@revocation_group.command("evidence")
@home_option
@officer_option
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where to write.")
@_PROPOSAL
def show_evidence(deployment: Deployment, officer: Signatory, output: Path, proposal_id: str) -> None:
    """See what a revocation that reaches back rests on; who looks is recorded.

    Example: mohr ca revocation evidence 3f… -o report.pdf --officer officer-bahrami
    """
    check_writable(output)
    with opened_parts(deployment) as parts:
        proposal = parts.proposals.proposal(proposal_id)
        act, digest = Act.REVOCATION_EVIDENCE_READ, proposal.evidence.hex()
        by = officer.say(parts.gate, parts.clock, act, subject=proposal.id, digest=digest)
        scan = parts.revocation_evidence.show(proposal.id, by)
    write_atomically(output, scan.data, mode=0o600)
    answer(attachment_members(scan.attachment))


def _tell(parts: Parts, done: Decided) -> None:
    parts.publish_status_of_all(done.changed)
    answer(proposal_members(done.proposal))


@click.command("revoke-all")
@served_by(_revoke_all_there)
@home_option
@acting_officer_option
@click.argument("file_id", metavar="FILE")
@click.option("--reason", required=True, help="RFC 5280 §5.3.1, such as cessationOfOperation.")
@click.option("--whole-holder", is_flag=True, help="Everything of the same holder, whichever file it was issued for.")
def revoke_all(
    deployment: Deployment,
    officer: Signatory | None,
    file_id: str,
    reason: str,
    whole_holder: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Revoke everything of a registration FILE (its id), or of its holder: all of it or nothing.

    Example: mohr ca revoke-all ID --reason cessation-of-operation --whole-holder --officer officer-akbari
    """
    why = parse_reason(hyphenless(reason))
    digest = holder_revocation_digest(why, whole_holder=whole_holder)
    with opened_parts(deployment) as parts:
        file = parts.authority.file(file_id)
        by = acting_officer(parts, officer, Act.CERTIFICATE_REVOKE, subject=file.id, digest=digest)
        done = parts.holders.revoke_all(file.id, why, by, whole_holder=whole_holder)
        parts.publish_status_of_all(done.revoked)
    answer(revoked_members(done))


def _alarms_there(client: OfficerClient, alarm_id: str | None, note: str | None) -> None:
    if alarm_id is not None:
        answer(client.post(f"{ALARMS}/{in_path(alarm_id)}/notes", {"note": note}))
        return
    for alarm in client.get(ALARMS)["alarms"]:
        answer(alarm)


@click.command("status-alarms")
@served_by(_alarms_there)
@home_option
@perhaps_officer_option
@click.option("--close", "alarm_id", metavar="ALARM", help="Say why this alarm may be closed; two officers do.")
@click.option("--note", metavar="TEXT", help="Why.")
def status_alarms(deployment: Deployment, officer: Signatory | None, alarm_id: str | None, note: str | None) -> None:
    """List officers who revoked or suspended much in a short time, or answer such an alarm.

    Example: mohr ca status-alarms --close 7a… --note "a stolen batch of cards" --officer officer-bahrami
    """
    if (alarm_id is None) != (note is None) or (alarm_id is not None and officer is None):
        raise click.UsageError("--close, --note and --officer belong together")
    with opened_parts(deployment) as parts:
        if alarm_id is not None and note is not None:
            by = acting_officer(parts, officer, Act.ALARM_CLOSE, subject=alarm_id)
            answer(status_alarm_members(parts.status_alarms.close(alarm_id, by, note)))
            return
        for alarm in parts.status_alarms.open_alarms():
            answer(status_alarm_members(alarm))
