"""A revoked responder has its successor at the worker's next look; what fails is tried again, not each second."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from ca.status.revocation import RevocationReason
from pki.errors import ErrorCode, Unavailable
from storage.engine import Database
from tests.ca.conftest import WorldMaker, ceremony, make_world, sqlite_database  # noqa: F401 - fixtures
from tests.ca.world import CLERK, World
from webapp.service_upkeep import ALL_SECONDS, RETRY_SECONDS, ServiceUpkeep

if TYPE_CHECKING:
    from webapp.compose import Parts


class Looks:
    """An upkeep over a register, with a clock of its own and a device that may be away."""

    def __init__(self, world: World) -> None:
        self.world, self.at, self.away = world, 0.0, False
        self.parts = cast("Parts", SimpleNamespace(authority=world.authority))
        self.upkeep = ServiceUpkeep(self._renew, lambda: self.at)
        self.renewed: list[tuple[str, ...]] = []

    def _renew(self, parts: Parts) -> None:
        self.renewed.append(())
        if self.away:
            raise Unavailable(ErrorCode.HSM_UNAVAILABLE, "away")
        self.renewed[-1] = parts.authority.renew_services()

    def look(self, after: float) -> list[tuple[str, ...]]:
        """Look after some seconds; return what was renewed, for each try."""
        self.at, self.renewed = self.at + after, []
        self.upkeep(self.parts)
        return self.renewed

    def revoke_responder(self) -> None:
        own = next(one for one in self.world.authority.own_certificates() if one.name == "ocsp-persons")
        self.world.authority.revoke(own.certificate.serial_hex, RevocationReason.SUPERSEDED, CLERK)


@pytest.fixture
def looks(sqlite_database: Database, make_world: WorldMaker) -> Looks:  # noqa: F811 - fixtures
    return Looks(make_world(sqlite_database))


def test_a_revoked_responder_is_replaced_at_the_next_look(looks: Looks) -> None:
    assert [looks.look(0), looks.look(1)] == [[()], []]
    looks.revoke_responder()
    assert looks.look(1) == [("ocsp-persons",)]
    assert [looks.look(1), looks.look(1)] == [[()], []]  # the new certificate is news, too
    assert looks.look(ALL_SECONDS) == [()]


def test_what_fails_is_raised_at_each_look_and_tried_again_after_a_pause(looks: Looks) -> None:
    looks.look(0)
    looks.revoke_responder()
    looks.away = True
    tries = 0
    for _ in range(int(RETRY_SECONDS) + 1):
        with pytest.raises(Unavailable):
            looks.look(1)
        tries += len(looks.renewed)
    assert tries == 2
    looks.away = False
    assert looks.look(RETRY_SECONDS) == [("ocsp-persons",)]
