"""`mohr ca search|export|remind|statistics`: finding certificates, handing them out, reminding, counting."""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import click

from ca.inventory.desk import SUBJECT, InventoryDesk
from ca.inventory.export import ExportDesk
from ca.inventory.reminders import Reminder, ReminderDesk
from ca.inventory.search import SEARCHABLE, Search, entry_members, parse_search
from ca.inventory.statistics import StatisticsDesk
from ca.line_formats import LineFormat
from ca.officers.gate import RegisterGate
from ca.officers.identity import Act
from pki.errors import ErrorCode, InvalidInput
from pki.instants import format_instant
from webapp.commands.options import answer, home_option, json_option, officer_option, output_option, say
from webapp.commands.served import served_by
from webapp.compose import RealClock, opened_database
from webapp.deployment import Deployment
from webapp.officer_client import OfficerClient
from webapp.officers import Signatory
from webapp.outbox import Outbox

_HELP: Final = {
    "serial": "The whole serial number.",
    "serial_prefix": "How the serial number begins, at least 4 digits.",
    "holder": "National code, SIAM id or a system's name, whole; `-` reads it from standard input.",
    "file": "The registration file.",
    "council_number": "The holder's medical-council number.",
    "siam_id": "The centre.",
    "profession": "Such as physician.",
    "province": "As in the registration.",
    "state": "good, on_hold, revoked …",
    "profile": "Such as clin-sign.",
    "expires_from": "RFC 3339; what ends first comes first.",
    "expires_before": "RFC 3339; what ends first comes first.",
}


def _search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each word that certificates are searched by."""
    for name in reversed(SEARCHABLE):
        command = click.option(f"--{name.replace('_', '-')}", help=_HELP[name])(command)
    return command


def _wanted(words: dict[str, str | None]) -> Search:
    if words.get("holder") == "-":  # a national code is no word for a list of processes
        words["holder"] = sys.stdin.readline(256).strip()
    return parse_search(words)


def _search_there(
    client: OfficerClient,
    after: str | None,
    limit: int,
    as_json: bool,  # noqa: FBT001 - click passes options by name
    **words: str | None,
) -> None:
    _wanted(words)
    page = client.post("/api/v1/certificates/search", {**words, "after": after, "limit": limit})
    _show(page["certificates"], page["next"], as_json=as_json)


def _show(found: list[dict[str, Any]], following: str | None, *, as_json: bool) -> None:
    if as_json:
        answer({"certificates": found, "next": following})
        return
    for members in found:
        answer(members)
    if following is not None:
        say(f"there are more: --after {following}")


@click.command()
@served_by(_search_there)
@home_option
@officer_option
@_search_options
@click.option("--after", metavar="SERIAL", help="Go on behind this certificate.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@json_option
def search(
    deployment: Deployment,
    officer: Signatory,
    after: str | None,
    limit: int,
    as_json: bool,  # noqa: FBT001 - click passes options by name
    **words: str | None,
) -> None:
    """Find certificates by all words given, newest first, a JSON object a line.

    Example: mohr ca search --council-number 12345 --state good --officer officer-akbari
    """
    wanted = _wanted(words)
    with opened_database(deployment) as (database, _ledger):
        clock = RealClock()
        gate = RegisterGate(database, clock)
        by = officer.say(gate, clock, Act.INVENTORY_READ, subject=SUBJECT)
        page = InventoryDesk(database, gate, clock).search(wanted, by, after=after, limit=limit)
    _show([entry_members(entry) for entry in page.entries], page.next, as_json=as_json)


@click.command()
@home_option
@officer_option
@_search_options
@click.option("--format", "form", type=click.Choice([str(form) for form in LineFormat]), default="ndjson")
@output_option
def export(deployment: Deployment, officer: Signatory, form: str, output: Path | None, **words: str | None) -> None:
    """Hand out all certificates that a search finds; recorded with their count and the SHA-256 of what went out.

    Example: mohr ca export --profession nurse --format csv -o nurses.csv --officer officer-bahrami
    """
    wanted = _wanted(words)
    with opened_database(deployment) as (database, _ledger):
        clock = RealClock()
        gate = RegisterGate(database, clock)
        by = officer.say(gate, clock, Act.INVENTORY_EXPORT, subject=SUBJECT)
        with closing(ExportDesk(database, gate, clock).export(wanted, by, LineFormat(form))) as pieces:
            if output is not None:
                _write_file(pieces, output)
                return
            for piece in pieces:
                click.echo(piece, nl=False)


def _write_file(pieces: Iterable[bytes], path: Path) -> None:
    """Write a file of its owner alone; what was there stays until all is written."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as stream:
            stream.writelines(pieces)
        part.replace(path)
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, path.name) from error
    finally:
        part.unlink(missing_ok=True)


def _reminder_members(reminder: Reminder) -> dict[str, Any]:
    return {
        "serial": reminder.serial,
        "days": reminder.days,
        "file": reminder.file_id,
        "profile": reminder.profile,
        "not_after": format_instant(reminder.not_after),
        "due_at": format_instant(reminder.due_at),
    }


@click.command()
@home_option
@click.option("--due", is_flag=True, help="Only list what is to be sent, a JSON object a line.")
def remind(deployment: Deployment, due: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Put the reminders that are due into HOME/outbox, as the worker does. Example: mohr ca remind --due."""
    settings = deployment.settings()
    with opened_database(deployment) as (database, _ledger):
        desk = ReminderDesk(database, Outbox(deployment.outbox), RealClock(), settings.reminder_days)
        if due:
            for reminder in desk.due():
                answer(_reminder_members(reminder))
            return
        answer({"sent": desk.sweep()})


@click.command()
@home_option
@click.option("--now", is_flag=True, help="Count first, as the worker does from time to time.")
def statistics(deployment: Deployment, now: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Print the latest counts as one JSON object: by state, profile, profession, province and day.

    Example: mohr ca statistics --now
    """
    with opened_database(deployment) as (database, _ledger):
        desk = StatisticsDesk(database, RealClock())
        if now:
            desk.sweep()
        latest = desk.latest()
    answer({"at": None if latest.at is None else format_instant(latest.at), "counts": latest.counts})
