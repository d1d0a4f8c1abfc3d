"""`mohr ca file`: registration files, from a draft to a decision."""

from hashlib import sha256
from io import BytesIO
from pathlib import Path

import click

from ca.evidence.blobs import MAX_OCTETS as MAX_SCAN_OCTETS
from ca.evidence.desk import named_digest
from ca.officers.identity import Act, Officer
from ca.registration_states import FileState
from signer.files import check_writable, read_file
from webapp.atomic_files import write_atomically
from webapp.commands import files_there
from webapp.commands.options import answer, file_argument, home_option, officer_option
from webapp.commands.served import served_by
from webapp.compose import Parts, opened_parts
from webapp.deployment import Deployment
from webapp.officers import Signatory
from webapp.registration_documents import attachment_members, file_members, whole_file_members, word_members


@click.group("file")
def file_group() -> None:
    """Registration files: submitted by one, approved by two others. Example: mohr ca file list."""


id_argument = click.argument("file_id", metavar="ID")
previous_option = click.option("--previous", metavar="ID", help="The closed file of this holder that this comes after.")


def _by(parts: Parts, officer: Signatory, act: Act, file_id: str) -> Officer:
    """Let the officer sign what is to be done with a file; NotFound."""
    file = parts.authority.file(file_id)
    return officer.say(parts.gate, parts.clock, act, subject=file.id, digest=file.digest)


@file_group.command("submit")
@served_by(files_there.submit)
@home_option
@officer_option
@previous_option
@file_argument
def submit_file(deployment: Deployment, officer: Signatory, previous: str | None, file: Path) -> None:
    """Ask the registries about a registration FILE (JSON) and put it before the approvers.

    Example: mohr ca file submit dr.json --officer clerk-parsa
    """
    data = read_file(file, limit=files_there.MAX_FILE_OCTETS)
    with opened_parts(deployment) as parts:
        by = officer.say(parts.gate, parts.clock, Act.REGISTRATION_SUBMIT, digest=sha256(data).hexdigest())
        answer(file_members(parts.authority.submit_file(data, by, previous=previous)))


@file_group.command("draft")
@served_by(files_there.draft)
@home_option
@officer_option
@previous_option
@file_argument
def draft_file(deployment: Deployment, officer: Signatory, previous: str | None, file: Path) -> None:
    """Keep a registration FILE (JSON) to submit later. Example: mohr ca file draft dr.json --officer clerk-parsa."""
    data = read_file(file, limit=files_there.MAX_FILE_OCTETS)
    with opened_parts(deployment) as parts:
        by = officer.say(parts.gate, parts.clock, Act.REGISTRATION_SUBMIT, digest=sha256(data).hexdigest())
        answer(file_members(parts.authority.draft_file(data, by, previous=previous)))


@file_group.command("present")
@served_by(files_there.present)
@home_option
@officer_option
@id_argument
def present_file(deployment: Deployment, officer: Signatory, file_id: str) -> None:
    """Submit one's own draft. Example: mohr ca file present ID --officer clerk-parsa."""
    with opened_parts(deployment) as parts:
        by = _by(parts, officer, Act.REGISTRATION_SUBMIT, file_id)
        answer(file_members(parts.authority.submit_draft(file_id, by)))


@file_group.command("check")
@served_by(files_there.check)
@home_option
@officer_option
@id_argument
def check_file(deployment: Deployment, officer: Signatory, file_id: str) -> None:
    """Ask the registries again and say what they answer. Example: mohr ca file check ID --officer officer-akbari."""
    with opened_parts(deployment) as parts:
        file = parts.authority.check(file_id, _by(parts, officer, Act.REGISTRATION_CHECK, file_id))
        words = parts.authority.words(file_id)
        answer({**file_members(file), "registries": [word_members(word) for word in words]})


@file_group.command("approve")
@served_by(files_there.approve)
@home_option
@officer_option
@click.option("--accept-silence", metavar="WHY", help="Why it is taken that a registry did not answer; kept.")
@id_argument
def approve_file(deployment: Deployment, officer: Signatory, accept_silence: str | None, file_id: str) -> None:
    """Give one of the two approvals. Example: mohr ca file approve ID --officer officer-akbari."""
    with opened_parts(deployment) as parts:
        by = _by(parts, officer, Act.REGISTRATION_APPROVE, file_id)
        answer(file_members(parts.authority.approve(file_id, by, silence_reason=accept_silence)))


@file_group.command("refuse")
@served_by(files_there.refuse)
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
        answer(file_members(parts.authority.refuse(file_id, by, reason)))


@file_group.command("withdraw")
@served_by(files_there.withdraw)
@home_option
@officer_option
@id_argument
def withdraw_file(deployment: Deployment, officer: Signatory, file_id: str) -> None:
    """Take back one's own file before it is decided. Example: mohr ca file withdraw ID --officer clerk-parsa."""
    with opened_parts(deployment) as parts:
        by = _by(parts, officer, Act.REGISTRATION_WITHDRAW, file_id)
        answer(file_members(parts.authority.withdraw(file_id, by)))


@file_group.command("attach")
@home_option
@officer_option
@id_argument
@file_argument
def attach_scan(deployment: Deployment, officer: Signatory, file_id: str, file: Path) -> None:
    """Bring a scan (PDF, JPEG, PNG) that a registration file names by its SHA-256.

    Example: mohr ca file attach ID card.pdf --officer clerk-parsa
    """
    data = read_file(file, limit=MAX_SCAN_OCTETS)
    digest = sha256(data).hexdigest()
    with opened_parts(deployment) as parts:
        parts.authority.file(file_id)
        by = officer.say(parts.gate, parts.clock, Act.EVIDENCE_ATTACH, subject=file_id, digest=digest)
        answer(attachment_members(parts.evidence.attach(file_id, digest, BytesIO(data), by)))


@file_group.command("evidence")
@home_option
@officer_option
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where to write.")
@id_argument
@click.argument("sha256_hex", metavar="SHA256")
def show_scan(deployment: Deployment, officer: Signatory, output: Path, file_id: str, sha256_hex: str) -> None:
    """See a scan of a registration file; who looks is recorded.

    Example: mohr ca file evidence ID SHA256 -o card.pdf --officer officer-akbari
    """
    check_writable(output)
    with opened_parts(deployment) as parts:
        named_digest(parts.authority.file(file_id), sha256_hex)
        by = officer.say(parts.gate, parts.clock, Act.EVIDENCE_READ, subject=file_id, digest=sha256_hex)
        scan = parts.evidence.show(file_id, sha256_hex, by)
    write_atomically(output, scan.data, mode=0o600)
    answer(attachment_members(scan.attachment))


@file_group.command("show")
@served_by(files_there.show, for_officers_there=True)
@home_option
@id_argument
def show_file(deployment: Deployment, file_id: str) -> None:
    """Show a file, what the registries said and what was decided. Example: mohr ca file show ID."""
    with opened_parts(deployment) as parts:
        file = parts.authority.file(file_id)
        answer(whole_file_members(file, parts.authority.words(file.id), parts.evidence.of_file(file.id)))


@file_group.command("list")
@home_option
@click.option("--state", type=click.Choice([str(state) for state in FileState]))
def list_files(deployment: Deployment, state: str | None) -> None:
    """List files, newest first, a JSON object a line. Example: mohr ca file list --state submitted."""
    with opened_parts(deployment) as parts:
        for file in parts.authority.files(FileState(state) if state else None):
            answer(file_members(file))
