"""Issuing servers killed with SIGKILL at random moments: journal, intents, certificates and ledger agree.

No signature without its durable intent, no serial number twice, and exactly one certificate for each order, however
often it was given.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections import defaultdict

import pytest

from tests.e2e.issuing_nursery import ACTOR
from tests.support.deployment import LiveDeployment
from tests.support.programs import REPOSITORY
from tests.support.signed_rows import Story
from webapp.compose import opened_parts

pytestmark = pytest.mark.real
FEW, MANY = 20, 1000  # kills
ORDERS = 16  # that are new for each server
SECONDS = 0.05  # that a server lives at most


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.stress)], ids=["few", "many"])
def test_killed_servers_leave_nothing_signed_that_is_not_recorded(live: LiveDeployment, kills: int) -> None:
    count, story = (kills + 1) * ORDERS, Story.begin(live.deployment, ACTOR)
    answers: dict[int, set[str]] = defaultdict(set)
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
    abandoned = story.check({serial for serials in answers.values() for serial in serials})
    assert abandoned or kills < MANY  # so many kills find some between an intent and its result
