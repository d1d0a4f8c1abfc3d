"""Issuing servers killed with SIGKILL at random moments: journal, intents, certificates and ledger agree.

No signature without its durable intent, no serial number twice, and exactly one certificate for each order, however
often it was given.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections import defaultdict
from contextlib import closing
from hashlib import sha256

import pytest

from ca.custody_policy import OPERATOR
from ca.hierarchy import authority_key
from ca.profiles import IssuerName
from hsm.client import CustodianClient
from pki.certificates import Certificate
from pki.journal import DONE, KeyUse, parse_line
from tests.e2e.issuing_nursery import ACTOR
from tests.support.deployment import LiveDeployment
from tests.support.programs import REPOSITORY
from webapp.compose import opened_parts
from webapp.custody import sockets_for

pytestmark = pytest.mark.real
FEW, MANY = 20, 1000  # kills
ORDERS = 16  # that are new for each server
SECONDS = 0.05  # that a server lives at most
PAGE = 1000


class Journal:
    """What the custodian wrote since this object was made."""

    def __init__(self, live: LiveDeployment) -> None:
        self._live, self._sequence = live, 0
        self._sequence = self._read()[0]

    def _read(self) -> tuple[int, list[KeyUse]]:
        found: list[KeyUse] = []
        sequence = self._sequence
        with closing(CustodianClient(sockets_for(self._live.deployment, OPERATOR))) as client:
            while lines := client.journal(0, sequence, PAGE).lines:
                entries = [parse_line(line) for line in lines]
                found += [entry.use for entry in entries]
                sequence = entries[-1].sequence
        return sequence, found

    def uses(self) -> list[KeyUse]:
        return self._read()[1]


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.stress)], ids=["few", "many"])
def test_killed_servers_leave_nothing_signed_that_is_not_recorded(live: LiveDeployment, kills: int) -> None:
    count, journal = (kills + 1) * ORDERS, Journal(live)
    answers: dict[int, set[str]] = defaultdict(set)
    with closing(sqlite3.connect(live.deployment.database_file)) as database:
        (first,) = database.execute("SELECT max(id) + 1 FROM certificates").fetchone()
    command = [sys.executable, "-m", "tests.e2e.issuing_nursery", str(live.deployment.home), live.file_id, str(count)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        assert nursery.stdout.readline() == "ready\n"
        for number in range(kills + 1):
            given = [order for order in range((number + 1) * ORDERS) if order not in answers]
            seconds = random.uniform(0, SECONDS) if number < kills else "end"  # noqa: S311 - no secret
            nursery.stdin.write(f"{seconds} {' '.join(map(str, given))}\n")
            while (line := nursery.stdout.readline().split()) not in (["killed"], ["ended"]):
                answers[int(line[0])].add(line[1])
        nursery.stdin.close()
    assert nursery.returncode == 0
    with opened_parts(live.deployment) as parts:
        parts.recovery.reconcile()
        assert parts.recovery.reconcile() == ()
    assert set(answers) == set(range(count))
    assert all(len(serials) == 1 for serials in answers.values())  # every answer to an order named one certificate
    answered = {serial for serials in answers.values() for serial in serials}
    abandoned = _rows_agree(live, first, answered, journal.uses())
    assert abandoned or kills < MANY  # so many kills find some between an intent and its result


def _rows_agree(live: LiveDeployment, first: int, answered: set[str], uses: list[KeyUse]) -> int:
    """Check each row from `first` on; return how many are abandoned."""
    issuer = Certificate.parse(live.deployment.certificate_file("persons").read_bytes())
    with closing(sqlite3.connect(live.deployment.database_file)) as database:
        rows = database.execute(
            "SELECT serial, state, der, sign_group, sign_position, tbs_sha256 FROM certificates"
            " WHERE id >= ? AND requested_by = ?",
            (first, ACTOR),
        ).fetchall()
        events = set(database.execute("SELECT subject, action FROM audit_events").fetchall())
        assert database.execute("SELECT count(*) - count(DISTINCT serial) FROM certificates").fetchone() == (0,)
    groups: dict[str, dict[int, bytes]] = defaultdict(dict)
    good: set[str] = set()
    for serial, state, der, group, position, tbs in rows:
        groups[group][position] = tbs
        assert state in ("good", "abandoned")
        assert (serial, "certificate.intended") in events
        assert ((serial, "certificate.issued") in events) == (state == "good")
        assert ((serial, "certificate.abandoned") in events) == (state == "abandoned")
        if state == "good":
            certificate = Certificate.parse(der)
            certificate.verify_signed_by(issuer)
            assert (certificate.serial_hex, sha256(certificate.tbs).digest()) == (serial, tbs)
            good.add(serial)
    assert good == answered
    asked = {_digest(members) for members in groups.values()}
    label = authority_key(IssuerName.PERSONS)
    signed = {use.digest for use in uses if (use.key, use.act, use.outcome) == (label, "certificate", DONE)}
    assert signed <= asked  # nothing was signed without its intent
    assert {_digest(groups[group]) for _, state, _, group, _, _ in rows if state == "good"} <= signed
    return len(rows) - len(good)


def _digest(members: dict[int, bytes]) -> bytes:
    """Return what the journal says of messages that were signed together."""
    ordered = [members[position] for position in sorted(members)]
    return ordered[0] if len(ordered) == 1 else sha256(b"".join(ordered)).digest()
