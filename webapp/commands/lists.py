"""`mohr ca crl`: sign and publish revocation lists now."""

from pathlib import Path
from typing import Any

import click

from ca.status.crl import PublishedCrl
from signer.files import write_file
from webapp.commands.options import answer, home_option, output_option
from webapp.compose import opened_parts
from webapp.deployment import Deployment


@click.command()
@home_option
@output_option
@click.option("--issuer", help="The authority of the shard; default: persons.")
@click.option("--shard", type=click.IntRange(0, 4095), help="One shard; default: publish every list.")
@click.option("--delta", is_flag=True, help="The delta to one shard's list, and no list.")
def crl(
    deployment: Deployment,
    output: Path | None,
    issuer: str | None,
    shard: int | None,
    delta: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Sign and publish revocation lists. Example: mohr ca crl --issuer persons --shard 0 -o persons-0.crl."""
    if shard is None and (output is not None or issuer is not None or delta):
        raise click.UsageError("name the --shard of the one list that is meant")
    with opened_parts(deployment) as parts:
        parts.clock_guard.now()
        make = parts.publish_new_delta if delta else parts.publish_new_crl
        lists = parts.authority.publish_all_crls() if shard is None else (make(issuer or "persons", shard),)
        for published in lists:
            parts.publish(published)
            answer(_list_members(published))
    if output is not None:
        write_file(output, lists[0].der)


def _list_members(crl: PublishedCrl) -> dict[str, Any]:
    delta = crl if crl.base is not None else crl.delta
    of_delta = {} if delta is None else {"delta": {"base": delta.base, "entries": delta.entries}}
    return {"issuer": crl.issuer, "shard": crl.shard, "number": crl.number, "entries": crl.entries, **of_delta}
