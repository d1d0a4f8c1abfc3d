"""Whatever was done before and after a backup: put back and reconciled, every certificate is what it was."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ca.errors import IllegalTransition
from ca.issuing.orders import Issued
from ca.status.revocation import RevocationReason
from storage.engine import open_database
from tests.ca.conftest import Ceremony, WorldMaker
from tests.ca.recovery.site import Site, begin, statuses
from tests.ca.world import FIRST, SYSTEM

Step = tuple[str, int]
ACTS: Final = ("issue", "hold", "unhold", "revoke", "publish", "seal", "wait")
STEPS: Final = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 9)), max_size=10)
REASONS: Final = (RevocationReason.SUPERSEDED, RevocationReason.KEY_COMPROMISE, RevocationReason.UNSPECIFIED)


def _do(site: Site, file_id: str, issued: list[Issued], act: str, number: int) -> None:
    authority = site.world.authority
    if act == "issue":
        issued.append(site.issue(file_id))
    elif act == "publish":
        site.publish()
    elif act == "seal":
        site.seal()
    elif act == "wait":
        site.world.clock.move(seconds=1 + number)
    elif issued:
        serial = issued[number % len(issued)].serial_hex
        try:
            if act == "revoke":
                authority.revoke(serial, REASONS[number % len(REASONS)], FIRST)
            else:
                (authority.hold if act == "hold" else authority.unhold)(serial, FIRST)
        except IllegalTransition:
            return


def _live_and_come_back(
    template: Path, make_world: WorldMaker, before: list[Step], after: list[Step], *, lists_survive: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(template, folder / "lost.db")
        lost = open_database(f"sqlite:///{folder / 'lost.db'}")
        with closing(lost), closing(Site(world=make_world(lost), folder=folder)) as site:
            file = site.world.approved(SYSTEM)
            issued: list[Issued] = []
            for act, number in before:
                _do(site, file.id, issued, act, number)
            backup = site.backup()
            for act, number in after:
                _do(site, file.id, issued, act, number)
            site.seal()  # all that is not lost with the database's last second
            if not lists_survive:
                site.lists.clear()
            put_back = site.open(backup)
            world, desk, _guard = site.restored(put_back, make_world)
            begin(put_back, world)
            report = site.reconcile(desk)
            assert statuses(put_back) == statuses(lost)
            assert not report["findings"].keys() & {"certificate-lost", "known-by-list", "not-understood"}
            world.clock.move(seconds=1)
            published = site.world.authority.latest_crl("systems", 0)
            made = world.authority.publish_crl("systems", 0)
            assert published is None or made.number > published.number


@pytest.mark.parametrize("examples", [8, pytest.param(400, marks=pytest.mark.stress)])
def test_a_reconciled_database_says_of_every_certificate_what_the_lost_one_said(
    ceremony: Ceremony, make_world: WorldMaker, examples: int
) -> None:
    @settings(max_examples=examples, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
    @given(before=STEPS, after=STEPS, lists_survive=st.booleans())
    def check(before: list[Step], after: list[Step], lists_survive: bool) -> None:
        _live_and_come_back(ceremony.template, make_world, before, after, lists_survive=lists_survive)

    check()
