"""`mohr ca bulk`, `bulk-approve`, `bulk-issue`, `bulk-status`: many registrations in one file."""

from hashlib import sha256
from pathlib import Path

import click

from ca.bulk.format import MAX_OCTETS
from ca.bulk.issuing import BulkIssuing
from ca.bulk.records import Progress
from ca.line_formats import LineFormat, csv_line
from ca.officers.identity import Act
from signer.files import read_file
from webapp.commands.options import answer, file_argument, home_option, officer_option, say
from webapp.compose import Parts, opened_parts
from webapp.deployment import Deployment
from webapp.officers import Signatory
from webapp.registration_documents import ROW_COLUMNS, progress_members, row_members

format_option = click.option(
    "--format", "form", type=click.Choice([str(form) for form in LineFormat]), help="JSON lines, or CSV."
)
job_argument = click.argument("job_id", metavar="ID")


def _tell(progress: Progress) -> None:
    said = f"{progress.job.line} of {progress.job.rows} rows, {progress.refused} refused"
    written = ", ".join(f"{approval.by.id}'s yes on {approval.line}" for approval in progress.approvals)
    say(f"{said}; {written}" if written else said)


def _finish(parts: Parts, job_id: str) -> None:
    answer(progress_members(parts.bulk.run(job_id, _tell)))


@click.command()
@home_option
@officer_option
@format_option
@file_argument
def bulk(deployment: Deployment, officer: Signatory, form: str | None, file: Path) -> None:
    """Submit every registration of FILE, one JSON object a line, or CSV where the name ends in .csv.

    The same file again goes on where it stopped. Example: mohr ca bulk doctors.csv --officer clerk-parsa
    """
    data, of_name = read_file(file, limit=MAX_OCTETS), "csv" if file.suffix.lower() == ".csv" else "ndjson"
    with opened_parts(deployment) as parts:
        by = officer.say(parts.gate, parts.clock, Act.REGISTRATION_SUBMIT, digest=sha256(data).hexdigest())
        _finish(parts, parts.bulk.start(data, by, LineFormat(form or of_name)).id)


@click.command("bulk-approve")
@home_option
@officer_option
@click.option("--accept-silence", metavar="WHY", help="Why it is taken that a registry did not answer; kept.")
@job_argument
def bulk_approve(deployment: Deployment, officer: Signatory, accept_silence: str | None, job_id: str) -> None:
    """Give one of the two approvals to every file of a job. Example: mohr ca bulk-approve ID --officer officer-akbari.

    What refuses a single file is told by `mohr ca bulk-status ID --rows`.
    """
    with opened_parts(deployment) as parts:
        job = parts.bulk.progress(job_id).job
        by = officer.say(parts.gate, parts.clock, Act.REGISTRATION_APPROVE, subject=job.id, digest=job.sha256)
        parts.bulk.approve(job_id, by, silence_reason=accept_silence)
        _finish(parts, job_id)


@click.command("bulk-issue")
@home_option
@officer_option
@job_argument
def bulk_issue(deployment: Deployment, officer: Signatory, job_id: str) -> None:
    """Issue what the rows of a job ask for, for files that are approved.

    Example: mohr ca bulk-issue ID --officer clerk-parsa
    """
    with opened_parts(deployment) as parts:
        job = parts.bulk.progress(job_id).job
        by = officer.say(parts.gate, parts.clock, Act.CERTIFICATE_ISSUE, subject=job.id, digest=job.sha256)
        BulkIssuing(parts.database, parts.authority.line, parts.gate).issue(job_id, by)
        answer(progress_members(parts.bulk.progress(job_id)))


@click.command("bulk-status")
@home_option
@click.option("--rows", "with_rows", is_flag=True, help="Then what became of each row, a JSON object a line.")
@format_option
@job_argument
def bulk_status(
    deployment: Deployment,
    with_rows: bool,  # noqa: FBT001 - click passes options by name
    form: str | None,
    job_id: str,
) -> None:
    """Say how far a job is. Example: mohr ca bulk-status ID --rows.

    With --format csv the rows alone are told, for a spreadsheet.
    """
    with opened_parts(deployment) as parts:
        if form == LineFormat.CSV:
            parts.bulk.progress(job_id)
            click.echo(csv_line(ROW_COLUMNS), nl=False)
            for row in parts.bulk.results(job_id):
                click.echo(csv_line(row_members(row).values()), nl=False)
            return
        answer(progress_members(parts.bulk.progress(job_id)))
        for row in parts.bulk.results(job_id) if with_rows else ():
            answer(row_members(row))
