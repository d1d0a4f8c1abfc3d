"""`mohr hsm keys` and `mohr hsm check`: the keys of the running service, and whether each proves itself now."""

import click

from ca.certificate_queries import named
from ca.own_certificates import LISTENER
from hsm.custodian.config import load_settings
from pki.programs import ExitStatus
from storage.key_uses import KeyUses
from webapp.commands.options import answer, home_option, say
from webapp.compose import RealClock, opened_database, running_custodian
from webapp.deployment import Deployment
from webapp.key_inventory import KeyState, check_keys, list_keys
from webapp.key_journal import waiting_totals


@click.command()
@home_option
def keys(deployment: Deployment) -> None:
    """List the service's keys, a JSON object a line: attributes, age, uses, the certificate each serves.

    Example: mohr hsm keys --home var
    """
    with opened_database(deployment) as (database, _ledger), running_custodian(deployment) as custodian:
        uses, silent = waiting_totals(KeyUses(database), custodian)
        if silent:
            say(f"{silent} of {custodian.custodians} custodians do not answer: their latest uses are not counted")
        device = load_settings(deployment.custodian_config).device
        with database.read() as connection:
            entries = list_keys(custodian, connection, uses, device, RealClock().now())
    for entry in entries:
        answer(entry.as_json())


@click.command()
@home_option
def check(deployment: Deployment) -> int:
    """Have each key sign now and compare it with its record and its certificate; a JSON object a line.

    Exit status 1 when a key fails, 2 when one could not be asked. Example: mohr hsm check --home var
    """
    states: set[KeyState] = set()
    with opened_database(deployment) as (database, _ledger), database.read() as connection:
        certificates = [one for one in named(connection).values() if one.name != LISTENER]  # a file holds its key
    with running_custodian(deployment) as custodian:
        for checked in check_keys(custodian, certificates):
            states.add(checked.state)
            answer(checked.as_json())
    if KeyState.FAILS in states:
        return ExitStatus.REFUSED
    return ExitStatus.UNAVAILABLE if KeyState.SILENT in states else ExitStatus.OK
