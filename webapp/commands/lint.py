"""`mohr ca lint`: verdicts of the independent linter, and the alarms that officers close."""

from typing import Any

import click

from ca.linting.desk import LintDesk
from ca.linting.verdicts import LintVerdict
from ca.officers.gate import RegisterGate
from ca.officers.identity import Act
from pki.instants import format_instant
from webapp.commands.options import answer, home_option, perhaps_officer_option
from webapp.compose import RealClock, opened_database, opened_linting
from webapp.deployment import Deployment
from webapp.officers import Signatory
from webapp.registration_documents import alarm_members

AT_ONCE = 32


def _verdict_members(verdict: LintVerdict) -> dict[str, Any]:
    return {
        "serial": verdict.serial_hex,
        "lint": str(verdict.state),
        "judgements": [
            {
                "linter": judgement.linter,
                "version": judgement.version,
                "at": format_instant(judgement.at),
                "findings": [
                    {"code": f.code, "severity": f.severity.name, "clause": f.clause, "at": f.detail}
                    for f in judgement.findings
                ],
            }
            for judgement in verdict.judgements
        ],
    }


def _judge_what_waits(desk: LintDesk) -> None:
    judged = 0
    while desk.backlog().waiting:
        judged += desk.sweep(AT_ONCE)
    answer({"judged": judged, "waiting": desk.backlog().waiting, "alarms": len(desk.alarms(limit=500))})


def _close(
    deployment: Deployment, desk: LintDesk, alarms: tuple[str, ...], officer: Signatory | None, note: str | None
) -> None:
    """Say of each alarm, in a statement of its own, that it may be closed."""
    if officer is None or note is None:
        return
    with opened_database(deployment) as (database, _ledger):
        clock = RealClock()
        gate = RegisterGate(database, clock)
        for alarm_id in alarms:
            by = officer.say(gate, clock, Act.ALARM_CLOSE, subject=alarm_id)
            answer(alarm_members(desk.close_alarm(alarm_id, by, note)))


@click.command()
@home_option
@click.argument("serial", required=False)
@click.option("--pending", is_flag=True, help="Judge now whatever waits for a verdict.")
@click.option("--alarms", is_flag=True, help="List open alarms, oldest first, a JSON object a line.")
@click.option("--close", multiple=True, metavar="ALARM", help="Say that an alarm may be closed; a second officer must.")
@perhaps_officer_option
@click.option("--note", metavar="TEXT", help="With --close: why.")
def lint(
    deployment: Deployment,
    serial: str | None,
    pending: bool,  # noqa: FBT001 - click passes options by name
    alarms: bool,  # noqa: FBT001 - click passes options by name
    close: tuple[str, ...],
    officer: Signatory | None,
    note: str | None,
) -> None:
    """Show what the independent linter said of a certificate; it is judged now when it was not yet.

    Example: mohr ca lint 5f3a…
    """
    if (serial is not None) + pending + alarms + bool(close) != 1:
        raise click.UsageError("name a SERIAL, or one of --pending, --alarms and --close")
    if bool(close) != (officer is not None and note is not None) or (officer is None) != (note is None):
        raise click.UsageError("--close, --officer and --note go together")
    with opened_linting(deployment) as desk:
        if serial is not None:
            answer(_verdict_members(desk.verdict_of(serial)))
        elif pending:
            _judge_what_waits(desk)
        elif alarms:
            for alarm in desk.alarms(limit=500):
                answer(alarm_members(alarm))
        else:
            _close(deployment, desk, close, officer, note)
