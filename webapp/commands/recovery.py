"""`mohr backup`, `mohr restore`, `mohr reconcile`, `mohr recovery`: a database that was lost, and back again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ca.officers.identity import Act
from ca.recovery.state import Recovery
from hsm.age.header import Header
from hsm.age.keys import Identity
from hsm.private_files import write_private
from pki.errors import Conflict, ErrorCode, InvalidInput, NotFound, Unavailable
from pki.instants import format_instant
from pki.jose import json_object
from signer.files import read_file
from storage.key_uses import KeyUses
from storage.ledger_sources import read_blocks
from webapp.backup_key import BackupKey, open_with, shares_of
from webapp.commands.backup_key import key
from webapp.commands.options import answer, home_option, officer_option, say
from webapp.commands.secret_prompts import collect_shares
from webapp.compose import Parts, RealClock, opened_database, opened_parts
from webapp.database_password import without_password
from webapp.deployment import Deployment
from webapp.key_journal import JournalSource, JournalTaker
from webapp.listener_key import mend_listener
from webapp.officers import Signatory
from webapp.recovery_backup import make_backup, restore_backup
from webapp.recovery_mark import PublishedMark, log_key

ACTOR = "operator"
MAX_LIST_OCTETS = 256 * 1024 * 1024
MAX_FINDINGS = 1000
MAX_IDENTITY_OCTETS = 64 * 1024


@click.command()
@home_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new file; it names people.")
@click.option("--unencrypted", is_flag=True, help="Write what anybody can read who has the file.")
def backup(deployment: Deployment, out: Path, *, unencrypted: bool) -> None:
    """Back up the database, the settings and what is published, while everything runs. Keys are not in it.

    It is encrypted to the key that mohr recovery key made. The keys are backed up by mohr hsm backup, under shares.
    Example: mohr backup --out mohr-2026-11-23.backup
    """
    deployment.settings()
    key = None if unencrypted else BackupKey.of(deployment)
    if key is None and not unencrypted:
        raise Conflict(ErrorCode.CONFLICT, "there is no key for backups: mohr recovery key makes one, or --unencrypted")
    with opened_database(deployment) as (database, _ledger):
        now = RealClock().now()
        answer(make_backup(deployment, database, log_key(deployment), out.absolute(), ACTOR, now, key=key))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@home_option
@click.option("--database-url", metavar="URL", help="The new, empty database of a PostgreSQL backup.")
@click.option(
    "--identity", type=click.Path(path_type=Path), metavar="FILE", help="The age identity that opens it, not shares."
)
def restore(deployment: Deployment, file: Path, database_url: str | None, identity: Path | None) -> None:
    """Make the database of a deployment from a backup; what lies in its home already stays, keys above all.

    Asks for the shares that open it, one a line, and shows none; or takes the identity that it is encrypted to.
    Nothing is issued until it is reconciled and released. Example: mohr restore mohr-2026-11-23.backup --home var
    """

    def url() -> str | None:
        if database_url is not None or not deployment.exists():
            return database_url
        settings = deployment.settings()
        return None if settings.database_url is None else deployment.database_url(settings)

    made = restore_backup(
        deployment,
        file,
        ACTOR,
        RealClock().now(),
        unlock=lambda header: open_with(header, _identity_for(header, identity)),
        database_url=url,
    )
    if database_url is not None:
        _name_database(deployment, database_url)
    say("nothing is issued before mohr reconcile, and two times mohr recovery release")
    answer(made)


def _identity_for(header: Header, identity: Path | None) -> Identity:
    if identity is not None:
        return Identity.parse(read_file(identity, limit=MAX_IDENTITY_OCTETS).decode("ascii", "replace"))
    share_set = shares_of(header)
    if share_set is None:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the backup is opened by an --identity, not by shares")
    return Identity(collect_shares(share_set))


def _name_database(deployment: Deployment, url: str) -> None:
    """Write where the database is now into the settings, and its password where passwords are kept."""
    plain, password = without_password(url)
    if password is not None:
        deployment.database_password.parent.mkdir(parents=True, exist_ok=True)
        write_private(deployment.database_password, password.encode() + b"\n")
    deployment.write_settings(replace(deployment.settings(), database_url=plain))


@click.command()
@home_option
@click.option(
    "--ledger",
    "ledgers",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="A copy of HOME/ledger, or an export of the ledger. HOME/ledger itself is read anyway.",
)
@click.option(
    "--crl",
    "lists",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A list that was published. Those under HOME/public are read anyway.",
)
@click.option("--accept-loss", is_flag=True, help="Go on though entries that were published are in no ledger.")
def reconcile(deployment: Deployment, ledgers: tuple[Path, ...], lists: tuple[Path, ...], *, accept_loss: bool) -> None:
    """Tell a database that was put back everything that outlived it: ledger, custodians' journals, lists.

    Example: mohr reconcile --ledger /mnt/copy/ledger --crl /mnt/copy/0.crl
    """
    with opened_parts(deployment) as parts:
        folders = list(ledgers)
        if any(deployment.ledger.glob("*.jsonl")):
            folders.insert(0, deployment.ledger)
        found = (*_published_lists(deployment), *lists)
        data = {str(path): read_file(path, limit=MAX_LIST_OCTETS) for path in found}
        report = parts.recoveries.reconcile(
            map(read_blocks, folders),
            data,
            log_key(deployment),
            PublishedMark(deployment)(),
            ACTOR,
            accept_loss=accept_loss,
        )
        unknown = _go_on(parts)
    say("two officers release it: mohr recovery release --officer ID")
    answer(report | {"signed_unknown": unknown})


def _published_lists(deployment: Deployment) -> list[Path]:
    return sorted((deployment.public / "crl").rglob("*.crl"))


def _go_on(parts: Parts) -> int:
    """Take the journals, seal the ledger and publish every list: what is known is told at once.

    Return how many signatures of certificates nobody can explain.
    """
    if isinstance(parts.keys, JournalSource):
        try:
            JournalTaker(KeyUses(parts.database), parts.keys, parts.clock).sweep()
        except Unavailable as error:  # the worker takes the others' as soon as they run
            say(f"not every custodian's journal was taken, the worker takes the rest: {error.detail}")
    unknown = parts.recoveries.account_for_signatures()
    parts.seal_ledger()
    for crl in parts.authority.publish_all_crls():
        parts.publish(crl)
    parts.seal_ledger()
    return unknown


@click.group()
def recovery() -> None:
    """Look at a database that was put back, and release it. Example: mohr recovery show."""


recovery.add_command(key)


@recovery.command()
@home_option
def show(deployment: Deployment) -> None:
    """Show the recovery that is open, its report, and what could not be put back. Example: mohr recovery show."""
    with opened_parts(deployment) as parts:
        found = _open(parts)
        findings = parts.recoveries.findings(found.id, MAX_FINDINGS)
        answer(_shown(found) | {"what": [finding._asdict() for finding in findings]})


@recovery.command()
@home_option
@officer_option
def release(deployment: Deployment, officer: Signatory) -> None:
    """Approve that issuance goes on; the second officer's approval releases it.

    Example: mohr recovery release --officer officer-akbari
    """
    with opened_parts(deployment) as parts:
        found = _open(parts)
        digest = parts.recoveries.digest_of(found)
        by = officer.say(parts.gate, parts.clock, Act.RECOVERY_RELEASE, subject=found.id, digest=digest)
        count = parts.recoveries.release(found.id, by)
        released = parts.recoveries.open_recovery() is None
        answer({"recovery": found.id, "approvals": count, "released": released})
        if released and mend_listener(parts, ACTOR):
            say("the key of the mutual-TLS listener is in no backup: it has another one, and a certificate for it")


def _open(parts: Parts) -> Recovery:
    found = parts.recoveries.open_recovery()
    if found is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no recovery is open")
    return found


def _shown(found: Recovery) -> dict[str, Any]:
    return {
        "recovery": found.id,
        "begun": format_instant(found.begun_at),
        "cause": found.cause,
        "backup": found.source,
        "state": "unreconciled" if found.reconciled_at is None else "reconciled",
        "report": None if found.report is None else json_object(found.report),
    }
