"""`mohr ca file`: registration files, from a draft to a decision."""

from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import click

from ca.officers.identity import Act, Officer
from ca.registration import Approval, RegistrationFile
from ca.registration_states import FileState
from ca.registries.answers import No, RegistryWord, Silent
from pki.instants import format_instant
from signer.files import read_file
from webapp.commands.options import answer, file_argument, home_option, officer_option
from webapp.compose import Parts, opened_parts
from webapp.deployment import Deployment
from webapp.officers import Signatory

MAX_FILE_OCTETS: Final = 64 * 1024


@click.group("file")
def file_group() -> None:
    """Registration files: submitted by one, approved by two others. Example: mohr ca file list."""


id_argument = click.argument("file_id", metavar="ID")
previous_option = click.option("--previous", metavar="ID", help="The closed file of this holder that this comes after.")


def _file_members(file: RegistrationFile) -> dict[str, Any]:
    return {"id": file.id, "state": str(file.state), "kind": str(file.registration.kind)}


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _word_members(word: RegistryWord) -> dict[str, Any]:
    members = {"source": str(word.source), "answer": str(word.answer), "at": format_instant(word.at)}
    match word:
        case Silent(why=silence):
            return members | {"why": str(silence)}
        case No(why=denial, differs=differs):
            members |= {"why": str(denial)}
            return members | {"differs": [str(claim) for claim in differs], "reference": word.reference}
    return members | {"reference": word.reference, "valid_until": _instant(word.valid_until)}


def _approval_members(approval: Approval) -> dict[str, Any]:
    members = {"officer": approval.officer, "at": format_instant(approval.at)}
    return members | ({} if approval.silence_reason is None else {"silence_reason": approval.silence_reason})


def _all_members(file: RegistrationFile, words: tuple[RegistryWord, ...]) -> dict[str, Any]:
    """Write what an officer needs to decide, or to see why it was so decided: no national code."""
    registration = file.registration
    return {
        **_file_members(file),
        "name": registration.display_name,
        "province": registration.province,
        "realm": file.realm,
        "evidence": [{"what": item.what, "sha256": item.sha256} for item in registration.evidence],
        "sha256": file.digest,
        "submitted_by": file.submitted_by,
        "submitted_at": format_instant(file.submitted_at),
        "previous": file.previous,
        "checked_at": _instant(file.checked_at),
        "registries": [_word_members(word) for word in words],
        "approvals": [_approval_members(approval) for approval in file.approvals],
        "refused_by": file.refused_by,
        "refused_at": _instant(file.refused_at),
        "reason": file.reason,
        "expires_at": _instant(file.expires_at),
        "ended_at": _instant(file.ended_at),
    }


def _by(parts: Parts, officer: Signatory, act: Act, file_id: str) -> Officer:
    """Let the officer sign what is to be done with a file; NotFound."""
    file = parts.authority.file(file_id)
    return officer.say(parts.gate, parts.clock, act, subject=file.id, digest=file.digest)


@file_group.command("submit")
@home_option
@officer_option
@previous_option
@file_argument
def submit_file(deployment: Deployment, officer: Signatory, previous: str | None, file: Path) -> None:
    """Ask the registries about a registration FILE (JSON) and put it before the approvers.

    Example: mohr ca file submit dr.json --officer clerk-parsa
    """
    data = read_file(file, limit=MAX_FILE_OCTETS)
    with opened_parts(deployment) as parts:
        by = officer.say(parts.gate, parts.clock, Act.REGISTRATION_SUBMIT, digest=sha256(data).hexdigest())
        answer(_file_members(parts.authority.submit_file(data, by, previous=previous)))


@file_group.command("draft")
@home_option
@officer_option
@previous_option
@file_argument
def draft_file(deployment: Deployment, officer: Signatory, previous: str | None, file: Path) -> None:
    """Keep a registration FILE (JSON) to submit later. Example: mohr ca file draft dr.json --officer clerk-parsa."""
    data = read_file(file, limit=MAX_FILE_OCTETS)
    with opened_parts(deployment) as parts:
        by = officer.say(parts.gate, parts.clock, Act.REGISTRATION_SUBMIT, digest=sha256(data).hexdigest())
        answer(_file_members(parts.authority.draft_file(data, by, previous=previous)))


@file_group.command("present")
@home_option
@officer_option
@id_argument
def present_file(deployment: Deployment, officer: Signatory, file_id: str) -> None:
    """Submit one's own draft. Example: mohr ca file present ID --officer clerk-parsa."""
    with opened_parts(deployment) as parts:
        by = _by(parts, officer, Act.REGISTRATION_SUBMIT, file_id)
        answer(_file_members(parts.authority.submit_draft(file_id, by)))


@file_group.command("check")
@home_option
@officer_option
@id_argument
def check_file(deployment: Deployment, officer: Signatory, file_id: str) -> None:
    """Ask the registries again and say what they answer. Example: mohr ca file check ID --officer officer-akbari."""
    with opened_parts(deployment) as parts:
        file = parts.authority.check(file_id, _by(parts, officer, Act.REGISTRATION_CHECK, file_id))
        words = parts.authority.words(file_id)
        answer({**_file_members(file), "registries": [_word_members(word) for word in words]})


@file_group.command("approve")
@home_option
@officer_option
@click.option("--accept-silence", metavar="WHY", help="Why it is taken that a registry did not answer; kept.")
@id_argument
def approve_file(deployment: Deployment, officer: Signatory, accept_silence: str | None, file_id: str) -> None:
    """Give one of the two approvals. Example: mohr ca file approve ID --officer officer-akbari."""
    with opened_parts(deployment) as parts:
        by = _by(parts, officer, Act.REGISTRATION_APPROVE, file_id)
        answer(_file_members(parts.authority.approve(file_id, by, silence_reason=accept_silence)))


@file_group.command("refuse")
@home_option
@officer_option
@id_argument
@click.option("--reason", required=True, help="Why; kept with the file.")
def refuse_file(deployment: Deployment, officer: Signatory, file_id: str, reason: str) -> None:
    """Refuse a file for good.

    Example: mohr ca file refuse ID --officer officer-akbari --reason 'licence lapsed'
    """
    with opened_parts(deployment) as parts:
        by = _by(parts, officer, Act.REGISTRATION_REFUSE, file_id)
        answer(_file_members(parts.authority.refuse(file_id, by, reason)))


@file_group.command("withdraw")
@home_option
@officer_option
@id_argument
def withdraw_file(deployment: Deployment, officer: Signatory, file_id: str) -> None:
    """Take back one's own file before it is decided. Example: mohr ca file withdraw ID --officer clerk-parsa."""
    with opened_parts(deployment) as parts:
        by = _by(parts, officer, Act.REGISTRATION_WITHDRAW, file_id)
        answer(_file_members(parts.authority.withdraw(file_id, by)))


@file_group.command("show")
@home_option
@id_argument
def show_file(deployment: Deployment, file_id: str) -> None:
    """Show a file, what the registries said and what was decided. Example: mohr ca file show ID."""
    with opened_parts(deployment) as parts:
        answer(_all_members(parts.authority.file(file_id), parts.authority.words(file_id)))


@file_group.command("list")
@home_option
@click.option("--state", type=click.Choice([str(state) for state in FileState]))
def list_files(deployment: Deployment, state: str | None) -> None:
    """List files, newest first, a JSON object a line. Example: mohr ca file list --state submitted."""
    with opened_parts(deployment) as parts:
        for file in parts.authority.files(FileState(state) if state else None):
            answer(_file_members(file))
