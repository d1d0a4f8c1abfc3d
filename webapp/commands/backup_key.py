"""`mohr recovery key`: whom backups are encrypted to."""

import secrets
from pathlib import Path

import click

from ca.context import event
from hsm.age.keys import Recipient
from pki.audit import AuditAction
from webapp.backup_key import BackupKey, about_backups, divided_key
from webapp.commands.options import answer, home_option
from webapp.commands.share_delivery import check_delivery, custodian_names, deliver, share_options
from webapp.compose import RealClock, opened_database
from webapp.deployment import Deployment

ACTOR = "operator"


@click.command()
@home_option
@share_options
@click.option("--recipient", metavar="AGE", help="A key that is kept elsewhere, as age-keygen writes it: no shares.")
def key(
    deployment: Deployment,
    *,
    shares: int,
    threshold: int,
    custodians: tuple[str, ...],
    share_files: Path | None,
    recipient: str | None,
) -> None:
    """Have backups encrypted to a new key that is divided among people, or to one that is kept elsewhere.

    Backups of before are opened as before. Example: mohr recovery key --shares 3 --threshold 2
    """
    public_url, now = deployment.settings().public_url, RealClock().now()
    with opened_database(deployment) as (database, _ledger):
        if recipient is None:
            names = custodian_names(shares, custodians)
            check_delivery(share_files)
            made, share_set, dealt = divided_key(
                threshold=threshold,
                custodians=names,
                about=about_backups(public_url, now),
                created=now,
                random_octets=secrets.token_bytes,
            )
            deliver(share_set, dealt, share_files)  # the key comes last: where it is, its shares were given
        else:
            made = BackupKey(recipient=Recipient.parse(recipient))
        made.keep(deployment)
        ceremony = None if made.share_set is None else made.share_set.name
        facts = {"recipient": str(made.recipient), "ceremony": ceremony}
        with database.begin() as unit:
            unit.audit.record(event(AuditAction.BACKUP_KEY_SET, now, ACTOR, deployment.backup_key.name, **facts))
    answer(facts)
