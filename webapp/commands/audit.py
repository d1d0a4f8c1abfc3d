"""`mohr audit`: check the ledger without trusting its operator, export it, prove one entry, answer its alarms."""

from pathlib import Path

import click

from ca.officers.gate import RegisterGate
from ca.officers.identity import Act
from ca.officers.scopes import NOTHING
from ca.registration_rules import parse_reason
from pki.audit import AuditAction, AuditEvent
from pki.errors import ErrorCode, InvalidInput, NotFound
from pki.notes import VerifierKey, parse_verifier_key
from signer.files import read_file, write_file
from storage.key_uses import KeyUses
from storage.ledger_audit import LedgerReport
from storage.ledger_export import verify_export
from storage.unit_of_work import UnitOfWork
from webapp.commands.options import answer, home_option, json_option, officer_option, output_option, say
from webapp.compose import RealClock, opened_database, opened_parts, running_custodian
from webapp.deployment import Deployment
from webapp.guards import clock_guard
from webapp.key_journal import custodian_name
from webapp.officers import Signatory

MAX_CHECKPOINT_OCTETS = 64 * 1024


@click.group()
def audit() -> None:
    """Check the ledger of everything that was done. Example: mohr audit verify --checkpoint kept.note."""


def _text(path: Path) -> str:
    try:
        return read_file(path, limit=MAX_CHECKPOINT_OCTETS).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(ErrorCode.CHECKPOINT_INVALID, "not UTF-8") from error


def _log_key(deployment: Deployment, given: Path | None) -> VerifierKey:
    if given is None and not deployment.ledger_key.exists():
        raise NotFound(ErrorCode.DEPLOYMENT_MISSING, str(deployment.home))
    return parse_verifier_key(_text(given or deployment.ledger_key).strip())


def _tell(report: LedgerReport, *, as_json: bool) -> int:
    state = "consistent" if report.intact else "broken"
    if as_json:
        findings = [
            {"code": finding.code, "detail": finding.detail, "seq": finding.seq, "event": finding.event_id}
            for finding in report.findings
        ]
        answer({"state": state, "size": report.size, "findings": findings})
    else:
        say(f"ledger {state}, {report.size} entries")
        for finding in report.findings:
            place = (finding.event_id or "") if finding.seq is None else finding.seq
            say(f"  {finding.code} {place}: {finding.detail}")
    return 0 if report.intact else 1


@audit.command()
@home_option
@json_option
@click.option("--checkpoint", type=click.Path(path_type=Path), help="A checkpoint that was kept elsewhere.")
@click.option("--export", "export_folder", type=click.Path(path_type=Path), help="Check an exported ledger instead.")
@click.option("--key", type=click.Path(path_type=Path), help="The log's verifier key; default: the deployment's.")
def verify(
    deployment: Deployment,
    as_json: bool,  # noqa: FBT001 - click passes options by name
    checkpoint: Path | None,
    export_folder: Path | None,
    key: Path | None,
) -> int:
    """Compute the whole ledger again; exit status 1 when anything does not hold.

    Example: mohr audit verify --home var --checkpoint kept.note
    """
    log = _log_key(deployment, key)
    note = None if checkpoint is None else _text(checkpoint)
    if export_folder is not None:
        return _tell(verify_export(export_folder, log.public_key, log.name, note), as_json=as_json)
    with opened_database(deployment) as (_database, ledger):
        return _tell(ledger.verify(log.public_key, log.name, note), as_json=as_json)


@audit.command()
@home_option
@output_option
def checkpoint(deployment: Deployment, output: Path | None) -> None:
    """Seal the ledger as it is now; keep the note outside. Example: mohr audit checkpoint -o kept.note."""
    with opened_parts(deployment) as parts:
        note = parts.seal_ledger()
    if output is None:
        click.echo(note, nl=False)
    else:
        write_file(output, note.encode())


@audit.command()
@home_option
@json_option
@click.argument("folder", type=click.Path(path_type=Path))
def export(deployment: Deployment, as_json: bool, folder: Path) -> None:  # noqa: FBT001 - click passes options by name
    """Write every sealed entry into FOLDER for an auditor. Example: mohr audit export audit-2026-11."""
    with opened_database(deployment) as (_database, ledger):
        count = ledger.export(folder)
    if as_json:
        answer({"entries": count, "folder": str(folder)})
    say(f"{count} entries in {folder}")


@audit.command("acknowledge-gap")
@home_option
@officer_option
@click.argument("gap")
@click.option("--reason", required=True, metavar="TEXT", help="What was found out; it goes into the ledger.")
def acknowledge_gap(deployment: Deployment, officer: Signatory, gap: str, reason: str) -> None:
    """Say that a gap in a journal of key uses was looked into: the alarm ends, the gap stays on record.

    GAP is the event that `mohr audit verify` names.
    Example: mohr audit acknowledge-gap EVENT-ID --officer officer-akbari --reason "disk replaced"
    """
    if not gap.isascii():
        raise NotFound(ErrorCode.NOT_FOUND, "no such gap")
    with opened_database(deployment) as (database, _ledger):
        clock = RealClock()
        gate = RegisterGate(database, clock)
        by = officer.say(gate, clock, Act.GAP_ACKNOWLEDGE, subject=gap)

        def leave(unit: UnitOfWork) -> None:
            gate.allow(by, Act.GAP_ACKNOWLEDGE, NOTHING, unit, subject=gap)

        KeyUses(database).acknowledge(gap, by.id, reason, clock.now(), leave)


@audit.command("accept-clock")
@home_option
@officer_option
@click.option("--reason", required=True, metavar="TEXT", help="Why the clock is right now; it goes into the ledger.")
def accept_clock(deployment: Deployment, officer: Signatory, reason: str) -> None:
    """Say that this machine's clock is right as it is now, though it was set or is behind the last record.

    The custodians are told as well. One that does not run then refuses what it is asked later: say it again then.

    Example: mohr audit accept-clock --officer officer-akbari --reason "the time server was wrong"
    """
    why = parse_reason(reason, "who accepts the clock")
    with opened_database(deployment) as (database, _ledger):
        clock = RealClock()
        gate = RegisterGate(database, clock)
        by = officer.say(gate, clock, Act.CLOCK_ACCEPT, subject="clock")
        with database.begin() as unit:
            gate.allow(by, Act.CLOCK_ACCEPT, NOTHING, unit, subject="clock")
            verdict = clock_guard(deployment, database, clock).accept()
            seconds = round((verdict.now - verdict.expected).total_seconds())
            facts: dict[str, str | int | bool | None] = {"seconds": seconds, "reason": why}
            unit.audit.record(
                AuditEvent(action=AuditAction.CLOCK_ACCEPTED, at=verdict.now, actor=by.id, subject="clock", facts=facts)
            )
    say(verdict.suspicion or "nothing was said against the clock")
    with running_custodian(deployment) as custodians:
        silent = custodians.accept_clock(clock.now())
    if silent:
        say(f"{', '.join(map(custodian_name, silent))} did not answer; accept the clock again when it runs")


@audit.command()
@home_option
@click.argument("event_id")
def proof(deployment: Deployment, event_id: str) -> None:
    """Print the inclusion proof of one event. Example: mohr audit proof EVENT-ID."""
    if not event_id.isascii():
        raise NotFound(ErrorCode.NOT_FOUND, "no such audit event")  # nor can a database be asked for every text
    with opened_database(deployment) as (_database, ledger):
        answer(ledger.inclusion_proof(event_id).as_json())
